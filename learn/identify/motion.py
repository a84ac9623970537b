"""A recorded motion as a problem: windows that each start from the recorded state and are held against what followed.

    L = mean over windows, frames and particles of |x - x*|^2 / length^2

With the full state recorded at every window's start this is teacher forcing: short windows keep the gradient of a law
that is still wrong from being lost in chaos, and the windows of one evaluation are environments of one rollout. With
positions alone there is one window, from the start of the motion, and its length is what a curriculum raises.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pliant.learn.autograd import linearise, simulate
from pliant.learn.objectives.base import SquaredObjective
from pliant.learn.problem import Evaluation, Problem, Values
from pliant.learn.simulation import SimulationProblem
from pliant.learn.solve import Iteration
from pliant.learn.space import Unknown
from pliant.learn.torch_law import TorchLaw
from pliant.sim.errors import InputError
from pliant.sim.mpm.state import FIELDS
from pliant.sim.rollout import Rollout
from pliant.sim.trajectory import Trajectory, host_array


class StartedRollout(torch.nn.Module):
    """A rollout from the values in `start`, with its laws as children so that their weights have names."""

    def __init__(self, rollout: Rollout):
        super().__init__()
        laws = {id(b.law): b.law for b in rollout.binding.bodies if isinstance(b.law, TorchLaw)}
        self.rollout, self.laws = rollout, torch.nn.ModuleList(laws.values())
        self.start: Values = {}

    def forward(self, values: Values) -> Mapping[str, torch.Tensor]:
        return simulate(self.rollout, {**self.start, **values})

    def linearise(self, values: Values, directions: Values) -> tuple[Trajectory, dict[str, torch.Tensor]]:
        return linearise(self.rollout, {**self.start, **values}, directions)


class WindowDistance(SquaredObjective):
    """Mean squared distance of tracked particles from the recording, for windows that begin at the frames `starts`.

    A window's first frame counts for nothing: it is given. It logs `position_error`, the root mean square distance [m].
    """

    def __init__(self, recorded: Mapping[str, torch.Tensor], tracked: Mapping[str, list[int] | None], length: float):
        self.recorded, self.tracked, self.length = recorded, tracked, length
        self.starts = torch.zeros(1, dtype=torch.long)

    def measures(self, loss: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"position_error": self.length * loss.sqrt()}

    def residuals(self, trajectory: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """sqrt(2 / (frames particles)) (x - x*) / length, [batch, m]."""
        gaps = torch.cat(self._gaps(trajectory), dim=2)
        weight = math.sqrt(2.0 / (gaps.shape[0] * gaps.shape[2])) / self.length
        return weight * gaps.transpose(0, 1).flatten(1)

    def _gaps(self, trajectory: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """Differences [frame, batch, tracked item, 3] of every body's positions from the recorded ones, in m."""
        found = []
        for body, items in self.tracked.items():
            moved = trajectory[f"{body}.position"][1:]
            frames = torch.arange(1, len(moved) + 1)[:, None] + self.starts
            gap = moved - self.recorded[f"{body}.position"][frames, 0].to(moved)
            found.append(gap if items is None else gap[:, :, items])
        return found


class MotionProblem(SimulationProblem):
    """Weights of the laws of a rollout, and parameters of its model, from a recorded motion.

    Args:
        rollout: of a window; its batch is the number of windows in one evaluation, its frames are compared.
        recording: name -> array [frame, 1, item, ...], a frame every `record_every` substeps of the rollout; with
            "<body>.velocity", "<body>.velocity_gradient" and "<body>.deformation_gradient" beside "<body>.position" for
            every body when windows start later than frame 0.
        starts: frames at which windows may start. All are used in order when there are as many as the rollout has
            environments, otherwise each evaluation draws some without replacement.
        tracked: body name -> items compared; default all items of all bodies.
        length: what counts as an error of one [m].
        unknowns: model parameters to find beside the weights.

    Errors: `InputError` for a recording that lacks a field or frames, or when nothing is unknown.
    """

    def __init__(
        self,
        rollout: Rollout,
        recording: Mapping[str, Any],
        *,
        starts: Sequence[int] = (0,),
        tracked: Mapping[str, Sequence[int]] | None = None,
        length: float = 1.0,
        unknowns: Sequence[Unknown] = (),
    ) -> None:
        self.rollout, self.starts = rollout, tuple(starts)
        self._recorded = {n: torch.from_numpy(host_array(a).copy()) for n, a in recording.items() if _is_state(n)}
        bodies = [b.model.name for b in rollout.binding.bodies]
        chosen = dict.fromkeys(bodies, None) if tracked is None else {n: list(i) for n, i in tracked.items()}
        self._check(bodies, sorted(set(chosen) - set(bodies)))
        self._windows = StartedRollout(rollout)
        self._distance = WindowDistance(self._recorded, chosen, length)
        super().__init__(self._windows, self._distance, unknowns=unknowns)
        self.comparable = rollout.batch == len(self.starts)

    def compute(self, values: Values) -> Evaluation:
        self._begin()
        return super().compute(values)

    def differentiate(self, theta: torch.Tensor) -> tuple[Evaluation, torch.Tensor]:
        self._begin()
        return super().differentiate(theta)

    def _begin(self) -> None:
        """Set the windows of one evaluation."""
        starts = self._draw()
        self._windows.start = {name: array[starts, 0] for name, array in self._recorded.items()}
        self._distance.starts = starts

    def _draw(self) -> torch.Tensor:
        """First frames of the windows of one evaluation, [batch]."""
        starts = torch.tensor(self.starts)
        if len(starts) == self.rollout.batch:
            return starts
        return starts[torch.randperm(len(starts))[: self.rollout.batch]]

    def _check(self, bodies: list[str], unknown: list[str]) -> None:
        if unknown:
            raise InputError(f"tracked: expected bodies among {bodies}, got {unknown}; correct the names.")
        if not self.starts or len(self.starts) < self.rollout.batch:
            raise InputError(
                f"starts: expected at least {self.rollout.batch} windows, one an environment, got {len(self.starts)}; "
                "record more, shorten the windows or build the model with a smaller batch."
            )
        needed = FIELDS if max(self.starts) > 0 else ("position",)
        frames = max(self.starts) + len(self.rollout.frame_steps)
        for name in (f"{body}.{field}" for body in bodies for field in needed):
            got = len(self._recorded[name]) if name in self._recorded else 0
            if got < frames:
                raise InputError(
                    f"recording: expected {frames} frames of {name}, got {got}; record it with "
                    f"record={FIELDS}, or use one window from frame 0."
                )


def _is_state(name: str) -> bool:
    return name.rpartition(".")[2] in FIELDS


class Curriculum(Problem):
    """Problems of the same unknowns, one after the other: its `advance` is a callback of `solve`.

    Args:
        stages: the problems.
        iterations: of a method on each of them. A stage that a method is done with earlier leaves what it saved to the
            next, at equal cost in substeps.

    Errors: `InputError` when their unknowns differ, or a stage lacks its number.
    """

    def __init__(self, stages: Sequence[Problem], iterations: Sequence[int] | None = None):
        self.stages = tuple(stages)
        names = [(stage.space.names, stage.space.dimension) for stage in self.stages]
        if len(set(names)) != 1:
            raise InputError(f"curriculum: expected stages of the same unknowns, got {names}; correct them.")
        self.iterations = [1] * len(self.stages) if iterations is None else [int(count) for count in iterations]
        if len(self.iterations) != len(self.stages) or min(self.iterations) < 1:
            raise InputError(
                f"curriculum: expected {len(names)} positive iterations, got {self.iterations}; correct them."
            )
        super().__init__(self.stages[0].space.unknowns)
        self.began = 0
        self.enter(0)

    def enter(self, stage: int) -> None:
        """Pose this stage from now on."""
        self.stage, self.posed = stage, self.stages[stage]
        self.environments, self.steps_per_call = self.posed.environments, self.posed.steps_per_call
        self.comparable, self.smooth = self.posed.comparable, self.posed.smooth

    def advance(self, iteration: Iteration) -> None:
        """Pose the next stage when this one has had its iterations or the method is done with it; after the last, stop."""
        done = iteration.progress.iteration
        left = self.iterations[self.stage] - (done - self.began)
        if left > 0 and not iteration.method.finished:
            return
        if self.stage == len(self.stages) - 1:
            iteration.method.finished = iteration.method.finished or "the last stage has had its iterations"
            return
        saved = left * self._cost()
        self.enter(self.stage + 1)
        self.began = done
        self.iterations[self.stage] += max(0, saved) // self._cost()
        iteration.method.restart()

    def compute(self, values: Values) -> Evaluation:
        return self.posed.compute(values)

    def differentiate(self, theta: torch.Tensor) -> tuple[Evaluation, torch.Tensor]:
        return self.posed.differentiate(theta)

    def linearise_calls(self) -> int:
        return self.posed.linearise_calls()

    def after_tell(self, told: Sequence[Any]) -> dict[str, Any] | None:
        return self.posed.after_tell(told)

    def install(self, theta: torch.Tensor) -> Values:
        return self.posed.install(theta)

    def state_dict(self) -> dict[str, Any]:
        place = {"stage": self.stage, "began": self.began, "iterations": list(self.iterations)}
        return {**place, "stages": [stage.state_dict() for stage in self.stages]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.enter(state["stage"])
        for stage, saved in zip(self.stages, state.get("stages", ()), strict=False):
            stage.load_state_dict(saved)
        self.began, self.iterations = state["began"], list(state["iterations"])

    def _cost(self) -> int:
        """Substeps of one forward."""
        return self.environments * self.steps_per_call
