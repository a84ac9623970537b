"""The Taylor-Green vortex breaks up into ever smaller eddies, until viscosity takes them at a peak of dissipation.

At first the mean square vorticity is a power series in time, and later it peaks where the smallest eddies form.

Source: Taylor and Green, Mechanism of the production of small eddies from large ones, Proc. R. Soc. Lond. A 158 (1937), for
the series. At Reynolds number 1600 `tests/test_spectral_flows.py` holds the same vortex against a published table.
"""

import numpy as np

from pliant import sim
from pliant.scenes.registry import Settings
from pliant.sim.spectral import PeriodicBox, equations

SETTINGS = Settings(dt=0.05, steps=160, record_every=2, record=("vorticity",))
POINTS, REYNOLDS, EARLY = 32, 100.0, 0.5  # of the grid, number, and the time until which the series is compared [s]


def build() -> PeriodicBox:
    """The vortex in a cube of side 2 pi."""
    box = PeriodicBox((2.0 * np.pi,) * 3, (POINTS,) * 3)
    box.add_field(equations.NavierStokes3D(viscosity=1.0 / REYNOLDS), name="fluid", velocity=vortex)
    return box


def vortex(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """u = sin x cos y cos z, v = -cos x sin y cos z, w = 0."""
    return np.stack([np.sin(x) * np.cos(y) * np.cos(z), -np.cos(x) * np.sin(y) * np.cos(z), 0.0 * x], axis=-1)


def series(t: np.ndarray, R: float) -> np.ndarray:
    """Mean square vorticity over its initial value, to the fourth power of time."""
    return (
        1.0 - 6.0 * t / R + (5.0 / 48.0 + 18.0 / R**2) * t**2 - (5.0 / 3.0 + 36.0 / R**2) * t**3 / R
        + (50.0 / (99.0 * 64.0) + 1835.0 / (9.0 * 16.0 * R**2) + 54.0 / R**4) * t**4
    )  # fmt: skip


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Largest deviation from the series at early times, and where and how high dissipation peaks."""
    w = np.asarray(trajectory["fluid.vorticity"], float)[:, 0]
    enstrophy = (w**2).sum(axis=-1).mean(axis=(1, 2, 3))
    early = trajectory.times <= EARLY
    deviation = enstrophy[early] / enstrophy[0] - series(trajectory.times[early], REYNOLDS)
    return {
        "largest deviation from the series": float(np.abs(deviation).max()),
        "time of peak dissipation [s]": float(trajectory.times[enstrophy.argmax()]),
        "peak dissipation [m^2/s^3]": float(enstrophy.max() / REYNOLDS),
    }
