"""Residuals and their Jacobians: finite differences and forward mode against closed forms and against the adjoint."""

import pytest
import torch

from learn import Evaluation, FiniteDifference, Problem, Unknown
from sim import InputError
from tests.learning import failing_beyond, quadratic


def product_problem(**options) -> Problem:
    """r = (x y, x - 3, y^2) for x in [0, 4] and y = exp(theta)."""
    unknowns = [
        Unknown(name="x", initial=torch.tensor(2.0, dtype=torch.float64), lower=0.0, upper=4.0),
        Unknown(name="y", initial=torch.tensor(0.5, dtype=torch.float64), scale="log", spread=0.5),
    ]

    def function(values):
        x, y = values["x"], values["y"]
        residuals = torch.stack([x * y, x - 3.0, y * y], dim=-1)
        return Evaluation(loss=residuals.square().sum(-1) / 2, residuals=residuals)

    return Problem.from_loss(function, unknowns, **options)


def exact_jacobian(theta: torch.Tensor) -> torch.Tensor:
    """Of `product_problem`, with dy / dtheta = y / 2."""
    x, y = theta[0], torch.exp(0.5 * theta[1])
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return torch.stack([torch.stack([y, x * y / 2]), torch.stack([one, zero]), torch.stack([zero, y * y])])


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("options", [{}, {"environments": 5, "parallel": 5}], ids=["one by one", "in parallel"])
def test_central_differences_give_the_jacobian_of_the_coordinates(options):
    problem = product_problem(**options)
    estimate = FiniteDifference(step=1e-5)(problem, problem.space.initial, generator())
    exact = exact_jacobian(problem.space.initial)
    assert torch.allclose(estimate.jacobian, exact, rtol=1e-9, atol=1e-9)  # truncation 1e-10, round-off 1e-11
    assert torch.allclose(estimate.gradient, exact.T @ estimate.residuals, rtol=1e-9, atol=1e-9)
    assert estimate.value == pytest.approx(float(estimate.residuals.square().sum()) / 2, rel=1e-14)
    assert estimate.simulator_calls == FiniteDifference().cost(problem) == 5


def test_at_a_bound_the_difference_is_taken_inside():
    problem = product_problem()
    theta = torch.stack([problem.space.upper[0], problem.space.initial[1]])
    estimate = FiniteDifference(step=1e-5)(problem, theta, generator())
    # one-sided: exact for the first residuals, which are linear in x
    assert torch.allclose(estimate.jacobian[:, 0], exact_jacobian(theta)[:, 0], rtol=1e-9, atol=1e-9)


def test_differences_across_a_failed_simulation_carry_its_sentence():
    problem = failing_beyond(1e-5)
    estimate = FiniteDifference()(problem, problem.space.initial, generator())
    assert not estimate.ok and "left the grid" in estimate.failure and estimate.jacobian is None


def test_over_environments_the_residuals_stand_for_the_mean_loss():
    def function(values):
        residuals = torch.stack([values["x"] * torch.ones(3), 2.0 * values["x"] * torch.ones(3)])
        return Evaluation(loss=residuals.square().sum(1) / 2, residuals=residuals)

    problem = Problem.from_loss(function, [Unknown(name="x", initial=2.0)], environments=2)
    estimate = FiniteDifference(step=1e-2)(problem, problem.space.initial, generator())
    assert estimate.value == pytest.approx(float(estimate.residuals.square().sum()) / 2)
    assert float(estimate.gradient) == pytest.approx(2.0 * 2.0 * 3.0 * (1.0 + 4.0) / 4.0, rel=1e-4)  # of the mean


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: FiniteDifference(step=0.0), "positive number"),
        (lambda: FiniteDifference()(quadratic(), torch.zeros(3), generator()), "expected a problem with residuals"),
    ],
)
def test_wrong_use_gets_its_sentence(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()
