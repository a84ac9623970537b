"""Random search: the embarrassing baselines that a method has to beat at equal simulator calls."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import torch

from pliant.learn.gradients.base import Estimate
from pliant.learn.method import Method, Query
from pliant.learn.problem import Problem
from pliant.sim.errors import InputError


@dataclasses.dataclass(kw_only=True, eq=False)
class RandomSearch(Method):
    """The best of N Gaussian samples around the initial unknowns, which are the first of them.

    Args:
        samples: candidates an iteration.
        std: of the samples, in coordinates (spreads of the unknowns).
        recenter: sample around the best point so far instead: a local random search.
    """

    STATE: ClassVar[tuple[str, ...]] = ("center", "best", "begun")

    samples: int = 16
    std: float = 1.0
    recenter: bool = False

    def __post_init__(self) -> None:
        if not (self.samples >= 1 and self.std > 0.0):
            raise InputError(f"RandomSearch: expected samples >= 1 and a positive std, got {self}; correct them.")

    def reset(self) -> None:
        self.center, self.best, self.begun = self.space.initial.clone(), float("inf"), False

    def ask(self) -> Query:
        candidates = self.center + self.std * self.space.noise(self.samples, self.rng)
        if not self.begun:
            candidates[0] = self.center
        return Query(candidates=self.space.project(candidates)[0])

    def cost(self, problem: Problem) -> int:
        return problem.calls(self.samples)

    def tell(self, query: Query, estimates: Sequence[Estimate]) -> dict[str, float]:
        self.begun = True
        best = min(range(len(estimates)), key=lambda i: estimates[i].value)
        if self.recenter and estimates[best].value < self.best:
            self.best, self.center = estimates[best].value, query.candidates[best].clone()
        finite = [e.value for e in estimates if e.ok]
        return {"mean_loss": sum(finite) / len(finite)} if finite else {}


@dataclasses.dataclass(kw_only=True, eq=False)
class AugmentedRandomSearch(Method):
    """Descent along random directions weighed by the difference of the losses on both sides.

    theta -= learning_rate / (top s) sum_top (L(theta + std d) - L(theta - std d)) d

    with s the deviation of the losses used; the `top` directions are those whose better side is best. A direction of
    which one side fails is left out.

    Args:
        directions: sampled an iteration; each costs two evaluations.
        top: how many of them are used; None uses all.
        std, learning_rate: in coordinates (spreads of the unknowns).

    Source: Mania, Guy and Recht, Simple random search of static linear policies, algorithm 2 (V1-t).
    """

    STATE: ClassVar[tuple[str, ...]] = ("theta", "noise")

    directions: int = 8
    top: int | None = None
    std: float = 0.1
    learning_rate: float = 0.1

    def __post_init__(self) -> None:
        top = self.directions if self.top is None else self.top
        if not (1 <= top <= self.directions and self.std > 0.0 and self.learning_rate > 0.0):
            raise InputError(
                f"expected 1 <= top <= directions, std > 0 and learning_rate > 0, got {self}; correct them."
            )

    def reset(self) -> None:
        self.theta = self.space.initial.clone()
        self.noise = torch.zeros_like(self.theta).expand(self.directions, -1).clone()

    def ask(self) -> Query:
        self.noise = self.space.noise(self.directions, self.rng)
        sides = torch.cat([self.theta + self.std * self.noise, self.theta - self.std * self.noise])
        return Query(candidates=self.space.project(sides)[0])

    def cost(self, problem: Problem) -> int:
        return problem.calls(2 * self.directions)

    def tell(self, query: Query, estimates: Sequence[Estimate]) -> dict[str, float]:
        pairs = list(zip(estimates[: self.directions], estimates[self.directions :], strict=True))
        good = [i for i, (plus, minus) in enumerate(pairs) if plus.ok and minus.ok]
        used = sorted(good, key=lambda i: min(e.value for e in pairs[i]))[: self.top]
        losses = torch.tensor([[pairs[i][0].value, pairs[i][1].value] for i in used], dtype=self.theta.dtype)
        spread = float(losses.std(correction=0)) if used else 0.0
        if spread > 0.0:
            slopes = (losses[:, 0] - losses[:, 1]).to(self.theta.device)
            step = self.learning_rate / (len(used) * spread) * (slopes @ self.noise[used])
            self.theta, _ = self.space.project(self.theta - step)
        return {"directions": len(used), "loss_spread": spread}
