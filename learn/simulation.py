"""The problem of a simulator and an objective: train its policy, identify its parameters, or both at once."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad

from pliant.learn.autograd import Simulator
from pliant.learn.evaluation import Evaluation, Failed
from pliant.learn.meter import charge, plan_more
from pliant.learn.models.controller import Controller
from pliant.learn.objectives.base import Objective
from pliant.learn.problem import Problem, Unsuitable, Values, residuals_of
from pliant.learn.space import Unknown
from pliant.sim.errors import InputError
from pliant.sim.rollout import Rollout
from pliant.sim.status import SimulationError, Status
from pliant.sim.trajectory import Trajectory

POLICY = "policy.policy."  # where a controller's policy has its weights in a simulator


class SimulationProblem(Problem):
    """Minimise an objective of the trajectory that a simulator gives.

    The unknowns are the simulator's trainable weights (those of its policy), under their names in the module, after
    the given ones, which the simulator receives by name as its only argument.

    Where environments may fail (`may_fail`), a run that ends early is run again with the values of another environment in
    the place of the one that failed, once more for each: these runs count like any other.

    Args:
        simulator: `learn.Simulator`, or any module called with {name: tensor} that returns a trajectory: a mapping of
            names to tensors [frame, batch, item, ...].
        objective: what is wanted of the trajectory.
        unknowns: simulation parameters to find, for example `Unknown(name="jelly.youngs_modulus", ...)`.
        constants: what else the simulator receives by name, one value for all environments or one for each.
        environments: simulator calls of one forward; default: the batch of the simulator's rollout, or 1.
        parallel: give each environment its own candidate; of trainable weights, only those of a `Controller`'s policy.
        may_fail: share of the environments that may fail; see `Problem`.

    Errors: `InputError` when nothing is unknown, or a constant is unknown too.
    """

    def __init__(
        self,
        simulator: torch.nn.Module,
        objective: Objective,
        *,
        unknowns: Iterable[Unknown] = (),
        constants: Mapping[str, Any] | None = None,
        environments: int | None = None,
        parallel: bool = False,
        may_fail: float = 0.0,
    ) -> None:
        given = tuple(unknowns)
        self.simulator, self.objective = simulator, objective
        self.constants = dict(constants or {})
        self._given = tuple(u.name for u in given)
        self._weights = {name: w for name, w in simulator.named_parameters() if w.requires_grad}
        self._check_given(parallel)
        rollout = getattr(simulator, "rollout", None)
        batch: int = getattr(rollout, "batch", 1)
        count = batch if environments is None else environments
        super().__init__(
            (*given, *(Unknown(name=name, initial=w) for name, w in self._weights.items())),
            environments=count,
            parallel=count if parallel else 1,
            smooth=getattr(simulator, "smooth", True),
            steps_per_call=getattr(rollout, "steps", 1),
            may_fail=may_fail,
        )

    def compute(self, values: Values) -> Evaluation:
        weights = {name: values[name] for name in self._weights}
        given = {**self.constants, **{name: values[name] for name in self._given}}
        trajectory, failures, runs = self._simulate(weights, given)
        policy = getattr(self.simulator, "policy", None)
        judged = self.objective.judge(trajectory)
        return Evaluation(
            loss=judged.loss,
            metrics=judged.metrics,
            residuals=judged.residuals,
            log_probability=getattr(policy, "log_probability", None),
            failures=tuple(failures) if runs > 1 else (),
            simulator_calls=runs * self.environments,
        )

    def _simulate(self, weights: Values, given: Values) -> tuple[Mapping[str, torch.Tensor], list[str], int]:
        """The trajectory, a sentence for each environment that failed and ran as another one, and the number of runs."""
        failures = [""] * self.environments
        for run in range(1, self.environments + 1):
            try:
                return self._call(weights, given), failures, run
            except SimulationError as error:
                charge(self.environments)
                failed = {e: status.message for status in _each(error.status) if (e := status.environment) is not None}
                if not failed or not isinstance(self.simulator, Simulator):
                    raise
                if self.parallel > 1:
                    raise Failed(str(error), environments=tuple(failed)) from error
                for environment, sentence in failed.items():
                    failures[environment] = sentence
                left = [e for e, sentence in enumerate(failures) if not sentence]
                enough = left and self.environments - len(left) <= self.may_fail * self.environments
                if not (enough and plan_more(self.environments)):
                    raise Failed(str(error), environments=tuple(failed)) from error
                seats = [left[0] if failures[e] else e for e in range(self.environments)]
                given = reseated(self.simulator.rollout, given, seats)
        raise RuntimeError("every run named another environment")

    def _call(self, weights: Values, given: Values) -> Mapping[str, torch.Tensor]:
        if self.parallel == 1 or not weights:
            self._copy(weights)  # a torch law re-reads its weights from the module in backward
            return torch.func.functional_call(self.simulator, weights, (given,))
        controller: Controller = self.simulator.policy  # type: ignore[assignment]
        controller.stacked = frozenset(name.removeprefix(POLICY) for name in weights)
        try:
            return torch.func.functional_call(self.simulator, weights, (given,))
        finally:
            controller.stacked = frozenset()

    def _check_given(self, parallel: bool) -> None:
        both = sorted(set(self.constants) & set(self._given))
        if both:
            raise InputError(f"problem: expected constants that are not unknown, got {both}; leave them out of one.")
        policy = getattr(self.simulator, "policy", None)
        other = [name for name in self._weights if not (isinstance(policy, Controller) and name.startswith(POLICY))]
        if parallel and other:
            raise InputError(
                f"problem: expected trainable weights of a Controller's policy alone with parallel candidates, got {other[:3]}; "
                "freeze the others."
            )

    def linearise_calls(self) -> int:
        return (1 + self.space.dimension) * self.calls()

    def differentiate(self, theta: torch.Tensor) -> tuple[Evaluation, torch.Tensor]:
        """The evaluation and the Jacobian of its residuals, by the tangent of the simulator along every coordinate."""
        self._check_tangent()
        values, directions = self.space.values(theta), self.space.tangents(theta)
        trajectory, moved = self.simulator.linearise({**self.constants, **values}, directions)
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


def _each(status: Status) -> tuple[Status, ...]:
    """One status for every environment that a failed run names."""
    return status.failures or (status,)


def reseated(rollout: Rollout, given: Values, seats: list[int]) -> Values:
    """Values with which each environment runs as the one in its seat: where environments differ, they change places."""
    made = dict(given)
    for name, parameter in rollout.parameters().items():
        value = given.get(name, parameter.value)
        tensor = value if isinstance(value, torch.Tensor) else torch.as_tensor(np.asarray(value))
        shape = parameter.aligned(np.broadcast_to(np.float64(0.0), tuple(tensor.shape))).shape
        if shape[0] == len(seats) and (name in given or bool((tensor != tensor[:1]).any())):
            made[name] = tensor.reshape(shape)[seats]
    return made
