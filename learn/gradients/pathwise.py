"""The gradient of the simulation itself, by its adjoint."""

import dataclasses

import torch

from pliant.learn.gradients.base import Estimate, GradientEstimator
from pliant.learn.problem import Evaluation, Problem, draw_seed
from pliant.sim.errors import InputError
from pliant.sim.status import SimulationError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pathwise(GradientEstimator):
    """Pathwise (first-order) gradient d mean(loss) / d theta by automatic differentiation.

    Exact for a smooth deterministic loss. Over contacts or chaotic horizons it can be biased or explode: check it with
    `sim.check_gradients`.

    Args:
        samples: runs with independent randomness to average over; from two on the variance of the mean is told.
    """

    samples: int = 1

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise InputError(f"Pathwise.samples: expected at least 1, got {self.samples}; correct it.")

    def __call__(self, problem: Problem, theta: torch.Tensor, rng: torch.Generator) -> Estimate:
        each = [self._one(problem, theta, draw_seed(rng)) for _ in range(self.samples)]
        calls = sum(e.simulator_calls for e in each)
        failed = next((e for e in each if not e.ok), None)
        if failed is not None or self.samples == 1:
            return dataclasses.replace(failed or each[0], simulator_calls=calls)
        gradients = torch.stack([e.gradient for e in each if e.gradient is not None])
        return Estimate(
            value=sum(e.value for e in each) / self.samples,
            gradient=gradients.mean(0),
            variance=gradients.var(0) / self.samples,
            metrics={name: sum(e.metrics[name] for e in each) / self.samples for name in each[0].metrics},
            simulator_calls=calls,
        )

    def cost(self, problem: Problem) -> int:
        return 2 * problem.calls() * self.samples

    def _one(self, problem: Problem, theta: torch.Tensor, seed: int) -> Estimate:
        leaf = theta.detach().clone().requires_grad_()
        evaluation = problem.evaluate(leaf, gradient=True, seed=seed)
        told = Estimate.of(evaluation)
        if not told.ok:
            return told
        calls = told.simulator_calls + problem.calls()
        try:
            gradient = _differentiate(evaluation, leaf)
        except SimulationError as error:
            return dataclasses.replace(told, failure=str(error), simulator_calls=calls)
        bad = problem.space.describe_not_finite(gradient)
        failure = f"the gradient of {bad}; find its origin with sim.check_gradients" if bad else ""
        return dataclasses.replace(told, gradient=gradient, failure=failure, simulator_calls=calls)


def _differentiate(evaluation: Evaluation, leaf: torch.Tensor) -> torch.Tensor:
    if not evaluation.loss.requires_grad:
        raise InputError("Pathwise: expected a loss that depends on the unknowns, got a constant; remove a detach().")
    return torch.autograd.grad(evaluation.loss.mean(), leaf)[0]
