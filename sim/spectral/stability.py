"""Waves that an integrator makes grow although its linear operator does not, and what to say of them.

Of the methods here, measured along rays of z = h L from the origin (tests/test_spectral_stability.py), all but SBDF3 damp or keep
every mode with Re z <= 0. SBDF3 is BDF3 where N = 0, which is stable only from 4 degrees beside the imaginary axis: waves that
nothing damps grow where 0 < |z| < 1.936, the fastest, |z| = 1.14, by 4.6 % a step. That a smaller step moves to shorter waves.

Source: Hairer and Wanner, Solving Ordinary Differential Equations II, section V.2 (A(alpha)-stability of BDF, 86.03 degrees).
"""

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from pliant.sim.spectral.integrators import Integrator

if TYPE_CHECKING:
    from pliant.sim.spectral.model import SpectralModel

DOUBLED = math.log(2.0)  # growth over a run that is spoken of
ROUND_OFF = 1e-9  # of an amplification found as an eigenvalue of a small matrix


def amplification(method: Integrator, z: np.ndarray) -> np.ndarray:
    """By how much the fastest solution of a step of u' = L u grows, for z = h L [n]: the largest root in size."""
    result = method.table(z, 1.0).result
    values = [np.broadcast_to(result[source].value, z.shape) for source in ("u", "u1", "u2") if source in result]
    companion = np.zeros((*z.shape, len(values), len(values)), np.complex128)
    companion[..., 0, :] = np.stack(values, axis=-1)
    companion[..., np.arange(1, len(values)), np.arange(len(values) - 1)] = 1.0
    return np.abs(np.linalg.eigvals(companion)).max(axis=-1)


@dataclasses.dataclass(frozen=True)
class FalseGrowth:
    """The wave that a method makes grow fastest, by its wave number [1/m] along each axis, and by how much a step."""

    method: str
    wavenumber: tuple[float, ...]
    factor: float

    def sentence(self, steps: int) -> str:
        """What to say of so many steps; nothing where the wave has not doubled."""
        grown = steps * math.log(self.factor)
        if grown < DOUBLED:
            return ""
        wave = ", ".join(f"{k:.3g}" for k in self.wavenumber)
        power = grown / math.log(10.0)
        total = f"{10.0**power:.2g}" if power < 4 else f"1e{power:.0f}"
        return (
            f"{self.method} makes waves grow that the equation neither feeds nor damps: here that of wave number ({wave}) 1/m "
            f"{self.factor:.4g} times a step, {total} times in {steps}; take ETDRK4 or IMEXRK4, since another `dt` only moves "
            "the growth to other waves"
        )


def false_growth(model: "SpectralModel", z: np.ndarray) -> FalseGrowth | None:
    """The wave of z = dt L [component or 1, batch or 1, *modes] that grows fastest where it should not, if any does."""
    method = model.integrator
    waves = (z.real <= 0.0) & (z.imag != 0.0)
    if not method.history or not waves.any():
        return None
    values, places = np.unique(z[waves], return_index=True)
    factors = amplification(method, values)
    fastest = int(factors.argmax())
    if factors[fastest] <= 1.0 + ROUND_OFF:
        return None
    mode = np.argwhere(waves)[places[fastest]][2:]
    wavenumbers = (np.broadcast_to(k, model.grid.modes)[tuple(mode)] for k in model.grid.wavenumbers)
    return FalseGrowth(method.name, tuple(float(k) for k in wavenumbers), float(factors[fastest]))
