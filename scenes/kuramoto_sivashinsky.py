"""Cells of the Kuramoto-Sivashinsky equation are born, drift and merge without end: chaos in space and time.

Long waves grow, short ones decay, and u u_x only hands energy from one to the other. So in the long run what u_xx feeds,
the mean of u_x^2, is what u_xxxx takes, the mean of u_xx^2.
"""

import numpy as np

from pliant import sim
from pliant.scenes.registry import Settings
from pliant.sim.spectral import PeriodicBox, equations

SETTINGS = Settings(dt=0.1, steps=3000, record_every=5)
LENGTH, POINTS, SETTLED = 100.0, 256, 60.0  # m, of the grid, and the time after which cells fill the box [s]


def build(*, seed: int = 0) -> PeriodicBox:
    """A line of weak noise without a mean."""
    noise = 0.1 * np.random.default_rng(seed).standard_normal(POINTS)
    box = PeriodicBox(LENGTH, POINTS)
    box.add_field(equations.KuramotoSivashinsky(), name="flame", velocity=noise - noise.mean())
    return box


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Energy fed over energy taken in the long run, and the size of the cells' velocity."""
    late = trajectory.times >= min(SETTLED, 0.5 * trajectory.times[-1])
    u = np.asarray(trajectory["flame.velocity"], float)[late, 0]
    k = 2.0 * np.pi / LENGTH * np.arange(POINTS // 2 + 1)
    spectrum = np.abs(np.fft.rfft(u)) ** 2
    return {
        "energy fed by what is taken / reference": float((k**2 * spectrum).sum() / (k**4 * spectrum).sum()),
        "root mean square velocity [m/s]": float(u.std()),
        "mean velocity [m/s]": float(u.mean()),
    }
