"""A method to come: first- and zeroth-order gradients mixed by their variances, where contact makes the first one wrong."""

import dataclasses

import pytest
import torch

from pliant.learn import Adam, Budget, Estimate, GradientEstimator, Pathwise, Problem, Unknown, draw_seed, solve


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlphaOrder(GradientEstimator):
    """g = (1 - a) g1 + a g0 of the loss smoothed by noise of the size e; a = 1 where both disagree by more than their errors.

    Source: Suh et al., Do differentiable simulators give better policy gradients?, ICML 2022, section 5.
    """

    samples: int = 32
    size: float = 0.2

    def __call__(self, problem: Problem, thetas: torch.Tensor, rng: torch.Generator) -> list[Estimate]:
        return [self._one(problem, theta, rng) for theta in thetas]

    def cost(self, problem: Problem, candidates: int = 1) -> int:
        pairs = problem.calls(2 * self.samples) + problem.calls(self.samples, gradient=True)
        return candidates * pairs

    def _one(self, problem: Problem, theta: torch.Tensor, rng: torch.Generator) -> Estimate:
        noise = problem.space.noise(self.samples, rng)
        sides = torch.cat([theta + self.size * noise, theta - self.size * noise])
        seeds = [draw_seed(rng) for _ in noise]
        told = [Estimate.of(evaluation) for evaluation in problem.evaluate_all(sides, seeds=seeds + seeds)]
        first = Pathwise()(problem, sides[: self.samples], rng)
        kept = [i for i, e in enumerate(first) if e.ok and told[i].ok and told[i + self.samples].ok]
        value = torch.tensor([e.value for e in told], dtype=theta.dtype)
        slopes = (value[: self.samples] - value[self.samples :]) / (2.0 * self.size)
        g0, g1 = (slopes[:, None] * noise)[kept], torch.stack([first[i].gradient for i in kept])
        v0, v1 = (g.var(0).sum() / len(kept) for g in (g0, g1))
        apart = float((g1.mean(0) - g0.mean(0)).norm()) > 2.0 * float((v0 + v1).sqrt())
        a = 1.0 if apart else float(v1 / (v0 + v1))
        calls = sum(e.simulator_calls for e in (*told, *first))
        gradient = (1.0 - a) * g1.mean(0) + a * g0.mean(0)
        return Estimate(value=float(value[kept].mean()), gradient=gradient, metrics={"alpha": a}, simulator_calls=calls)


def ball(wall: float) -> Problem:
    """x - 1 squared, and a wall at 0.5 that costs so much: its step has a pathwise gradient of zero."""
    unknown = Unknown(name="x", initial=torch.tensor([0.0], dtype=torch.float64))
    loss = lambda v: ((v["x"] - 1.0).square() + wall * (v["x"] > 0.5)).sum(-1)  # noqa: E731
    return Problem.from_loss(loss, [unknown], environments=8, parallel=8, smooth=wall == 0.0)


@pytest.mark.parametrize(("wall", "alpha", "end"), [(2.0, 1.0, (0.0, 0.4)), (0.0, 0.5, (0.9, 1.1))])
def test_the_mixture_stops_before_a_wall_and_follows_the_pathwise_gradient_where_it_is_smooth(wall, alpha, end):
    result = solve(ball(wall), Adam(learning_rate=0.05, estimator=AlphaOrder()), Budget(simulator_calls=8000), 0)
    last = result.history[-20:]
    assert end[0] < float(result.unknowns["x"]) < end[1]
    assert sum(r["alpha"] for r in last) / 20 == pytest.approx(alpha, abs=0.5)
    assert result.simulator_calls == len(result.history) * 16 * 8  # 8 groups on the sides, 4 forward and 4 backward
    blind = solve(ball(wall), Adam(learning_rate=0.05), Budget(iterations=60), 0)
    assert blind.history[-1]["loss"] > 1.5 or wall == 0.0
