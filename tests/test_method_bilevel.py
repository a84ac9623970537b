"""A method to come: a problem whose loss is that of the solution of another problem, by the implicit function theorem."""

import pytest
import torch

from pliant.learn import LBFGS, Budget, Evaluation, Meter, Pathwise, Problem, Unknown, solve

RNG = torch.Generator().manual_seed(0)
DESIGN, CHECK = (torch.randn(n, 6, generator=RNG, dtype=torch.float64) for n in (8, 40))
TRUTH = torch.tensor([1.0, -1.0, 0.5, 0.0, 0.0, 0.0], dtype=torch.float64)
SEEN = DESIGN @ TRUTH + 0.5 * torch.randn(8, generator=RNG, dtype=torch.float64)


def inner_loss(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Robust misfit of eight data, held back by weight |x|^2 / 2."""
    return ((1.0 + (DESIGN @ x - SEEN).square()).sqrt() - 1.0).sum() + weight * x.square().sum() / 2.0


class Regularisation(Problem):
    """The weight with which the inner solution predicts best what it has not seen.

    d x / d weight = -H^-1 d(grad_x inner) / d weight at the inner solution: one Newton step that torch differentiates.
    """

    STATE = ("warm",)

    def __init__(self):
        initial = torch.tensor(1e-2, dtype=torch.float64)
        super().__init__([Unknown(name="weight", initial=initial, scale="log")], backward_calls=0)
        self.warm = torch.zeros(6, dtype=torch.float64)

    def compute(self, values) -> Evaluation:
        weight = values["weight"]
        inner = Problem.from_loss(
            lambda v: inner_loss(v["x"], weight.detach()), [Unknown(name="x", initial=torch.zeros(6).double())]
        )
        x = solve(inner, LBFGS(), Budget(iterations=200), 0, start=self.warm).theta
        self.warm = x
        hessian = torch.func.hessian(inner_loss)(x, weight.detach())
        slope = torch.func.grad(inner_loss)(x, weight)
        x = x - torch.linalg.solve(hessian, slope)
        return Evaluation(loss=(CHECK @ (x - TRUTH)).square().mean())


def test_the_gradient_of_a_bilevel_problem_agrees_with_differences_and_every_inner_call_is_counted():
    problem, step = Regularisation(), 1e-4
    theta = problem.space.initial
    with Meter() as meter:
        (estimate,) = Pathwise()(problem, theta[None], torch.Generator())
    assert estimate.simulator_calls == meter.calls > 10  # what the inner training spent; the implicit gradient is free
    sides = [problem.evaluate(theta + sign * step).value for sign in (1, -1)]
    assert float(estimate.gradient) == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-3)
    result = solve(problem, LBFGS(first_step=1.0), Budget(iterations=12), 0)
    assert result.loss < 0.7 * problem.evaluate(theta).value and result.simulator_calls > 100
