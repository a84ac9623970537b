"""The unknowns of a problem as one vector: names, bounds and units on one side, plain coordinates on the other.

A method works on coordinates theta [..., dimension] of order one and never sees a unit:

    value = spread theta             (scale "linear")
    value = exp(spread theta)        (scale "log")
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from pliant.sim.errors import InputError

SCALES = ("linear", "log")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Unknown:
    """A named tensor that a method may change.

    Args:
        name: what the loss calls it, for example "jelly.youngs_modulus".
        initial: start value, any shape; a float or array becomes float32, a float64 array or tensor stays float64.
        lower, upper: closed bounds of every entry, in the value's own unit.
        scale: "linear", or "log" for positive quantities known by their order of magnitude.
        spread: a typical change: of the value ("linear"), or of its natural logarithm ("log"). One step of a method
            is of this size, so it is what makes 1e5 Pa and 0.3 comparable.

    Errors: `InputError` for bounds in the wrong order, or an initial value outside them, not finite or, on a
        logarithmic scale, not positive.
    """

    name: str
    initial: Any
    lower: float = -math.inf
    upper: float = math.inf
    scale: str = "linear"
    spread: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "initial", _floating(self.initial))
        if self.scale not in SCALES:
            raise InputError(f"{self.name}: expected a scale of {SCALES}, got {self.scale!r}; choose one of them.")
        if not (self.lower < self.upper and 0.0 < self.spread < math.inf):
            raise InputError(
                f"{self.name}: expected lower < upper and a positive spread, got {self.lower:g}, {self.upper:g} and "
                f"{self.spread:g}; correct them."
            )
        floor = max(self.lower, 0.0) if self.is_log else self.lower
        entries = self.initial
        good = torch.isfinite(entries) & (entries >= floor) & (entries <= self.upper)
        good &= (entries > 0.0) | (not self.is_log)
        if not good.all():
            raise InputError(
                f"{self.name}: expected finite initial values from {floor:g} to {self.upper:g}, got "
                f"{float(entries[~good].flatten()[0]):g}; correct the value or the bounds."
            )

    @property
    def is_log(self) -> bool:
        return self.scale == "log"

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.initial.shape)

    @property
    def size(self) -> int:
        return self.initial.numel()

    def value(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Physical values of coordinates, entry by entry."""
        scaled = coordinates if self.spread == 1.0 else coordinates * self.spread
        return scaled.exp() if self.is_log else scaled

    def slope(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Derivative of the physical value with respect to its coordinate, entry by entry."""
        return self.spread * (self.value(coordinates) if self.is_log else torch.ones_like(coordinates))

    def coordinate(self, value: torch.Tensor) -> torch.Tensor:
        """Coordinates of physical values, entry by entry."""
        return (value.log() if self.is_log else value) / self.spread

    def coordinate_bounds(self, dtype: torch.dtype) -> tuple[float, float]:
        """Bounds of the coordinates, moved in by rounding so that a value at them never passes its own bound."""
        lower = max(self.lower, 0.0) if self.is_log else self.lower
        low, high = (float(self.coordinate(torch.tensor(b, dtype=torch.float64))) for b in (lower, self.upper))
        exact = self.spread == 1.0 and not self.is_log
        margin = 0.0 if exact else 4.0 * torch.finfo(dtype).eps
        return low + margin * _magnitude(low), high - margin * _magnitude(high)


class Space:
    """All unknowns of a problem, in order, as a vector of coordinates.

    Args:
        unknowns: with different names; the vector has the widest of their dtypes, on their device.

    Errors: `InputError` for no unknowns or a name given twice.
    """

    def __init__(self, unknowns: Iterable[Unknown]):
        self.unknowns = tuple(unknowns)
        names = self.names
        if not names or len(set(names)) < len(names):
            raise InputError(f"unknowns: expected at least one and different names, got {list(names)}; correct them.")
        self.dtype = max((u.initial.dtype for u in self.unknowns), key=lambda d: torch.finfo(d).bits)
        self.device = self.unknowns[0].initial.device
        edges = np.cumsum([0] + [u.size for u in self.unknowns])
        self._slices = [slice(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]
        self.dimension = int(edges[-1])
        bounds = [u.coordinate_bounds(self.dtype) for u in self.unknowns]
        self.lower = self._constant([low for low, _ in bounds])
        self.upper = self._constant([high for _, high in bounds])
        self.initial, _ = self.project(self.coordinates({u.name: u.initial for u in self.unknowns}))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(u.name for u in self.unknowns)

    def values(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        """Physical values by name, [..., *shape], of coordinates [..., dimension]; differentiable."""
        lead = theta.shape[:-1]
        return {
            u.name: u.value(theta[..., part]).reshape((*lead, *u.shape)).to(u.initial.dtype)
            for u, part in zip(self.unknowns, self._slices, strict=True)
        }

    def tangents(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        """Derivatives of `values` with respect to each coordinate in turn, [dimension, ..., *shape]."""
        units = torch.eye(self.dimension, dtype=theta.dtype, device=theta.device)
        units = units.reshape(self.dimension, *(1,) * (theta.ndim - 1), self.dimension)
        lead = (self.dimension, *theta.shape[:-1])
        return {
            u.name: (units[..., part] * u.slope(theta[..., part])).reshape((*lead, *u.shape)).to(u.initial.dtype)
            for u, part in zip(self.unknowns, self._slices, strict=True)
        }

    def coordinates(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Coordinates [dimension] of physical values; the inverse of `values`."""
        parts = [u.coordinate(values[u.name].to(self.dtype)).reshape(-1) for u in self.unknowns]
        return torch.cat(parts)

    def project(self, theta: torch.Tensor) -> tuple[torch.Tensor, int]:
        """The nearest coordinates within the bounds, and how many entries had to move: a method reports that number."""
        inside = torch.minimum(torch.maximum(theta, self.lower), self.upper)
        return inside, int((inside != theta).sum())

    def noise(self, count: int, rng: torch.Generator) -> torch.Tensor:
        """Standard normal numbers [count, dimension]; the same on every device."""
        return torch.randn(count, self.dimension, generator=rng, dtype=self.dtype).to(self.device)

    def entry_names(self) -> list[str]:
        """A name for each coordinate: that of its unknown, with an index where it has several entries."""
        indices = [(u.name, i) for u in self.unknowns for i in np.ndindex(u.shape)]
        return [name + (f"[{', '.join(map(str, index))}]" if index else "") for name, index in indices]

    def describe_not_finite(self, vector: torch.Tensor) -> str:
        """A clause naming the first unknown where the vector [dimension] is not finite; empty if there is none."""
        for unknown, part in zip(self.unknowns, self._slices, strict=True):
            bad = ~torch.isfinite(vector[part])
            if bad.any():
                first = [int(i) for i in np.unravel_index(int(bad.nonzero()[0]), unknown.shape or (1,))]
                return f"'{unknown.name}' is not finite in {int(bad.sum())} of {unknown.size} entries, first at {first}"
        return ""

    def _constant(self, entries: list[float]) -> torch.Tensor:
        parts = [torch.full((u.size,), e, dtype=self.dtype) for u, e in zip(self.unknowns, entries, strict=True)]
        return torch.cat(parts).to(self.device)


def _floating(value: Any) -> torch.Tensor:
    """A detached copy as a floating-point tensor; Python numbers become float32."""
    tensor = value.detach().clone() if isinstance(value, torch.Tensor) else torch.tensor(value)
    return tensor if tensor.is_floating_point() else tensor.to(torch.float32)


def _magnitude(bound: float) -> float:
    return max(1.0, abs(bound)) if math.isfinite(bound) else 0.0
