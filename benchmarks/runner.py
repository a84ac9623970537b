"""Runs cases: every series once a round, A B A B, so that a change of the machine's load meets all of them alike."""

import contextlib
import statistics
import sys
from collections.abc import Iterable
from typing import Any

from benchmarks.case import Case, Figure, Series
from benchmarks.worker import PeerUnavailable, Worker, fresh_sample, prepared

Samples = dict[str, list[float]]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Round:
    """The workers of one case and problem; a series whose peer fails is dropped with its reason."""

    def __init__(self, case: Case, problem: Any, stack: contextlib.ExitStack) -> None:
        self.case, self.problem, self.stack = case, problem, stack
        self.workers: dict[str, Worker] = {}
        self.failures: dict[str, str] = {}
        self.samples: Samples = {series.name: [] for series in case.series}
        self.first: dict[str, float] = {}

    def answer(self, series: Series) -> dict[str, Any]:
        subject = self.case.subject(series.subject)
        if subject.fresh:
            return fresh_sample(subject, self.problem, series.do)
        if subject.name not in self.workers:
            self.workers[subject.name] = self.stack.enter_context(prepared(subject, self.problem))
        return self.workers[subject.name].ask(series.do)

    def visit(self, series: Series, *, keep: bool) -> None:
        """Take one sample; the first answers, compilation included, are kept apart."""
        if series.name in self.failures:
            return
        try:
            answer = self.answer(series)
        except PeerUnavailable as error:
            self.failures[series.name] = str(error)
            say(f"  {series.name}: {error}")
            return
        if keep:
            self.samples[series.name].append(float(answer[series.quantity]))
        else:
            self.first[series.name] = answer["seconds"]

    def run(self, repeats: int) -> None:
        if self.case.warm:
            for series in self.case.series:
                say(f"  warming {series.name}")
                self.visit(series, keep=False)
        for turn in range(repeats):
            say(f"  round {turn + 1} of {repeats}")
            for series in self.case.series:
                self.visit(series, keep=True)


def figure_result(figure: Figure, samples: Samples) -> dict[str, Any] | None:
    """Pairwise ratios (or plain values), their median and the verdict; None when a series has no samples."""
    values = samples[figure.over]
    if figure.under is not None:
        values = [a / b for a, b in zip(values, samples[figure.under], strict=False)]
    if not values:
        return None
    median = statistics.median(values)
    return {
        "figure": figure.name,
        "pairs": values,
        "median": median,
        "unit": figure.unit if figure.under is None else "x",
        "hold": list(figure.hold) if figure.hold else None,
        "holds": figure.holds(median),
    }


def run_problem(case: Case, label: str, problem: Any, repeats: int) -> dict[str, Any]:
    """Samples, medians and figures of one case on one problem."""
    say(f"{case.name} [{label}]")
    with contextlib.ExitStack() as stack:
        sampling = Round(case, problem, stack)
        sampling.run(repeats)
    samples = {name: values for name, values in sampling.samples.items() if values}
    figures = [figure_result(figure, sampling.samples) for figure in case.figures]
    return {
        "case": case.name,
        "problem": label,
        "particles": problem.particle_count,
        "steps": problem.steps,
        "dtype": getattr(problem, "dtype", "float32"),
        "device": case.device,
        "first_seconds": sampling.first,
        "samples": samples,
        "medians": {name: statistics.median(values) for name, values in samples.items()},
        "figures": [figure for figure in figures if figure is not None],
        "failures": sampling.failures,
    }


def run_cases(cases: Iterable[Case], repeats: int | None) -> list[dict[str, Any]]:
    """Results of all cases and problems, in order."""
    return [
        run_problem(case, label, problem, repeats or case.repeats)
        for case in cases
        for label, problem in case.problems.items()
    ]
