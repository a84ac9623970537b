"""Residuals and their exact Jacobian, by forward-mode differentiation of the simulation."""

import dataclasses

import torch

from pliant.learn.gradients.base import Estimate, GradientEstimator, mean_weight
from pliant.learn.problem import Problem, draw_seed


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForwardMode(GradientEstimator):
    """Residuals r, J = dr / dtheta by `Problem.linearise`, and the gradient J^T r.

    One tangent of the simulation a coordinate: for few unknowns. What `Pathwise` says of contacts and chaos holds here too.
    """

    def __call__(self, problem: Problem, thetas: torch.Tensor, rng: torch.Generator) -> list[Estimate]:
        return [self._one(problem, theta, draw_seed(rng)) for theta in thetas]

    def cost(self, problem: Problem, candidates: int = 1) -> int:
        return candidates * problem.linearise_calls()

    def _one(self, problem: Problem, theta: torch.Tensor, seed: int) -> Estimate:
        evaluation, jacobian = problem.linearise(theta, seed=seed)
        told = Estimate.of(evaluation)
        if jacobian is None or evaluation.residuals is None or told.residuals is None:
            return told
        rows = jacobian.reshape(-1, len(theta)) * mean_weight(evaluation.residuals)
        bad = problem.space.describe_not_finite(rows.sum(0))
        if bad:
            failure = f"the Jacobian of {bad}; find its origin with sim.check_gradients"
            return dataclasses.replace(told, failure=failure)
        return dataclasses.replace(told, gradient=rows.T @ told.residuals, jacobian=rows)
