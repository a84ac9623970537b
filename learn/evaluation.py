"""What one run of a problem says, and who failed in it."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from pliant.sim.errors import InputError, PliantError


class Failed(PliantError, RuntimeError):
    """Raised by `Problem.compute` where the values cannot be judged: a loss of +inf with this sentence.

    Args:
        sentence: what went wrong.
        environments: which of them failed; the others may then be run again without. None: not known.
    """

    def __init__(self, sentence: str, *, environments: Iterable[int] | int | None = None):
        super().__init__(sentence)
        given = environments if environments is None or isinstance(environments, Iterable) else (environments,)
        self.environments = None if given is None else tuple(int(environment) for environment in given)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What one run of a problem says.

    Args:
        loss: scalar or [environments]; what is minimised is its mean. Carries a graph when a gradient was asked for.
        metrics: what else to log: numbers, text, tensors [environments] (their mean is logged) or larger ones (a histogram).
        residuals: optional [m] or [environments, m] with loss = |residuals|^2 / 2, for Gauss-Newton methods.
        log_probability: optional [environments], of the actions a stochastic policy took, for score-function gradients.
        failure: the sentence of an evaluation that failed; its value is +inf.
        failures: a sentence for each environment, empty for those that ran; () where all did. The mean is over those that ran.
        ranked: whether the loss counts when the best unknowns are chosen.
        simulator_calls: what it cost; 0: what the problems inside it cost, or one forward where there are none.
        backward_calls: what a backward of the loss costs; None: as said by the problem.
    """

    loss: torch.Tensor
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    residuals: torch.Tensor | None = None
    log_probability: torch.Tensor | None = None
    failure: str = ""
    failures: tuple[str, ...] = ()
    ranked: bool = True
    simulator_calls: int = 0
    backward_calls: int | None = None

    @property
    def value(self) -> float:
        """Mean loss over the environments that ran; +inf for an evaluation that failed."""
        return math.inf if self.failure else float(self.mean.detach())

    @property
    def mean(self) -> torch.Tensor:
        """What is minimised: the mean loss over the environments that ran, with its graph."""
        return self.of_those_that_ran(self.loss).mean()

    @property
    def ran(self) -> torch.Tensor:
        """Which environments ran, [environments] of booleans; empty where none failed."""
        return torch.tensor([not sentence for sentence in self.failures])

    def numbers(self) -> dict[str, Any]:
        """The metrics as what can be logged."""
        return {name: self._loggable(metric) for name, metric in self.metrics.items()}

    def environment(self, index: int) -> "Evaluation":
        """That of one environment alone; its calls are not told apart and stay with the whole."""
        rows = len(self.loss)

        def pick(array: Any) -> Any:
            return array[index] if isinstance(array, torch.Tensor) and array.ndim and len(array) == rows else array

        metrics = {name: pick(metric) for name, metric in self.metrics.items()}
        return dataclasses.replace(
            self,
            loss=self.loss[index],
            metrics=metrics,
            residuals=None if self.residuals is None else self.residuals[index],
            log_probability=None if self.log_probability is None else pick(self.log_probability),
            failure=self.failures[index] if self.failures else self.failure,
            failures=(),
            simulator_calls=0,
        )

    def of_those_that_ran(self, array: torch.Tensor) -> torch.Tensor:
        """The rows of an array [environments, ...] that belong to environments that ran; any other array as it is."""
        whole = not self.failures or array.ndim == 0 or len(array) != len(self.failures)
        return array if whole else array[self.ran.to(array.device)]

    def _loggable(self, metric: Any) -> Any:
        if isinstance(metric, str):
            return metric
        try:
            given = torch.as_tensor(metric).detach()
        except (TypeError, ValueError, RuntimeError):  # what torch raises, by the kind of thing
            kind = type(metric).__name__
            raise InputError(
                f"problem: expected a number, text or a tensor as a metric, got {kind}; convert it."
            ) from None
        array = given if given.is_floating_point() else given.double()
        return array if array.ndim > 1 else float(self.of_those_that_ran(array).mean())


def as_evaluation(made: Any) -> Evaluation:
    """What `compute` returned, as an evaluation; `InputError` for what is none."""
    if not isinstance(made, Evaluation):
        loss, metrics = made if isinstance(made, tuple) and len(made) == 2 else (made, {})
        made = Evaluation(loss=loss, metrics=metrics)
    loss = made.loss
    if not (isinstance(loss, torch.Tensor) and loss.is_floating_point() and loss.ndim <= 1 and loss.numel()):
        got = f"{loss.dtype} {list(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
        raise InputError(f"problem: expected a floating-point loss, scalar or [environments], got {got}; correct it.")
    if not isinstance(made.metrics, Mapping):
        got = type(made.metrics).__name__
        raise InputError(f"problem: expected metrics by name, a dictionary, got {got}; name them or leave them out.")
    if loss.ndim and len(made.failures) not in (0, len(loss)):
        expected = f"a sentence for each of {len(loss)} losses as failures, or none"
        raise InputError(f"problem: expected {expected}, got {len(made.failures)}; correct them.")
    return made


def judged(evaluation: Evaluation, may_fail: float = 0.0) -> Evaluation:
    """The evaluation with a failure for each environment whose loss is not finite, and as a whole where too many failed.

    Args:
        may_fail: share of the environments that may fail; one at least has to run.
    """
    if evaluation.failure or (not any(evaluation.failures) and math.isfinite(float(evaluation.loss.detach().sum()))):
        return evaluation
    loss = evaluation.loss.detach().reshape(-1)
    bad = ~torch.isfinite(loss)
    told = list(evaluation.failures) or [""] * len(loss)
    if not (bad.any() or any(told)):
        return evaluation
    for index in bad.nonzero()[:, 0].tolist() if len(told) == len(loss) else ():
        told[index] = told[index] or f"the loss is {float(loss[index])}"
    failed, count = sum(map(bool, told)), len(told)
    lost = failed > may_fail * count or failed == count or (len(loss) == 1 and bool(bad.any()))
    failures = tuple(told) if count > 1 else ()
    if not lost:
        return dataclasses.replace(evaluation, failures=failures)
    whole = next((sentence for sentence in told if sentence), f"the loss is {float(loss[0])}")
    if whole.startswith("the loss is "):
        whole = f"{whole} in {failed} of {count} environments"
    return Evaluation(
        loss=evaluation.loss.detach(), failure=whole, failures=failures, simulator_calls=evaluation.simulator_calls
    )
