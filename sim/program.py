"""A substep as a fixed list of recorded launches, captured as graphs and replayed by one CPU thread, several, or a GPU.

A launch on the CPU is a plain loop that releases Python's lock, so threads that work on disjoint parts run side by
side. Each thread replays a graph of its own; a barrier between phases is one more launch in it, which spins, and sleeps when
that takes long. Measured, a barrier costs a microsecond; handing phases to a thread from Python cost 35.
"""

import concurrent.futures
import functools
import os
import platform
import sys
import threading
from collections.abc import Callable, Sequence

import warp as wp

from pliant.sim.sharing import WARP

Action = Callable[[], None]
UNROLLED = 16  # substeps in the longer of the two graphs, so that Python is out of the way
CACHE_LINE = 16  # integers
SPINS = 4000  # about 50 microseconds, longer than phases differ where each thread has a core; then the thread sleeps

_ARRIVE = """
#if !defined(__CUDA_ARCH__) && !defined(__CUDACC__)
    int* arrived = (int*)gate.data;
    int* turns = arrived + 16;
    int* sleepers = arrived + 32;
    const int turn = __atomic_load_n(turns, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(arrived, 1, __ATOMIC_ACQ_REL) == threads) {
        __atomic_store_n(arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(turns, turn + 1, __ATOMIC_SEQ_CST);
        WAKE
        return;
    }
    for (int spins = 0; __atomic_load_n(turns, __ATOMIC_ACQUIRE) == turn; ++spins) {
        if (spins > SPINS) {
            SLEEP
            continue;
        }
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
#endif
"""
# A sleeper counts itself before the kernel compares the turn, and who ends the turn looks at the count behind it: one of
# the two sees the other. A thread that only yields is starved where other work wants the cores: seen, ten milliseconds a barrier.
_FUTEX = """{
            long futex(long, int*, int, int, void*, void*, int) __asm__("syscall");
            CALL
        }"""
_SLEEP = """__atomic_add_fetch(sleepers, 1, __ATOMIC_SEQ_CST);
            futex(NUMBER, turns, 128, turn, nullptr, nullptr, 0); // FUTEX_WAIT, private
            __atomic_sub_fetch(sleepers, 1, __ATOMIC_SEQ_CST);"""
_WAKE = """if (__atomic_load_n(sleepers, __ATOMIC_SEQ_CST) > 0)
                futex(NUMBER, turns, 129, threads, nullptr, nullptr, 0); // FUTEX_WAKE, private"""
_YIELD = """{ int yield_core(void) __asm__("SYMBOL"); yield_core(); }"""
_FUTEX_NUMBER = {"x86_64": "202", "AMD64": "202", "aarch64": "98", "arm64": "98"}


def _arrive_source() -> str:
    """C++ of the barrier: threads that wait long sleep on Linux, and yield or spin elsewhere."""
    number = _FUTEX_NUMBER.get(platform.machine())
    if sys.platform == "linux" and number is not None:
        sleep, wake = (_FUTEX.replace("CALL", call).replace("NUMBER", number) for call in (_SLEEP, _WAKE))
    else:
        symbol = "_sched_yield" if sys.platform == "darwin" else "sched_yield"
        sleep, wake = "" if sys.platform == "win32" else _YIELD.replace("SYMBOL", symbol), ""
    return _ARRIVE.replace("SPINS", str(SPINS)).replace("SLEEP", sleep).replace("WAKE", wake)


@functools.cache
def barrier_kernel() -> wp.Kernel:
    """Waits until all threads have arrived; `gate` holds, a cache line apart, how many have, the turn, and who sleeps."""

    @wp.func_native(_arrive_source())
    def arrive(gate: wp.array(dtype=int), threads: int): ...

    @wp.kernel(enable_backward=False, module="unique")
    def barrier(gate: wp.array(dtype=int), threads: int):
        arrive(gate, threads)

    return barrier


class _Team:
    """Threads that run one action each, all at once, while the caller waits.

    None of them is the main thread, so that an interrupt, which Python delivers there, cannot leave the others alone
    at a barrier; and only one caller has them at a time, for the same reason.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start anew, as a forked process must, which has none of the threads."""
        self._lock = threading.Lock()
        self._pools: dict[int, concurrent.futures.ThreadPoolExecutor] = {}

    def run(self, actions: Sequence[Action]) -> None:
        """Run all actions side by side; an interrupt is raised when they are done."""
        with self._lock:
            count = len(actions)
            if count not in self._pools:
                self._pools[count] = concurrent.futures.ThreadPoolExecutor(count, thread_name_prefix="pliant")
            futures = [self._pools[count].submit(action) for action in actions]
            try:
                concurrent.futures.wait(futures)
            finally:
                concurrent.futures.wait(futures)
        for future in futures:
            future.result()


_TEAM = _Team()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_TEAM.forget)


class _Launches:
    """Phases of recorded launches, one list a thread, with a barrier behind each when there are several threads."""

    def __init__(self, device: wp.Device, threads: int):
        self._device, self._threads = device, threads
        self._lists: list[list[wp.Launch]] = [[] for _ in range(threads)]
        self._gate = wp.zeros(3 * CACHE_LINE, dtype=int, device=device) if threads > 1 else None
        self._graphs: dict[int, list] = {}
        self._open = False  # something was added since the last barrier

    def __len__(self) -> int:
        return sum(len(commands) for commands in self._lists)

    def add(self, thread: int, kernel: wp.Kernel, count: int, arguments: Sequence) -> None:
        command = wp.launch(kernel, dim=count, inputs=list(arguments), device=self._device, record_cmd=True)
        self._lists[thread].append(command)
        self._open = True

    def barrier(self) -> None:
        """Everything before it is finished when what follows starts; a single thread is in order by itself."""
        if self._gate is not None and self._open:
            for thread in range(self._threads):
                self.add(thread, barrier_kernel(), 1, [self._gate, self._threads])
            self._open = False

    def run(self, repeats: int) -> None:
        long, short = divmod(repeats, UNROLLED)
        plan = [(g, n) for g, n in ((UNROLLED, long), (1, short)) if n]
        actions = [functools.partial(self._replay, thread, plan) for thread in range(self._threads)]
        for unrolled, _ in plan:
            self._capture(unrolled)
        if self._threads == 1:
            actions[0]()
        else:
            _TEAM.run(actions)

    def _replay(self, thread: int, plan: list[tuple[int, int]]) -> None:
        for unrolled, times in plan:
            graph = self._graphs[unrolled][thread]
            for _ in range(times):
                wp.capture_launch(graph)

    def _capture(self, unrolled: int) -> None:
        if unrolled not in self._graphs:
            with WARP.alone():
                self._graphs[unrolled] = [self._graph(commands, unrolled) for commands in self._lists]

    def _graph(self, commands: list[wp.Launch], unrolled: int):
        with wp.ScopedCapture(device=self._device, force_module_load=False) as capture:
            for _ in range(unrolled):
                for command in commands:
                    command.launch()
        return capture.graph


class _Call:
    """A Python call between launches."""

    def __init__(self, action: Action):
        self._action = action

    def run(self, repeats: int) -> None:
        for _ in range(repeats):
            self._action()


class Program:
    """Phases of recorded launches and calls; `run` replays them."""

    def __init__(self, device: wp.Device, threads: int):
        self.device, self.threads = device, threads
        self._parts: list[_Launches | _Call] = [_Launches(device, threads)]

    def phase(self) -> None:
        """Begin a phase: everything before it has finished when it starts."""
        self._launches().barrier()

    def launch(self, thread: int, kernel: wp.Kernel, count: int, arguments: Sequence) -> None:
        """Record a launch of `count` items for one thread of the current phase."""
        if count > 0:
            self._launches().add(thread, kernel, count, arguments)

    def call(self, action: Action) -> None:
        """Record a Python call (a law given from outside), a phase of its own."""
        self._parts.append(_Call(action))

    def run(self, repeats: int = 1) -> None:
        """Replay everything `repeats` times."""
        self._launches().barrier()  # so that the program can follow itself
        parts = [part for part in self._parts if isinstance(part, _Call) or len(part)]
        if len(parts) == 1:
            parts[0].run(repeats)
            return
        for _ in range(repeats):
            for part in parts:
                part.run(1)

    def _launches(self) -> _Launches:
        last = self._parts[-1]
        if isinstance(last, _Call):
            last = _Launches(self.device, self.threads)
            self._parts.append(last)
        return last
