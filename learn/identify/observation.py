"""A motion that was only seen, as a problem: simulate from the first frame on and compare at the times of the recording.

    L = mean over frames of the squared distance between what moves and what was seen / length^2

Points that keep their row are markers on the body; points that do not are clouds, compared by Chamfer or sliced
Wasserstein distance. The horizon, and with it the number of frames, is what a curriculum raises.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pliant.learn.identify.motion import StartedRollout
from pliant.learn.objectives import AtTimes, Chamfer, MarkerMatching, Objective, SlicedWasserstein
from pliant.learn.objectives.at_times import substeps_around
from pliant.learn.simulation import SimulationProblem
from pliant.learn.space import Unknown
from pliant.sim.errors import InputError
from pliant.sim.model import Model
from pliant.sim.recording import Recording
from pliant.sim.rollout import Rollout
from pliant.sim.trajectory import Trajectory, host_array

MATCHES = ("markers", "chamfer", "wasserstein")


class ObservationProblem(SimulationProblem):
    """Weights of the laws of a rollout, and parameters of its model, from what was seen of its motion.

    Args:
        rollout: from the first frame of the recording on; see `observing_rollout`.
        objective: what was seen; see `seen_objective`.
        start: parameter name -> value of what the first frame says, for example "jelly.velocity".
        unknowns: model parameters to find beside the weights.

    Errors: `InputError` when nothing is unknown.
    """

    def __init__(
        self,
        rollout: Rollout,
        objective: Objective,
        *,
        start: Mapping[str, Any] | None = None,
        unknowns: Sequence[Unknown] = (),
    ) -> None:
        self.rollout = rollout
        started = self.make_start(rollout)
        started.start = {name: torch.from_numpy(host_array(v).copy()) for name, v in (start or {}).items()}
        super().__init__(started, objective, unknowns=unknowns)

    def make_start(self, rollout: Rollout) -> StartedRollout:
        """The simulator: the rollout from the start."""
        return StartedRollout(rollout)


def observing_rollout(model: Model, recording: Recording, **options: Any) -> Rollout:
    """A rollout as long as the recording that records the substeps at its times, or on both sides of them."""
    at = substeps_around(recording.times, model.dt)
    if at[-1] < 1:
        raise InputError(
            f"{recording.source}: expected frames at least a substep of {model.dt:g} s apart, got {recording.duration:g} s in "
            "all; correct the times or lower dt."
        )
    return model.rollout(at[-1], record_at=at, record=("position",), **options)


def seen_objective(
    recording: Recording, body: str, particles: np.ndarray, *, match: str = "markers", length: float = 1.0
) -> AtTimes:
    """The distance of a body from what was seen of it after the first frame.

    Args:
        recording: what was seen.
        body: its name in the scene.
        particles: its positions at the first frame [item, 3].
        match: "markers" for points that keep their row, "chamfer" or "wasserstein" for clouds without correspondence.
        length: what counts as a distance of one [m].

    Errors: `InputError` for an unknown match, for a recording whose unit or place does not fit the body, and for markers
        off the body.
    """
    recording.check_fits(body, particles)
    name, later = f"{body}.position", recording.points[1:]
    if match == "markers":
        seen = recording.positions
        objective: Objective = MarkerMatching(name, seen[1:], particles=particles, start=seen[0], length=length)
    elif match == "chamfer":
        objective = Chamfer(name, later, length=length)
    elif match == "wasserstein":
        objective = SlicedWasserstein(name, later, length=length)
    else:
        raise InputError(f"match: expected one of {list(MATCHES)}, got {match!r}; correct it.")
    return AtTimes(objective, recording.times[1:])


def squared_errors(
    trajectory: Trajectory, recording: Recording, body: str, particles: np.ndarray, *, match: str = "markers"
) -> np.ndarray:
    """Mean squared error of a coordinate [frame] in m^2, |.|^2 / 3, at every time of a recording; inf after an early end.

    Args:
        trajectory: the motion to judge, from the first frame of the recording on.
        recording, body, particles, match: as in `seen_objective`.
    """
    reached = int(np.searchsorted(recording.times, trajectory.times[-1] * (1.0 + 1e-9), side="right"))
    moved = trajectory.select(names=f"{body}.position").resample(
        np.minimum(recording.times[:reached], trajectory.times[-1])
    )
    errors = np.full(recording.frame_count, np.inf)
    for frame in range(reached):
        shown = dataclasses.replace(
            recording, times=np.array([0.0, 1.0]), points=[recording.points[i] for i in (0, frame)]
        )
        objective = seen_objective(shown, body, particles, match=match).objective
        x = torch.from_numpy(np.asarray(moved[f"{body}.position"][frame : frame + 1], np.float64))
        errors[frame] = float(objective({f"{body}.position": x})) / 3.0
    return errors
