"""An interval made ready to run: law, cells and named parameters in one precision, and one instant of it."""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import warp as wp

from pliant.sim.finite_volume.laws import DiffusionLaw
from pliant.sim.parameter import Parameter, ParameterSpec
from pliant.sim.precision import Precision
from pliant.sim.solver import BaseModel

if TYPE_CHECKING:
    from pliant.sim.finite_volume.binding import DiffusionBinding
    from pliant.sim.finite_volume.frames import DiffusionFrames
    from pliant.sim.finite_volume.solver import DiffusionSolver
    from pliant.sim.rollout import Rollout

INITIAL = ParameterSpec("concentration", "1", lower=0.0, lower_closed=True, meaning="initial means over the cells")
BOUNDARY = {
    end: ParameterSpec(end, "1", lower=0.0, lower_closed=True, meaning=f"value held at the {end} end")
    for end in ("left", "right")
}
FIELDS = ("concentration", "inflow")


@dataclasses.dataclass
class DiffusionState:
    """`concentration` [batch, cells], and `inflow` [batch], what has come in through both ends since the start."""

    values: dict[str, np.ndarray]

    def arrays(self) -> dict[str, np.ndarray]:
        return self.values


@dataclasses.dataclass(frozen=True, eq=False)
class DiffusionModel(BaseModel):
    """Everything about an interval that does not change while it runs. Made by `Interval.build`."""

    description: dict
    device: wp.Device
    precision: Precision
    dt: float
    batch: int
    seed: int
    name: str
    width: float
    cells: int
    law: DiffusionLaw
    ends: tuple[str, ...]
    listed: tuple[Parameter, ...]
    threads: int = 1

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"concentration": (self.batch, self.cells), "inflow": (self.batch,)}

    @property
    def frame_shapes(self) -> dict[str, tuple[int, ...]]:
        return self.state_shapes

    @property
    def default_record(self) -> tuple[str, ...]:
        return FIELDS

    @property
    def extent_text(self) -> str:
        return f"{self.cells} cells"

    @cached_property
    def _parameters(self) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self.listed}

    def make_state(self, arrays: Mapping[str, np.ndarray]) -> DiffusionState:
        return DiffusionState(dict(arrays))

    def make_binding(self, intervals: int) -> "DiffusionBinding":
        from pliant.sim.finite_volume.binding import DiffusionBinding

        return DiffusionBinding(self, intervals)

    def make_solver(self, binding: Any, *, slots: int, every: int, gradient: bool) -> "DiffusionSolver":
        from pliant.sim.finite_volume.solver import DiffusionSolver

        return DiffusionSolver(self, binding, slots=slots, every=every)

    def make_frames(self, rollout: "Rollout") -> "DiffusionFrames":
        from pliant.sim.finite_volume.frames import DiffusionFrames

        return DiffusionFrames(rollout)
