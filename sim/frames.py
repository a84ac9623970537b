"""Recorded frames of a rollout, and the adjoints of those frames: what every family of solvers has in common."""

import abc
import weakref
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.trajectory import Trajectory
from pliant.sim.trajectory_files import TrajectoryWriter
from pliant.sim.version import VERSION

if TYPE_CHECKING:
    from pliant.sim.rollout import Record, Rollout


class FrameBuffers(abc.ABC):
    """What a rollout records, by the names a user sees; a family says how a state becomes a frame, and its adjoint.

    A family keeps `room` frames, the frame f in row f % room: all of them, or one when each goes to the disk at once.
    """

    def __init__(self, rollout: "Rollout"):
        self.rollout = weakref.proxy(rollout)  # which holds this: its memory goes with its name
        self.room = len(rollout.frame_steps) if rollout.record_to is None else 1
        self._writer: TrajectoryWriter | None = None  # of the run under way, where it goes to the disk

    @abc.abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape [frame, batch, ...] of every array a loss can depend on."""

    @abc.abstractmethod
    def capture(self, frame: int, step: int, slot: int) -> None:
        """Keep a frame: that of this substep, whose state lies in a slot."""

    @abc.abstractmethod
    def arrays(self, count: int) -> dict[str, np.ndarray]:
        """The first `count` rows of everything recorded, by name: arrays of their own."""

    @abc.abstractmethod
    def keep(self, adjoints: dict[str, np.ndarray]) -> None:
        """Hold the derivatives of the loss with respect to recorded arrays, of the shapes that `shapes` tells."""

    @abc.abstractmethod
    def add_adjoint(self, step: int) -> None:
        """Add the adjoint of the frame at this substep, if there is one, to the adjoint state."""

    def begin(self) -> None:  # noqa: B027
        """Forget what gathers between frames."""

    def before_retreat(self, step: int) -> None:  # noqa: B027
        """The adjoint is about to be carried back from this substep."""

    def warnings(self, first_step: int) -> tuple[str, ...]:
        """What the frames captured since `begin` warn of, with substeps counted from `first_step`."""
        return ()

    def steps_between(self, first: int, last: int) -> Sequence[int]:
        """The recorded substeps from the first to the last, both included."""
        steps = self.rollout.frame_steps
        return steps[bisect_left(steps, first) : bisect_right(steps, last)]

    def frame_of(self, step: int) -> int | None:
        """The number of the frame recorded at this substep, None where there is none."""
        frame = self.frame_after(step)
        return frame if self.rollout.frame_steps[frame] == step else None

    def frame_after(self, step: int) -> int:
        """The number of the first frame at this substep or later."""
        return bisect_left(self.rollout.frame_steps, step)

    def take(self, step: int, slot: int, record: "Record") -> None:
        """Keep the frame of this substep in memory, or write it to the disk at once."""
        frame = self.frame_after(step)
        self.capture(frame, step, slot)
        if self.rollout.record_to is not None:
            self._write(frame, self.rollout.record_to, record)

    def trajectory(self, record: "Record", done: int) -> Trajectory:
        """The recorded arrays by name; cut after the last good frame when the run failed."""
        count = bisect_right(self.rollout.frame_steps, done)
        if self._writer is not None:
            writer, self._writer = self._writer, None
            return writer.finish(record.status, frame_count=count)
        times, metadata = self._times(record)[:count], self._metadata()
        return Trajectory(times=times, arrays=self.arrays(count), metadata=metadata, status=record.status)

    def _write(self, frame: int, folder: Path, record: "Record") -> None:
        """Write the only row as this frame; the first begins the folder anew."""
        made, precision = self.arrays(1), self.rollout.model.precision
        if frame == 0 or self._writer is None:
            shapes, times = {name: array.shape[1:] for name, array in made.items()}, self._times(record)
            options: dict[str, Any] = {"dtype": precision.name, "metadata": self._metadata()}
            self._writer = TrajectoryWriter(folder, times, shapes, **options)
        for name, array in made.items():
            self._writer.write(frame, name, array[0])
        self._writer.publish(frame + 1)

    def _times(self, record: "Record") -> np.ndarray:
        return (record.first_step + np.asarray(self.rollout.frame_steps)) * self.rollout.model.dt

    def _metadata(self) -> dict[str, Any]:
        rollout, model = self.rollout, self.rollout.model
        return {
            "scene": model.description, "version": VERSION, "seed": model.seed, "dt": model.dt, "steps": rollout.steps,
            "device": str(model.device), "dtype": model.precision.name, "batch": model.batch, "threads": model.threads,
            **rollout.metadata,
        }  # fmt: skip

    def _cast(self, name: str, value: np.ndarray) -> np.ndarray:
        """The adjoint in the precision of the model; `InputError` where that cannot hold a finite number."""
        with np.errstate(over="ignore"):
            made = value.astype(self.rollout.model.precision.numpy)
        if np.isfinite(value).all() and not np.isfinite(made).all():
            raise InputError(
                f"backward: expected adjoints of {name} that {made.dtype} holds, got {np.abs(value).max():.3g}; scale the loss."
            )
        return made

    def load_adjoints(self, adjoints: Mapping[str, Any]) -> None:
        """Check and hold the derivatives of the loss with respect to recorded arrays.

        Errors: `InputError` for a name that was not recorded, a wrong shape, or what is no number.
        """
        if not isinstance(adjoints, Mapping):
            raise InputError(f"backward: expected adjoints by name, got {type(adjoints).__name__}; give a dictionary.")
        expected, checked = self.shapes(), {}
        for name, given in adjoints.items():
            try:
                value = np.asarray(given)
            except (TypeError, ValueError, RuntimeError):  # ragged, or a tensor that wants its gradient
                value = np.empty((), object)
            if value.dtype.kind not in "fiu":
                raise InputError(f"backward: expected numbers for {name}, got {value.dtype} values; convert them.")
            if name not in expected:
                raise InputError(
                    f"backward: expected adjoints of {sorted(expected)}, got {name!r}; record it, or correct the name."
                )
            if value.shape != expected[name]:
                raise InputError(
                    f"backward: expected shape {list(expected[name])} for {name}, got {list(value.shape)}."
                )
            checked[name] = self._cast(name, value)
        self.keep(checked)
