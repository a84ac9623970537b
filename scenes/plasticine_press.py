"""A plate presses a cylinder of plasticine; the force lies between the two bounds of plastic limit analysis.

The material yields at Y in uniaxial stress and sticks to plate and table. For a cylinder of height h and section
A = pi R^2, as it is after some pressing, the limit theorems of perfect plasticity enclose the force F:

    lower bound   F >= Y A                              uniaxial stress -Y in z is admissible whatever the friction
    upper bound   F <= Y A (1 + 2 R / (3 sqrt(3) h))    the field v_z = -v z / h, v_r = v r / (2 h)

The upper one is the work of that field: Y v / h in every unit of volume, and on both faces the shear strength
Y / sqrt(3) times the slip v_r, 2 Y / sqrt(3) int_0^R v r / (2 h) 2 pi r dr = 2 pi Y v R^3 / (3 sqrt(3) h).
"""

import math

import numpy as np

from pliant import sim
from pliant.scenes.registry import Settings
from pliant.sim import materials, shapes

SETTINGS = Settings(dt=1.5e-4, steps=2000, record_every=50, camera=((0.36, -0.92, 0.2), (0.0, 0.0, 0.075)))
RADIUS, HEIGHT, DENSITY = 0.1, 0.2, 1000.0
UNIAXIAL_YIELD = 2e4  # Pa
THICKNESS, DEPTH = 0.04, 0.09  # of the plate, and how far it goes down [m]


def build() -> sim.Scene:
    """A cylinder of 6 kg between a table and a plate, both sticky."""
    scene = sim.Scene(extent=((-0.24, -0.24, -0.06), (0.24, 0.24, 0.3)), cell_size=0.02, walls="open")
    clay = materials.VonMises(youngs_modulus=1e6, poissons_ratio=0.3, yield_stress=math.sqrt(2 / 3) * UNIAXIAL_YIELD)
    cylinder = shapes.Cylinder(RADIUS, HEIGHT, center=(0, 0, HEIGHT / 2))
    scene.add_mpm(cylinder, clay, density=DENSITY, spacing=0.01, name="clay", color=(0.91, 0.42, 0.36))
    scene.add_collider(shapes.Plane(), surface="stick", name="table")
    plate = shapes.Box((0.34, 0.34, THICKNESS), center=(0, 0, HEIGHT + THICKNESS / 2))
    scene.add_collider(plate, surface="stick", name="plate", color=(0.47, 0.55, 0.66))
    return scene


def values(rollout: sim.Rollout) -> dict[str, np.ndarray]:
    """The plate goes down at constant speed."""
    poses = np.zeros((rollout.batch, rollout.intervals + 1, 7))
    poses[..., 2] = HEIGHT + THICKNESS / 2 - np.linspace(0.0, DEPTH, rollout.intervals + 1)
    poses[..., 6] = 1.0
    return {"plate.pose": poses}


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Force over Y A while the second half is pressed, and the upper bound on it; the lower bound is 1.

    The force is the mean of what plate and table carry, which is the force half way up whatever the clay weighs.
    """
    half = slice(trajectory.frame_count // 2, None)
    z = np.asarray(trajectory["clay.position"], float)[half, 0, :, 2]
    height = np.quantile(z, 0.999, axis=1) - np.quantile(z, 0.001, axis=1) + 0.01  # and half a spacing at both ends
    area = math.pi * RADIUS**2 * HEIGHT / height
    up, down = (np.asarray(trajectory[f"{name}.wrench"], float)[half, 0, 2] for name in ("plate", "table"))
    constraint = 2.0 * np.sqrt(area / math.pi) / (3.0 * math.sqrt(3.0) * height)
    return {
        "force / (Y A)": float(np.mean(0.5 * (up - down) / (UNIAXIAL_YIELD * area))),
        "upper bound / (Y A)": float(np.mean(1.0 + constraint)),
    }
