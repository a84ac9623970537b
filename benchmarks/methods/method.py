"""A comparison as data: the question, how one seed is run, and the aim that its figures are held to."""

import dataclasses
from collections.abc import Callable
from typing import Any

Figures = dict[int, float]
Baselines = dict[str, Figures]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one seed says.

    Args:
        figure: of the method.
        baselines: of everything it is compared with, by name.
        simulator_calls: of the method ("method") and of each baseline, forwards and backwards; they must be equal. Where no
            simulator runs, whatever is counted for all alike.
        details: further numbers worth keeping.
    """

    figure: float
    baselines: dict[str, float]
    simulator_calls: dict[str, int]
    details: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """One method against its baselines.

    Args:
        name: as given on the command line.
        question, method, source, scene: what is asked, what answers, where it comes from, on what.
        figure: what is measured, with its unit.
        aim_text, quick_aim_text: the aim in words, and that of the smaller instance.
        run: (seed, quick) -> what that seed says.
        aim, quick_aim: whether figures and baselines, each by seed, reach it.
        seeds: of the test; `tuning_seeds` are those that settings were chosen on.
        note: what was chosen after a result had been seen, and what else a reader must know.
    """

    name: str
    question: str
    method: str
    source: str
    scene: str
    figure: str
    aim_text: str
    quick_aim_text: str
    run: Callable[[int, bool], Outcome]
    aim: Callable[[Figures, Baselines], bool]
    quick_aim: Callable[[Figures, Baselines], bool]
    seeds: tuple[int, ...] = (0, 1, 2)
    tuning_seeds: tuple[int, ...] = ()
    note: str = ""
