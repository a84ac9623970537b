"""What a rollout is given, checked: parameter values, fields, substeps to record at, and the memory between checkpoints."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pliant.sim.errors import InputError

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def parse_memory(memory: str | float) -> float:
    """Bytes of "2GB", "500 MB" or a number of bytes."""
    match = re.fullmatch(r"\s*([0-9]+\.?[0-9]*(?:e[+-]?[0-9]+)?)\s*([KMG]?B)?\s*", str(memory), re.IGNORECASE)
    if not match:
        raise InputError(f"memory: expected a size such as '2GB', got {memory!r}; give a number and a unit.")
    return float(match[1]) * _UNITS[(match[2] or "").upper()]


def choose_segment(steps: int, state_bytes: int, slot_bytes: int, memory: float) -> int:
    """Substeps K between checkpoints: all of them if they fit, or what makes the segment and the checkpoints equally large.

    A checkpoint takes `state_bytes`, a state of the segment `slot_bytes`; where they are the same, K = sqrt(steps).

    Errors: `InputError` when even that exceeds the memory.
    """
    if (steps + 1) * slot_bytes + state_bytes <= memory:
        return steps
    segment = math.ceil(math.sqrt(steps * state_bytes / slot_bytes))
    checkpoints = math.ceil(math.sqrt(steps * slot_bytes / state_bytes))
    needed = (segment + 1) * slot_bytes + (checkpoints + 1) * state_bytes
    if needed > memory:
        raise InputError(
            f"memory: {steps} substeps need at least {needed / 1e9:.2g} GB of checkpoints, got {memory / 1e9:.2g} GB; "
            "raise `memory` or lower `steps`."
        )
    return segment


def copied_values(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The values as arrays of their own: a caller may change theirs between forward and backward."""
    copies = {}
    if not isinstance(values, Mapping):
        raise InputError(f"values: expected parameter values by name, got {type(values).__name__}; give a dictionary.")
    for name, value in values.items():
        try:
            copies[name] = np.array(value)
        except (TypeError, ValueError):
            raise InputError(f"{name}: expected numbers of one shape, got {value!r}; correct the value.") from None
        except RuntimeError:  # how torch refuses a tensor with gradients
            raise InputError(
                f"{name}: expected an array, got a tensor with gradients; use learn.simulate or detach it."
            ) from None
    return copies


def field_names(record: Sequence[str], known: tuple[str, ...]) -> tuple[str, ...]:
    """The fields to record."""
    if isinstance(record, str) or not isinstance(record, Sequence) or any(n not in known for n in record):
        raise InputError(f"record: expected a tuple of names in {list(known)}, got {record!r}; correct the names.")
    return tuple(record)


def frame_steps_of(steps: int, every: int | None, at: Sequence[int] | None, control_every: int | None) -> Sequence[int]:
    """The substeps to record; the last need not be among them."""
    if at is None:
        return range(
            0, steps + 1, whole_number("record_every", _usual_every(steps, control_every) if every is None else every)
        )
    if every is not None:
        raise InputError(f"record_at: expected it without record_every, got {at} and {every}; give one of them.")
    if isinstance(at, str) or not isinstance(at, (Sequence, np.ndarray)):
        raise InputError(f"record_at: expected a list of substeps, got {at!r}; correct it.")
    return [0, *(whole_number("record_at", step, steps) for step in at if step != 0)]


def _usual_every(steps: int, control_every: int | None) -> int:
    """Substeps between about 100 frames; they divide an interval of control, or are a multiple of it."""
    wanted = max(1, steps // 100)
    if control_every is None:
        return wanted
    if wanted >= control_every:
        return wanted - wanted % control_every
    return next(every for every in range(wanted, 0, -1) if control_every % every == 0)


def whole_number(name: str, value: Any, upper: float = math.inf) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 1 <= value <= upper:
        raise InputError(f"{name}: expected a whole number from 1 to {upper:g}, got {value!r}; correct it.")
    return int(value)
