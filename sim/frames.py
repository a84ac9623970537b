"""Recorded frames of a rollout on the device, and the adjoints of those frames."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import warp as wp

from sim.errors import InputError
from sim.trajectory import Trajectory
from sim.version import VERSION

if TYPE_CHECKING:
    from sim.rollout import Record, Rollout


class FrameBuffers:
    """One array a recorded field, [frame * particle], and what each collider did."""

    def __init__(self, rollout: "Rollout"):
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

    def trajectory(self, record: "Record", done: int) -> Trajectory:
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
            if value.dtype.kind not in "fiu":
                raise InputError(f"backward: expected numbers for {name}, got dtype {value.dtype}; convert them.")
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
