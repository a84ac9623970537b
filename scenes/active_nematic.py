"""Active rods align, their flow bends the nematic they make, and pairs of half-turn defects come and go.

The kinetic theory of pushers (see `sim.spectral.equations.KineticActiveFluid`) from weak long waves about isotropy: a nematic forms within
a few times 1 / (zeta - 4 D_R), its director buckles under the active stress, and what follows does not settle.
`python -m pliant.scenes.nematic_pictures runs/active_nematic.npz nematic.png` (or .mp4) draws order, director and defects.
"""

import numpy as np

from pliant import sim
from pliant.scenes.closure_data import first_order
from pliant.scenes.registry import Settings
from pliant.sim.spectral import PeriodicBox, equations
from pliant.sim.spectral.active import inverse_bessel_ratio
from pliant.sim.spectral.active.defects import defects

SETTINGS = Settings(dt=0.05, steps=400, record_every=8)
SIDE, RESOLUTION, DIRECTIONS = 10.0, 40, 31
ALIGNMENT, ROTATIONAL = 0.65, 0.05  # zeta and D_R


def build(*, seed: int = 0) -> PeriodicBox:
    """The box with weak long waves of the order."""
    equation = equations.KineticActiveFluid(
        activity=-1.5, alignment=ALIGNMENT, constraint=0.8, rotational_diffusivity=ROTATIONAL, directions=DIRECTIONS
    )
    box = PeriodicBox((SIDE, SIDE), (RESOLUTION, RESOLUTION))
    waves = (first_order(box, seed)[..., None] * np.exp(-2j * equation.angles)).real
    box.add_field(equation, name="fluid", distribution=(1.0 + 2.0 * waves) / (2.0 * np.pi))
    return box


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """The order that most of the box has at the end over that of a uniform nematic, and defects by their charge."""
    order = moments(trajectory)
    s = np.hypot(order[-1, 0, ..., 0], order[-1, 0, ..., 1])
    charges = defects(order[-1, 0])
    return {
        "median order by the uniform nematic's / reference": float(np.median(s)) / uniform_order(),
        "defects of charge +1/2 [1]": float((charges > 0.0).sum()),
        "defects of charge -1/2 [1]": float((charges < 0.0).sum()),
        "largest change of the number of rods [1]": float(np.ptp(rods(trajectory)) / rods(trajectory)[0]),
    }


def moments(trajectory: sim.Trajectory) -> np.ndarray:
    """(D11 - D22, 2 D12) of the recorded distribution, [frame, batch, ny, nx, 2]."""
    psi = np.asarray(trajectory["fluid.distribution"], float)
    theta = np.pi * np.arange(psi.shape[-1]) / psi.shape[-1]
    return 2.0 * np.pi / len(theta) * psi @ np.stack([np.cos(2.0 * theta), np.sin(2.0 * theta)], axis=-1)


def rods(trajectory: sim.Trajectory) -> np.ndarray:
    """Mean density [frame]."""
    return 2.0 * np.pi * np.asarray(trajectory["fluid.distribution"], float)[:, 0].mean(axis=(1, 2, 3))


def uniform_order() -> float:
    """s with s = I1(delta) / I0(delta), delta = zeta s / (2 D_R), by bisection: the inverse grows faster than delta."""
    low, high = 1e-3, 1.0 - 1e-9
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = inverse_bessel_ratio(np.array([middle]))[0][0] > 0.5 * ALIGNMENT / ROTATIONAL * middle
        low, high = (low, middle) if above else (middle, high)
    return low
