"""Recorded frames of spectral fields on the points, and the adjoints of those frames."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pliant.sim.frames import FrameBuffers
from pliant.sim.spectral.transform import LinearMap

if TYPE_CHECKING:
    from pliant.sim.rollout import Rollout


class SpectralFrames(FrameBuffers):
    """One array [frame, batch, ...] a recorded field; what is derived from the state is a linear map of it."""

    def __init__(self, rollout: "Rollout"):
        super().__init__(rollout)
        model: Any = rollout.model
        self.model, self.basis = model, rollout.solver.basis
        self.fields = {n: np.zeros((self.room, *model.frame_shapes[n]), model.precision.numpy) for n in rollout.record}
        self._state_fields = [field.name for field in model.equation.FIELDS if field.name in rollout.record]
        self._derived = {
            name: LinearMap(derived.rows, model.components, self.basis.transform)
            for name, derived in model.equation.derived(model.grid).items()
            if name in rollout.record
        }
        self._adjoints: dict[str, np.ndarray] = {}

    def warnings(self, first_step: int) -> tuple[str, ...]:
        growth = self.rollout.binding.growth
        sentence = growth.sentence(first_step + self.rollout.steps) if growth else ""
        return (f"{sentence}.",) if sentence else ()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        frames = len(self.rollout.frame_steps)
        return {f"{self.model.name}.{name}": (frames, *array.shape[1:]) for name, array in self.fields.items()}

    def capture(self, frame: int, step: int, slot: int) -> None:
        row, state = frame % self.room, self.rollout.solver.states.coefficients[slot][0]
        if self._state_fields:
            made = self.basis.unstack(self.model.arrays.host(self.basis.from_state(state)))
            for name in self._state_fields:
                self.fields[name][row] = made[name]
        for name, rows in self._derived.items():
            points = rows.to_points(state, self.basis.transform.empty(len(rows.rows)))
            host = np.moveaxis(self.model.arrays.host(points), 0, -1)
            self.fields[name][row] = host.reshape(self.fields[name].shape[1:])

    def arrays(self, count: int) -> dict[str, np.ndarray]:
        return {f"{self.model.name}.{name}": array[:count].copy() for name, array in self.fields.items()}

    def keep(self, adjoints: dict[str, np.ndarray]) -> None:
        self._adjoints = {name.rpartition(".")[2]: value for name, value in adjoints.items()}

    def add_adjoint(self, step: int) -> None:
        frame, target = self.frame_of(step), self.rollout.solver.adjoint.coefficients[0][0]
        if frame is None:
            return
        given = {name: array[frame] for name, array in self._adjoints.items() if array[frame].any()}
        of_state = {n: g for n, g in given.items() if n in self._state_fields}
        if of_state:
            self._add_fields(of_state, target)
        for name in (n for n in given if n not in of_state):  # in order, so that sums are the same every time
            seeds = given[name].reshape(*self.model.frame_shapes[name][: 1 + self.model.grid.dimension], -1)
            self._derived[name].transposed().from_points(self._loaded(np.moveaxis(seeds, -1, 0)), target, add=True)

    def _add_fields(self, given: dict[str, np.ndarray], target: Any) -> None:
        """Add the adjoint of fields of the state."""
        model = self.model
        zeros = {
            f.name: np.zeros(model.state_shapes[f.name], model.precision.numpy)
            for f in model.equation.FIELDS
            if f.name not in given
        }
        self.basis.from_state_vjp(self._loaded(self.basis.stack({**zeros, **given})), target, add=True)

    def _loaded(self, seeds: np.ndarray) -> Any:
        """Adjoints on the device, where they are those of a mean over the points."""
        scaled = seeds * self.model.grid.points
        return self.model.arrays.load(np.ascontiguousarray(scaled, dtype=self.model.precision.numpy))
