"""A simulation that runs forward, is recorded, and runs backward in bounded memory, whatever its length.

States are kept at checkpoints every K substeps and for one segment of K substeps in full; backward re-runs a segment
from its checkpoint and walks it back. Memory is (steps / K + K) states; the gradient is the same for every K.
"""

import dataclasses
import functools
import itertools
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pliant.sim.environments import check_environments, mixed, without
from pliant.sim.errors import InputError, named
from pliant.sim.memory import device_memory
from pliant.sim.rollout_options import (
    choose_segment,
    copied_values,
    field_names,
    frame_steps_of,
    parse_memory,
    whole_number,
)
from pliant.sim.sharing import Turn, built_alone, in_turn
from pliant.sim.solver import BaseModel, State, StoredStates
from pliant.sim.status import Code, SimulationError, Status
from pliant.sim.trajectory import Trajectory
from pliant.sim.trajectory_files import check_folder

FRAME_BYTES = 100  # of the substep of a frame while a rollout is made, as Python keeps numbers
GO_ON = " The other environments went on; the gradient of one that ended is zero."
LAST_STEP = 2**31 - 2  # the clock of the kernels is a 32-bit integer
_tokens = itertools.count()


@dataclasses.dataclass
class Record:
    """What a forward run leaves for its backward: the values it used and its states at checkpoints."""

    values: dict[str, Any]
    checkpoints: StoredStates
    token: int
    first_step: int
    status: Status
    good: State | None = None  # where the run failed, the last state before that
    good_step: int = -1
    recorded: int = -1  # the last substep whose frame has been kept
    completed: bool = False  # at least one environment came to the last substep
    without: frozenset[int] = frozenset()  # environments that stood still from the beginning

    @property
    def ended(self) -> frozenset[int]:
        """The environments of a batch that stand still at its end."""
        failed = (s.environment for s in self.status.failures if self.completed and s.environment is not None)
        return self.without.union(failed)


class RunInterrupted(KeyboardInterrupt):
    """A forward run was interrupted; `trajectory` holds the frames it had recorded, with a status that says so."""

    def __init__(self, trajectory: Trajectory):
        super().__init__(trajectory.status.message)
        self.trajectory = trajectory


@dataclasses.dataclass
class Gradients(Mapping):
    """Gradient of the loss by parameter name, in the shape each value was given; `.state` is that of the initial state."""

    arrays: dict[str, np.ndarray]
    state: State

    def __getitem__(self, name: str) -> np.ndarray:
        return named(self.arrays, name, "gradients")

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


class Rollout:
    """`steps` substeps of a model.

    Args:
        record_every: substeps between recorded frames (default: about 100 frames, in step with `control_every`).
        record_at: the substeps to record instead, beside the first and the last.
        record: which fields to record; "auto": what the model has as its default.
        record_to: a .traj folder that every run writes anew, frame by frame, so that memory does not grow with their number;
            a run that is killed leaves the frames before. The trajectory reads from there as it is used.
        control_every: substeps between control values (activation, pose knots); default: one interval.
        checkpoint_every: "auto", or substeps between kept states.
        memory: bound on the memory of kept states that "auto" obeys.
        gradient: False saves the memory of kept states when only `forward` is wanted.
        metadata: what the metadata of its trajectories should hold besides; what JSON can hold.
    """

    @built_alone
    def __init__(
        self,
        model: BaseModel,
        steps: int,
        *,
        record_every: int | None = None,
        record_at: Sequence[int] | None = None,
        record: tuple[str, ...] | str = "auto",
        record_to: str | os.PathLike | None = None,
        control_every: int | None = None,
        checkpoint_every: int | str = "auto",
        memory: str | float = "1GB",
        gradient: bool = True,
        metadata: Mapping[str, Any] | None = None,
    ):
        self.model, self.gradient, self.metadata = model, gradient, dict(metadata or {})
        self._options: dict[str, Any] = {
            "record_every": record_every, "record_at": record_at, "record": record, "record_to": record_to, "memory": memory,
            "control_every": control_every, "checkpoint_every": checkpoint_every, "gradient": gradient, "metadata": metadata,
        }  # fmt: skip
        self.record_to = None if record_to is None else check_folder(record_to)
        self.steps = whole_number("steps", steps, LAST_STEP)
        self.control_every = whole_number("control_every", steps if control_every is None else control_every, LAST_STEP)
        wanted = frame_steps_of(self.steps, record_every, record_at, control_every)
        self.record = field_names(model.default_record if record == "auto" else record, tuple(model.frame_shapes))
        self.intervals = -(-self.steps // self.control_every)
        self._check_frames(len(wanted) + 1)
        self.frame_steps = sorted({*wanted, self.steps})
        self.record_every = math.gcd(*self.frame_steps) if record_every is None else int(record_every)
        self.segment = self._choose(checkpoint_every, memory)
        self.binding = model.make_binding(self.intervals)
        self.solver = model.make_solver(
            self.binding, slots=self.segment + 1, every=self.control_every, gradient=gradient
        )
        self._buffers = model.make_frames(self)
        self._segments = range(0, self.steps, self.segment)
        self._token = -1
        self._last: Record | None = None
        self.turn, self._own = Turn(), threading.local()  # the last run of each thread that uses it
        self._unfinished = False  # a run failed or was interrupted: the solver holds what it left
        self.simulator_calls = 0

    def __reduce__(self) -> tuple:
        """A copy, here or in another process, is a rollout of its own that has not run yet."""
        return functools.partial(Rollout, self.model, self.steps, **self._options), ()

    @property
    def batch(self) -> int:
        return self.model.batch

    def parameters(self) -> dict[str, Any]:
        return self.model.parameters()

    @in_turn
    def forward(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        state: State | None = None,
        first_step: int = 0,
        progress: Callable[[int], None] | None = None,
        check: bool = True,
        without: Iterable[int] = (),
    ) -> Trajectory:
        """The trajectory for these parameter values.

        Args:
            values: parameter name -> value; names left out keep the model's own.
            state: start from this state instead of the initial values (a control step of a longer run).
            first_step: substep at which that state stands, for the time stamps.
            progress: called with the number of substeps done, at every recorded frame.
            check: raise `SimulationError` when the run fails; otherwise the trajectory ends there and its status says why. One
                environment of several that fails ends alone: `status.failures` tells where, it stands still from there on, the
                others go on, and `backward` gives it a gradient of zero.
            without: environments that stand still from the beginning: those that failed in the run which left `state`.

        Errors: `InputError` for what does not fit, `SimulationError` for a run that fails, and `RunInterrupted`, a
            `KeyboardInterrupt` with the frames recorded so far.
        """
        if isinstance(first_step, bool) or not isinstance(first_step, (int, np.integer)) or first_step < 0:
            raise InputError(f"first_step: expected a whole number from 0 on, got {first_step!r}; correct it.")
        kept_values = copied_values({} if values is None else values)
        self.binding.set(kept_values)
        start = self.binding.initial_state() if state is None else self._checked(state)
        aside = frozenset(check_environments(without, self.batch))
        self._put_aside(aside)
        self._begin()
        self.simulator_calls += self.batch
        kept = len(self._segments) if self.gradient else 1
        checkpoints = self.solver.make_states(kept)
        checkpoints.write(0, start)
        record = Record(kept_values, checkpoints, next(_tokens), first_step, Status(), without=aside)
        self._token, self._last, self._own.token = -1, None, record.token
        self._buffers.begin()
        self.solver.begin(first_step)
        try:
            done = self._run(record, progress, check)
        except KeyboardInterrupt:
            if record.recorded < 0:
                raise
            sentence = f"interrupted; its frames end at substep {record.recorded} of {self.steps}"
            record.status = Status(Code.UNFINISHED, record.recorded, message=sentence)
            raise RunInterrupted(self._buffers.trajectory(record, record.recorded)) from None
        record.status = dataclasses.replace(record.status, warnings=self._buffers.warnings(first_step))
        self._token, self._last, self._unfinished = record.token, record, not record.status.ok
        if record.ended:
            self._token = -1  # its states are those of environments on their way to failure
        trajectory = self._buffers.trajectory(record, done)
        if check and not record.status.ok:
            raise SimulationError(record.status)
        return trajectory

    @in_turn
    def final_state(self) -> State:
        """The state after the last forward run; `InputError` when there was none, or it failed."""
        self._check_thread()
        if self._last is None or not self._last.completed:
            raise InputError("final_state: expected a forward run that completed, got none; call rollout.forward().")
        if self._token != self._last.token:
            self._replay(self._last, len(self._segments) - 1)
        return self.solver.states.read(self.steps - self._segments[-1])

    @in_turn
    def last_good_state(self) -> tuple[State, int]:
        """The last state of the last forward run that nothing was wrong with, and its substep; for a good run its final one.

        Errors: `InputError` when there was no forward run.
        """
        self._check_thread()
        if self._last is None or (self._last.good is None and not self._last.completed):
            raise InputError("last_good_state: expected a forward run, got none; call rollout.forward(check=False).")
        return (self.final_state(), self.steps) if self._last.good is None else (self._last.good, self._last.good_step)

    @in_turn
    def restarted(self, state: State, environments: Iterable[int], values: Mapping[str, Any] | None = None) -> State:
        """The state with these environments at the initial values again; `values` as in `forward`, default: those of the last run.

        Errors: `InputError` for numbers of no environment, and for what `forward` refuses.
        """
        chosen = check_environments(environments, self.batch)
        if values is not None:
            self.binding.set(copied_values(values))
        arrays = mixed(self.binding, self._checked(state), self.binding.initial_state(), chosen)
        return self.model.make_state(arrays)

    @property
    def last(self) -> Record | None:
        """What the last forward run left for its backward."""
        return self._last

    @in_turn
    def backward(
        self,
        adjoints: Mapping[str, Any],
        *,
        record: Record | None = None,
        final: State | None = None,
        names: Iterable[str] | None = None,
        watch: Callable[[int, State], None] | None = None,
    ) -> Gradients:
        """Gradients of a loss whose derivatives with respect to the recorded arrays are `adjoints`.

        Can be called any number of times, and for an earlier run through its `record` (from `rollout.last`). `names` are
        the parameters whose gradients are wanted, default all; a solver may save the work of others. `watch` is called
        with every substep and the adjoint of the state at it, from the last to the first.

        Errors: `InputError` for a name that was not recorded or a wrong shape; `SimulationError` where the gradient
            is not finite, naming the array.
        """
        if record is None:
            self._check_thread()
        record = record or self._last
        if record is None or not self.gradient:
            raise InputError("backward: expected a forward run made with gradient=True; call rollout.forward() first.")
        if not record.completed:
            raise SimulationError(record.status)
        if isinstance(names, str):
            raise InputError(f"names: expected a list of parameter names, got {names!r}; write [{names!r}].")
        wanted = None if names is None else frozenset(names)
        self.model.check_names(wanted or ())
        self._buffers.load_adjoints(without(adjoints, record.ended, self.batch))
        self._put_aside(record.ended)
        self.binding.set(record.values)
        self.binding.wanted = wanted
        self._begin()
        self.solver.begin(record.first_step)
        self.simulator_calls += self.batch
        self.binding.clear_gradients()
        zero = self.model.zero_state()
        seed = self.model.make_state(mixed(self.binding, final, zero, record.ended)) if final else zero
        self.solver.adjoint.write(0, seed)
        self._buffers.add_adjoint(self.steps)
        for index in reversed(range(len(self._segments))):
            self._back_over(record, index, watch)
        state = self.solver.adjoint.read(0)
        made = self.binding.gradients(state)
        gradients = Gradients({n: g for n, g in made.items() if wanted is None or n in wanted}, state)
        self._check_finite(gradients)
        self._unfinished = False
        return gradients

    @in_turn
    def tangent(self, directions: Mapping[str, Any], *, record: Record | None = None) -> dict[str, np.ndarray]:
        """Derivatives of the recorded arrays along directions of the parameters: name -> [direction, frame, batch, ...].

        Forward mode, J d, where `backward` is J^T w: for the Jacobian with respect to a few parameters. One direction counts
        as `batch` simulator calls.

        Args:
            directions: parameter name -> [direction, *shape of the value as it was given]; others do not change.
            record: of the run at which the derivative is taken; default: the last.

        Errors: `InputError` for names, shapes, and laws given as torch modules; `SimulationError` where a derivative is
            not finite, naming the array.
        """
        if record is None:
            self._check_thread()
        record = record or self._last
        if record is None:
            raise InputError("tangent: expected a forward run, got none; call rollout.forward() first.")
        if not record.status.ok:
            raise SimulationError(record.status)
        self.binding.set(record.values)
        start = record.checkpoints.read(0)
        options = {"frame_steps": self.frame_steps, "every": self.control_every, "record": self.record}
        made = self.model.derivatives(self.binding, start, directions, **options)
        self.simulator_calls += self.batch * len(np.asarray(next(iter(directions.values()))))
        return made

    def _check_thread(self) -> None:
        """Raise `InputError` where another thread has run it since this one did: which run is meant?"""
        mine, last = getattr(self._own, "token", None), self._last
        if mine is not None and last is not None and last.token != mine:
            raise InputError(
                "rollout: expected one thread between forward and what follows it, got a forward of another; make a rollout for "
                "each thread, or use learn.simulate, which keeps its own record."
            )

    def _check_frames(self, frames: int) -> None:
        """Raise `InputError` when the recorded frames would not fit the device."""
        scalars = sum(math.prod(self.model.frame_shapes[name]) for name in self.record)
        in_memory = frames if self.record_to is None else 1
        needed = in_memory * scalars * np.dtype(self.model.precision.numpy).itemsize + FRAME_BYTES * frames
        if needed > device_memory(self.model.device):
            raise InputError(
                f"record_every: {frames} frames of {self.model.extent_text} need {needed / 1e9:.2g} GB, "
                f"which {self.model.device} does not have; record fewer frames or fields, or record_to a folder."
            )

    def _choose(self, checkpoint_every: int | str, memory: str | float) -> int:
        """Substeps of a segment."""
        state_bytes, slot_bytes = self.model.state_bytes, self.model.slot_bytes
        budget = parse_memory(memory)
        if not self.gradient:
            return min(self.steps, max(1, min(self.record_every, 64)))
        if checkpoint_every == "auto":
            return choose_segment(self.steps, state_bytes, slot_bytes, budget)
        if isinstance(checkpoint_every, str):
            raise InputError(f"checkpoint_every: expected 'auto' or a number, got {checkpoint_every!r}; correct it.")
        segment = min(whole_number("checkpoint_every", checkpoint_every), self.steps)
        needed = (segment + 1) * slot_bytes + self.steps / segment * state_bytes
        if needed > device_memory(self.model.device):
            raise InputError(
                f"checkpoint_every: {segment} of {self.steps} substeps need {needed / 1e9:.2g} GB of states, which "
                f"{self.model.device} does not have; use 'auto' or a number near {math.isqrt(self.steps)}."
            )
        return segment

    def _begin(self) -> None:
        """Clear what a run that did not end well has left: a weight of zero times infinity is not zero."""
        if self._unfinished:
            self._token = -1
            self.solver.reset()
        self._unfinished = True

    def _checked(self, state: State) -> State:
        """The start state in the model's precision; `InputError` for a wrong shape or what is not finite."""
        made, given = {}, state.arrays() if hasattr(state, "arrays") else {}
        for name, shape in self.model.state_shapes.items():
            if name not in given:
                kind = type(state).__name__
                raise InputError(
                    f"state: expected a state of this model, got {kind}; pass what final_state() returned."
                )
            value = given[name]
            made[name] = np.asarray(value, self.model.precision.numpy)
            if made[name].shape != shape or not np.isfinite(made[name]).all():
                got = "NaN or infinity" if made[name].shape == shape else list(made[name].shape)
                raise InputError(f"state: expected finite {name} of shape {list(shape)}, got {got}; correct the state.")
        return self.model.make_state(made)

    def _run(self, record: Record, progress: Callable[[int], None] | None, check: bool) -> int:
        """Run all segments forward, keeping checkpoints; returns the number of substeps that went well."""
        failures: list[Status] = []
        states = self.solver.states
        states.copy(0, record.checkpoints, 0)
        for index, first in enumerate(self._segments):
            if index:
                states.copy(0, states, self.segment)
                if self.gradient:
                    record.checkpoints.copy(index, states, 0)
            last = min(first + self.segment, self.steps)
            self.solver.set_clock(first, 0)
            done = first
            for stop in self._stops(first, last):
                if done == 0:
                    self._buffers.take(0, 0, record)
                    record.recorded = 0
                self.solver.advance(stop - done)
                done = stop
                record.status = self.solver.status()
                if not record.status.ok and not self._goes_on(record, failures, first, stop, check):
                    step = max(0, record.status.step)
                    record.good, record.good_step = states.read(step - first) if step >= first else None, step
                    record.status = Status.of(failures, self.batch) if failures else record.status
                    return step
                if self._buffers.frame_of(stop) is not None:
                    self._buffers.take(stop, stop - first, record)
                    record.recorded = stop
                    if progress:
                        progress(stop)
        if failures:
            status = Status.of(failures, self.batch)
            record.status = dataclasses.replace(status, message=status.message + GO_ON)
        record.completed = True
        return self.steps

    def _goes_on(self, record: Record, failures: list[Status], first: int, stop: int, check: bool) -> bool:
        """Whether others of a batch go on after these failures, found at `stop`; those that failed are then set aside."""
        new, put_aside = record.status.failures, getattr(self.solver, "set_aside", None)
        failures.extend(new)
        if check or put_aside is None or not new or len(failures) + len(record.without) >= self.batch:
            return False
        count = first // self.segment + 1 if self.gradient else 1
        return put_aside(new, first, stop - first, record.checkpoints, count)

    def _put_aside(self, environments: frozenset[int]) -> None:
        """Let these environments alone stand still, on a grid that nothing of them is left on."""
        if environments != getattr(self.binding, "set_aside", frozenset()):
            self.binding.put_aside(environments)
            self.solver.reset()

    def _stops(self, first: int, last: int) -> list[int]:
        """Substeps in (first, last] at which something is to be done: frames, control changes, checks."""
        marks = {*self._buffers.steps_between(first + 1, last), last}
        marks |= set(range(first + 256, last, 256))
        return sorted(marks)

    def _back_over(self, record: Record, index: int, watch: Callable[[int, State], None] | None) -> None:
        """Walk the adjoint back over one segment, re-running it first unless its states are still there."""
        first = self._segments[index]
        last = min(first + self.segment, self.steps)
        held = self._token == record.token and index == len(self._segments) - 1
        if not held:
            self._replay(record, index)
        self.solver.set_clock(last, last - first)
        marks = {*self._buffers.steps_between(first, last - 1), first}
        marks |= set(
            range(first if watch else first + -first % self.control_every, last, 1 if watch else self.control_every)
        )
        done = last
        for stop in sorted(marks, reverse=True):
            self._buffers.before_retreat(done)
            self.solver.retreat(done - stop)
            done = stop
            if stop % self.control_every == 0:
                self.solver.collect_controls()
            self._buffers.add_adjoint(stop)
            if watch:
                watch(stop, self.solver.adjoint.read(0))
        self._buffers.begin()

    def _replay(self, record: Record, index: int) -> None:
        """Run one segment again from its checkpoint, so that its states are there."""
        first = self._segments[index]
        self._put_aside(record.ended)
        self.binding.set(record.values)
        self.solver.begin(record.first_step)
        self._token = record.token if index == len(self._segments) - 1 else -1
        self.solver.states.copy(0, record.checkpoints, index)
        self.solver.set_clock(first, 0)
        self.solver.advance(min(self.segment, self.steps - first))
        self._buffers.begin()

    def _check_finite(self, gradients: Gradients) -> None:
        for name, array in gradients.items():
            if not np.isfinite(array).all():
                raise SimulationError(
                    Status(Code.NOT_FINITE, 0, int(np.argmin(np.isfinite(array).ravel())), name,
                           f"the gradient of '{name}' is not finite; run sim.check_gradients to see the first substep "
                           "where this happens, and shorten the horizon or soften the contact.")
                )  # fmt: skip
