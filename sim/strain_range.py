"""The strains that a law was learned from, and how far a motion leaves them."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import warp as wp

from pliant.sim.errors import InputError
from pliant.sim.linalg.extremes import extremes
from pliant.sim.precision import precision

SLACK = 0.02  # share by which a stretch may pass what was seen: a replayed motion is never the same to the bit
NAMES = {"stretch": "stretch", "volume": "volume ratio"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class StrainRange:
    """Least and greatest principal stretch and volume ratio det F.

    Errors: `InputError` for bounds that are not 0 < low <= high.
    """

    stretch: tuple[float, float]
    volume: tuple[float, float]

    def __post_init__(self) -> None:
        for name in NAMES:
            low, high = (float(bound) for bound in getattr(self, name))
            if not 0.0 < low <= high < math.inf:
                raise InputError(f"StrainRange.{name}: expected 0 < low <= high, got {low:g} and {high:g}; correct it.")
            object.__setattr__(self, name, (low, high))

    @staticmethod
    def of(F: np.ndarray) -> "StrainRange":
        """The range of deformation gradients [..., 3, 3]; `InputError` where they are not all finite with det F > 0."""
        p = precision(np.asarray(F).dtype.name)
        flat = wp.array(np.ascontiguousarray(F).reshape(-1, 3, 3), dtype=p.mat33, device="cpu")
        stretch_low, stretch_high, volume_low, volume_high = extremes(flat, 0, len(flat), p)
        return StrainRange(stretch=(stretch_low, stretch_high), volume=(volume_low, volume_high))

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "StrainRange":
        return StrainRange(stretch=tuple(data["stretch"]), volume=tuple(data["volume"]))

    def to_dict(self) -> dict[str, list[float]]:
        return {name: list(getattr(self, name)) for name in NAMES}

    def left_by(self, seen: tuple[float, float, float, float]) -> str:
        """How extreme stretches and volume ratios leave the range, in words; empty if they do not, or by 2 % at most."""
        for name, low, high in (("stretch", *seen[:2]), ("volume", *seen[2:])):
            least, greatest = getattr(self, name)
            if high > greatest * (1.0 + SLACK):
                return f"{NAMES[name]} {high:.3g} > {greatest:.3g} seen in training"
            if low < least * (1.0 - SLACK):
                return f"{NAMES[name]} {low:.3g} < {least:.3g} seen in training"
        return ""
