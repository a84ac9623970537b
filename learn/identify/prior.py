"""What was known before any data, weighed against the data: the most probable unknowns."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from pliant.learn.evaluation import Evaluation, as_evaluation
from pliant.learn.problem import Problem, Values


class MaximumAPosteriori(Problem):
    """Minimise -log p(data | values) - sum log p(value), the density of the values in their own units.

    Args:
        likelihood: a problem whose loss is the first term, and whose unknowns carry their priors; unknowns without one have
            a flat prior. With residuals of noise of the size s, that is their half square over s^2.

    It logs `log_prior`.
    """

    STATE: ClassVar[tuple[str, ...]] = ("likelihood",)

    def __init__(self, likelihood: Problem):
        self.likelihood = likelihood
        super().__init__(
            likelihood.space.unknowns,
            environments=likelihood.environments,
            parallel=likelihood.parallel,
            smooth=likelihood.smooth,
            comparable=likelihood.comparable,
            steps_per_call=likelihood.steps_per_call,
            may_fail=likelihood.may_fail,
            backward_calls=likelihood.backward_calls,
        )

    def compute(self, values: Values) -> Evaluation:
        made, log_prior = as_evaluation(self.likelihood.compute(values)), self.space.log_prior(values)
        metrics = {**made.metrics, "log_prior": log_prior.detach()}
        return dataclasses.replace(made, loss=made.loss - log_prior, residuals=None, metrics=metrics)

    def after_tell(self, told: Sequence[Any]) -> dict[str, Any] | None:
        return self.likelihood.after_tell(told)

    def install(self, theta: torch.Tensor) -> Values:
        return self.likelihood.install(theta)
