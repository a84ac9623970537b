"""How long a step of an active fluid may be: the flow carries rods from place to place and turns them.

A mode exp(i k . x) of psi_2n sees, as rods are carried at u and turned at up to q = |e + zeta psi_2| + |w| / 2, an explicit rate of up to

    max |u| kx + max |v| ky + 2 n q,

while rotational diffusion damps it implicitly at 4 n^2 D_R. A mode that nothing damps at most doubles in a step while rate dt is
no more than the integrator's reach; with damping d = 4 n^2 D_R dt, no more than reach + RELIEF d.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from pliant.sim.spectral.arrays import Arrays
from pliant.sim.status import Code, Status

if TYPE_CHECKING:
    from pliant.sim.spectral.model import SpectralModel

RELIEF = {
    "ETDRK1": 1.35, "ETDRK2": 1.0, "ETDRK3": 0.65, "ETDRK4": 0.45, "IMEXRK4": 0.2, "SBDF1": 1.9, "SBDF2": 0.9, "SBDF3": 0.5
}  # fmt: skip
"""By integrator: tests hold that u' = -d u + i (reach + RELIEF d) u at most doubles (to 1 %) in a step, for d up to 100."""


@dataclasses.dataclass(frozen=True)
class Excess:
    """A flow too fast for dt: at which evaluation since the last look, in which environment, and how fast.

    Args:
        speed: [m/s].
        turning: [1/s].
        limit: of dt [s].
    """

    evaluation: int
    environment: int
    speed: float
    turning: float
    limit: float

    def status(self, model: "SpectralModel", step: int, evaluations: int) -> Status:
        """What to say when a look after `evaluations` finds it at this step; the status names the last good one."""
        good = max(0, step - -(-(evaluations - self.evaluation) // model.integrator.evaluations))
        where = f" in environment {self.environment}" if model.batch > 1 else ""
        sentence = (
            f"the flow of '{model.name}'{where} is too fast for dt = {model.dt:.3g} s: the limit of {model.integrator.name} is "
            f"{self.limit:.3g} s where rods move at {self.speed:.3g} m/s and turn at {self.turning:.3g} 1/s; lower `dt` "
            f"(at substep {good})."
        )
        item, of = f"{model.name}.{model.equation.FIELDS[0].name}", self.environment if model.batch > 1 else None
        return Status(Code.CFL, good, self.environment, item, sentence, environment=of)


class Limit:
    """Of dt, for the moments psi_0 ... psi_2K of a model."""

    def __init__(self, model: "SpectralModel", moments: int):
        self.model = model
        self._waves = [model.grid.largest_wavenumber(axis) for axis in range(2)]
        self._orders = np.arange(1 + moments)[:, None]

    def excess(self, xp: Arrays, flow: tuple, turn: Any, diffusivity: Any, evaluation: int) -> Excess | None:
        """What is wrong with a flow (u, v, w, e) and m = e + zeta psi_2, on the points; None where dt is short enough."""
        model = self.model
        u, v, w, q = (xp.largest(array) for array in (*flow[:3], turn))
        q = q + 0.5 * w
        damping = RELIEF[model.integrator.name] * 4.0 * xp.host(diffusivity).reshape(-1)
        turning = (2.0 * self._orders * q - self._orders**2 * damping).max(axis=0)
        rates = self._waves[0] * u + self._waves[1] * v + turning
        worst = int(np.argmax(rates))
        limit = model.integrator.reach / max(float(rates[worst]), 1e-300)
        if not model.dt > limit:
            return None
        return Excess(evaluation, worst, float(np.hypot(u[worst], v[worst])), float(q[worst]), limit)
