"""Adam: gradient descent with running moments."""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import torch

from pliant.learn.gradients.base import Estimate, GradientEstimator
from pliant.learn.gradients.pathwise import Pathwise
from pliant.learn.method import Method, Query
from pliant.learn.problem import Problem
from pliant.sim.errors import InputError

PATIENCE = 12  # halvings of a step towards the last good point; the rest is 0.02 % of it
RESTARTS = 8  # in a row, from one good point


@dataclasses.dataclass(kw_only=True, eq=False)
class Adam(Method):
    """Gradient descent with bias-corrected running moments.

    m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2
    theta -= r(t) (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)

    with the cosine decay r(t) = r_end + (r - r_end) (1 + cos(pi t / decay_iterations)) / 2. After a point that fails
    (a failed simulation, a gradient that is not finite) the step is halved towards the last good point. Where a dozen
    halvings fail too, it begins anew from there with fresh moments and half the rate, until a new point is good.

    Args:
        learning_rate: r, in coordinates (spreads of the unknowns).
        decay_iterations: length of the cosine decay; None keeps r.
        final_learning_rate: r_end.
        clip_norm: longest gradient used; a longer one is scaled down to it, logged as `clipped` and told in the report.
        estimator: where gradients come from.

    Source: Kingma and Ba, Adam: a method for stochastic optimization, algorithm 1; Loshchilov and Hutter, SGDR, eq. 5.
    """

    STATE: ClassVar[tuple[str, ...]] = (
        "theta", "good", "first", "second", "steps", "clipped", "projected", "failed_in_a_row",
        "restarts", "averaged",
    )  # fmt: skip

    learning_rate: float = 1e-2
    decay_iterations: int | None = dataclasses.field(default=None, metadata={"may_change": True})
    final_learning_rate: float = 0.0
    clip_norm: float | None = None
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    estimator: GradientEstimator = dataclasses.field(default_factory=Pathwise)

    def __post_init__(self) -> None:
        if not (self.learning_rate > 0.0 and all(0.0 <= b < 1.0 for b in self.betas)):
            got = f"{self.learning_rate} and {self.betas}"
            raise InputError(f"Adam: expected a positive learning_rate and betas in [0, 1), got {got}; correct them.")
        if self.clip_norm is not None and not self.clip_norm > 0.0:
            raise InputError(f"Adam.clip_norm: expected a positive norm or None, got {self.clip_norm}; correct it.")

    def reset(self) -> None:
        self.theta = self.space.initial.clone()
        self.good: torch.Tensor | None = None
        self.first, self.second = torch.zeros_like(self.theta), torch.zeros_like(self.theta)
        self.steps = self.clipped = self.projected = self.failed_in_a_row = 0
        self.restarts = self.averaged = 0

    def ask(self) -> Query:
        return Query(candidates=self.theta[None], estimator=self.estimator)

    def cost(self, problem: Problem) -> int:
        return self.estimator.cost(problem)

    def tell(self, query: Query, estimates: Sequence[Estimate]) -> dict[str, float]:
        estimate = estimates[0]
        if not estimate.ok or estimate.gradient is None:
            return self._step_back(estimate.failure)
        if self.good is None or not torch.equal(self.theta, self.good):
            self.restarts = 0
        self.good, self.failed_in_a_row = self.theta, 0
        gradient, logged = self._clip(estimate.gradient)
        rate = self._rate()
        self.theta, moved = self.space.project(self.theta - rate * self._direction(gradient))
        self.projected += moved > 0
        return {**logged, "learning_rate": rate, "projected": moved}

    def report(self) -> list[str]:
        told = []
        if self.clipped:
            told.append(f"The gradient was clipped to norm {self.clip_norm:g} in {self.clipped} of {self.steps} steps.")
        if self.projected:
            told.append(f"Unknowns were put back to their bounds in {self.projected} of {self.steps} steps.")
        return told

    def _clip(self, gradient: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        norm = float(gradient.norm())
        if self.clip_norm is None:
            return gradient, {"gradient_norm": norm}
        clipped = norm > self.clip_norm
        self.clipped += clipped
        scaled = gradient * (self.clip_norm / norm) if clipped else gradient
        return scaled, {"gradient_norm": norm, "clipped": float(clipped)}

    def _rate(self) -> float:
        if self.decay_iterations is None:
            return self.learning_rate * 0.5**self.restarts
        share, end = min(1.0, self.steps / self.decay_iterations), self.final_learning_rate
        return (end + (self.learning_rate - end) * (1.0 + math.cos(math.pi * share)) / 2.0) * 0.5**self.restarts

    def _direction(self, gradient: torch.Tensor) -> torch.Tensor:
        b1, b2 = self.betas
        self.steps += 1
        self.averaged += 1
        self.first = b1 * self.first + (1.0 - b1) * gradient
        self.second = b2 * self.second + (1.0 - b2) * gradient**2
        mean, square = self.first / (1.0 - b1**self.averaged), self.second / (1.0 - b2**self.averaged)
        return mean / (square.sqrt() + self.epsilon)

    def _step_back(self, failure: str) -> dict[str, float]:
        """Halve the way from the last good point; where that does not help, begin anew there with half the rate."""
        self.failed_in_a_row += 1
        if self.good is None:
            self.finished = f"Adam cannot start, the initial unknowns fail: {failure}"
        elif self.failed_in_a_row <= PATIENCE:
            self.theta = (self.theta + self.good) / 2
        elif self.restarts < RESTARTS:
            self.restarts += 1
            self.theta, self.failed_in_a_row, self.averaged = self.good, 0, 0
            self.first, self.second = torch.zeros_like(self.theta), torch.zeros_like(self.theta)
        else:
            self.finished = f"{PATIENCE} halved steps in a row failed {RESTARTS + 1} times: {failure}"
        return {"stepped_back": 1.0}
