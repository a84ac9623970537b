"""A benchmark case as data: who runs, what is read from each run, and which ratio must hold."""

import dataclasses
import operator
from typing import Any

from benchmarks.peers.active_problem import ActiveProblem
from benchmarks.peers.field_problem import FieldProblem
from benchmarks.peers.problem import Problem

RELATIONS = {">=": operator.ge, "<=": operator.le}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """A contender: a module of `benchmarks.peers` run as a process.

    Args:
        name: what the table calls it.
        module: "pliant_mpm", "taichi_mpm", "torch_mpm", "pliant_fields", "exponax_fields", "torch_cfd_fields" or
            "pliant_active".
        options: keyword options of the peer's class.
        fresh: a new process with empty kernel caches for every sample, its start included in the time.
        problem: fields of the problem that this contender alone changes.
    """

    name: str
    module: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    fresh: bool = False
    problem: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """One column of samples: `quantity` of the answer when `subject` is asked to `do` something.

    Quantities: "rate" (million particle-substeps a second), "seconds", "cpu_seconds", "extra_gigabytes" and what a peer adds.
    """

    name: str
    subject: str
    do: str
    quantity: str = "rate"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A median worth reporting: of one series, or of the ratio of two, taken pair by pair.

    Args:
        name: what the table calls it.
        over: the series above the line.
        under: the series below the line; None for the plain value.
        hold: relation and bound, (">=", 3.0); None for a figure that is only reported.
        unit: of a plain value.
    """

    name: str
    over: str
    under: str | None = None
    hold: tuple[str, float] | None = None
    unit: str = ""

    def holds(self, value: float) -> bool | None:
        """Whether the bound is kept; None without a bound."""
        return None if self.hold is None else RELATIONS[self.hold[0]](value, self.hold[1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One benchmark.

    Args:
        name: as given on the command line.
        what: one line on what is measured.
        problems: by label, each measured separately.
        subjects, series, figures: who runs, what is read, what is reported.
        device: "cpu" or "cuda"; a case runs only under the same `--device`.
        warm: requests made once before sampling, so that compilation is not in the samples.
        repeats: samples a series when `--repeats` is not given.
        slow: runs only when named.
    """

    name: str
    what: str
    problems: dict[str, Problem | FieldProblem | ActiveProblem]
    subjects: tuple[Subject, ...]
    series: tuple[Series, ...]
    figures: tuple[Figure, ...]
    device: str = "cpu"
    warm: bool = True
    repeats: int = 7
    slow: bool = False

    def subject(self, name: str) -> Subject:
        return next(s for s in self.subjects if s.name == name)
