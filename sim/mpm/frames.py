"""Recorded frames of material points on the device, and what each collider did between them."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import warp as wp

from pliant.sim.frames import FrameBuffers
from pliant.sim.mpm.inside import kept_sentence
from pliant.sim.mpm.particle_contact import jumps
from pliant.sim.mpm.strain_watch import StrainWatch

if TYPE_CHECKING:
    from pliant.sim.rollout import Rollout


class _HostField(NamedTuple):
    """One field in the memory of a CPU: recorded frames [room, particle], stored states [slot, particle], adjoint [particle]."""

    frames: np.ndarray
    states: np.ndarray
    adjoint: np.ndarray


class ParticleFrames(FrameBuffers):
    """One array a recorded field, [frame * particle], and the pose and mean wrench of each collider."""

    def __init__(self, rollout: "Rollout"):
        super().__init__(rollout)
        model = rollout.model
        fields, self.size = rollout.solver.states.fields, model.particle_count
        self.fields = {
            n: wp.zeros(self.room * self.size, dtype=fields[n].dtype, device=model.device) for n in rollout.record
        }
        shape = (self.room, len(model.colliders), model.batch)
        self.wrenches = np.zeros((*shape, 6), model.precision.numpy)
        self.poses = np.zeros((*shape, 7), model.precision.numpy)
        self.adjoints: dict[str, wp.array | np.ndarray] = {}
        self._host = self._views() if model.device.is_cpu else None
        self.dwrench: np.ndarray | None = None
        self.strains = StrainWatch(rollout)

    def begin(self) -> None:
        self.rollout.solver.work.wrench.zero_()
        self.strains.begin()

    def warnings(self, first_step: int) -> tuple[str, ...]:
        model, solver = self.rollout.model, self.rollout.solver
        kept = kept_sentence(int(solver.work.kept.numpy().sum()), model.grid_spec.keep_inside or 0.0)
        met = () if solver.contact is None else solver.contact.warnings(first_step)
        jumped = jumps(model, self.rollout.binding, self.rollout.control_every, first_step)
        return (*model.warnings, *kept, *self.strains.warnings(first_step), *met, *jumped)

    def capture(self, frame: int, step: int, slot: int) -> None:
        """Copy the state in a slot, the poses and the mean wrench since the last frame."""
        states, row, count = self.rollout.solver.states, frame % self.room, self.size
        for name, array in self.fields.items():
            if self._host is None:
                wp.copy(array, states.fields[name], dest_offset=row * count, src_offset=slot * count, count=count)
            else:
                host = self._host[name]
                host.frames[row] = host.states[slot]
        self.strains.look(step, slot)
        if self.rollout.model.colliders:
            self._capture_colliders(frame, step)

    def _capture_colliders(self, frame: int, step: int) -> None:
        rollout, work, row = self.rollout, self.rollout.solver.work, frame % self.room
        self.poses[row] = rollout.binding.poses_at(step, rollout.control_every)
        total = work.wrench.numpy().reshape(rollout.model.threads, *self.wrenches.shape[1:]).sum(axis=0)
        self.wrenches[row] = total / self._span(frame) if frame else 0.0
        work.wrench.zero_()

    def _span(self, frame: int) -> int:
        """Substeps from the frame before to this one."""
        steps = self.rollout.frame_steps
        return steps[frame] - steps[frame - 1] if frame else 1

    def arrays(self, count: int) -> dict[str, np.ndarray]:
        rollout, model, arrays = self.rollout, self.rollout.model, {}
        for field, flat in self.fields.items():
            table = flat.numpy().reshape(self.room, self.size, *_tail(flat))
            for body in rollout.binding.bodies:
                part = table[:count, body.start : body.end]
                shape = (count, model.batch, body.items, *part.shape[2:])
                arrays[f"{body.model.name}.{field}"] = part.reshape(shape).copy()
        for index, collider in enumerate(model.colliders):
            arrays[f"{collider.name}.pose"] = self.poses[:count, index].copy()
            arrays[f"{collider.name}.wrench"] = self.wrenches[:count, index].copy()
        return arrays

    def shapes(self) -> dict[str, tuple[int, ...]]:
        model, frames = self.rollout.model, len(self.rollout.frame_steps)
        shapes = {
            f"{b.name}.{field}": (frames, model.batch, b.items, *_tail(array))
            for b in model.bodies
            for field, array in self.fields.items()
        }
        return shapes | {f"{c.name}.wrench": (frames, model.batch, 6) for c in model.colliders}

    def keep(self, adjoints: dict[str, np.ndarray]) -> None:
        """Upload the adjoints of the particles; those of the wrenches stay here."""
        model, self.adjoints = self.rollout.model, {}
        frames = len(self.rollout.frame_steps)
        dtype = model.precision.numpy
        host = {n: np.zeros((frames, self.size, *_tail(a)), dtype) for n, a in self.fields.items()}
        self.dwrench = np.zeros((frames, *self.wrenches.shape[1:]), dtype)
        used = set()
        for name, value in adjoints.items():
            owner, _, field = name.rpartition(".")
            if field == "wrench":
                self.dwrench[:, [c.name for c in model.colliders].index(owner)] = value
                continue
            body = next(b for b in self.rollout.binding.bodies if b.model.name == owner)
            host[field][:, body.start : body.end] = value.reshape(frames, body.end - body.start, *value.shape[3:])
            used.add(field)
        for field in used:
            flat = host[field].reshape(-1, *_tail(self.fields[field]))
            kind = self.fields[field].dtype
            plain = self._host is not None
            self.adjoints[field] = host[field] if plain else wp.array(flat, dtype=kind, device=model.device)

    def add_adjoint(self, step: int) -> None:
        frame = self.frame_of(step)
        if frame is None:
            return
        for field, seeds in self.adjoints.items():
            if self._host is None:
                target, first = self.rollout.solver.adjoint.fields[field], frame * self.size
                wp.map(wp.add, target, seeds[first : first + self.size], out=target)
            else:
                self._host[field].adjoint[:] += seeds[frame]

    def _views(self) -> dict[str, "_HostField"]:
        """The arrays of every recorded field as NumPy sees them, made once: making one costs more than copying a frame."""
        solver, size = self.rollout.solver, self.size
        view = lambda array: array.numpy().reshape(-1, size, *_tail(array))  # noqa: E731
        adjoint = solver.adjoint.fields
        return {
            name: _HostField(view(array), view(solver.states.fields[name]), adjoint[name].numpy())
            for name, array in self.fields.items()
        }

    def before_retreat(self, step: int) -> None:
        """Set the adjoint of the wrench for the substeps that end at `step` or before, back to the frame below."""
        if self.dwrench is None or not self.rollout.model.colliders:
            return
        frame = self.frame_after(step)
        self.rollout.solver.work.dwrench.assign((self.dwrench[frame] / self._span(frame)).reshape(-1, 6))


def _tail(array: wp.array) -> tuple[int, ...]:
    return tuple(array.dtype._shape_)
