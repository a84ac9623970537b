"""docs/methods.md, written from the result files alone."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.methods.method import Method

PATH = "docs/methods.md"
LEAST_SEEDS = 3
HEAD = """# Methods

What shows that a training method works, and where it does not: written by `python -m benchmarks methods --table` from
`benchmarks/results/methods/*.json`, never by hand. Figures are the median and the range over seeds that were not chosen;
method and baselines had the same number of simulator calls. Where an aim is missed it says **red**.
"""


def spread(values: Mapping[Any, float]) -> str:
    """Median and range."""
    low, high = min(values.values()), max(values.values())
    return f"{statistics.median(values.values()):.3g} ({low:.3g} to {high:.3g})"


def line(result: Mapping[str, Any]) -> str:
    """One result as a line of text."""
    others = "; ".join(f"{name} {spread(values)}" for name, values in result["baselines"].items())
    verdict = "holds" if result["holds"] else "red"
    return f"{result['name']}: {spread(result['figures'])} against {others} ({result['figure']}; aim: {result['aim']}): {verdict}"


def checked(name: str, folder: Path) -> dict[str, Any]:
    """The kept result of a case.

    Errors: `ValueError` without one, with fewer than three seeds, and for unequal simulator calls.
    """
    path = folder / f"{name}.json"
    if not path.exists():
        raise ValueError(f"{name}: expected {path}, found none; run `python -m benchmarks methods {name}`.")
    result = json.loads(path.read_text())
    if len(result["figures"]) < LEAST_SEEDS:
        raise ValueError(f"{name}: expected at least {LEAST_SEEDS} seeds, got {len(result['figures'])}; run more.")
    if len(set(result["simulator_calls"].values())) != 1:
        raise ValueError(f"{name}: expected equal simulator calls, got {result['simulator_calls']}; make them equal.")
    return result


def written(methods: Mapping[str, Method], folder: Path) -> str:
    """The whole page."""
    rows = ["| question | method | figure | baselines | aim | |", "|---|---|---|---|---|---|"]
    notes = []
    for name in methods:
        result = checked(name, folder)
        others = "; ".join(f"{baseline} {spread(values)}" for baseline, values in result["baselines"].items())
        verdict = "holds" if result["holds"] else "**red**"
        rows.append(
            f"| {result['question']} | {result['method']} | {spread(result['figures'])}, {result['figure']} | {others} | "
            f"{result['aim']} | {verdict} |"
        )
        notes += [
            "",
            f"**{name}** (`{result['command']}`). {result['scene']} Source: {result['source']} {result['note']}".strip(),
        ]
    return "\n".join([HEAD, *rows, *notes]) + "\n"
