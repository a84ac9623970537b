"""A method to come: variational inference of a choice and a number, by the score function."""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import pytest
import torch
from torch.distributions import Categorical, Normal

from pliant.learn import Budget, Estimate, Method, Problem, Query, Unknown, solve

DENSITIES, SEEN, NOISE = torch.tensor([1.0, 1.4, 3.0], dtype=torch.float64), 2.8, 0.4


@dataclasses.dataclass(kw_only=True, eq=False)
class Variational(Method):
    """Fit q(choice) q(number | choice) to exp(-loss) prior, by grad E_q[f] = E_q[(f - mean of the others' f) grad log q].

    f = loss - log prior + log q, both densities over coordinates. Source: Williams, REINFORCE, Mach. Learn. 8 (1992).
    """

    STATE: ClassVar[tuple[str, ...]] = ("weights", "optimiser")

    samples: int = 32
    learning_rate: float = 0.1

    def reset(self) -> None:
        self.weights = torch.nn.ParameterDict({"q": torch.zeros(9, dtype=self.space.dtype)})
        self.optimiser = torch.optim.Adam(self.weights.parameters(), self.learning_rate)

    def q(self, choice: torch.Tensor) -> tuple[Categorical, Normal]:
        logits, mean, log_std = self.weights["q"].reshape(3, 3)  # of each choice, and of the number that goes with it
        return Categorical(logits=logits), Normal(mean[choice], log_std[choice].exp())

    def log_q(self, candidates: torch.Tensor) -> torch.Tensor:
        odds, number = self.q(choice := candidates[:, :3].argmax(1))
        return odds.log_prob(choice) + number.log_prob(candidates[:, 3])

    def ask(self) -> Query:
        choice = torch.multinomial(self.weights["q"].detach()[:3].exp(), self.samples, True, generator=self.rng)
        free = self.space.noise(self.samples, self.rng)[:, 3] * self.q(choice)[1].stddev + self.q(choice)[1].mean
        drawn = torch.cat([torch.eye(3)[choice].to(free), free[:, None]], 1).detach()
        return Query(candidates=drawn, common_noise=False)

    def gradient(self, query: Query, estimates: Sequence[Estimate]) -> tuple[torch.Tensor, torch.Tensor]:
        log_q = self.log_q(query.candidates)
        loss = torch.tensor([e.value for e in estimates], dtype=log_q.dtype)
        f = loss + log_q.detach() - self.space.log_density(query.candidates)
        others = (f.sum() - f) / (len(f) - 1)
        return torch.autograd.grad(((f - others) * log_q).mean(), self.weights["q"])[0], f

    def tell(self, query: Query, estimates: Sequence[Estimate]) -> dict[str, object]:
        self.weights["q"].grad, f = self.gradient(query, estimates)
        self.optimiser.step()
        return {"elbo": -f.mean(), "probabilities": self.weights["q"].detach()[:3].softmax(0)}

    def cost(self, problem: Problem) -> int:
        return problem.calls(self.samples)


def weighed() -> Problem:
    """Which liquid, and how large a ball, given how heavy it was: liquids 0 and 1 are alike."""
    one = torch.ones((), dtype=torch.float64)
    choice = Unknown(name="liquid", initial=0, choices=("water", "brine", "syrup"), prior=Categorical(torch.ones(3)))
    size = Unknown(name="size", initial=one, lower=0.0, prior=Normal(2.0 * one, 0.5))
    loss = lambda v: ((DENSITIES[v["liquid"]] * v["size"] - SEEN) / NOISE).square() / 2.0  # noqa: E731
    return Problem.from_loss(loss, [choice, size], environments=32, parallel=32)


def test_a_choice_is_inferred_with_an_unbiased_score_function():
    problem, method = weighed(), Variational()
    method.start(problem.space, torch.Generator().manual_seed(0))
    size = torch.linspace(-6, 8, 4001, dtype=torch.float64)
    theta = torch.cat([torch.eye(3).double().repeat_interleave(4001, 0), size.repeat(3)[:, None]], 1)
    joint, log_q = problem.space.log_density(theta) - problem.compute(problem.space.values(theta)), method.log_q(theta)
    exact = torch.autograd.grad((log_q.exp() * (log_q - joint)).sum() * (size[1] - size[0]), method.weights["q"])[0]
    queries = [method.ask() for _ in range(200)]
    told = [[Estimate.of(e) for e in problem.evaluate_all(query.candidates)] for query in queries]
    drawn = torch.stack([method.gradient(query, estimates)[0] for query, estimates in zip(queries, told, strict=True)])
    mean, error = drawn.mean(0), drawn.std(0) / math.sqrt(200)
    assert ((mean - exact).abs() < 3.0 * error).all() and (error < 0.1 * exact.abs()).any()
    result = solve(problem, Variational(), Budget(simulator_calls=32 * 250), 0)
    posterior = (joint.exp().reshape(3, -1).sum(1) / joint.exp().sum()).tolist()
    assert result.history[-1]["probabilities"] == pytest.approx(posterior, abs=0.08)
    assert "log density of the priors" in result.report[-1]
