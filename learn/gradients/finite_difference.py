"""Residuals and their Jacobian by central differences, for problems whose tangent is not known."""

import dataclasses
from collections.abc import Sequence

import torch

from pliant.learn.gradients.base import Estimate, GradientEstimator
from pliant.learn.problem import Problem, draw_seed
from pliant.sim.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class FiniteDifference(GradientEstimator):
    """Residuals r and J_k = (r(theta + h e_k) - r(theta - h e_k)) / 2 h, with the gradient J^T r.

    The truncation error is of order h^2, the round-off of order 1e-16 / h in float64: 1e-4 leaves about 1e-8 of a
    coordinate's own size. In float32 the round-off is 1e-3 and more: use `ForwardMode` there. At a bound the
    difference is taken over the half that is inside.

    Args:
        step: h, in coordinates (spreads of the unknowns).

    Errors: `InputError` where the problem has no residuals.
    """

    step: float = 1e-4

    def __post_init__(self) -> None:
        if not self.step > 0.0:
            raise InputError(f"FiniteDifference.step: expected a positive number, got {self.step}; correct it.")

    def __call__(self, problem: Problem, thetas: torch.Tensor, rng: torch.Generator) -> list[Estimate]:
        return [self._one(problem, theta, draw_seed(rng)) for theta in thetas]

    def cost(self, problem: Problem, candidates: int = 1) -> int:
        return candidates * problem.calls(1 + 2 * problem.space.dimension)

    def _one(self, problem: Problem, theta: torch.Tensor, seed: int) -> Estimate:
        moved = self.step * torch.eye(len(theta), dtype=theta.dtype, device=theta.device)
        ahead, back = (problem.space.project(theta + sign * moved)[0] for sign in (1, -1))
        evaluations = problem.evaluate_all(torch.cat([theta[None], ahead, back]), seed=seed)
        told = [Estimate.of(evaluation) for evaluation in evaluations]
        calls = sum(e.simulator_calls for e in told)
        failed = next((e for e in told if not e.ok), None)
        if failed is not None:
            return dataclasses.replace(told[0], failure=failed.failure, simulator_calls=calls)
        residuals = _residuals(told)
        count, spans = len(theta), (ahead - back).diagonal()
        jacobian = (residuals[1 : count + 1] - residuals[count + 1 :]).T / spans
        gradient = jacobian.T @ residuals[0]
        return dataclasses.replace(told[0], gradient=gradient, jacobian=jacobian, simulator_calls=calls)


def _residuals(told: Sequence[Estimate]) -> torch.Tensor:
    found = [estimate.residuals for estimate in told if estimate.residuals is not None]
    if len(found) < len(told):
        raise InputError(
            "FiniteDifference: expected a problem with residuals, got none; give its objective `residuals`."
        )
    return torch.stack(found)
