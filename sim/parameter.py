"""What is known about a differentiable parameter before any array exists: its name, unit and bounds."""

import dataclasses
import math

import numpy as np

from pliant.sim.checks import numbers
from pliant.sim.errors import InputError


@dataclasses.dataclass(frozen=True)
class ParameterSpec:
    """Name, SI unit, bounds and meaning of one physical parameter.

    The bounds are open (lower < value < upper) unless `lower_closed`. A `quaternion` is the last four components; its
    length does not matter but must be neither nothing nor without measure.
    """

    name: str
    unit: str
    lower: float = -math.inf
    upper: float = math.inf
    meaning: str = ""
    lower_closed: bool = False
    quaternion: bool = False

    def check(self, value: np.ndarray | float, owner: str) -> None:
        """Raise `InputError` unless every entry is a finite number within the bounds."""
        entries = self._numbers(value, owner)
        below = entries < self.lower if self.lower_closed else entries <= self.lower
        bad = ~np.isfinite(entries) | below | (entries >= self.upper)
        if bad.any():
            relation = "<=" if self.lower_closed else "<"
            raise InputError(
                f"{owner}.{self.name}: expected {self.lower:g} {relation} value < {self.upper:g} [{self.unit}], "
                f"got {entries[bad].flat[0]:g}; correct the value."
            )
        if self.quaternion:
            self._check_quaternion(entries, owner)

    def cast(self, value: np.ndarray | float, dtype: type, owner: str) -> np.ndarray:
        """The value in the precision of a model; `InputError` unless it is within the bounds there too."""
        self.check(value, owner)
        with np.errstate(over="ignore", under="ignore"):
            made = np.ascontiguousarray(value, dtype=dtype)
        try:
            self.check(made, owner)
        except InputError as error:
            raise InputError(f"{error} It was within the bounds before it was rounded to {dtype.__name__}.") from None
        return made

    def _numbers(self, value: np.ndarray | float, owner: str) -> np.ndarray:
        entries = numbers(value)
        if entries is None:
            raise InputError(f"{owner}.{self.name}: expected numbers in {self.unit}, got {value!r}; correct the value.")
        return entries

    def _check_quaternion(self, entries: np.ndarray, owner: str) -> None:
        with np.errstate(over="ignore"):  # an infinite length is refused below
            lengths = np.linalg.norm(entries[..., -4:], axis=-1)
        bad = ~((lengths > 1e-3) & (lengths < 1e3))
        if entries.ndim and bad.any():
            raise InputError(
                f"{owner}.{self.name}: expected quaternions (x, y, z, w) of length about 1, got one of length "
                f"{lengths[bad].flat[0]:g}; give (0, 0, 0, 1) for no rotation."
            )


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A named differentiable quantity of a model: `value` has the full shape [batch, item..., component...].

    A value handed over may leave out leading axes: a scalar or one component vector for everything, [batch, ...] for
    one value an environment, [items, ...] where that is not ambiguous, or the full shape. Its gradient has the shape
    of the value that was handed over.
    """

    name: str
    spec: ParameterSpec
    value: np.ndarray
    components: int = 0  # how many trailing axes make one quantity: 0 scalar, 1 vector, 2 matrix
    timed: bool = False  # the second axis is time: intervals or knots, any number

    @property
    def unit(self) -> str:
        return self.spec.unit

    @property
    def bounds(self) -> tuple[float, float]:
        return self.spec.lower, self.spec.upper

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def summary(self) -> str:
        """Name, shape and value with its unit, the smallest and largest where there are several: one line."""
        low, high = self.value.min(initial=math.inf), self.value.max(initial=-math.inf)
        value = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        return f"{self.name} {list(self.shape)}: {value}" + (f" {self.unit}" if self.unit != "1" else "")

    def expand(self, given: np.ndarray | float) -> np.ndarray:
        """The full array a given value stands for; `InputError` for a shape that does not fit or a value out of bounds."""
        value = np.asarray(given)
        if value.dtype.kind not in "fiu":
            raise InputError(f"{self.name}: expected numbers, got dtype {value.dtype}; convert it to float.")
        aligned = self.aligned(value)
        made = self.spec.cast(aligned, self.value.dtype.type, self.name.rpartition(".")[0] or "scene")
        full = (*self.shape[:1], aligned.shape[1], *self.shape[2:]) if self.timed else self.shape
        return np.ascontiguousarray(np.broadcast_to(made, full))

    def reduce(self, gradient: np.ndarray, given: np.ndarray | float) -> np.ndarray:
        """Sum of a full gradient over the axes along which the given value was repeated; shape of the given value."""
        aligned = self.aligned(np.asarray(given))
        repeated = tuple(
            axis for axis in range(gradient.ndim) if aligned.shape[axis] == 1 and gradient.shape[axis] != 1
        )
        return gradient.sum(axis=repeated, keepdims=True).reshape(np.shape(given))

    def aligned(self, value: np.ndarray) -> np.ndarray:
        """The value with axes of length one where it left some out; `InputError` for a shape that does not fit."""
        tail = self.shape[len(self.shape) - self.components :]
        lead = value.shape[: value.ndim - self.components] if value.ndim >= self.components else None
        wanted = self.shape[: len(self.shape) - self.components]
        if lead is None or value.shape[len(lead) :] != tail:
            raise self._misfit(value)
        candidates = [(1,) * len(wanted)] if not lead else []
        if len(lead) == len(wanted):
            candidates.append(lead)
        if len(lead) == 1 and len(wanted) == 2:
            environments, items = lead + (1,), (1,) + lead
            candidates += [items, environments] if self.timed else [environments, items]
        for shape in candidates:
            if all(
                a in (1, b) or (self.timed and axis == 1) for axis, (a, b) in enumerate(zip(shape, wanted, strict=True))
            ):
                return value.reshape(shape + tail)
        raise self._misfit(value)

    def _misfit(self, value: np.ndarray) -> InputError:
        shape: list[int | str] = list(self.shape)
        if self.timed:
            shape[1:2] = ["intervals"]
        return InputError(
            f"{self.name}: expected shape {shape} or one without leading axes, got {list(value.shape)}; reshape the value."
        )
