"""A stiff block slides down an inclined plane as Coulomb says: a = g (sin t - mu cos t)."""

import math

import numpy as np

import sim
from scenes.registry import Settings
from sim import materials, shapes

SETTINGS = Settings(dt=4e-4, steps=1500, record_every=25, camera=((0.4, -1.9, 0.6), (0.35, 0.0, -0.15)))
ANGLE, FRICTION = math.radians(30.0), 0.3
DOWN = np.array([math.cos(ANGLE), 0.0, -math.sin(ANGLE)])
NORMAL = np.array([math.sin(ANGLE), 0.0, math.cos(ANGLE)])


def build() -> sim.Scene:
    """A block of 1 MPa on a plane inclined by 30 degrees, lying along it."""
    scene = sim.Scene(extent=((-0.3, -0.25, -1.0), (1.5, 0.25, 0.4)), cell_size=0.04, walls="open")
    half = ANGLE / 2.0
    block = shapes.Box(
        (0.2, 0.16, 0.12), center=tuple(0.062 * NORMAL), rotation=(0.0, math.sin(half), 0.0, math.cos(half))
    )
    stiff = materials.FixedCorotated(youngs_modulus=1e6, poissons_ratio=0.2)
    scene.add_mpm(block, stiff, density=1000.0, spacing=0.02, name="block", color=(0.25, 0.45, 0.8))
    scene.add_collider(shapes.Plane(normal=tuple(NORMAL)), friction=FRICTION, name="plane")
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Acceleration along the slope by a straight line through the speeds of the second half, over Coulomb's."""
    speed = np.asarray(trajectory["block.velocity"])[:, 0].mean(axis=1) @ DOWN
    late = slice(trajectory.frame_count // 2, None)
    acceleration = float(np.polyfit(trajectory.times[late], speed[late], 1)[0])
    expected = 9.81 * (math.sin(ANGLE) - FRICTION * math.cos(ANGLE))
    return {"acceleration [m/s^2]": acceleration, "acceleration / Coulomb's": acceleration / expected}
