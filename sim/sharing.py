"""Python threads that use Warp side by side: runs may overlap, recording a graph and building need to be alone.

Warp's state of capture belongs to the process: an array made or a kernel launched by one thread while another records a graph
goes into that graph, or ends the process. So whoever runs holds the door open together with others, and whoever records waits
until he is alone.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable)


class Sharing:
    """A lock that many threads hold together or one alone; a thread may take it again within."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start anew, as a forked process must, whose other threads are gone."""
        self._condition = threading.Condition()
        self._together: dict[int, int] = {}  # thread -> how often it has taken it
        self._alone: int | None = None
        self._waiting = 0

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """With others, but with none that must be alone."""
        me = threading.get_ident()
        with self._condition:
            if self._alone != me and me not in self._together:
                self._condition.wait_for(lambda: self._alone is None and not self._waiting)
            self._together[me] = self._together.get(me, 0) + 1
        try:
            yield
        finally:
            self._leave(me, 1)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Without any other; what this thread holds together with others it lets go meanwhile."""
        me = threading.get_ident()
        if self._alone == me:
            yield
            return
        with self.apart():
            with self._condition:
                self._waiting += 1
                try:
                    self._condition.wait_for(lambda: self._alone is None and not self._together)
                    self._alone = me
                finally:
                    self._waiting -= 1
                    self._condition.notify_all()
            try:
                yield
            finally:
                with self._condition:
                    self._alone = None
                    self._condition.notify_all()

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """Let go of what this thread holds together with others, to wait for something, and take it again."""
        me = threading.get_ident()
        with self._condition:
            held = 0 if self._alone == me else self._together.pop(me, 0)
            self._condition.notify_all()
        try:
            yield
        finally:
            if held:
                with self._condition:
                    self._condition.wait_for(lambda: self._alone is None)
                    self._together[me] = held

    def _leave(self, me: int, times: int) -> None:
        with self._condition:
            left = self._together.get(me, times) - times
            if left:
                self._together[me] = left
            else:
                self._together.pop(me, None)
            self._condition.notify_all()


WARP = Sharing()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=WARP.forget)


class Turn:
    """Whose turn it is to use one thing that several threads share: one after the other, within `WARP.together()`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rooms: list[contextlib.AbstractContextManager] = []

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            with WARP.apart():  # its holder may need to be alone
                self._lock.acquire()
        room = WARP.together()
        try:
            room.__enter__()
        except BaseException:
            self._lock.release()
            raise
        self._rooms.append(room)

    def __exit__(self, *failure: Any) -> None:
        try:
            self._rooms.pop().__exit__(*failure)
        finally:
            self._lock.release()


def built_alone(function: F) -> F:
    """The function, run while no other thread records or runs."""

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        with WARP.alone():
            return function(*arguments, **options)

    return run  # type: ignore[return-value]


def in_turn(method: F) -> F:
    """A method of something with a `Turn` called `turn`, one call at a time."""

    @functools.wraps(method)
    def run(self: Any, *arguments: Any, **options: Any) -> Any:
        with self.turn:
            return method(self, *arguments, **options)

    return run  # type: ignore[return-value]
