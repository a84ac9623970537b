"""`solve(problem, method, budget, rng)`: the one loop every training method runs in, counted in simulator calls."""

import dataclasses
import math
import operator
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from pliant.learn.gradients.base import Estimate
from pliant.learn.meter import Meter, charge, planning, spare
from pliant.learn.method import Method, Query
from pliant.learn.problem import Problem, draw_seed, seeded
from pliant.learn.records import Logged, joined
from pliant.learn.saving import load, save
from pliant.learn.space import Space
from pliant.sim.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """When to stop: whichever limit comes first; an iteration that would pass `simulator_calls` is not begun.

    Errors: `InputError` for no limit at all, or one that is not positive.
    """

    simulator_calls: int | None = None
    iterations: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        limits = [limit for limit in dataclasses.astuple(self) if limit is not None]
        if not limits or min(limits) <= 0:
            raise InputError(f"budget: expected at least one positive limit, got {self}; correct it.")

    def reason_to_stop(self, progress: "Progress", cost: int) -> str:
        """A sentence, or nothing while the next iteration, of that cost, is within the budget."""
        if self.iterations is not None and progress.iteration >= self.iterations:
            return f"the budget of {self.iterations} iterations is spent"
        if self.simulator_calls is not None and progress.simulator_calls + cost > self.simulator_calls:
            spent = f"{progress.simulator_calls} of {self.simulator_calls} simulator calls are spent"
            return f"{spent}, and one more iteration costs {cost}"
        if self.seconds is not None and progress.seconds >= self.seconds:
            return f"the budget of {self.seconds:g} seconds is spent"
        return ""


@dataclasses.dataclass
class Progress:
    """How far a training has come; with the method's state, all that a resumed one needs."""

    iteration: int = 0
    simulator_calls: int = 0
    seconds: float = 0.0
    best_loss: float = math.inf
    best_theta: torch.Tensor | None = None
    failures: int = 0
    evaluations: int = 0
    stage: int = 0
    first_failure: str = ""

    def state_dict(self) -> dict[str, Any]:
        theta = None if self.best_theta is None else self.best_theta.clone()
        return {**{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}, "best_theta": theta}


@dataclasses.dataclass(frozen=True)
class Iteration:
    """What a callback is given after each iteration.

    `record` holds the numbers to log; `improved` says whether this iteration found the best loss so far.
    """

    record: dict[str, Any]
    improved: bool
    progress: Progress
    method: Method
    problem: Problem

    def snapshot(self) -> dict[str, Any]:
        """What `solve(snapshot=...)` continues from, bit for bit."""
        states = {"method": self.method.state_dict(), "progress": self.progress.state_dict()}
        return {**states, "problem": self.problem.state_dict()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What a training found.

    `unknowns` are the best physical values by name, `theta` their coordinates, `loss` theirs; `history` has one record
    an iteration; `report` says in sentences why it ended and what was clipped, projected or failed.
    """

    unknowns: dict[str, torch.Tensor]
    theta: torch.Tensor
    loss: float
    history: list[dict[str, Any]]
    simulator_calls: int
    seed: int
    report: list[str]
    posterior: Any = None

    def save(self, path: str | os.PathLike) -> None:
        """Write it to one file, its posterior too, if that is a dataclass, a tensor, or a list or dictionary of them."""
        save(path, self)

    @staticmethod
    def load(path: str | os.PathLike) -> "Result":
        """Read what `save` wrote. Errors: `InputError` for a missing, damaged or foreign file."""
        return load(path, Result)


Callback = Callable[[Iteration], None]


def solve(
    problem: Problem,
    method: Method,
    budget: Budget,
    rng: torch.Generator | int,
    *,
    start: torch.Tensor | Mapping[str, Any] | None = None,
    callbacks: Iterable[Callback] = (),
    snapshot: Mapping[str, Any] | None = None,
) -> Result:
    """The best unknowns a method finds within a budget.

    A training inside another one, in a `compute`, a `tell` or the block of a `Meter`, spends the budget of the outer one
    too, and stops where that is spent.

    Args:
        problem: what to minimise; a module in it is left holding the best weights.
        method: how; it starts afresh.
        budget: how long; every simulator call counts, a backward like a forward, a failed run like a whole one.
        rng: a seed, or a generator on the CPU. All that torch draws follows it, without a generator too.
        start: coordinates [dimension] or values by name to start from instead of the unknowns' initial ones.
        callbacks: called with an `Iteration` after each one; an exception in one ends the training.
        snapshot: of an `Iteration`, to continue from there; "history" in it is carried on.

    Errors: `InputError` when the budget does not reach for one iteration.
    """
    generator = rng if isinstance(rng, torch.Generator) else torch.Generator().manual_seed(operator.index(rng))
    seed = generator.initial_seed()
    space = problem.space.starting_at(problem.space.initial if start is None else start)  # the method's own copy
    with seeded(seed):  # modules that a method makes start alike in every run of this seed
        method.start(space, generator)
    progress, history = Progress(), []
    if snapshot is not None:
        method.load_state_dict(snapshot["method"])
        problem.load_state_dict(snapshot.get("problem", {}))
        progress, history = Progress(**snapshot["progress"]), list(snapshot.get("history", []))
    problem.proven |= progress.evaluations > progress.failures
    _check_affordable(problem, method, budget, progress)
    callbacks, before, started = tuple(callbacks), progress.seconds, time.perf_counter()
    with Meter(budget.simulator_calls) as meter:
        meter.calls = progress.simulator_calls
        while not (reason := method.finished or _reason_to_stop(budget, progress, method.cost(problem))):
            with planning(method.cost(problem)), seeded(_seed_of_iteration(seed, progress.iteration)):
                record, improved = _iterate(problem, method, progress, meter)
            progress.seconds = before + time.perf_counter() - started
            record["seconds"] = progress.seconds
            history.append(record)
            for callback in callbacks:
                callback(Iteration(record, improved, progress, method, problem))
            meter.calls = progress.simulator_calls  # what a callback evaluates to look at is not the training's
    return _result(problem, space, method, progress, history, seed, reason)


def _seed_of_iteration(seed: int, iteration: int) -> int:
    """Of what torch draws without a generator, as distributions and dropout do; runs of neighbouring seeds share none."""
    return (1_000_003 * (seed + 1) + iteration) % 2**63


def _reason_to_stop(budget: Budget, progress: Progress, cost: int) -> str:
    """That of the budget, or of what this training is part of."""
    reason, left = budget.reason_to_stop(progress, cost), spare()
    if reason or left >= cost:
        return reason
    return f"what it is part of has {left:g} simulator calls left, and one more iteration costs {cost}"


def _iterate(problem: Problem, method: Method, progress: Progress, meter: Meter) -> tuple[Logged, bool]:
    """One ask and tell; returns what to log and whether the best loss fell."""
    query = method.ask()
    _check_query(query, problem, method)
    estimates = _checked(_answer(problem, query, method.rng), query)
    stated = sum(e.simulator_calls for e in estimates)
    charge(max(0, progress.simulator_calls + stated - meter.calls))  # an estimator that runs no problem only says it
    best = min(range(len(estimates)), key=lambda i: estimates[i].value)
    theta = query.candidates[best].detach().clone()  # a method may change its candidates in place
    logged = method.tell(query, estimates)
    after = problem.after_tell(estimates)
    progress.simulator_calls = meter.calls
    improved = _account(progress, theta, estimates, best, problem)
    record: Logged = {
        "iteration": progress.iteration,
        "simulator_calls": progress.simulator_calls,
        "loss": float(estimates[best].value),
        "best_loss": progress.best_loss,
        "failed": sum(not e.ok for e in estimates),
    }
    record = joined(record, estimates[best].metrics, logged, after)
    failure = next((e.failure for e in estimates if e.failure), "")
    return ({**record, "failure": failure} if failure else record), improved


def _answer(problem: Problem, query: Query, rng: torch.Generator) -> Sequence[Estimate]:
    if query.estimator is not None:
        return query.estimator(problem, query.candidates, rng)
    if query.common_noise:
        evaluations = problem.evaluate_all(query.candidates, seed=draw_seed(rng))
    else:
        evaluations = problem.evaluate_all(query.candidates, seeds=[draw_seed(rng) for _ in query.candidates])
    return [Estimate.of(evaluation) for evaluation in evaluations]


def _check_query(query: Query, problem: Problem, method: Method) -> None:
    shape, dimension = list(query.candidates.shape), problem.space.dimension
    if len(shape) != 2 or shape[0] == 0 or shape[1] != dimension:
        expected = f"at least one candidate, [n, {dimension}]"
        raise InputError(f"{type(method).__name__}.ask: expected {expected}, got {shape}; correct its candidates.")


def _checked(told: Any, query: Query) -> list[Estimate]:
    """The answers; one whose value is not finite is a failure that says so."""
    count = len(query.candidates)
    kinds = (
        [type(e).__name__ for e in told if not isinstance(e, Estimate)]
        if isinstance(told, Sequence)
        else [type(told).__name__]
    )
    if kinds or len(told) != count:
        expected = f"a list of {count}, one Estimate for each candidate"
        got = kinds[0] if kinds else f"{len(told)} of them"
        raise InputError(f"{type(query.estimator).__name__}: expected {expected}, got {got}; correct it.")
    return [_with_reason(estimate) for estimate in told]


def _with_reason(estimate: Estimate) -> Estimate:
    if estimate.failure or math.isfinite(estimate.value):
        return estimate
    return dataclasses.replace(estimate, value=math.inf, failure=f"the loss is {float(estimate.value)}")


def _account(
    progress: Progress, theta: torch.Tensor, estimates: Sequence[Estimate], best: int, problem: Problem
) -> bool:
    """Count an iteration and keep its best candidate if it is better than all before, or if they cannot be compared.

    Until one is ranked, the last is kept.
    """
    if problem.stage != progress.stage:
        progress.stage, progress.best_loss = problem.stage, math.inf
    progress.iteration += 1
    progress.evaluations += len(estimates)
    progress.failures += sum(not e.ok for e in estimates)
    progress.first_failure = progress.first_failure or next((e.failure for e in estimates if e.failure), "")
    value, ok = float(estimates[best].value), estimates[best].ok
    improved = (estimates[best].ranked and value < progress.best_loss) if problem.comparable else ok
    if improved:
        progress.best_loss = value
    if improved or (ok and not math.isfinite(progress.best_loss)):
        progress.best_theta = theta
    return improved


def _check_affordable(problem: Problem, method: Method, budget: Budget, progress: Progress) -> None:
    limit, cost = budget.simulator_calls, method.cost(problem)
    if progress.iteration == 0 and limit is not None and cost > limit:
        expected = f"at least {cost} simulator calls for one iteration of {type(method).__name__}"
        raise InputError(f"budget: expected {expected}, got {limit}; raise the budget.")


def _result(
    problem: Problem,
    space: Space,
    method: Method,
    progress: Progress,
    history: list[Logged],
    seed: int,
    reason: str,
) -> Result:
    theta = space.initial if progress.best_theta is None else progress.best_theta
    unknowns = problem.install(theta.detach())
    report = [f"Stopped after {progress.iteration} iterations: {reason.rstrip('.')}."]
    if progress.failures:
        counts = f"{progress.failures} of {progress.evaluations} evaluations failed"
        report.append(f"{counts}; the first: {progress.first_failure}")
    if space.has_priors:
        report.append(f"The log density of the priors at the result is {float(space.log_prior(unknowns)):.4g}.")
    return Result(
        unknowns=unknowns,
        theta=theta,
        loss=progress.best_loss,
        history=history,
        simulator_calls=progress.simulator_calls,
        seed=seed,
        report=report + method.report(),
        posterior=method.posterior(),
    )
