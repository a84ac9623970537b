"""A peer as a process that answers one JSON line with another; between requests it sleeps in a read.

Requests: {"do": "prepare", "problem": {...}, "options": {...}}, then "forward" or "gradient" (timed runs), "result"
(final positions and velocities) and "derivatives" (gradients with respect to the start), in any order.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

import numpy as np

from benchmarks.peers.problem import Problem


class Peer(Protocol):
    """One simulator holding one problem."""

    def forward(self) -> None:
        """Runs the problem from its start; the result is complete on return."""

    def gradient(self) -> None:
        """Runs forward, the loss and the whole way back; the gradients are complete on return."""

    def result(self) -> dict[str, np.ndarray]:
        """ "position" and "velocity" at the end, shapes [particle_count, 3]."""

    def derivatives(self) -> dict[str, np.ndarray]:
        """Gradient of the loss with respect to the initial "position" and "velocity"."""


def resident_bytes() -> int:
    """Memory that this process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def timed(action: Callable[[], None], work: int) -> dict[str, float]:
    """Seconds, those the CPU worked, million particle-substeps a second, and the peak of memory above that before [GB]."""
    before = resident_bytes()
    start, cpu = time.perf_counter(), time.process_time()
    action()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "rate": work / seconds / 1e6,
        "extra_gigabytes": max(0, peak - before) / 1e9,
    }


class Service:
    """Answers requests with a peer that the first one makes."""

    def __init__(self, make: Callable[..., Peer], problem: Callable[..., Any]) -> None:
        self.make, self.problem = make, problem
        self.peer: Any = None
        self.work = 0

    def prepare(self, request: dict[str, Any]) -> dict[str, float]:
        problem = self.problem(**request["problem"])
        self.work = problem.particle_count * problem.steps
        start = time.perf_counter()
        self.peer = self.make(problem, **request.get("options", {}))
        return {"seconds": time.perf_counter() - start}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        do = request["do"]
        if do == "prepare":
            return self.prepare(request)
        if do in ("result", "derivatives"):
            return {name: np.asarray(value).tolist() for name, value in getattr(self.peer, do)().items()}
        figures = timed(getattr(self.peer, do), self.work)
        return figures | getattr(self.peer, "figures", dict)()


def protocol_stream() -> TextIO:
    """The real standard output; whatever a library prints from now on goes to standard error."""
    stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return stream


def serve(make: Callable[..., Peer], problem: Callable[..., Any] = Problem) -> None:
    """Answers lines of standard input until it closes."""
    stream = protocol_stream()
    service = Service(make, problem)
    for line in sys.stdin:
        try:
            answer = service.answer(json.loads(line))
        except Exception as error:  # the runner reports it beside the case that asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=stream, flush=True)
