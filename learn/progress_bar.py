"""One line that says how a training goes: loss, chosen metrics, simulation steps a second."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from pliant.learn.solve import Budget

SECONDS_BETWEEN_LINES = 10.0  # where the output is a file, not a terminal


class ProgressBar:
    """A bar over the iterations, or over the simulator calls when only those are limited.

    Args:
        title: what stands before it.
        last: the record a resumed run goes on from, or {}.
        show: metrics beside the loss.
        steps_per_call: substeps of a simulator call.
    """

    def __init__(
        self,
        title: str,
        budget: Budget,
        last: Mapping[str, Any],
        *,
        show: Sequence[str] = (),
        steps_per_call: int = 1,
        visible: bool = True,
    ):
        self.show, self.steps_per_call = tuple(show), steps_per_call
        self._by_calls = budget.iterations is None and budget.simulator_calls is not None
        self._calls, self._started = last.get("simulator_calls", 0), time.perf_counter()
        self._bar = tqdm(
            total=budget.simulator_calls if self._by_calls else budget.iterations,
            initial=last.get("simulator_calls" if self._by_calls else "iteration", 0),
            desc=title,
            unit="call" if self._by_calls else "it",
            disable=not visible,
            mininterval=0.1 if sys.stderr.isatty() else SECONDS_BETWEEN_LINES,
            dynamic_ncols=True,
        )
        self._warned = False

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def update(self, record: Mapping[str, Any]) -> None:
        """Move to this record."""
        done = record["simulator_calls" if self._by_calls else "iteration"]
        self._warn_once(record)
        self._bar.set_postfix(self._numbers(record), refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.close()

    def _numbers(self, record: Mapping[str, Any]) -> dict[str, str]:
        rate = (record["simulator_calls"] - self._calls) * self.steps_per_call / (time.perf_counter() - self._started)
        chosen = {name: _brief(record[name]) for name in ("loss", *self.show) if name in record}
        return {**chosen, "steps/s": f"{rate:.3g}"}

    def _warn_once(self, record: Mapping[str, Any]) -> None:
        if record.get("failure") and not self._warned and not self._bar.disable:
            self._bar.write(f"A simulation failed: {record['failure']}", file=sys.stderr)
            self._warned = True


def _brief(value: Any) -> str:
    """A number with four digits; text and lists in one short line."""
    return f"{value:.4g}" if isinstance(value, int | float) else " ".join(str(value).split())[:24]
