"""How much a device can hold."""

import math
import os

import warp as wp


def device_memory(device: wp.Device) -> float:
    """Bytes of memory of a device: what no array can exceed."""
    if device.is_cuda:
        return float(device.total_memory)
    return host_memory()


def host_memory() -> float:
    """Bytes of memory of this machine."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not a POSIX system
        return math.inf
