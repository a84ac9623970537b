"""What is known about a differentiable parameter before any array exists: its name, unit and bounds."""

import dataclasses
import math

import numpy as np

from sim.errors import InputError


@dataclasses.dataclass(frozen=True)
class ParameterSpec:
    """Name, SI unit, bounds and meaning of one physical parameter.

    The bounds are open (lower < value < upper) unless `lower_closed`.
    """

    name: str
    unit: str
    lower: float = -math.inf
    upper: float = math.inf
    meaning: str = ""
    lower_closed: bool = False

    def check(self, value: np.ndarray | float, owner: str) -> None:
        """Raise `InputError` unless every entry is finite and within the bounds."""
        entries = np.asarray(value, dtype=np.float64)
        below = entries < self.lower if self.lower_closed else entries <= self.lower
        bad = ~np.isfinite(entries) | below | (entries >= self.upper)
        if not bad.any():
            return
        relation = "<=" if self.lower_closed else "<"
        raise InputError(
            f"{owner}.{self.name}: expected {self.lower:g} {relation} value < {self.upper:g} [{self.unit}], "
            f"got {entries[bad].flat[0]:g}; correct the value."
        )
