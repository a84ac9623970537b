"""The seam between the spine and a family of solvers: what `Rollout`, `FrameBuffers`, the audit and autograd ask of it.

A family (material points, spectral fields) brings a model, which makes the other four: a `Binding` holds parameter values
and gathers their gradients, a `Solver` steps stored states forward and their adjoint back, `FrameBuffers` (see
`sim.frames`) keep what is recorded, and a `State` is one instant on the host. The spine knows nothing else about it.
"""

import abc
import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import warp as wp

from pliant.sim.device import find_device
from pliant.sim.errors import InputError
from pliant.sim.parameter import Parameter
from pliant.sim.precision import Precision
from pliant.sim.status import Status

if TYPE_CHECKING:
    from pliant.sim.frames import FrameBuffers
    from pliant.sim.rollout import Rollout

REPR_LINES = 8  # parameters that the text of a model names


class State(Protocol):
    """One instant: NumPy arrays by name, of the shapes `BaseModel.state_shapes` tells."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array by its name."""


class StoredStates(Protocol):
    """States on the device, one a slot."""

    def copy(self, slot: int, source: Any, source_slot: int) -> None:
        """Copy a slot of another array of states."""

    def write(self, slot: int, state: Any) -> None:
        """Upload a state."""

    def read(self, slot: int) -> Any:
        """Download a state."""


class Binding(Protocol):
    """Parameter values of one rollout on the device, and their gradients.

    `external_laws` are what a learner brought into the step (torch modules), each with its own gradients. `wanted` are the
    names whose gradients will be used, None for all.
    """

    external_laws: Sequence[Any]
    wanted: frozenset[str] | None

    def set(self, values: Mapping[str, Any]) -> None:
        """Load parameter values; names left out keep the model's own. `InputError` for what does not fit."""

    def full(self, name: str) -> np.ndarray:
        """The full array of a parameter as it is bound now."""

    def initial_state(self) -> Any:
        """The state that the bound values describe."""

    def clear_gradients(self) -> None:
        """Zero whatever gradients gather in."""

    def gradients(self, adjoint: Any) -> dict[str, np.ndarray]:
        """Gradient of every parameter in the shape its value was given, from what gathered and the initial state's adjoint."""

    def views(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """The arrays of a state, NumPy or torch, as a user names and shapes them: name -> [batch, ...]."""

    def unite(self, views: Mapping[str, Any], concatenate: Callable) -> dict[str, Any]:
        """The arrays of a state from views of them: the inverse of `views`."""


class Solver(Protocol):
    """Steps stored states forward from a clock, and the adjoint of one state backward."""

    states: Any  # StoredStates, the segment's
    adjoint: Any  # StoredStates, one slot

    def make_states(self, slots: int) -> Any:
        """Room for so many states more."""

    def begin(self, first_step: int) -> None:
        """A run starts, whose first state stands at this substep; nothing has failed yet."""

    def reset(self) -> None:
        """Forget whatever an interrupted or failed run left behind."""

    def set_clock(self, step: int, slot: int) -> None:
        """The next substep is `step`, counted from the first state, and its state lies in `slot`."""

    def advance(self, substeps: int) -> None:
        """Run forward from where the clock stands."""

    def retreat(self, substeps: int) -> None:
        """Carry the adjoint state back; the clock stands at the state it belongs to."""

    def collect_controls(self) -> None:
        """The adjoint has come back over a control interval: gather what belongs to its control."""

    def status(self) -> Status:
        """What went wrong first, if anything, with its sentence."""


class BaseModel(abc.ABC):
    """What every model has: a device, a precision, named parameters, and the makers of a rollout's parts."""

    description: dict
    device: wp.Device
    precision: Precision
    dt: float
    batch: int
    threads: int
    seed: int

    @property
    @abc.abstractmethod
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every array of a state."""

    @property
    @abc.abstractmethod
    def frame_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one frame of everything that can be recorded, by the name of the field."""

    @property
    @abc.abstractmethod
    def default_record(self) -> tuple[str, ...]:
        """What is recorded unless a rollout says otherwise."""

    @property
    @abc.abstractmethod
    def extent_text(self) -> str:
        """How large a frame is, in words: "512 particles"."""

    @cached_property
    @abc.abstractmethod
    def _parameters(self) -> dict[str, Parameter]: ...

    @abc.abstractmethod
    def make_state(self, arrays: Mapping[str, np.ndarray]) -> Any:
        """A state of these arrays."""

    @abc.abstractmethod
    def make_binding(self, intervals: int) -> Any:
        """A `Binding` for a rollout of so many control intervals."""

    @abc.abstractmethod
    def make_solver(self, binding: Any, *, slots: int, every: int, gradient: bool) -> Any:
        """A `Solver` with `slots` states, whose control changes `every` so many substeps."""

    @abc.abstractmethod
    def make_frames(self, rollout: "Rollout") -> "FrameBuffers":
        """The buffers of what a rollout records."""

    def derivatives(
        self, binding: Any, start: Any, directions: Mapping[str, Any], **options: Any
    ) -> dict[str, np.ndarray]:
        """What `Rollout.tangent` returns, of a run from the state `start` with the values bound; not every family has it."""
        raise InputError("tangent: this solver has no forward mode; use backward, or finite differences.")

    def __repr__(self) -> str:
        """Ten lines at most: size, clock, device, and the first parameters with their values."""
        shown = list(self._parameters.values())
        head = (
            f"{type(self).__name__} of {self.extent_text}, batch {self.batch}, dt {self.dt:g} s, "
            f"{self.precision.name} on {self.device}, {len(shown)} parameters"
        )
        lines = [head, *(f"  {parameter.summary}" for parameter in shown[:REPR_LINES])]
        if len(shown) > REPR_LINES:
            lines.append(f"  and {len(shown) - REPR_LINES} more: model.parameters()")
        return "\n".join(lines)

    @property
    def state_bytes(self) -> int:
        """Memory of one state."""
        scalars = sum(math.prod(shape) for shape in self.state_shapes.values())
        return scalars * np.dtype(self.precision.numpy).itemsize

    @property
    def slot_bytes(self) -> int:
        """Memory of one state of the segment, with whatever its substep keeps for the way back."""
        return self.state_bytes

    def zero_state(self) -> Any:
        """A state of zeros."""
        return self.make_state({n: np.zeros(s, self.precision.numpy) for n, s in self.state_shapes.items()})

    def parameters(self) -> dict[str, Parameter]:
        """Every differentiable parameter by its name, with unit, bounds and value."""
        return self._parameters

    def __getstate__(self) -> dict[str, Any]:
        """What a copy, or another process, makes the model of; what belongs to this one is made anew there."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {**fields, "device": str(self.device)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, "device": find_device(state["device"])})

    def rollout(self, steps: int, **options: Any) -> "Rollout":
        """A `Rollout` of this model over `steps` substeps; see `sim.rollout.Rollout` for the options."""
        from pliant.sim.rollout import Rollout

        return Rollout(self, steps, **options)

    def check_names(self, names: Iterable[str]) -> None:
        """Raise `InputError` for a name that is no parameter."""
        for name in names:
            if name not in self._parameters:
                near = difflib.get_close_matches(str(name), self._parameters, n=1)
                hint = f"did you mean {near[0]!r}?" if near else "see model.parameters()."
                raise InputError(f"parameter: expected one of {len(self._parameters)} names, got {name!r}; {hint}")
