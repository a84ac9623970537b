"""A jelly cube falls on its edge, squashes and bounces; the floor's impulse is its change of momentum.

Whatever happens inside the cube, Newton's second law summed over the run gives what the floor must have pushed:

    int F dt = m (g t + v(t) - v(0))
"""

import math

import numpy as np

from pliant import sim
from pliant.scenes.registry import Settings
from pliant.sim import materials, shapes

SETTINGS = Settings(dt=4e-4, steps=1750, record_every=25, camera=((0.42, -0.85, 0.3), (0.0, 0.0, 0.12)))
SIDE, DENSITY = 0.2, 1000.0


def build() -> sim.Scene:
    """An 8 kg cube of 20 kPa, tilted and slightly turning, 10 cm above the floor."""
    scene = sim.Scene(extent=((-0.35, -0.35, -0.1), (0.35, 0.35, 0.5)), cell_size=0.025)
    jelly = materials.FixedCorotated(youngs_modulus=2e4, poissons_ratio=0.35)
    tilt = math.radians(25.0) / 2.0
    cube = shapes.Box(SIDE, center=(0, 0, 0.24), rotation=(0.0, math.sin(tilt), 0.0, math.cos(tilt)))
    green = (0.36, 0.74, 0.52)
    scene.add_mpm(cube, jelly, density=DENSITY, spacing=0.0125, name="jelly", angular_velocity=(0, -1, 1), color=green)
    scene.add_collider(shapes.Plane(), friction=0.5, name="floor")
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Impulse of the floor over that of gravity and motion, and how high the middle rises after the impact."""
    push = -np.asarray(trajectory["floor.wrench"], float)[1:, 0, 2]  # mean force since the frame before [N]
    impulse = float((push * np.diff(trajectory.times)).sum())
    velocity, height = (
        np.asarray(trajectory[f"jelly.{field}"], float)[:, 0, :, 2].mean(axis=1) for field in ("velocity", "position")
    )
    change = DENSITY * SIDE**3 * (9.81 * trajectory.duration + velocity[-1] - velocity[0])
    lowest = int(height.argmin())
    return {
        "floor impulse by the change of momentum / reference": impulse / float(change),
        "largest force / weight": float(push.max() / (DENSITY * SIDE**3 * 9.81)),
        "rebound of the middle [m]": float(height[lowest:].max() - height[lowest]),
    }
