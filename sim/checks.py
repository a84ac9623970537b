"""Numbers that a user hands over, checked once: one number, three of them, two corners. Errors: `InputError`."""

import math
from typing import Any

import numpy as np

from pliant.sim.errors import InputError


def numbers(value: Any) -> np.ndarray | None:
    """The value in float64, None where it holds anything but numbers: words are none, though NumPy would read "1"."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # ragged, or what refuses to be an array
        return None
    return array.astype(np.float64, copy=False) if array.dtype.kind in "fiu" else None


def vector(name: str, value: Any) -> np.ndarray:
    """The value as three finite numbers [3]."""
    array = numbers(value)
    if array is None or array.shape != (3,) or not np.isfinite(array).all():
        raise InputError(f"{name}: expected three finite numbers, got {value!r}; correct it.")
    return array


def positive(name: str, value: Any, lower: float = 0.0, upper: float = math.inf) -> float:
    """The value as a finite number above 0, from `lower` to `upper`."""
    made = number(name, value)
    if not (0 < made < math.inf and lower <= made <= upper):
        known = f"a positive number from {lower:g} to {upper:g}" if lower else "a positive number"
        raise InputError(f"{name}: expected {known}, got {value!r}; correct it.")
    return made


def number(name: str, value: Any) -> float:
    """The value as one number, which may be NaN."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"{name}: expected a number, got {value!r}; correct it.")
    try:
        return float(value)
    except OverflowError:
        raise InputError(f"{name}: expected a number below 1e308, got an integer beyond; correct it.") from None


def boolean(name: str, value: Any) -> bool:
    """The value as True or False; no other stands for one of them."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name}: expected True or False, got {value!r}; correct it.")
    return bool(value)


def corners(extent: Any) -> tuple[np.ndarray, np.ndarray]:
    """The lower [3] and upper [3] corner of a box that is not flat."""
    if not hasattr(extent, "__len__") or len(extent) != 2:
        raise InputError(f"extent: expected (lower [3], upper [3]), got {extent!r}; correct it.")
    lower, upper = vector("extent", extent[0]), vector("extent", extent[1])
    if (upper <= lower).any():
        raise InputError(f"extent: expected lower < upper on every axis, got {extent!r}; swap or enlarge them.")
    return lower, upper
