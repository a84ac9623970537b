"""What is asked of a gradient, however it is obtained."""

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch

from pliant.learn.evaluation import Evaluation
from pliant.learn.problem import Problem
from pliant.learn.state import Stateful


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a method is told of one point.

    Args:
        value: the loss; +inf where the simulation failed.
        losses: of each environment, [environments]; +inf for those that failed.
        failures: a sentence for each environment, empty for those that ran; () where all did.
        gradient: [dimension] in coordinates, or None where none was asked for.
        variance: of each entry of the gradient estimate, [dimension], where the estimator can say.
        residuals, jacobian: [m] and [m, dimension] for Gauss-Newton methods: value = |residuals|^2 / 2.
        metrics: what the problem wants logged.
        failure: the sentence of what went wrong, or empty.
        ranked: whether the value counts when the best unknowns are chosen.
        simulator_calls: what it cost; a backward counts like a forward.
    """

    value: float
    losses: torch.Tensor | None = None
    failures: tuple[str, ...] = ()
    gradient: torch.Tensor | None = None
    variance: torch.Tensor | None = None
    residuals: torch.Tensor | None = None
    jacobian: torch.Tensor | None = None
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    failure: str = ""
    ranked: bool = True
    simulator_calls: int = 0

    @staticmethod
    def of(evaluation: Evaluation) -> "Estimate":
        """What a forward alone tells; over several environments the residuals are scaled so that their loss is the mean."""
        given = None if evaluation.residuals is None else evaluation.of_those_that_ran(evaluation.residuals)
        residuals = None if given is None else given.detach().flatten() * mean_weight(given)
        losses = evaluation.loss.detach().reshape(-1)
        if evaluation.failure or evaluation.failures:
            failed = ~evaluation.ran if len(evaluation.failures) == len(losses) else ~torch.isfinite(losses)
            losses = losses.masked_fill(failed.to(losses.device), torch.inf)
        return Estimate(
            value=evaluation.value,
            losses=losses,
            failures=evaluation.failures,
            residuals=residuals,
            metrics=evaluation.numbers(),
            failure=evaluation.failure,
            ranked=evaluation.ranked,
            simulator_calls=evaluation.simulator_calls,
        )

    @property
    def ok(self) -> bool:
        return not self.failure and math.isfinite(self.value)


def mean_weight(residuals: torch.Tensor) -> float:
    """What residuals [m] or [environments, m] are scaled by, so that half their square is the mean loss."""
    return 1.0 if residuals.ndim == 1 else 1.0 / math.sqrt(len(residuals))


class GradientEstimator(Stateful, abc.ABC):
    """A way to differentiate the loss of a problem at points.

    An estimator evaluates the problem as often as it likes, draws all its randomness from `rng`, and returns a failure
    (never raises) where a simulation fails. What it learns from call to call is named in STATE and set by `reset`; calls
    that it makes without the problem it tells `charge`.
    """

    @abc.abstractmethod
    def __call__(self, problem: Problem, thetas: torch.Tensor, rng: torch.Generator) -> list[Estimate]:
        """The estimates at coordinates [candidates, dimension], in order."""

    @abc.abstractmethod
    def cost(self, problem: Problem, candidates: int = 1) -> int:
        """Simulator calls of the estimates at so many candidates."""

    def reset(self) -> None:  # noqa: B027 - most estimators learn nothing
        """Set the attributes that STATE names to their start; a training begins."""
