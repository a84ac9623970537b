"""Where a picture is taken from."""

import dataclasses
import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from pliant.sim.errors import InputError

THREE_QUARTER = (0.62, -1.0, 0.46)  # from the target to the camera: front, a little to the right and above
MARGIN = 1.16  # of the picture around what it shows


@dataclasses.dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Args:
        position: of the pinhole, [3] m.
        target: a point in the middle of the picture, [3] m.
        up: direction that points up in the picture, [3].
        field_of_view: angle [degree] between the upper and the lower edge.

    Errors: `InputError` when position and target coincide, or `up` is the viewing direction.
    """

    position: Sequence[float]
    target: Sequence[float]
    up: Sequence[float] = (0.0, 0.0, 1.0)
    field_of_view: float = 28.0

    def __post_init__(self) -> None:
        numbers = [_numbers(name, getattr(self, name)) for name in ("position", "target", "up")]
        if not 0.0 < self.field_of_view < 180.0:
            raise InputError(f"camera: expected a field of view in (0, 180) degree, got {self.field_of_view!r}.")
        if np.linalg.norm(np.cross(numbers[1] - numbers[0], numbers[2])) == 0.0:
            raise InputError(
                f"camera: expected a target apart from the position and not straight along `up`, got position "
                f"{self.position}, target {self.target}; move one of them."
            )

    @property
    def axes(self) -> np.ndarray:
        """Rows right, up and forward: unit vectors [3, 3] of the picture in the world."""
        forward = np.subtract(self.target, self.position).astype(np.float64)
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, self.up)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(right, forward), forward])

    @property
    def slope(self) -> float:
        """Half the height of the picture at distance 1."""
        return math.tan(0.5 * math.radians(self.field_of_view))


def framing(lower: np.ndarray, upper: np.ndarray, aspect: float, direction: Sequence[float] = THREE_QUARTER) -> Camera:
    """A three-quarter view in which a box [m] just fits; `aspect` is width over height."""
    target = 0.5 * (lower + upper)
    axes = Camera(target + np.asarray(direction), target).axes
    slopes = np.array([aspect, 1.0]) * Camera(target + np.asarray(direction), target).slope / MARGIN
    corners = np.array(list(product(*zip(lower, upper, strict=True)))) - target
    across, along = corners @ axes[:2].T, corners @ axes[2]
    distance = 0.0
    for _ in range(8):  # shift to the middle of the picture, then step back until all corners fit
        distance = float((np.abs(across) / slopes - along[:, None]).max())
        seen = across / (along + distance)[:, None]
        shift = 0.5 * (seen.min(axis=0) + seen.max(axis=0)) * distance
        across, target = across - shift, target + shift @ axes[:2]
    distance = max(float((np.abs(across) / slopes - along[:, None]).max()), 1e-6)
    return Camera(tuple(target - distance * axes[2]), tuple(target))


def _numbers(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.zeros(0)
    if array.shape != (3,) or not np.isfinite(array).all():
        raise InputError(f"camera: expected three finite numbers for {name}, got {value!r}; correct them.")
    return array
