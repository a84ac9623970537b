"""Syrup in a channel of sticking walls, driven by gravity: its mean speed is that of Poiseuille's law.

Between plates at a distance H, and away from the ends of the syrup,

    u(z) = g (H^2 / 4 - z^2) / (2 nu),   mean g H^2 / (12 nu),   approached as exp(-pi^2 nu t / H^2)

The channel lies on its side with gravity along it. The ends of the syrup are free; the speed is taken in the middle third.
What a transfer between particles and grid takes from the motion beside a wall is taken once a substep, so that the flow
depends on dt: at 10 cells and dt = 0.2, 0.1, 0.05, 0.025 dx^2 / nu it is 1.05, 1.00, 0.92, 0.81 of the law.

Source: Batchelor, An Introduction to Fluid Dynamics, section 4.2.
"""

import numpy as np

from pliant import sim
from pliant.scenes.registry import Settings
from pliant.sim import materials, shapes

SETTINGS = Settings(dt=5e-5, steps=2800, record_every=100, camera=((0.02, -0.62, 0.0), (0.02, 0.0, 0.0)))
VARIANTS = ("walls", "colliders")
WIDTH, LENGTH, GRAVITY, DENSITY, VISCOSITY = 0.1, 0.4, 9.81, 1000.0, 50.0  # m, m, m/s^2, kg/m^3, Pa s
CELLS, STRIPES = 20, 8  # across the channel, and along the syrup
REFERENCE = GRAVITY * WIDTH**2 * DENSITY / (12.0 * VISCOSITY)  # m/s
COLORS = ((0.86, 0.55, 0.18), (0.98, 0.83, 0.52))


def build(channel: str = "walls", cells: int = CELLS) -> sim.Scene:
    """Syrup between two plates, walls of the grid or sticking boxes, one cell deep between smooth walls.

    Args:
        channel: what the plates are, one of `VARIANTS`.
        cells: across the channel; dt wants to go with their inverse square, 5e-5 s at 20.
    """
    cell, half = WIDTH / cells, 0.5 * WIDTH
    beyond = 0.0 if channel == "walls" else 8 * cell
    plate = "stick" if channel == "walls" else "open"
    scene = sim.Scene(
        gravity=(GRAVITY, 0.0, 0.0),
        extent=((-0.25, 0.0, -half - beyond), (0.35, cell, half + beyond)),
        cell_size=cell,
        walls={"x-": "open", "x+": "open", "y-": "slip", "y+": "slip", "z-": plate, "z+": plate},
    )
    syrup = materials.Fluid(bulk_modulus=5e4, viscosity=VISCOSITY)
    length = LENGTH / STRIPES
    for index in range(STRIPES):
        stripe = shapes.Box((length, cell, WIDTH), center=(-0.5 * LENGTH + (index + 0.5) * length, 0.5 * cell, 0.0))
        color = COLORS[index % 2]
        scene.add_mpm(stripe, syrup, density=DENSITY, spacing=cell / 2, name=f"stripe{index}", color=color)
    if channel == "colliders":
        for side, name in ((-1, "lower"), (1, "upper")):
            box = shapes.Box((0.7, 9 * cell, 6 * cell), center=(0.05, 0.5 * cell, side * (half + 3 * cell)))
            scene.add_collider(box, surface="stick", name=name)
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Mean speed across the middle third of the syrup in the last quarter of the time, and by the law."""
    late = slice(-(trajectory.frame_count // 4), None)
    names = [f"stripe{index}" for index in range(STRIPES)]
    x, u = (
        np.concatenate([np.asarray(trajectory[f"{n}.{field}"], float)[late, 0, :, 0] for n in names], axis=1)
        for field in ("position", "velocity")
    )
    middle = np.abs(x - x.mean(axis=1, keepdims=True)) < LENGTH / 6
    speed = float(np.mean([u[frame, inside].mean() for frame, inside in enumerate(middle)]))
    return {"mean speed [m/s]": speed, "mean speed by Poiseuille's law / reference": speed / REFERENCE}
