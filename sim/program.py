"""A substep as a fixed list of recorded launches, replayed by one or two CPU threads or as a captured graph.

A launch on the CPU is a plain loop that releases Python's lock, so two threads that work on disjoint halves run side by
side. Phases are separated by barriers; inside a phase each thread has its own list.
"""

import threading
from collections.abc import Callable, Sequence

import warp as wp

Action = Callable[[], None]


class Worker:
    """A second thread that runs one action at a time and hands back what it raised."""

    def __init__(self) -> None:
        self._start, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._action: Action | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._loop, daemon=True, name="pliant-worker").start()

    def _loop(self) -> None:
        while True:
            self._start.acquire()
            try:
                if self._action is not None:
                    self._action()
            except BaseException as error:  # handed to the thread that waits
                self._error = error
            self._done.release()

    def begin(self, action: Action) -> None:
        self._action = action
        self._start.release()

    def wait(self) -> None:
        self._done.acquire()
        if self._error is not None:
            error, self._error = self._error, None
            raise error


_WORKER: list[Worker] = []


def _worker() -> Worker:
    if not _WORKER:
        _WORKER.append(Worker())
    return _WORKER[0]


class Program:
    """Phases of recorded launches; `run` replays them once."""

    def __init__(self, device: wp.Device, threads: int):
        self.device, self.threads = device, threads
        self._phases: list[list[list[Action]]] = []
        self._steps: list[Action] | None = None
        self._can_capture = True

    def phase(self) -> None:
        """Begin a phase: everything before it has finished when it starts."""
        self._phases.append([[] for _ in range(self.threads)])

    def launch(self, thread: int, kernel: wp.Kernel, count: int, arguments: Sequence) -> None:
        """Record a launch of `count` items for one thread of the current phase."""
        if count > 0:
            command = wp.launch(kernel, dim=count, inputs=list(arguments), device=self.device, record_cmd=True)
            self._phases[-1][thread].append(command.launch)

    def call(self, action: Action) -> None:
        """Record a Python call (a law given from outside) on the first thread."""
        self._can_capture = False
        self._phases[-1][0].append(action)

    def run(self, repeats: int = 1) -> None:
        """Replay all phases `repeats` times."""
        if self._steps is None:
            self._steps = self._compile()
        for _ in range(repeats):
            for step in self._steps:
                step()

    def _compile(self) -> list[Action]:
        if self._can_capture and (self.threads == 1 or self.device.is_cuda):
            return [self._captured()]
        return [self._parallel(lists) if any(lists[1:]) else self._serial(lists[0]) for lists in self._phases]

    def _captured(self) -> Action:
        actions = [action for lists in self._phases for action in lists[0]]
        with wp.ScopedCapture(device=self.device, force_module_load=False) as capture:
            for action in actions:
                action()
        graph = capture.graph
        return lambda: wp.capture_launch(graph)

    @staticmethod
    def _serial(actions: list[Action]) -> Action:
        def run() -> None:
            for action in actions:
                action()

        return run

    @classmethod
    def _parallel(cls, lists: list[list[Action]]) -> Action:
        first, second = cls._serial(lists[0]), cls._serial(lists[1])
        worker = _worker()

        def run() -> None:
            worker.begin(second)
            try:
                first()
            finally:
                worker.wait()

        return run
