"""Two blocks on a slope: Coulomb lets one slide with a = g (sin t - mu cos t) and holds the other.

On a slope of angle t friction bears at most mu m g cos t of the m g sin t that pulls downhill: where mu < tan t the
difference accelerates the block, where mu > tan t it stays.
"""

import math

import numpy as np

from pliant import sim
from pliant.scenes.registry import Settings
from pliant.sim import materials, shapes

SETTINGS = Settings(dt=4e-4, steps=1600, record_every=40, camera=((1.0, -1.5, 0.8), (0.0, 0.0, 0.22)))
ANGLE, SLIPPERY, ROUGH = math.radians(30.0), 0.3, 0.8
DOWN = np.array([math.cos(ANGLE), 0.0, -math.sin(ANGLE)])
NORMAL = np.array([math.sin(ANGLE), 0.0, math.cos(ANGLE)])
TURN = (0.0, math.sin(ANGLE / 2), 0.0, math.cos(ANGLE / 2))
RAMP, BLOCK = (1.0, 0.26, 0.06), (0.18, 0.14, 0.1)


def build() -> sim.Scene:
    """Two stiff blocks at the upper ends of two ramps of 30 degrees."""
    scene = sim.Scene(extent=((-0.7, -0.35, -0.04), (0.7, 0.35, 0.8)), cell_size=0.02, walls="open")
    stiff = materials.FixedCorotated(youngs_modulus=1e6, poissons_ratio=0.2)
    lanes = (("slider", -0.16, SLIPPERY, (0.91, 0.44, 0.32)), ("sitter", 0.16, ROUGH, (0.25, 0.49, 0.78)))
    for name, side, friction, color in lanes:
        top = np.array([0.0, side, 0.29])
        start = top - 0.34 * DOWN + 0.5 * BLOCK[2] * NORMAL
        block = shapes.Box(BLOCK, center=tuple(start), rotation=TURN)
        scene.add_mpm(block, stiff, density=1000.0, spacing=0.01, name=name, color=color)
        ramp = shapes.Box(RAMP, center=tuple(top - 0.5 * RAMP[2] * NORMAL), rotation=TURN)
        scene.add_collider(ramp, friction=friction, name=f"{name}_ramp", color=(0.62, 0.66, 0.72))
    scene.add_collider(shapes.Plane(), name="ground")
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Acceleration of the sliding block by a line through its speeds, and how far the other one crept."""
    speed = np.asarray(trajectory["slider.velocity"], float)[:, 0].mean(axis=1) @ DOWN
    late = slice(trajectory.frame_count // 4, None)  # the blocks have settled on the ramps
    acceleration = float(np.polyfit(trajectory.times[late], speed[late], 1)[0])
    way = {n: np.asarray(trajectory[f"{n}.position"], float)[:, 0].mean(axis=1) @ DOWN for n in ("slider", "sitter")}
    return {
        "acceleration [m/s^2]": acceleration,
        "acceleration by Coulomb's law / reference": acceleration / (9.81 * (math.sin(ANGLE) - SLIPPERY * math.cos(ANGLE))),
        "way of the held block / of the sliding one": float(np.ptp(way["sitter"]) / np.ptp(way["slider"])),
    }
