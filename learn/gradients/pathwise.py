"""The gradient of the simulation itself, by its adjoint."""

import dataclasses
from collections.abc import Sequence

import torch

from pliant.learn.evaluation import Evaluation, Failed
from pliant.learn.gradients.base import Estimate, GradientEstimator
from pliant.learn.meter import charge, plan_more
from pliant.learn.problem import NUMERICAL, Problem, Unsuitable, draw_seed
from pliant.sim.errors import InputError
from pliant.sim.status import SimulationError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pathwise(GradientEstimator):
    """Pathwise (first-order) gradient d mean(loss) / d theta by automatic differentiation.

    Exact for a smooth deterministic loss. Over contacts or chaotic horizons it can be biased or explode: check it with
    `sim.check_gradients`. Candidates that run at once (`parallel`) share one backward.

    Args:
        samples: runs with independent randomness to average over; from two on the variance of the mean is told.
    """

    samples: int = 1

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise InputError(f"Pathwise.samples: expected at least 1, got {self.samples}; correct it.")

    def __call__(self, problem: Problem, thetas: torch.Tensor, rng: torch.Generator) -> list[Estimate]:
        each = []
        for _ in range(self.samples):
            seeds = [draw_seed(rng) for _ in thetas]
            groups = range(0, len(thetas), problem.parallel)
            cuts = (slice(first, first + problem.parallel) for first in groups)
            each.append([told for cut in cuts for told in _together(problem, thetas[cut], seeds[cut])])
        return [_average(samples) for samples in zip(*each, strict=True)]

    def cost(self, problem: Problem, candidates: int = 1) -> int:
        return self.samples * problem.calls(candidates, gradient=True)


def _together(problem: Problem, thetas: torch.Tensor, seeds: Sequence[int]) -> list[Estimate]:
    """Value and gradient of candidates that run at once."""
    with torch.enable_grad():
        leaf = thetas.detach().clone().requires_grad_()
        evaluations = problem.evaluate_all(leaf, gradient=True, seeds=seeds)
    told = [Estimate.of(evaluation) for evaluation in evaluations]
    good = [index for index, estimate in enumerate(told) if estimate.ok]
    for index, (row, failure, calls) in _backward(problem, leaf, evaluations, good).items():
        bad = "" if failure else problem.space.describe_not_finite(row)
        failure = f"the gradient of {bad}; find its origin with sim.check_gradients" if bad else failure
        told[index] = dataclasses.replace(
            told[index],
            gradient=None if failure and not bad else row,
            failure=failure,
            simulator_calls=told[index].simulator_calls + calls,
        )
    return told


def _backward(
    problem: Problem,
    leaf: torch.Tensor,
    evaluations: Sequence[Evaluation],
    good: Sequence[int],
    *,
    again: bool = False,
) -> dict[int, tuple[torch.Tensor, str, int]]:
    """By candidate: gradient, the sentence of a backward that failed, and its calls.

    One backward for all; where it fails for them together, again for each half, until it is known for whom.
    """
    if not good:
        return {}
    usual = problem.calls(1, gradient=True) - problem.calls(1)
    stated = [evaluations[index].backward_calls for index in good]
    calls = [usual if said is None else said for said in stated]
    calls[0] = max(calls[0], usual) if again else calls[0]
    charge(sum(calls))
    failure, rows = "", torch.zeros_like(leaf)
    try:
        with torch.enable_grad():
            losses = [evaluations[index].mean for index in good]
            if not all(loss.requires_grad for loss in losses):
                raise Unsuitable(
                    "Pathwise: expected a loss that depends on the unknowns, got a constant; remove a detach(), or choose "
                    "a method that samples where all unknowns are integers or choices."
                )
            rows = torch.autograd.grad(losses, leaf, retain_graph=again or len(good) > 1)[0]
    except (SimulationError, Failed, *NUMERICAL) as error:
        failure = str(error)
    if failure and len(good) > 1 and plan_more(2 * usual):
        half = len(good) // 2
        made = {}
        for part in (good[:half], good[half:]):
            made |= _backward(problem, leaf, evaluations, part, again=True)
        first = min(made)
        row, sentence, spent = made[first]
        return {**made, first: (row, sentence, spent + sum(calls))}
    return {index: (rows[index], failure, cost) for index, cost in zip(good, calls, strict=True)}


def _average(each: Sequence[Estimate]) -> Estimate:
    """The mean over samples; a failure where one of them failed. Text and tensors are those of the last."""
    calls = sum(e.simulator_calls for e in each)
    failed = next((e for e in each if not e.ok), None)
    if failed is not None or len(each) == 1:
        return dataclasses.replace(failed or each[0], simulator_calls=calls)
    gradients = torch.stack([e.gradient for e in each if e.gradient is not None])
    losses = [e.losses for e in each if e.losses is not None]
    numbers = {
        n: sum(e.metrics[n] for e in each) / len(each) for n, v in each[0].metrics.items() if isinstance(v, float)
    }
    return dataclasses.replace(
        each[-1],
        value=sum(e.value for e in each) / len(each),
        losses=torch.stack(losses).mean(0),
        failures=next((e.failures for e in each if any(e.failures)), ()),
        gradient=gradients.mean(0),
        variance=gradients.var(0) / len(each),
        residuals=None,
        metrics={**each[-1].metrics, **numbers},
        ranked=all(e.ranked for e in each),
        simulator_calls=calls,
    )
