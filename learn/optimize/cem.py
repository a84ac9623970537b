"""The cross-entropy method: fit a Gaussian to the best samples, again and again."""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import torch

from pliant.learn.gradients.base import Estimate
from pliant.learn.method import Method, Query
from pliant.learn.problem import Problem
from pliant.sim.errors import InputError


@dataclasses.dataclass(kw_only=True, eq=False)
class CEM(Method):
    """Sample from a diagonal Gaussian, move it to the elite's mean and deviation.

    mean = momentum mean + (1 - momentum) mean(elite),   std likewise, and at least min_std (logged as `floored`)

    Failed candidates are never elite; a generation that fails as a whole leaves the Gaussian where it was.

    Args:
        population: candidates an iteration.
        elite_fraction: share of them that is kept, at least two.
        initial_std, min_std: in coordinates (spreads of the unknowns).
        momentum: share of the old mean and deviation that stays.

    Source: Rubinstein and Kroese, The Cross-Entropy Method, algorithm 4.1 with smoothing (eq. 4.12).
    """

    STATE: ClassVar[tuple[str, ...]] = ("mean", "std", "projected")

    population: int = 32
    elite_fraction: float = 0.25
    initial_std: float = 1.0
    min_std: float = 1e-3
    momentum: float = 0.3

    def __post_init__(self) -> None:
        fractions = 0.0 < self.elite_fraction <= 1.0 and 0.0 <= self.momentum < 1.0
        if not (fractions and self.population >= 2 and self.initial_std > 0.0 and self.min_std >= 0.0):
            raise InputError(
                "CEM: expected 0 < elite_fraction <= 1, 0 <= momentum < 1, population >= 2, initial_std > 0 and "
                f"min_std >= 0, got {self}; correct them."
            )

    def reset(self) -> None:
        self.mean = self.space.initial.clone()
        self.std = torch.full_like(self.mean, self.initial_std)
        self.projected = 0

    def ask(self) -> Query:
        candidates, moved = self.space.project(self.mean + self.std * self.space.noise(self.population, self.rng))
        self.projected += moved
        return Query(candidates=candidates)

    def cost(self, problem: Problem) -> int:
        return problem.calls(self.population)

    def tell(self, query: Query, estimates: Sequence[Estimate]) -> dict[str, float]:
        good = sorted((i for i, e in enumerate(estimates) if e.ok), key=lambda i: estimates[i].value)
        elite = good[: max(2, math.ceil(self.elite_fraction * self.population))]
        if len(elite) < 2:
            return {"elite": len(elite), "std": float(self.std.mean())}
        chosen = query.candidates[elite]
        self.mean = self.momentum * self.mean + (1.0 - self.momentum) * chosen.mean(0)
        std = self.momentum * self.std + (1.0 - self.momentum) * chosen.std(0)
        self.std = std.clamp(min=self.min_std)
        return {
            "elite": len(elite),
            "elite_loss": sum(estimates[i].value for i in elite) / len(elite),
            "std": float(self.std.mean()),
            "floored": int((std < self.min_std).sum()),
        }

    def report(self) -> list[str]:
        return [f"{self.projected} entries of candidates were put back to their bounds."] if self.projected else []
