"""The table at the end of a benchmark run."""

from collections.abc import Iterable
from typing import Any

VERDICT = {True: "holds", False: "falls short", None: ""}


def rows(results: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    """One row a figure, and one for each series that could not be measured."""
    lines = []
    for result in results:
        place = (result["case"], result["problem"])
        for figure in result["figures"]:
            hold = " ".join(str(part) for part in figure["hold"]) if figure["hold"] else ""
            value = f"{figure['median']:.3g} {figure['unit']}".strip()
            spread = f"{min(figure['pairs']):.3g} .. {max(figure['pairs']):.3g}"
            lines.append((*place, figure["figure"], value, spread, hold, VERDICT[figure["holds"]]))
        lines += [(*place, name, "not measured", "", "", reason) for name, reason in result["failures"].items()]
    return lines


def table(results: Iterable[dict[str, Any]]) -> str:
    """The figures with their bounds as aligned text."""
    header = ("case", "problem", "figure", "median", "range", "to hold", "verdict")
    lines = [header, *rows(results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in lines
    )
