"""A recorded motion as a problem: windows that each start from the recorded state and are held against what followed.

    L = mean over windows, frames and particles of |x - x*|^2 / length^2

With the full state recorded at every window's start this is teacher forcing: short windows keep the gradient of a law
that is still wrong from being lost in chaos, and the windows of one evaluation are environments of one rollout. With
positions alone there is one window, from the start of the motion, and its length is what a curriculum raises.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from learn.autograd import simulate
from learn.objectives.base import Objective
from learn.problem import Evaluation, Problem, Values
from learn.space import Unknown
from learn.torch_law import TorchLaw
from sim.errors import InputError
from sim.mpm.state import FIELDS
from sim.rollout import Rollout
from sim.trajectory import host_array


class _Windows(torch.nn.Module):
    """The rollout of all windows, with its laws as children so that their weights have names."""

    def __init__(self, rollout: Rollout, laws: Iterable[TorchLaw]):
        super().__init__()
        self.rollout, self.laws = rollout, torch.nn.ModuleList(laws)

    def forward(self, values: Values) -> Mapping[str, torch.Tensor]:
        return simulate(self.rollout, values)


class MotionProblem(Problem):
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
        objective: instead of the mean squared distance, for a single window from frame 0 (a point cloud, for example).
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
        objective: Objective | None = None,
        unknowns: Sequence[Unknown] = (),
    ) -> None:
        self.rollout, self.starts, self.length, self.objective = rollout, tuple(starts), length, objective
        laws = {id(b.law): b.law for b in rollout.binding.bodies if isinstance(b.law, TorchLaw)}
        self._windows = _Windows(rollout, laws.values())
        self._weights = {name: w for name, w in self._windows.named_parameters() if w.requires_grad}
        self._given = tuple(u.name for u in unknowns)
        self._recorded = {n: torch.from_numpy(host_array(a).copy()) for n, a in recording.items() if _is_state(n)}
        bodies = [b.name for b in rollout.model.bodies]
        self.tracked = dict.fromkeys(bodies, None) if tracked is None else {n: list(i) for n, i in tracked.items()}
        self._check(bodies)
        super().__init__(
            (*unknowns, *(Unknown(name=name, initial=w) for name, w in self._weights.items())),
            environments=rollout.batch,
            comparable=rollout.batch == len(self.starts),
            steps_per_call=rollout.steps,
        )

    def compute(self, values: Values) -> Evaluation:
        self._copy(values)
        weights = {name: values[name] for name in self._weights}
        starts = self._draw()
        given = {**self._start_state(starts), **{name: values[name] for name in self._given}}
        trajectory = torch.func.functional_call(self._windows, weights, (given,))
        if self.objective is not None:
            return Evaluation(
                loss=self.objective(trajectory),
                metrics=self.objective.metrics(trajectory),
                residuals=self.objective.residuals(trajectory),
            )
        squared = self._squared_distance(trajectory, starts)
        return Evaluation(loss=squared / self.length**2, metrics={"position_error": squared.detach().sqrt()})

    def install(self, theta: torch.Tensor) -> Values:
        values = self.space.values(theta)
        self._copy(values)
        return values

    def _copy(self, values: Values) -> None:
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(values[name])

    def _draw(self) -> torch.Tensor:
        """First frames of the windows of one evaluation, [batch]."""
        starts = torch.tensor(self.starts)
        if len(starts) == self.rollout.batch:
            return starts
        return starts[torch.randperm(len(starts))[: self.rollout.batch]]

    def _start_state(self, starts: torch.Tensor) -> Values:
        """Recorded state [batch, item, ...] of every body at the windows' first frames, by parameter name."""
        return {name: array[starts, 0] for name, array in self._recorded.items()}

    def _squared_distance(self, trajectory: Mapping[str, torch.Tensor], starts: torch.Tensor) -> torch.Tensor:
        """Mean squared distance of the tracked particles of each window, [batch]; its first frame counts for nothing."""
        sums, count = torch.zeros(len(starts)), 0
        for body, items in self.tracked.items():
            moved = trajectory[f"{body}.position"][1:]
            frames = torch.arange(1, len(moved) + 1)[:, None] + starts
            target = self._recorded[f"{body}.position"][frames, 0]
            gap = moved - target.to(moved)
            gap = gap if items is None else gap[:, :, items]
            sums = sums + gap.square().sum(-1).mean(0).sum(-1)
            count += gap.shape[2]
        return sums / count

    def _check(self, bodies: list[str]) -> None:
        unknown = sorted(set(self.tracked) - set(bodies))
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
            if got < frames and not (self.objective is not None and got):
                raise InputError(
                    f"recording: expected {frames} frames of {name}, got {got}; record it with "
                    f"record={FIELDS}, or use one window from frame 0."
                )


def _is_state(name: str) -> bool:
    return name.rpartition(".")[2] in FIELDS


class Curriculum(Problem):
    """Problems of the same unknowns, one after the other; `enter` says which one is posed.

    Errors: `InputError` when their unknowns differ.
    """

    def __init__(self, stages: Sequence[Problem]):
        self.stages = tuple(stages)
        names = [(stage.space.names, stage.space.dimension) for stage in self.stages]
        if len(set(names)) != 1:
            raise InputError(f"curriculum: expected stages of the same unknowns, got {names}; correct them.")
        self.enter(0)
        super().__init__(
            self.stages[0].space.unknowns,
            environments=self.stages[0].environments,
            comparable=len(self.stages) == 1 and self.stages[0].comparable,
            steps_per_call=self.stages[0].steps_per_call,
        )

    def enter(self, stage: int) -> None:
        """Pose this stage from now on."""
        self.stage = self.stages[stage]
        self.environments, self.steps_per_call = self.stage.environments, self.stage.steps_per_call

    def compute(self, values: Values) -> Evaluation:
        return self.stage.compute(values)

    def install(self, theta: torch.Tensor) -> Values:
        return self.stage.install(theta)
