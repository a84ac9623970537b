"""What a spectral run says of itself: a field that is no longer finite, and an advective time step that is too long."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pliant.sim.spectral.state import Basis
from pliant.sim.spectral.transform import LinearMap
from pliant.sim.status import Code, Status

if TYPE_CHECKING:
    from pliant.sim.spectral.binding import SpectralBinding
    from pliant.sim.spectral.model import SpectralModel

PATIENCE = 32  # steps between two looks at the speeds, which cost a transform


class Watch:
    """Looks at the states of a segment whenever the rollout asks."""

    def __init__(self, model: "SpectralModel", binding: "SpectralBinding", basis: Basis):
        self.model, self.binding, self.basis = model, binding, basis
        grid, rows = model.grid, model.equation.speeds(model.grid)
        self._speeds = LinearMap(rows, model.components, basis.transform) if rows else None
        self._fields = basis.transform.empty(len(rows))
        self._largest = np.array([grid.largest_wavenumber(axis) for axis in range(len(rows))])
        self.begin()

    def begin(self) -> None:
        """A run starts."""
        self._looked = -PATIENCE
        self._step, self._slot = 0, 0

    def start(self, step: int, slot: int) -> None:
        """The state in a slot, of this step, is known to be good."""
        self._step, self._slot = step, slot

    def status(self, coefficients: Any, step: int, slot: int) -> Status:
        """What went wrong since the last look, if anything, up to the state of this step, which lies in a slot."""
        if not self.model.arrays.finite(coefficients[slot][0]):
            return self._blown_up(coefficients, slot)
        last = self._looked
        if step - last >= PATIENCE or step < last:
            self._looked = step
            slow = self._too_fast(coefficients[slot][0], step)
            if not slow.ok:
                return self._first_too_fast(coefficients, slot) or slow
        self._step, self._slot = step, slot
        return Status()

    def _blown_up(self, coefficients: Any, slot: int) -> Status:
        """The first state that is too fast or not finite, found among the slots since the last good one."""
        finite = self.model.arrays.finite
        bad = next(s for s in range(self._slot + 1, slot + 1) if not finite(coefficients[s][0]))
        too_fast = self._first_too_fast(coefficients, bad)  # what is too fast blows up some steps later
        if too_fast:
            return too_fast
        step = self._step + bad - 1 - self._slot
        field, environment = self._where(coefficients[bad][0])
        named = self._named(field, environment)
        remedy = self._remedy(step) or "lower `dt`, or raise the resolution"
        sentence = f"{named} is no longer finite; {remedy} (at substep {step})."
        return Status(Code.NOT_FINITE, step, environment, f"{self.model.name}.{field}", sentence, environment=self._of(environment))

    def _first_too_fast(self, coefficients: Any, end: int) -> Status | None:
        """The first state that is too fast among the slots from the last good one to before `end`, if any is."""
        for slot in range(self._slot, end):
            found = self._too_fast(coefficients[slot][0], self._step + slot - self._slot)
            if not found.ok:
                return found
        return None

    def _remedy(self, step: int) -> str:
        """What to do where the integrator itself has made a wave grow: not to lower dt."""
        growth = self.binding.growth
        return growth.sentence(step) if growth else ""

    def _where(self, state: Any) -> tuple[str, int]:
        """The first field and environment that are not finite."""
        host, first = self.model.arrays.host(state), 0
        for field in self.model.equation.FIELDS:
            count = field.components(self.model.grid.dimension)
            part = np.isfinite(host[first : first + count]).reshape(count, self.model.batch, -1).all(axis=(0, 2))
            if not part.all():
                return field.name, int(np.argmin(part))
            first += count
        return self.model.equation.FIELDS[0].name, 0

    def _of(self, environment: int) -> int | None:
        """The environment, where there are several."""
        return environment if self.model.batch > 1 else None

    def _named(self, field: str, environment: int) -> str:
        where = f" of environment {environment}" if self.model.batch > 1 else ""
        return f"field '{self.model.name}.{field}'{where}"

    def _too_fast(self, state: Any, step: int) -> Status:
        """Whether dt exceeds the limit reach / sum over axes of speed * k, with k the largest wave number kept."""
        if self._speeds is None:
            return Status()
        with np.errstate(all="ignore"):
            fields = self._speeds.to_points(state, self._fields)
            speeds = np.stack([self.model.arrays.largest(field) for field in fields])
            speeds = speeds * self.binding.speed_scale()
            rates = self._largest @ speeds
        worst = int(np.argmax(rates))
        limit = self.model.integrator.reach / max(float(rates[worst]), 1e-300)
        if self.model.dt <= limit:
            return Status()
        field = self.model.equation.FIELDS[0].name
        speed = float(np.linalg.norm(speeds[:, worst]))
        sentence = (
            f"{self._named(field, worst)} moves too fast for dt = {self.model.dt:.3g} s: the advective limit of "
            f"{self.model.integrator.name} is {limit:.3g} s at a speed of {speed:.3g} m/s; "
            f"{self._remedy(step) or 'lower `dt`'} (at substep {step})."
        )
        return Status(Code.CFL, step, worst, f"{self.model.name}.{field}", sentence, environment=self._of(worst))
