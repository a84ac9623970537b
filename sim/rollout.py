"""A simulation that runs forward, is recorded, and runs backward in bounded memory, whatever its length.

States are kept at checkpoints every K substeps and for one segment of K substeps in full; backward re-runs a segment
from its checkpoint and walks it back. Memory is (steps / K + K) states; the gradient is the same for every K.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import warp as wp

from sim.errors import InputError
from sim.model import Model
from sim.mpm.binding import Binding
from sim.mpm.solver import MPMSolver
from sim.mpm.state import FIELDS, SCALARS, State, StateArray
from sim.status import Code, SimulationError, Status
from sim.trajectory import Trajectory
from sim.version import VERSION

RECORDABLE = FIELDS
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_REMEDY = {
    Code.LEFT_GRID: "left the grid; enlarge `extent` or lower `dt`",
    Code.CFL: "moved more than a cell in one substep; lower `dt` or the speeds",
    Code.NOT_FINITE: "has a velocity that is not finite; lower `dt`, or check the values given",
    Code.INVERTED: "was inverted; lower `dt`, or stiffen the material",
}
_tokens = itertools.count()


@dataclasses.dataclass
class Record:
    """What a forward run leaves for its backward: the values it used and its states at checkpoints."""

    values: dict[str, Any]
    checkpoints: StateArray
    token: int
    first_step: int
    status: Status


@dataclasses.dataclass
class Gradients(Mapping):
    """Gradient of the loss by parameter name, in the shape each value was given; `.state` is that of the initial state."""

    arrays: dict[str, np.ndarray]
    state: State

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def __iter__(self):
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


def parse_memory(memory: str | float) -> float:
    """Bytes of "2GB", "500 MB" or a number of bytes."""
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([KMG]?B)?\s*", str(memory), re.IGNORECASE)
    if not match:
        raise InputError(f"memory: expected a size such as '2GB', got {memory!r}; give a number and a unit.")
    return float(match[1]) * _UNITS[(match[2] or "").upper()]


def choose_segment(steps: int, state_bytes: int, memory: float) -> int:
    """Substeps K between checkpoints: all of them if they fit, or the square root of the steps.

    Errors: `InputError` when even 2 sqrt(steps) states exceed the memory.
    """
    if (steps + 2) * state_bytes <= memory:
        return steps
    segment = math.ceil(math.sqrt(steps))
    needed = (2 * segment + 2) * state_bytes
    if needed > memory:
        raise InputError(
            f"memory: {steps} substeps need at least {needed / 1e9:.2g} GB of checkpoints, got {memory / 1e9:.2g} GB; "
            "raise `memory` or lower `steps`."
        )
    return segment


class Rollout:
    """`steps` substeps of a model.

    Args:
        record_every: substeps between recorded frames (default: about 100 frames).
        record: which fields of the particles to record.
        control_every: substeps between control values (activation, pose knots); default: one interval.
        checkpoint_every: "auto", or substeps between kept states.
        memory: bound on the memory of kept states that "auto" obeys.
        gradient: False saves the memory of kept states when only `forward` is wanted.
    """

    def __init__(
        self,
        model: Model,
        steps: int,
        *,
        record_every: int | None = None,
        record: tuple[str, ...] = ("position", "velocity"),
        control_every: int | None = None,
        checkpoint_every: int | str = "auto",
        memory: str | float = "1GB",
        gradient: bool = True,
    ):
        self.model, self.gradient = model, gradient
        self.steps = _count("steps", steps)
        self.record_every = _count("record_every", max(1, steps // 100) if record_every is None else record_every)
        self.control_every = _count("control_every", steps if control_every is None else control_every)
        unknown = set(record) - set(RECORDABLE)
        if unknown:
            raise InputError(f"record: expected some of {list(RECORDABLE)}, got {sorted(unknown)}; correct the names.")
        self.record = tuple(record)
        self.intervals = -(-self.steps // self.control_every)
        self.frame_steps = sorted({*range(0, self.steps + 1, self.record_every), self.steps})
        self.segment = self._choose(checkpoint_every, memory)
        self.binding = Binding(model, self.intervals)
        self.solver = MPMSolver(
            model, self.binding, slots=self.segment + 1, every=self.control_every, gradient=gradient
        )
        self._buffers = _FrameBuffers(self)
        self._segments = range(0, self.steps, self.segment)
        self._token = -1
        self._last: Record | None = None
        self.simulator_calls = 0

    @property
    def batch(self) -> int:
        return self.model.batch

    def parameters(self) -> dict[str, Any]:
        return self.model.parameters()

    def forward(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        state: State | None = None,
        first_step: int = 0,
        progress: Callable[[int], None] | None = None,
        check: bool = True,
    ) -> Trajectory:
        """The trajectory for these parameter values.

        Args:
            values: parameter name -> value; names left out keep the model's own.
            state: start from this state instead of the initial values (a control step of a longer run).
            first_step: substep at which that state stands, for the time stamps.
            progress: called with the number of substeps done, at every recorded frame.
            check: raise `SimulationError` when the run fails; otherwise the trajectory ends there and its status says why.
        """
        kept_values = {name: np.array(value) for name, value in (values or {}).items()}  # the caller may change theirs
        self.binding.set(kept_values)
        self.simulator_calls += self.batch
        start = self.binding.initial_state() if state is None else state
        kept = len(self._segments) if self.gradient else 1
        checkpoints = StateArray(self.model.particle_count, kept, self.model.precision, self.model.device)
        checkpoints.write(0, start)
        record = Record(kept_values, checkpoints, next(_tokens), first_step, Status())
        self._token, self._last = record.token, record
        self._buffers.begin()
        self.solver.work.status.zero_()
        done = self._run(record, progress)
        if check and not record.status.ok:
            raise SimulationError(record.status)
        return self._buffers.trajectory(record, done)

    def final_state(self) -> State:
        """The state after the last forward run."""
        return self.solver.states.read(self.steps - self._segments[-1])

    @property
    def last(self) -> Record | None:
        """What the last forward run left for its backward."""
        return self._last

    def backward(
        self,
        adjoints: Mapping[str, Any],
        *,
        record: Record | None = None,
        final: State | None = None,
        watch: Callable[[int, State], None] | None = None,
    ) -> Gradients:
        """Gradients of a loss whose derivatives with respect to the recorded arrays are `adjoints`.

        Can be called any number of times, and for an earlier run through its `record` (from `rollout.last`). `watch` is
        called with every substep and the adjoint of the state at it, from the last to the first.

        Errors: `InputError` for a name that was not recorded or a wrong shape; `SimulationError` where the gradient
            is not finite, naming the array.
        """
        record = record or self._last
        if record is None or not self.gradient:
            raise InputError("backward: expected a forward run made with gradient=True; call rollout.forward() first.")
        if not record.status.ok:
            raise SimulationError(record.status)
        self.simulator_calls += self.batch
        self.binding.set(record.values)
        self.binding.clear_gradients()
        self._buffers.load_adjoints(adjoints)
        self.solver.adjoint.write(0, final or State.zeros(self.model.particle_count, self.model.precision.numpy))
        self._buffers.add_adjoint(self.steps)
        for index in reversed(range(len(self._segments))):
            self._back_over(record, index, watch)
        state = self.solver.adjoint.read(0)
        gradients = Gradients(self.binding.gradients(state), state)
        self._check_finite(gradients)
        return gradients

    def _choose(self, checkpoint_every: int | str, memory: str | float) -> int:
        state_bytes = self.model.particle_count * SCALARS * np.dtype(self.model.precision.numpy).itemsize
        if not self.gradient:
            return min(self.steps, max(1, min(self.record_every, 64)))
        if checkpoint_every == "auto":
            return choose_segment(self.steps, state_bytes, parse_memory(memory))
        if isinstance(checkpoint_every, str):
            raise InputError(f"checkpoint_every: expected 'auto' or a number, got {checkpoint_every!r}; correct it.")
        return min(_count("checkpoint_every", checkpoint_every), self.steps)

    def _run(self, record: Record, progress: Callable[[int], None] | None) -> int:
        """Run all segments forward, keeping checkpoints; returns the number of substeps that went well."""
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
                    self._buffers.capture(0, 0)
                self.solver.advance(stop - done)
                done = stop
                record.status = self._status()
                if not record.status.ok:
                    return max(0, record.status.step)
                if stop in self._buffers.frame_of:
                    self._buffers.capture(stop, stop - first)
                    if progress:
                        progress(stop)
        return self.steps

    def _stops(self, first: int, last: int) -> list[int]:
        """Substeps in (first, last] at which something is to be done: frames, control changes, checks."""
        marks = {s for s in self._buffers.frame_of if first < s <= last} | {last}
        marks |= set(range(first + 256, last, 256))
        return sorted(marks)

    def _back_over(self, record: Record, index: int, watch: Callable[[int, State], None] | None) -> None:
        """Walk the adjoint back over one segment, re-running it first unless its states are still there."""
        first = self._segments[index]
        last = min(first + self.segment, self.steps)
        held = self._token == record.token and index == len(self._segments) - 1
        if not held:
            self._token = -1
            self.solver.states.copy(0, record.checkpoints, index)
            self.solver.set_clock(first, 0)
            self.solver.advance(last - first)
            self.solver.work.wrench.zero_()
        self.solver.set_clock(last, last - first)
        marks = {s for s in self._buffers.frame_of if first <= s < last} | {first}
        marks |= set(range(first, last)) if watch else {s for s in range(0, last, self.control_every) if s >= first}
        done = last
        for stop in sorted(marks, reverse=True):
            self._buffers.load_wrench(done)
            self.solver.retreat(done - stop)
            done = stop
            if stop % self.control_every == 0:
                self.solver.collect_activation()
            if stop in self._buffers.frame_of:
                self._buffers.add_adjoint(stop)
            if watch:
                watch(stop, self.solver.adjoint.read(0))
        self.solver.work.wrench.zero_()

    def _status(self) -> Status:
        code, step, particle = self.solver.failure()
        if code == 0:
            return Status()
        body, environment, item = self.model.item_of(particle)
        where = f" of environment {environment}" if self.batch > 1 else ""
        sentence = f"particle {item} of '{body}'{where} {_REMEDY[Code(code)]} (at substep {step})."
        return Status(Code(code), step, particle, body, sentence)

    def _check_finite(self, gradients: Gradients) -> None:
        for name, array in gradients.items():
            if not np.isfinite(array).all():
                raise SimulationError(
                    Status(Code.NOT_FINITE, 0, int(np.argmin(np.isfinite(array).ravel())), name,
                           f"the gradient of '{name}' is not finite; run sim.check_gradients to see the first substep "
                           "where this happens, and shorten the horizon or soften the contact.")
                )  # fmt: skip


class _FrameBuffers:
    """Recorded frames of a rollout on the device, and the adjoints of those frames."""

    def __init__(self, rollout: Rollout):
        self.rollout, model = rollout, rollout.model
        self.frame_of = {step: frame for frame, step in enumerate(rollout.frame_steps)}
        frames, fields = len(rollout.frame_steps), rollout.solver.states.fields
        self.size = model.particle_count
        self.fields = {
            n: wp.zeros(frames * self.size, dtype=fields[n].dtype, device=model.device) for n in rollout.record
        }
        shape = (frames, len(model.colliders), model.batch)
        self.wrenches = np.zeros((*shape, 6), model.precision.numpy)
        self.poses = np.zeros((*shape, 7), model.precision.numpy)
        self.adjoints: dict[str, wp.array] = {}
        self.dwrench: np.ndarray | None = None

    def begin(self) -> None:
        self.rollout.solver.work.wrench.zero_()

    def capture(self, step: int, slot: int) -> None:
        """Copy the state in a slot, the poses and the mean wrench since the last frame."""
        rollout, frame = self.rollout, self.frame_of[step]
        states = rollout.solver.states
        for name, array in self.fields.items():
            count = self.size
            wp.copy(array, states.fields[name], dest_offset=frame * count, src_offset=slot * count, count=count)
        if rollout.model.colliders:
            self._capture_colliders(step, frame)

    def _capture_colliders(self, step: int, frame: int) -> None:
        rollout, work = self.rollout, self.rollout.solver.work
        self.poses[frame] = rollout.binding.poses_at(step, rollout.control_every)
        if frame:
            total = work.wrench.numpy().reshape(rollout.model.threads, *self.wrenches.shape[1:]).sum(axis=0)
            self.wrenches[frame] = total / self._span(step)
        work.wrench.zero_()

    def _span(self, step: int) -> int:
        frame = self.frame_of[step]
        return step - self.rollout.frame_steps[frame - 1] if frame else 1

    def trajectory(self, record: Record, done: int) -> Trajectory:
        """The recorded arrays by name; cut after the last good frame when the run failed."""
        rollout, model = self.rollout, self.rollout.model
        steps = [s for s in rollout.frame_steps if s <= done]
        count, arrays = len(steps), {}
        for field, flat in self.fields.items():
            table = flat.numpy().reshape(len(rollout.frame_steps), self.size, *_tail(flat))
            for body in rollout.binding.bodies:
                part = table[:count, body.start : body.end]
                shape = (count, model.batch, body.items, *part.shape[2:])
                arrays[f"{body.model.name}.{field}"] = part.reshape(shape).copy()
        for index, collider in enumerate(model.colliders):
            arrays[f"{collider.name}.pose"] = self.poses[:count, index].copy()
            arrays[f"{collider.name}.wrench"] = self.wrenches[:count, index].copy()
        times = (record.first_step + np.asarray(steps)) * model.dt
        metadata = {
            "scene": model.description, "version": VERSION, "seed": model.seed, "dt": model.dt, "steps": rollout.steps,
            "device": str(model.device), "dtype": model.precision.name, "batch": model.batch, "threads": model.threads,
        }  # fmt: skip
        return Trajectory(times=times, arrays=arrays, metadata=metadata, status=record.status)

    def load_adjoints(self, adjoints: Mapping[str, Any]) -> None:
        """Upload the derivatives of the loss with respect to recorded arrays."""
        model, self.adjoints = self.rollout.model, {}
        frames = len(self.rollout.frame_steps)
        dtype = model.precision.numpy
        expected = self._shapes()
        host = {n: np.zeros((frames, self.size, *_tail(a)), dtype) for n, a in self.fields.items()}
        self.dwrench = np.zeros_like(self.wrenches)
        used = set()
        for name, given in adjoints.items():
            value = np.asarray(given)
            if name not in expected:
                raise InputError(
                    f"backward: expected adjoints of {sorted(expected)}, got {name!r}; record it, or correct the name."
                )
            if value.shape != expected[name]:
                raise InputError(
                    f"backward: expected shape {list(expected[name])} for {name}, got {list(value.shape)}."
                )
            owner, _, field = name.rpartition(".")
            if field == "wrench":
                self.dwrench[:, [c.name for c in model.colliders].index(owner)] = value
                continue
            body = next(b for b in self.rollout.binding.bodies if b.model.name == owner)
            host[field][:, body.start : body.end] = value.reshape(frames, body.end - body.start, *value.shape[3:])
            used.add(field)
        for field in used:
            flat = host[field].reshape(-1, *_tail(self.fields[field]))
            self.adjoints[field] = wp.array(flat, dtype=self.fields[field].dtype, device=model.device)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        model, frames = self.rollout.model, len(self.rollout.frame_steps)
        shapes = {
            f"{b.name}.{field}": (frames, model.batch, b.items, *_tail(array))
            for b in model.bodies
            for field, array in self.fields.items()
        }
        return shapes | {f"{c.name}.wrench": (frames, model.batch, 6) for c in model.colliders}

    def add_adjoint(self, step: int) -> None:
        """Add the adjoint of the frame at this substep, if there is one, to the adjoint state."""
        if step not in self.frame_of:
            return
        for field, seeds in self.adjoints.items():
            target = self.rollout.solver.adjoint.fields[field]
            first = self.frame_of[step] * self.size
            part = seeds[first : first + self.size]
            wp.map(wp.add, target, part, out=target) if target.device.is_cuda else _add_in_place(target, part)

    def load_wrench(self, step: int) -> None:
        """Set the adjoint of the wrench for the substeps that end at `step` or before, back to the frame below."""
        if self.dwrench is None or not self.rollout.model.colliders:
            return
        frame = next(f for s, f in self.frame_of.items() if s >= step)
        span = self._span(self.rollout.frame_steps[frame])
        self.rollout.solver.work.dwrench.assign((self.dwrench[frame] / span).reshape(-1, 6))


def _add_in_place(target: wp.array, part: wp.array) -> None:
    view = target.numpy()
    view += part.numpy()


def _tail(array: wp.array) -> tuple[int, ...]:
    return tuple(array.dtype._shape_)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name}: expected a whole number of at least 1, got {value!r}; correct it.")
    return int(value)
