"""Recorded frames of an interval: fields of the state as they are."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pliant.sim.frames import FrameBuffers

if TYPE_CHECKING:
    from pliant.sim.rollout import Rollout


class DiffusionFrames(FrameBuffers):
    """`concentration` [frame, batch, cells] and `inflow` [frame, batch]."""

    def __init__(self, rollout: "Rollout"):
        super().__init__(rollout)
        model: Any = rollout.model
        self.model = model
        self.fields = {n: np.zeros((self.room, *model.frame_shapes[n]), model.precision.numpy) for n in rollout.record}
        self._adjoints: dict[str, np.ndarray] = {}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        frames = len(self.rollout.frame_steps)
        return {f"{self.model.name}.{name}": (frames, *array.shape[1:]) for name, array in self.fields.items()}

    def capture(self, frame: int, step: int, slot: int) -> None:
        for name, array in self.fields.items():
            array[frame % self.room] = self.rollout.solver.states.values[name][slot]

    def arrays(self, count: int) -> dict[str, np.ndarray]:
        return {f"{self.model.name}.{name}": array[:count].copy() for name, array in self.fields.items()}

    def keep(self, adjoints: dict[str, np.ndarray]) -> None:
        self._adjoints = {name.rpartition(".")[2]: value for name, value in adjoints.items()}

    def add_adjoint(self, step: int) -> None:
        frame = self.frame_of(step)
        for name, array in self._adjoints.items() if frame is not None else ():
            self.rollout.solver.adjoint.values[name][0] += array[frame]
