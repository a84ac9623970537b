"""Ctrl-C and a polite kill as a request to stop at the next good moment."""

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The training was stopped from outside and saved; its text is the sentence with the remedy."""


class StopRequest:
    """While open, the first SIGINT or SIGTERM only sets `requested`; the next one acts as usual.

    Does nothing outside the main thread, where Python allows no signal handlers.
    """

    def __init__(self, sentence: str):
        self.sentence, self.requested = sentence, False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()
        sys.stderr.write(f"\n{self.sentence}\n")

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}
