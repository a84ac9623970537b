"""What can be logged: a number, text, or a tensor, kept as a list of numbers of which a histogram is drawn."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pliant.sim.errors import InputError

Logged = dict[str, Any]
LARGEST = 256  # entries of a tensor that are kept as they are; of more, as many quantiles
OURS = ("seconds", "failure")  # beside those of an iteration's own record


def joined(record: Logged, *more: Mapping[str, Any] | None) -> Logged:
    """The record with what else is to be logged; `InputError` for a name of the record's own, or what cannot be logged."""
    made = dict(record)
    for part in filter(lambda part: part is not None, more):
        if not isinstance(part, Mapping):
            kind = type(part).__name__
            raise InputError(f"log: expected what to log by name, a dictionary or nothing, got {kind}; name it.")
        if not all(isinstance(name, str) for name in part):
            raise InputError(f"log: expected text as names of what to log, got {list(part)}; name it.")
        taken = sorted(set(part) & {*record, *OURS})
        if taken:
            raise InputError(f"log: expected other names than those `solve` logs, got {taken}; rename them.")
        made |= {name: loggable(name, value) for name, value in part.items()}
    return made


def loggable(name: str, value: Any) -> Any:
    """A number, text, or a list of numbers."""
    if isinstance(value, bool):
        return value
    for plain in (str, int, float):  # NumPy's are subclasses that no file of ours holds
        if isinstance(value, plain):
            return plain(value)
    try:
        array = value.detach().cpu() if isinstance(value, torch.Tensor) else torch.as_tensor(np.asarray(value))
        if array.is_complex():
            raise TypeError("complex")
    except (TypeError, ValueError, RuntimeError):
        kind = type(value).__name__
        raise InputError(f"log: expected a number, text or a tensor as {name!r}, got {kind}; convert it.") from None
    if array.numel() == 1:
        return array.item()
    flat = array.double().reshape(-1)
    if len(flat) > LARGEST:
        ordered = flat.sort().values
        flat = ordered[torch.linspace(0, len(flat) - 1, LARGEST, dtype=torch.float64).round().long()]
    return flat.tolist()
