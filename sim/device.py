"""The device a model lives on, and how many CPU threads step it."""

import os

import warp as wp

from pliant.sim.errors import InputError
from pliant.sim.quiet import start_warp

THREAD_THRESHOLD = 2_000  # particles from which a second CPU thread pays; benchmarks/results hold 8,000 and 64,000


def find_device(name: str) -> wp.Device:
    """The Warp device called "cpu", "cuda" or "cuda:N"; `InputError` when it is absent."""
    start_warp()
    try:
        if str(name).startswith("cuda") and not wp.is_cuda_available():  # asking further makes the driver print
            raise ValueError(name)
        return wp.get_device(name)
    except (ValueError, RuntimeError, TypeError, AttributeError):
        have = [str(d) for d in wp.get_devices()]
        raise InputError(f"device: expected one of {have}, got {name!r}; use device='cpu' here.") from None


def choose_threads(threads: int | None, device: wp.Device, particles: int) -> int:
    """The CPU threads of a model: as asked for, or two where they pay; `InputError` for another number."""
    if threads is not None and (type(threads) is not int or threads not in (1, 2)):
        raise InputError(f"threads: expected 1 or 2, got {threads!r}; choose one of the two.")
    if device.is_cuda:
        return 1
    if wp.config.mode == "debug":
        if threads == 2:
            raise InputError("threads: expected 1 in Warp's debug mode, whose kernels share a pointer, got 2; use 1.")
        return 1
    return threads or (2 if particles >= THREAD_THRESHOLD and (os.cpu_count() or 1) > 1 else 1)
