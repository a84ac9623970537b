"""A small block of jelly, clay, sand or syrup lands askew on a rough floor: the motion its parameters are identified from.

What identifies a parameter is that it acts: the landing presses and shears the block, the tilt gives it a spin, and the
floor's friction makes sand heap up and syrup stick. 125 particles, so that a Jacobian takes a fraction of a second.
"""

import numpy as np

from pliant import sim
from pliant.scenes.registry import Settings
from pliant.sim import materials, shapes

SETTINGS = Settings(dt=1e-3, steps=240, record_every=10, camera=((0.5, -0.5, 0.3), (0.0, 0.0, 0.05)))
MATERIALS = {
    "jelly": materials.FixedCorotated(youngs_modulus=3e4, poissons_ratio=0.3),
    "clay": materials.VonMises(youngs_modulus=1e5, poissons_ratio=0.3, yield_stress=2e3),
    "sand": materials.DruckerPrager(youngs_modulus=1e5, poissons_ratio=0.2, friction_angle=float(np.radians(30.0))),
    "syrup": materials.Fluid(bulk_modulus=5e4, viscosity=5.0),
}
VARIANTS = tuple(MATERIALS)
SIDE, SPACING, CELL, DENSITY, GRAVITY = 0.1, 0.02, 0.04, 1200.0, 9.81
TILT = (0.0, float(np.sin(0.15)), 0.0, float(np.cos(0.15)))  # 17 degrees about y
VELOCITY = (0.6, 0.2, -1.5)


def build(material: str = "jelly") -> sim.Scene:
    """The block of one of the four materials, just above the floor."""
    scene = sim.Scene(
        gravity=(0, 0, -GRAVITY), extent=((-0.2, -0.2, -0.08), (0.4, 0.3, 0.2)), cell_size=CELL, walls="open"
    )
    block = shapes.Box(SIDE, center=(0.0, 0.0, 0.08), rotation=TILT)
    scene.add_mpm(
        block, MATERIALS[material], density=DENSITY, spacing=SPACING, name="block", color=(0.93, 0.66, 0.33), velocity=VELOCITY
    )
    scene.add_collider(shapes.Plane(), friction=0.5, name="floor")
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Newton's second law: the floor's and gravity's impulse over the change of momentum; and what of the height is left."""
    velocity = np.asarray(trajectory["block.velocity"], float)[:, 0].mean(axis=1)
    mass = DENSITY * SIDE**3
    span = np.diff(trajectory.times)[:, None]
    pushed = -(np.asarray(trajectory["floor.wrench"], float)[1:, 0, :3] * span).sum(axis=0)
    pulled = np.array([0.0, 0.0, -mass * GRAVITY * trajectory.duration])
    gained = mass * (velocity[-1] - velocity[0])
    z = np.asarray(trajectory["block.position"], float)[:, 0, :, 2]
    return {
        "impulse by the change of momentum / reference": float((pushed + pulled)[2] / gained[2]),
        "height left [1]": float(np.ptp(z[-1]) / np.ptp(z[0])),
    }
