"""A periodic box made ready to run: equation, grid, integrator and named parameters on one device in one precision."""

import dataclasses
import math
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import warp as wp

from pliant.sim.parameter import Parameter
from pliant.sim.precision import Precision
from pliant.sim.solver import BaseModel
from pliant.sim.spectral.arrays import Arrays, HostArrays, arrays_of
from pliant.sim.spectral.binding import SpectralBinding
from pliant.sim.spectral.equation import Equation
from pliant.sim.spectral.frames import SpectralFrames
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.integrators import Integrator, find_integrator
from pliant.sim.spectral.native.recording import RecordingArrays, has_fast_rows
from pliant.sim.spectral.solver import SpectralSolver
from pliant.sim.spectral.state import SpectralState, coefficient_count, state_shapes

if TYPE_CHECKING:
    from pliant.sim.rollout import Rollout


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SpectralModel(BaseModel):
    """Everything about a box that does not change while it runs. Made by `PeriodicBox.build`."""

    description: dict
    device: wp.Device
    precision: Precision
    dt: float
    batch: int
    seed: int
    name: str
    grid: Grid
    equation: Equation
    integrator: Integrator
    listed: tuple[Parameter, ...]
    threads: int = 1

    @cached_property
    def arrays(self) -> Arrays:
        made: Any = arrays_of(self.device)
        if isinstance(made, HostArrays) and self.grid.dimension == 1 and has_fast_rows(self.grid.counts[0]):
            made = RecordingArrays()
        return made

    @cached_property
    def components(self) -> int:
        """Of all fields together."""
        return self.equation.components(self.grid.dimension)

    @property
    def history(self) -> int:
        """How many earlier states and rates a multistep method keeps."""
        return len(self.integrator.history)

    @cached_property
    def evaluations(self) -> int:
        """Most evaluations of N in a step."""
        methods = [self.integrator, *([find_integrator(self.integrator.starter)] if self.integrator.starter else [])]
        return max(method.evaluations for method in methods)

    @cached_property
    def sources(self) -> list[str]:
        """Names of everything a stage can be a sum over: the state, what a multistep method keeps, and the rates."""
        kept = [source for source, _ in self.integrator.history]
        return ["u", *kept, *(f"N{j}" for j in range(self.evaluations))]

    @cached_property
    def most_fields(self) -> int:
        """Most fields that are transformed together."""
        products = 1 + max((m for row in self.equation.outputs(self.grid) for m in row), default=-1)
        derived = [len(d.rows) for d in self.equation.derived(self.grid).values()]
        speeds = len(self.equation.speeds(self.grid))
        return max(self.components, len(self.equation.inputs(self.grid)), products, speeds, *derived, 1)

    @cached_property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return state_shapes(self)

    @cached_property
    def frame_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = {field.name: self.state_shapes[field.name] for field in self.equation.FIELDS}
        for name, derived in self.equation.derived(self.grid).items():
            tail = (len(derived.rows),) if derived.vector else ()
            shapes[name] = (self.batch, *self.grid.shape, *tail)
        return shapes

    @property
    def default_record(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.equation.FIELDS)

    @property
    def extent_text(self) -> str:
        environments = f" in {self.batch} environments" if self.batch > 1 else ""
        return f"{' x '.join(map(str, self.grid.counts))} points{environments}"

    @property
    def state_bytes(self) -> int:
        return 2 * np.dtype(self.precision.numpy).itemsize * coefficient_count(self)

    @property
    def slot_bytes(self) -> int:
        """A state, and at every stage N and the fields it was made of."""
        real = np.dtype(self.precision.numpy).itemsize
        fields = len(self.equation.inputs(self.grid)) * self.batch * self.grid.points
        rate = 2 * self.components * self.batch * math.prod(self.grid.modes)
        return self.state_bytes + self.evaluations * real * (fields + rate)

    @cached_property
    def _parameters(self) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self.listed}

    def make_state(self, arrays: Mapping[str, np.ndarray]) -> SpectralState:
        return SpectralState(dict(arrays))

    def make_binding(self, intervals: int) -> SpectralBinding:
        return SpectralBinding(self, intervals)

    def make_solver(self, binding: SpectralBinding, *, slots: int, every: int, gradient: bool) -> SpectralSolver:
        return SpectralSolver(self, binding, slots=slots, every=every, gradient=gradient)

    def make_frames(self, rollout: "Rollout") -> SpectralFrames:
        return SpectralFrames(rollout)

    def symmetrise(self, state: Any) -> None:
        """Make the coefficients [..., *modes] at kx = 0 those of a real field: u^(-k) = conj(u^(k)).

        They are stored twice, and round-off in their difference, which no product sees, would grow wherever L does.
        """
        if not self._real:
            return  # the components of the state are not transforms of real fields
        if self.grid.dimension == 1:
            self.arrays.copy(0.0, state[..., 0].imag)
            return
        column = state[..., 0]
        mirrored = column
        for axis, indices in zip(range(1 - self.grid.dimension, 0), self._mirrors, strict=True):
            mirrored = mirrored[..., indices, :] if axis == -2 else mirrored[..., indices]
        column[...] = 0.5 * (column + self.arrays.conj(mirrored))

    @cached_property
    def _real(self) -> bool:
        return self.equation.from_state(self.grid) is None

    @cached_property
    def _mirrors(self) -> list[np.ndarray]:
        return [-np.arange(2 * cut + 1) % (2 * cut + 1) for cut in self.grid.cuts[:0:-1]]
