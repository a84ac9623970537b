"""L-BFGS: curvature from the last few steps, for losses that are the same at every call."""

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

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclasses.dataclass(kw_only=True, eq=False)
class LBFGS(Method):
    """Quasi-Newton descent with limited memory; an iteration is one evaluation of the line search.

    d = -H g with H from the last pairs s = theta' - theta, y = g' - g (two-loop recursion), and the first length t found
    by bisection with
        L(theta + t d) <= L(theta) + c1 t g . d     and     g(theta + t d) . d >= c2 g . d

    which holds s . y > 0 and needs no smoothness: contact makes kinks. A point that fails is a step too long. Where a
    bound is met, the step is shortened to it and the second condition waived.

    It takes the loss for a function: give it windows and data that do not change from call to call, otherwise use `Adam`.

    Args:
        memory: number of pairs kept.
        first_step: length of the first step, in coordinates (spreads of the unknowns).
        sufficient_decrease, curvature: c1 and c2.
        patience: evaluations of one line search before it gives up, forgets the curvature, and then ends the training.
        estimator: where gradients come from.

    Source: Nocedal and Wright, Numerical Optimization, algorithm 7.4; Lewis and Overton, Nonsmooth optimization via
        quasi-Newton methods, Math. Program. 141 (2013), algorithm 2.6.
    """

    STATE: ClassVar[tuple[str, ...]] = (
        "theta", "started", "value", "gradient", "pairs", "direction", "trial", "length", "low", "high", "tries", "steps", "projected",
    )  # fmt: skip

    memory: int = 30
    first_step: float = 0.1
    sufficient_decrease: float = 1e-4
    curvature: float = 0.9
    patience: int = 20
    estimator: GradientEstimator = dataclasses.field(default_factory=Pathwise)

    def __post_init__(self) -> None:
        if self.memory < 1 or self.patience < 1 or not 0.0 < self.first_step < math.inf:
            got = f"{self.memory}, {self.patience} and {self.first_step}"
            raise InputError(
                f"LBFGS: expected memory, patience >= 1 and a positive first_step, got {got}; correct them."
            )
        if not 0.0 < self.sufficient_decrease < self.curvature < 1.0:
            got = f"{self.sufficient_decrease} and {self.curvature}"
            raise InputError(f"LBFGS: expected 0 < sufficient_decrease < curvature < 1, got {got}; correct them.")

    def reset(self) -> None:
        self.theta, self.steps, self.projected = self.space.initial.clone(), 0, 0
        self._forget()

    def restart(self) -> None:
        """Go on from the best point with another loss."""
        super().restart()
        self._forget()

    def ask(self) -> Query:
        return Query(candidates=self.trial[None], estimator=self.estimator)

    def cost(self, problem: Problem) -> int:
        return self.estimator.cost(problem)

    def tell(self, query: Query, estimates: Sequence[Estimate]) -> dict[str, float]:
        estimate = estimates[0]
        if self.started:
            self._judge(estimate)
        else:
            self._start(estimate)
        logged = {"step_length": self.length}
        return logged if estimate.gradient is None else {**logged, "gradient_norm": float(estimate.gradient.norm())}

    def report(self) -> list[str]:
        if not self.projected:
            return []
        return [f"Unknowns were put back to their bounds in {self.projected} of {self.steps} steps."]

    def _forget(self) -> None:
        """The loss and all that is known of it; theta stays."""
        self.started, self.value, self.trial = False, math.inf, self.theta
        self.gradient = self.direction = torch.zeros_like(self.theta)
        self.pairs: list[Pair] = []
        self.length, self.tries = 0.0, 0
        self.low: list[float] = []
        self.high: list[float] = []

    def _start(self, estimate: Estimate) -> None:
        if not estimate.ok or estimate.gradient is None:
            self.finished = f"L-BFGS cannot start, the initial unknowns fail: {estimate.failure}"
            return
        self.started, self.value, self.gradient = True, estimate.value, estimate.gradient
        self._search()

    def _search(self) -> None:
        """Begin a line search from theta."""
        steepest = self._free(-self.gradient)
        direction = self._free(two_loop(-steepest, self.pairs))
        if not float(direction @ self.gradient) < 0.0:
            self.pairs, direction = [], steepest
        norm = float(direction.norm())
        if norm == 0.0:
            self.finished = "the gradient is zero"
            return
        slope = float(direction @ self.gradient)
        self.direction, self.tries = direction, 0
        self.low, self.high = [0.0, self.value, slope], []
        self._try(1.0 if self.pairs else self.first_step / norm)

    def _free(self, direction: torch.Tensor) -> torch.Tensor:
        """The direction without what would leave the bounds at once."""
        leaving = ((direction < 0.0) & (self.theta <= self.space.lower)) | (
            (direction > 0.0) & (self.theta >= self.space.upper)
        )
        return direction.masked_fill(leaving, 0.0)

    def _try(self, length: float) -> None:
        self.length = length
        self.trial, _ = self.space.project(self.theta + length * self.direction)

    def _judge(self, estimate: Estimate) -> None:
        """Accept the trial point, or look for a better length between `low` and `high`: [length, loss, slope]."""
        self.tries += 1
        step = self.trial - self.theta
        met = bool((self.trial != self.theta + self.length * self.direction).any())
        gradient = estimate.gradient if estimate.ok else None
        slope = math.nan if gradient is None else float(gradient @ self.direction)
        here = [self.length, estimate.value, slope]
        limit = self.value + self.sufficient_decrease * float(step @ self.gradient)
        if gradient is None or not (estimate.value <= limit and estimate.value < self.value):
            self.high = here
        elif not met and slope < self.curvature * float(self.direction @ self.gradient) and self.tries < self.patience:
            self.low = here
        else:
            self._accept(estimate.value, gradient, met)
            return
        if self.tries >= self.patience:
            self._give_up(estimate)
        else:
            self._try(next_length(self.low, self.high))

    def _accept(self, value: float, gradient: torch.Tensor, met: bool) -> None:
        step, change = self.trial - self.theta, gradient - self.gradient
        if float(step @ change) > torch.finfo(step.dtype).eps * float(step.norm() * change.norm()):
            self.pairs = [*self.pairs, (step, change)][-self.memory :]
        self.theta, self.value, self.gradient = self.trial, value, gradient
        self.steps += 1
        self.projected += met
        self._search()

    def _give_up(self, estimate: Estimate) -> None:
        """Go on from the lowest point, down the gradient, or end where that was tried already."""
        if self.low[0] > 0.0:
            self._try(self.low[0])
            self.theta = self.trial
            self._forget()
            return
        if self.pairs:
            self.pairs = []
            self._search()
            return
        reason = f", the last try failed: {estimate.failure}" if estimate.failure else ""
        self.finished = f"no step of {self.patience} down the gradient lowers the loss{reason}"


def two_loop(gradient: torch.Tensor, pairs: Sequence[Pair]) -> torch.Tensor:
    """-H g, with H the inverse Hessian that the pairs suggest; -g without any."""
    d, kept = -gradient, []
    for s, y in reversed(pairs):
        weight = (s @ d) / (s @ y)
        kept.append(weight)
        d = d - weight * y
    if pairs:
        s, y = pairs[-1]
        d = d * ((s @ y) / (y @ y))
    for (s, y), weight in zip(pairs, reversed(kept), strict=True):
        d = d + (weight - (y @ d) / (s @ y)) * s
    return d


def next_length(low: Sequence[float], high: Sequence[float]) -> float:
    """The next length to try between two [length, loss, slope]; four times as long while there is no upper end.

    The minimum of the cubic through both where there is one, away from the ends by a tenth of the interval.

    Source: Nocedal and Wright, eq. 3.59.
    """
    a, fa, ga = low
    if not high:
        return max(4.0 * a, 1e-12)
    b, fb, gb = high
    width, middle = b - a, (a + b) / 2.0
    d1 = ga + gb - 3.0 * (fa - fb) / (a - b)
    root = d1 * d1 - ga * gb
    if not (math.isfinite(root) and root >= 0.0):
        return middle
    d2 = math.copysign(math.sqrt(root), width)
    bottom = gb - ga + 2.0 * d2
    best = b - width * (gb + d2 - d1) / bottom if bottom else middle
    return min(max(best, a + 0.1 * width), b - 0.1 * width)
