"""A column of water is let go, and its front runs along a dry bed as Martin and Moyce measured.

For a column of width a and height 2 a they list the front Z = x / a against the time T = t sqrt(2 g / a). The lifted
gate delays the first of their values, so the comparison begins with Z = 1.89.

Source: Martin and Moyce, An experimental study of the collapse of liquid columns on a rigid horizontal plane,
Phil. Trans. R. Soc. A 244 (1952) 312-324, table 2 (a = 2.25 inches), as the code Ocellaris transcribes it. The paper was
not at hand; readings of its figure 3 that come with the code PySPH agree with the table within 3 %.
"""

import math

import numpy as np

from pliant import sim
from pliant.scenes.registry import Settings
from pliant.sim import materials, shapes

SETTINGS = Settings(dt=2.5e-4, steps=1400, record_every=20, camera=((0.46, -0.92, 0.3), (0.29, 0.024, 0.08)))
SIDE, WIDTH, CELL = 0.12, 0.048, 0.008  # a, the channel's width, and the grid's spacing [m]
MEASURED_T = np.array((1.63, 1.83, 1.98, 2.20, 2.32, 2.51, 2.65, 2.83, 2.98, 3.11, 3.33))
MEASURED_Z = np.array((1.89, 2.11, 2.33, 2.56, 2.78, 3.00, 3.22, 3.44, 3.67, 3.89, 4.11))


def build() -> sim.Scene:
    """Water at the left end of a smooth channel of five column widths."""
    walls = {"y-": "slip", "y+": "slip"}
    scene = sim.Scene(extent=((0.0, 0.0, 0.0), (5 * SIDE, WIDTH, 0.4)), cell_size=CELL, walls=walls)
    water = materials.Fluid(bulk_modulus=1e5, viscosity=1e-3)
    column = shapes.Box((SIDE, WIDTH, 2 * SIDE), center=(SIDE / 2, WIDTH / 2, SIDE))
    scene.add_mpm(column, water, density=1000.0, spacing=CELL / 2, name="water", color=(0.25, 0.52, 0.86))
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Front of 99.5 % of the water over the measured one, on average and where they differ most."""
    front = np.quantile(np.asarray(trajectory["water.position"], float)[:, 0, :, 0], 0.995, axis=1) / SIDE
    time = trajectory.times * math.sqrt(2.0 * 9.81 / SIDE)
    ratio = np.interp(MEASURED_T, time, front) / MEASURED_Z
    return {
        "front / Martin and Moyce": float(ratio.mean()),
        "largest deviation": float(np.abs(ratio - 1.0).max()),
    }
