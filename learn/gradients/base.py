"""What is asked of a gradient, however it is obtained."""

import abc
import dataclasses
import math
from collections.abc import Mapping

import torch

from pliant.learn.problem import Evaluation, Problem


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a method is told of one point.

    Args:
        value: the loss; +inf where the simulation failed.
        gradient: [dimension] in coordinates, or None where none was asked for.
        variance: of each entry of the gradient estimate, [dimension], where the estimator can say.
        residuals, jacobian: [m] and [m, dimension] for Gauss-Newton methods: value = |residuals|^2 / 2.
        metrics: what the problem wants logged.
        failure: the sentence of what went wrong, or empty.
        ranked: whether the value counts when the best unknowns are chosen.
        simulator_calls: what it cost; a backward counts like a forward.
    """

    value: float
    gradient: torch.Tensor | None = None
    variance: torch.Tensor | None = None
    residuals: torch.Tensor | None = None
    jacobian: torch.Tensor | None = None
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    failure: str = ""
    ranked: bool = True
    simulator_calls: int = 0

    @staticmethod
    def of(evaluation: Evaluation) -> "Estimate":
        """What a forward alone tells; over several environments the residuals are scaled so that their loss is the mean."""
        given = evaluation.residuals
        residuals = None if given is None else given.detach().flatten() * mean_weight(given)
        return Estimate(
            value=evaluation.value,
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


class GradientEstimator(abc.ABC):
    """A way to differentiate the loss of a problem at a point.

    An estimator evaluates the problem as often as it likes, draws all its randomness from `rng`, counts every call,
    and returns a failure (never raises) where a simulation fails.
    """

    @abc.abstractmethod
    def __call__(self, problem: Problem, theta: torch.Tensor, rng: torch.Generator) -> Estimate:
        """The estimate at coordinates [dimension]."""

    @abc.abstractmethod
    def cost(self, problem: Problem) -> int:
        """Simulator calls of one estimate."""
