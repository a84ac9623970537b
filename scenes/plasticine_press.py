"""A plate presses a block of plasticine with a force of the order of the yield stress times its area.

A block between frictionless plates yields at the uniaxial yield stress Y times its area. Von Mises: Y = sqrt(3/2)
times the radius `yield_stress` of the deviatoric yield surface |dev tau|.
"""

import numpy as np

import sim
from scenes.registry import Settings
from sim import materials, shapes

SETTINGS = Settings(dt=2e-4, steps=1500, record_every=25, camera=((0.5, -0.9, 0.5), (0.0, 0.0, 0.1)))
SIDE, YIELD, DENSITY = 0.2, 1e4, 1000.0
TOP, DEPTH = 0.305, 0.1  # where the plate's centre starts and how far it goes [m]


def build() -> sim.Scene:
    """A cube of 0.2 m under a flat plate."""
    scene = sim.Scene(extent=((-0.3, -0.3, -0.08), (0.3, 0.3, 0.5)), cell_size=0.04, walls="open")
    clay = materials.VonMises(youngs_modulus=5e5, poissons_ratio=0.3, yield_stress=YIELD)
    scene.add_mpm(
        shapes.Box(SIDE, center=(0, 0, SIDE / 2)),
        clay,
        density=DENSITY,
        spacing=0.02,
        name="clay",
        color=(0.85, 0.35, 0.3),
    )
    scene.add_collider(shapes.Plane(), name="table")
    scene.add_collider(shapes.Box((0.5, 0.5, 0.2), center=(0, 0, TOP)), name="plate", color=(0.55, 0.57, 0.6))
    return scene


def values(rollout: sim.Rollout) -> dict[str, np.ndarray]:
    """The plate goes down at constant speed."""
    poses = np.zeros((rollout.batch, rollout.intervals + 1, 7))
    poses[..., 6] = 1.0
    poses[..., 2] = np.linspace(TOP, TOP - DEPTH, rollout.intervals + 1)
    return {"plate.pose": poses}


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Force on the plate while 20 to 40 % of its way is done, over the yield force of the block's present area."""
    share = trajectory.times / trajectory.times[-1]
    pressing = (share > 0.4) & (share < 0.6)
    force = float(np.asarray(trajectory["plate.wrench"])[pressing, 0, 2].mean())
    height = TOP - 0.1 - DEPTH * share[pressing].mean()
    area = SIDE**3 / height
    return {"plate force [N]": force, "force / yield force": force / (np.sqrt(1.5) * YIELD * area)}
