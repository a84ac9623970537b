"""The unknowns of a problem as one vector: names, bounds and units on one side, plain coordinates on the other.

A method works on coordinates theta [..., dimension] of order one and never sees a unit:

    value = spread theta             (scale "linear")
    value = exp(spread theta)        (scale "log")
    value = the nearest integer      (kind "integer")
    value = argmax theta_1 ... k     (of k choices: their number, with k coordinates an entry)

The last two have no slope: their gradient is zero, and a method finds them by sampling.
"""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pliant.sim.errors import InputError

SCALES = ("linear", "log")
KINDS = ("float", "integer")
Density = torch.distributions.Distribution | Callable[[torch.Tensor], torch.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Unknown:
    """A named tensor that a method may change.

    Args:
        name: what the loss calls it, for example "jelly.youngs_modulus".
        initial: start value, any shape; a float or array becomes float32, a float64 array or tensor stays float64. Of
            choices, one of them, or the number of one for each entry.
        lower, upper: closed bounds of every entry, in the value's own unit.
        scale: "linear", or "log" for positive quantities known by their order of magnitude.
        spread: a typical change: of the value ("linear"), or of its natural logarithm ("log"). One step of a method
            is of this size, so it is what makes 1e5 Pa and 0.3 comparable.
        kind: "float" or "integer", whose bounds are the whole numbers inside the given ones.
        choices: what a categorical unknown may be, ("water", "honey"); its value is the number of the choice, from 0 on.
        prior: what is known before any data: a torch distribution over the value in its own unit, or a function of the value
            [..., *shape] that gives the log density [...] or that of each entry.

    Errors: `InputError` for bounds in the wrong order, or an initial value outside them, not finite, on a logarithmic scale
        not positive, or none of the choices.
    """

    name: str
    initial: Any
    lower: float = -math.inf
    upper: float = math.inf
    scale: str = "linear"
    spread: float = 1.0
    kind: str = "float"
    choices: Sequence[Any] = ()
    prior: Density | None = None

    def __post_init__(self) -> None:
        if self.scale not in SCALES or self.kind not in KINDS or len(self.choices) == 1:
            got = f"{self.scale!r}, {self.kind!r} and {list(self.choices)}"
            raise InputError(
                f"{self.name}: expected a scale of {SCALES}, a kind of {KINDS}, and no choices or several, got {got}; correct them."
            )
        if self.choices:
            self._set(choices=tuple(self.choices), kind="integer", lower=0, upper=len(self.choices) - 1)
            self._set(initial=self._number_of(self.initial))
        if not self.is_float:
            self._set(lower=_whole(self.lower, math.ceil), upper=_whole(self.upper, math.floor))
        dtype = torch.float32 if self.kind == "float" else torch.int64
        given = _tensor(self.initial, torch.float32)
        if not self.is_float and not torch.equal(given, given.round()):
            raise InputError(f"{self.name}: expected whole numbers, got {self.initial}; correct the value.")
        self._set(initial=_tensor(self.initial, dtype))
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
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.initial.shape)

    @property
    def entry_shape(self) -> tuple[int, ...]:
        """Shape of its coordinates."""
        return (*self.shape, len(self.choices)) if self.choices else self.shape or (1,)

    @property
    def size(self) -> int:
        """Number of its coordinates."""
        return self.initial.numel() * max(1, len(self.choices))

    def value(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Physical values [..., entries] of coordinates [..., size]."""
        if self.choices:
            return coordinates.reshape(*coordinates.shape[:-1], -1, len(self.choices)).argmax(-1)
        scaled = coordinates if self.spread == 1.0 else coordinates * self.spread
        value = scaled.exp() if self.is_log else scaled
        return value if self.is_float else value.detach().round().to(torch.int64)

    def slope(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Derivative of the physical value with respect to its coordinate, entry by entry; discrete values have none."""
        return self.spread * (self.value(coordinates) if self.is_log else torch.ones_like(coordinates))

    def coordinate(self, value: torch.Tensor) -> torch.Tensor:
        """Coordinates [size] of physical values, entry by entry; of a choice, 1 for it and 0 for the others."""
        if self.choices:
            return torch.nn.functional.one_hot(value.reshape(-1).long(), len(self.choices)).to(value).reshape(-1)
        return (value.log() if self.is_log else value) / self.spread

    def coordinate_bounds(self, dtype: torch.dtype) -> tuple[float, float]:
        """Bounds of the coordinates, moved in by rounding so that a value at them never passes its own bound."""
        if self.choices:
            return -math.inf, math.inf
        lower = max(self.lower, 0.0) if self.is_log else self.lower
        low, high = (float(self.coordinate(torch.tensor(b, dtype=torch.float64))) for b in (lower, self.upper))
        exact = self.spread == 1.0 and not self.is_log
        margin = 0.0 if exact else 4.0 * torch.finfo(dtype).eps
        return low + margin * _magnitude(low), high - margin * _magnitude(high)

    def log_prior(self, value: torch.Tensor) -> torch.Tensor:
        """Log density [...] of physical values [..., *shape]; 0 without a prior, -inf where it has none."""
        lead = value.shape[: value.ndim - len(self.shape)]
        if self.prior is None:
            return torch.zeros(lead, dtype=value.dtype if value.is_floating_point() else torch.get_default_dtype())
        known = hasattr(self.prior, "log_prob")
        given = _log_probability(self.prior, value, lead) if known else self.prior(value)  # type: ignore[operator]
        return given.reshape(*lead, -1).sum(-1)

    def _number_of(self, given: Any) -> Any:
        """The number of a choice, or of each where some are named; numbers stay what they are."""
        if isinstance(given, list | tuple) and given not in self.choices and any(isinstance(g, str) for g in given):
            return [self._number_of(g) for g in given]
        known = isinstance(given, (str, int, float, bool, tuple)) and given in self.choices
        if isinstance(given, str) and not known:
            raise InputError(f"{self.name}: expected one of {list(self.choices)}, got {given!r}; correct it.")
        return self.choices.index(given) if known else given

    def _set(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            object.__setattr__(self, name, value)


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
        dtypes = [u.initial.dtype for u in self.unknowns if u.is_float]
        self.dtype = max(dtypes, key=lambda d: torch.finfo(d).bits, default=torch.float32)
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

    def starting_at(self, start: torch.Tensor | Mapping[str, Any]) -> "Space":
        """The same space with other initial values: coordinates [dimension], or values by name; names left out keep theirs.

        Errors: `InputError` for an unknown name, another shape, or values out of bounds.
        """
        made = copy.copy(self)
        if not isinstance(start, Mapping):
            start = torch.as_tensor(start)
            if start.shape != self.initial.shape or not torch.isfinite(start).all():
                got = "what is not finite" if start.shape == self.initial.shape else list(start.shape)
                raise InputError(
                    f"start: expected finite coordinates of shape [{self.dimension}], got {got}; correct it."
                )
            made.initial, _ = self.project(start.detach().to(self.initial))
            return made
        unknown = sorted(set(start) - set(self.names))
        if unknown:
            raise InputError(f"start: expected names among {list(self.names)}, got {unknown}; correct them.")
        values = self.values(self.initial)
        for u in self.unknowns:
            if u.name in start:
                values[u.name] = dataclasses.replace(u, initial=start[u.name]).initial.to(u.initial)
                if values[u.name].shape != u.shape:
                    got = list(values[u.name].shape)
                    raise InputError(f"start: expected {u.name} of shape {list(u.shape)}, got {got}; reshape it.")
        made.initial, _ = self.project(self.coordinates(values))
        return made

    def log_prior(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Log density [...] of physical values by name, each in its own unit; unknowns without a prior add 0."""
        return torch.stack([u.log_prior(values[u.name]).to(self.dtype) for u in self.unknowns]).sum(0)

    def log_density(self, theta: torch.Tensor) -> torch.Tensor:
        """Log density [...] of the priors over coordinates [..., dimension], for methods that sample those.

        log p(theta) = log p(value) + sum log |d value / d theta|, the sum over entries with a prior that are not discrete.
        """
        total = self.log_prior(self.values(theta))
        for u, part in zip(self.unknowns, self._slices, strict=True):
            if u.prior is not None and u.is_float:
                total = total + u.slope(theta[..., part]).abs().log().sum(-1)
        return total

    @property
    def has_priors(self) -> bool:
        return any(u.prior is not None for u in self.unknowns)

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
            if u.is_float
            else torch.zeros((*lead, *u.shape), dtype=self.dtype, device=self.device)
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
        """A name for each coordinate: that of its unknown, with an index where it has several entries, and its choice."""
        made = []
        for u in self.unknowns:
            for index in np.ndindex(u.shape):
                name = u.name + (f"[{', '.join(map(str, index))}]" if index else "")
                made += [f"{name}={choice}" for choice in u.choices] or [name]
        return made

    def describe_not_finite(self, vector: torch.Tensor) -> str:
        """A clause naming the first unknown where the vector [dimension] is not finite; empty if there is none."""
        for unknown, part in zip(self.unknowns, self._slices, strict=True):
            bad = ~torch.isfinite(vector[part])
            if bad.any():
                first = [int(i) for i in np.unravel_index(int(bad.nonzero()[0]), unknown.entry_shape)]
                return f"'{unknown.name}' is not finite in {int(bad.sum())} of {unknown.size} entries, first at {first}"
        return ""

    def _constant(self, entries: list[float]) -> torch.Tensor:
        parts = [torch.full((u.size,), e, dtype=self.dtype) for u, e in zip(self.unknowns, entries, strict=True)]
        return torch.cat(parts).to(self.device)


def _log_probability(prior: Any, value: torch.Tensor, lead: Sequence[int]) -> torch.Tensor:
    """Log density of values [*lead, ...] or of each entry; -inf outside the support, where torch raises."""
    try:
        return prior.log_prob(value)
    except ValueError:
        inside = prior.support.check(value)
        if inside.all():
            raise
    if not lead:
        return value.new_full((), -math.inf, dtype=torch.get_default_dtype())
    rows = [_log_probability(prior, row, lead[1:]) for row in value]
    return torch.stack([row.reshape(*lead[1:], -1).sum(-1) for row in rows])


def _tensor(value: Any, dtype: torch.dtype) -> torch.Tensor:
    """A detached copy; numbers of another kind than the dtype's become that."""
    tensor = value.detach().clone() if isinstance(value, torch.Tensor) else torch.tensor(value)
    return tensor if tensor.is_floating_point() == dtype.is_floating_point else tensor.to(dtype)


def _whole(bound: float, towards: Callable[[float], int]) -> float:
    return float(towards(bound)) if math.isfinite(bound) else bound


def _magnitude(bound: float) -> float:
    return max(1.0, abs(bound)) if math.isfinite(bound) else 0.0
