"""Simulator calls, counted where they are made, by every meter that is open: what a nested training spends, the outer one spends.

with Meter(simulator_calls=600) as meter:
    for task in tasks:
        solve(task, Adam(), Budget(iterations=10), 0)    # stops where the 600 are spent
"""

import contextlib
import contextvars
import math
from collections.abc import Iterator
from types import TracebackType

_OPEN: contextvars.ContextVar[tuple["Meter", ...]] = contextvars.ContextVar("open meters", default=())


class Meter:
    """Counts the simulator calls made inside its `with` block; it can be opened again and goes on counting.

    Args:
        simulator_calls: the most there may be: no `solve` inside begins an iteration that would pass it.
    """

    def __init__(self, simulator_calls: int | None = None):
        self.limit = math.inf if simulator_calls is None else simulator_calls
        self.calls = 0
        self.planned = 0  # of them, what the iteration under way will still need
        self.held = False  # whether anything inside has counted, be it nothing
        self._tokens: list[contextvars.Token] = []

    @property
    def left(self) -> float:
        """Simulator calls that may still be made."""
        return self.limit - self.calls

    def __enter__(self) -> "Meter":
        for outer in _OPEN.get():
            outer.held = True
        others = tuple(meter for meter in _OPEN.get() if meter is not self)  # opened twice, it counts once
        self._tokens.append(_OPEN.set((*others, self)))
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _OPEN.reset(self._tokens.pop())


def charge(calls: int) -> None:
    """Count simulator calls; whoever makes some outside a `Problem` says so here."""
    calls = int(calls)
    for meter in _OPEN.get():
        meter.calls += calls
        meter.planned = max(0, meter.planned - calls)
        meter.held = True


@contextlib.contextmanager
def planning(calls: int) -> Iterator[None]:
    """Plan at least so many calls in every open meter while the block runs; afterwards none of what it planned is left."""
    before = [(meter, meter.planned) for meter in _OPEN.get()]
    for meter, _ in before:
        meter.planned = max(meter.planned, calls)
    try:
        yield
    finally:
        for meter, planned in before:
            meter.planned = min(meter.planned, planned)


def spare() -> float:
    """Simulator calls that every open meter allows beside what is planned."""
    return min((meter.left - meter.planned for meter in _OPEN.get()), default=math.inf)


def plan_more(calls: int) -> bool:
    """Whether so many calls can be made beside what is planned; if so they are planned too."""
    if spare() < calls:
        return False
    for meter in _OPEN.get():
        meter.planned += calls
    return True
