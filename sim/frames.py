"""Recorded frames of a rollout, and the adjoints of those frames: what every family of solvers has in common."""

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.errors import InputError
from sim.trajectory import Trajectory
from sim.version import VERSION

if TYPE_CHECKING:
    from sim.rollout import Record, Rollout


class FrameBuffers(abc.ABC):
    """What a rollout records, by the names a user sees; a family says how a state becomes a frame, and its adjoint."""

    def __init__(self, rollout: "Rollout"):
        self.rollout = rollout
        self.frame_of = {step: frame for frame, step in enumerate(rollout.frame_steps)}

    @abc.abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape [frame, batch, ...] of every array a loss can depend on."""

    @abc.abstractmethod
    def capture(self, step: int, slot: int) -> None:
        """Keep the frame of this substep, whose state lies in a slot."""

    @abc.abstractmethod
    def arrays(self, count: int) -> dict[str, np.ndarray]:
        """The first `count` frames of everything recorded, by name: arrays of their own."""

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

    def trajectory(self, record: "Record", done: int) -> Trajectory:
        """The recorded arrays by name; cut after the last good frame when the run failed."""
        rollout, model = self.rollout, self.rollout.model
        steps = [s for s in rollout.frame_steps if s <= done]
        times = (record.first_step + np.asarray(steps)) * model.dt
        metadata = {
            "scene": model.description, "version": VERSION, "seed": model.seed, "dt": model.dt, "steps": rollout.steps,
            "device": str(model.device), "dtype": model.precision.name, "batch": model.batch, "threads": model.threads,
        }  # fmt: skip
        return Trajectory(times=times, arrays=self.arrays(len(steps)), metadata=metadata, status=record.status)

    def load_adjoints(self, adjoints: Mapping[str, Any]) -> None:
        """Check and hold the derivatives of the loss with respect to recorded arrays.

        Errors: `InputError` for a name that was not recorded, a wrong shape, or what is no number.
        """
        expected, checked = self.shapes(), {}
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
            checked[name] = value
        self.keep(checked)
