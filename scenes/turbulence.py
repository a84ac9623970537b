"""Two-dimensional turbulence decays: vortices of one sign merge, and enstrophy dies before energy does.

The vorticity starts as a random field of wave numbers 4 to 8. Nothing drives it, so the energy it loses is what viscosity
takes, 2 nu times the enstrophy.
"""

import numpy as np

from pliant import sim
from pliant.scenes.registry import Settings
from pliant.sim.spectral import PeriodicBox, equations

SETTINGS = Settings(dt=6.25e-3, steps=1280, record_every=16)
SIDE, POINTS, VISCOSITY = 2.0 * np.pi, 256, 7e-4
WAVES, STRENGTH = (4.0, 8.0), 6.0  # of the initial vorticity: wave numbers, and root mean square [1/s]


def build(*, seed: int = 0) -> PeriodicBox:
    """A periodic square of random vorticity."""
    box = PeriodicBox((SIDE, SIDE), (POINTS, POINTS))
    box.add_field(equations.NavierStokes2D(viscosity=VISCOSITY), name="fluid", vorticity=random_vorticity(seed))
    return box


def random_vorticity(seed: int) -> np.ndarray:
    """White noise of which only the chosen wave numbers are left, of the chosen size."""
    noise = np.fft.fft2(np.random.default_rng(seed).standard_normal((POINTS, POINTS)))
    k = np.hypot(*np.meshgrid(wavenumbers(), wavenumbers()))
    field = np.fft.ifft2(np.where((k >= WAVES[0]) & (k <= WAVES[1]), noise, 0.0)).real
    return STRENGTH * field / field.std()


def wavenumbers() -> np.ndarray:
    """[1/m], of one axis."""
    return 2.0 * np.pi / SIDE * np.fft.fftfreq(POINTS, 1.0 / POINTS)


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """The energy lost over what viscosity took, and how much energy and enstrophy are left."""
    w = np.asarray(trajectory["fluid.vorticity"], float)[:, 0]
    k2 = np.add.outer(wavenumbers() ** 2, wavenumbers() ** 2)
    spectrum = np.abs(np.fft.fft2(w) / POINTS**2) ** 2
    enstrophy = 0.5 * spectrum.sum(axis=(1, 2))
    energy = 0.5 * np.divide(spectrum, k2, out=np.zeros_like(spectrum), where=k2 > 0).sum(axis=(1, 2))
    taken = np.trapezoid(2.0 * VISCOSITY * enstrophy, trajectory.times)
    return {
        "energy lost by what viscosity takes / reference": float((energy[0] - energy[-1]) / taken),
        "energy left": float(energy[-1] / energy[0]),
        "enstrophy left": float(enstrophy[-1] / enstrophy[0]),
    }
