"""The problem of a simulator and an objective: train its policy, identify its parameters, or both at once."""

import dataclasses
from collections.abc import Iterable, Mapping

import torch
from torch.autograd import forward_ad

from pliant.learn.objectives.base import Objective
from pliant.learn.problem import Evaluation, Problem, Unsuitable, Values, residuals_of
from pliant.learn.space import Unknown
from pliant.sim.errors import InputError
from pliant.sim.trajectory import Trajectory


class SimulationProblem(Problem):
    """Minimise an objective of the trajectory that a simulator gives.

    The unknowns are the simulator's trainable weights (those of its policy), under their names in the module, after
    the given ones, which the simulator receives by name as its only argument.

    Args:
        simulator: `learn.Simulator`, or any module called with {name: tensor} that returns a trajectory: a mapping of
            names to tensors [frame, batch, item, ...].
        objective: what is wanted of the trajectory.
        unknowns: simulation parameters to find, for example `Unknown(name="jelly.youngs_modulus", ...)`.
        environments: simulator calls of one forward; default: the batch of the simulator's rollout, or 1.
        parallel: give each environment its own candidate (only without trainable weights).

    Errors: `InputError` when nothing is unknown.
    """

    def __init__(
        self,
        simulator: torch.nn.Module,
        objective: Objective,
        *,
        unknowns: Iterable[Unknown] = (),
        environments: int | None = None,
        parallel: bool = False,
    ) -> None:
        given = tuple(unknowns)
        self.simulator, self.objective = simulator, objective
        self._given = tuple(u.name for u in given)
        self._weights = {name: w for name, w in simulator.named_parameters() if w.requires_grad}
        if parallel and self._weights:
            raise InputError("problem: expected no trainable weights with parallel candidates, got some; freeze them.")
        rollout = getattr(simulator, "rollout", None)
        batch: int = getattr(rollout, "batch", 1)
        count = batch if environments is None else environments
        super().__init__(
            (*given, *(Unknown(name=name, initial=w) for name, w in self._weights.items())),
            environments=count,
            parallel=count if parallel else 1,
            smooth=getattr(simulator, "smooth", True),
            steps_per_call=getattr(rollout, "steps", 1),
        )

    def compute(self, values: Values) -> Evaluation:
        weights = {name: values[name] for name in self._weights}
        self._copy(weights)  # a torch law re-reads its weights from the module in backward
        given = {name: values[name] for name in self._given}
        trajectory = torch.func.functional_call(self.simulator, weights, (given,))
        policy = getattr(self.simulator, "policy", None)
        judged = self.objective.judge(trajectory)
        return Evaluation(
            loss=judged.loss,
            metrics=judged.metrics,
            residuals=judged.residuals,
            log_probability=getattr(policy, "log_probability", None),
        )

    def linearise_calls(self) -> int:
        return (1 + self.space.dimension) * self.calls()

    def differentiate(self, theta: torch.Tensor) -> tuple[Evaluation, torch.Tensor]:
        """The evaluation and the Jacobian of its residuals, by the tangent of the simulator along every coordinate."""
        self._check_tangent()
        values, directions = self.space.values(theta), self.space.tangents(theta)
        trajectory, moved = self.simulator.linearise(values, directions)
        judged = self.objective.judge(trajectory)
        columns = [self._push(trajectory, {n: t[k] for n, t in moved.items()}) for k in range(self.space.dimension)]
        made = Evaluation(loss=judged.loss, metrics=judged.metrics, residuals=residuals_of(judged.residuals))
        return made, torch.stack(columns, dim=-1)

    def _push(self, trajectory: Trajectory, moved: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Derivative of the residuals when the trajectory changes by `moved`."""
        with forward_ad.dual_level():
            arrays = {name: forward_ad.make_dual(trajectory[name], tangent) for name, tangent in moved.items()}
            changed = dataclasses.replace(trajectory, arrays={**trajectory.arrays, **arrays})
            residuals, column = forward_ad.unpack_dual(residuals_of(self.objective.residuals(changed)))
        return torch.zeros_like(residuals) if column is None else column

    def _check_tangent(self) -> None:
        if self._weights or not hasattr(self.simulator, "linearise"):
            kind = "trainable weights" if self._weights else type(self.simulator).__name__
            raise Unsuitable(
                f"linearise: expected unknown parameters of a rollout alone, got {kind}; use FiniteDifference, or a method "
                "that needs only the gradient."
            )

    def install(self, theta: torch.Tensor) -> Values:
        values = self.space.values(theta)
        self._copy(values)
        return values

    def _copy(self, values: Values) -> None:
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(values[name])
