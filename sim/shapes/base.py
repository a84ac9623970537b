"""What a shape is: a solid with a signed distance, filled by particles on the host, met as a collider on the device."""

import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy.spatial.transform import Rotation

from pliant.sim.errors import InputError
from pliant.sim.precision import Precision

MAX_POINTS = 2**24  # of a lattice before those outside are dropped; 0.4 GiB of coordinates
NEAR, FAR = 1.0e-9, 1.0e6  # m; lengths outside lose their volume, or each other, in float32
POINT_LIMIT = 1.0e100  # of a coordinate, so that its cube is finite
_KINDS: dict[str, type["Shape"]] = {}

Vector = Sequence[float] | np.ndarray
Triangles = tuple[np.ndarray, np.ndarray]
"""Vertices [v, 3] in m and faces [f, 3], counter-clockwise seen from outside."""


def positive(owner: str, value: Any, lower: float = NEAR, upper: float = FAR, unit: str = "m") -> float:
    """The value as a float; `InputError` unless it is one number from `lower` to `upper`."""
    number = _numbers(value)
    if number.shape != () or not lower <= number <= upper:
        raise InputError(f"{owner}: expected a number from {lower:g} to {upper:g} {unit}, got {value!r}; correct it.")
    return float(number)


def vector(owner: str, value: Any, length: int = 3, limit: float = sys.float_info.max) -> tuple[float, ...]:
    """The value as a tuple of floats; `InputError` unless it has `length` numbers between -limit and limit."""
    numbers = _numbers(value)
    if numbers.shape != (length,) or not (np.abs(numbers) <= limit).all():
        raise InputError(f"{owner}: expected {length} numbers of at most {limit:g}, got {value!r}; correct it.")
    return tuple(numbers.tolist())


def unit(owner: str, value: Any, length: int) -> tuple[float, ...]:
    """The value divided by its length; unchanged, to the bit, where that is 1 already."""
    numbers = vector(owner, value, length)
    norm = math.hypot(*numbers)
    if not 0.0 < norm < math.inf:
        raise InputError(f"{owner}: expected numbers that are not all zero, got {value!r}; give a direction.")
    return numbers if abs(norm - 1.0) < 1e-15 else tuple(number / norm for number in numbers)


def _numbers(value: Any) -> np.ndarray:
    """The value as a float64 array, NaN where it holds anything but numbers."""
    try:
        array = np.asarray(value)
    except ValueError:
        return np.array(math.nan)
    return array.astype(np.float64) if array.dtype.kind in "iuf" else np.array(math.nan)


def differentiable(function: Callable) -> Callable:
    """The Warp function, its adjoint always made: Warp 1.19 gives zeros where a kernel calls it before `wp.grad`."""
    function.adj.force_adjoint_codegen = True
    return function


def _lattice(owner: str, extents: np.ndarray, h: float, remedy: str) -> np.ndarray:
    """Points [n, 3] of a cubic lattice about the origin, one for every cell of side h that the extents [3] hold."""
    counts = np.rint(extents / h)
    if counts.prod() > MAX_POINTS:
        raise InputError(
            f"{owner}.sample: spacing = {h:g} m needs a lattice of {counts.prod():.2g} points, expected at most "
            f"{MAX_POINTS}; {remedy}."
        )
    offsets = [(np.arange(count) - 0.5 * (count - 1.0)) * h for count in counts]
    return np.stack(np.meshgrid(*offsets, indexing="ij"), axis=-1).reshape(-1, 3)


def check_points(owner: str, points: np.ndarray) -> np.ndarray:
    """The points as a float64 array; `InputError` unless their shape is [n, 3] and their coordinates are numbers."""
    array = _numbers(points)
    if array.ndim != 2 or array.shape[1] != 3:
        raise InputError(f"{owner}: expected points of shape [n, 3], got {list(array.shape)}; reshape them.")
    if not (np.abs(array) <= POINT_LIMIT).all():
        raise InputError(f"{owner}: expected finite points, got NaN, infinity or beyond {POINT_LIMIT:g}; remove them.")
    return array


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """A solid in the world: its own frame placed by a center and a rotation.

    Args:
        center: where the origin of the shape's own frame lies, [3] m.
        rotation: unit quaternion (x, y, z, w) that turns the shape's own frame into the world's.

    On the device a shape is the number `KIND`, the vector `size` and a Warp function of both in the shape's own frame;
    a collider's pose carries center and rotation.
    """

    KIND: ClassVar[int] = -1
    TOO_FINE: ClassVar[str] = "enlarge the spacing"
    center: Vector = (0.0, 0.0, 0.0)
    rotation: Vector = (0.0, 0.0, 0.0, 1.0)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _KINDS[cls.__name__] = cls

    def __post_init__(self) -> None:
        self._set(
            center=vector(f"{self._name}.center", self.center, limit=FAR),
            rotation=unit(f"{self._name}.rotation", self.rotation, 4),
        )

    @cached_property
    def volume(self) -> float:
        """Volume [m^3]."""
        raise NotImplementedError

    @property
    def size(self) -> np.ndarray:
        """The numbers [3] that the device function takes, in m."""
        return np.zeros(3)

    @classmethod
    def distance_and_normal(cls, p: Precision) -> Callable:
        """Warp function (x, size) -> (nx, ny, nz, d): outward unit normal and signed distance [m] at x, own frame.

        d < 0 inside; n = grad d. `wp.grad` of it is exact except where d has a kink (edges of the medial axis).
        """
        raise NotImplementedError

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance [n] in m of world points [n, 3], negative inside."""
        return self._distance(self._to_local(check_points(self._name, points)))

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner [3] in m of the smallest world-aligned box that holds the shape."""
        axes = self._turn.as_matrix()  # row i is the world's axis i seen in the shape's own frame
        return self.center - self._support(-axes), self.center + self._support(axes)

    def own_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner [3] in m of the same in the shape's own frame; infinite where it does not end."""
        return -self._support(-np.eye(3)), self._support(np.eye(3))

    def sample(self, spacing: float) -> np.ndarray:
        """World points [n, 3] inside, each standing for volume / n.

        They lie on a cubic lattice that follows the shape's own axes and is symmetric about the middle of its extent.

        Errors: `InputError` for a spacing [m] at which no point, or more than 16 million, would fit.
        """
        h = positive(f"{self._name}.sample: spacing", spacing)
        lower, upper = self.own_bounds()
        lattice = _lattice(self._name, upper - lower, h, self.TOO_FINE) + 0.5 * (lower + upper)
        inside = lattice[self._distance(lattice) < 0.0]
        if not len(inside):
            raise InputError(
                f"{self._name}.sample: expected at least one particle, got none at spacing = {h:g} m in a shape of "
                f"{' x '.join(f'{extent:g}' for extent in upper - lower)} m; lower the spacing."
            )
        return self._to_world(inside)

    def surface(self, resolution: int = 32) -> Triangles:
        """Vertices [v, 3] in m and faces [f, 3] of the surface, in the world; `resolution` segments make a turn."""
        if isinstance(resolution, bool) or not isinstance(resolution, (int, np.integer)) or resolution < 3:
            raise InputError(
                f"{self._name}.surface: expected a whole resolution of at least 3, got {resolution!r}; correct it."
            )
        vertices, faces = self._surface(int(resolution))
        return self._to_world(vertices), faces

    def to_dict(self) -> dict:
        """The shape as numbers, lists and strings only, ready for JSON; `Shape.from_dict` reads it back."""
        names = [field.name for field in dataclasses.fields(self) if field.init]
        return {"kind": self._name, **{name: np.asarray(getattr(self, name)).tolist() for name in names}}

    @staticmethod
    def from_dict(data: dict) -> "Shape":
        """The shape that `to_dict` described.

        Errors: `InputError` for an unknown kind or entry, or numbers the shape refuses.
        """
        kind = data.get("kind") if isinstance(data, dict) else None
        if not isinstance(kind, str) or kind not in _KINDS:
            raise InputError(f"shape: expected a dict whose kind is one of {sorted(_KINDS)}, got {kind!r}; correct it.")
        given = {name: value for name, value in data.items() if name != "kind"}
        fields = [field for field in dataclasses.fields(_KINDS[kind]) if field.init]
        required = {field.name for field in fields if field.default is dataclasses.MISSING}
        if not required <= set(given) <= {field.name for field in fields}:
            names = [field.name for field in fields]
            raise InputError(f"shape {kind}: expected the entries {names}, got {list(given)}; correct the names.")
        return _KINDS[kind](**given)

    def _distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance [n] of points [n, 3] of the shape's own frame."""
        raise NotImplementedError

    def _support(self, directions: np.ndarray) -> np.ndarray:
        """How far [n] the shape reaches along unit directions d [n, 3] of its own frame: the largest x . d."""
        raise NotImplementedError

    def _surface(self, resolution: int) -> Triangles:
        raise NotImplementedError

    @property
    def _name(self) -> str:
        return type(self).__name__

    @cached_property
    def _turn(self) -> Rotation:
        return Rotation.from_quat(self.rotation)

    def _to_local(self, points: np.ndarray) -> np.ndarray:
        return (points - self.center) @ self._turn.as_matrix()

    def _to_world(self, points: np.ndarray) -> np.ndarray:
        return points @ self._turn.as_matrix().T + self.center

    def _set(self, **values: Any) -> None:
        """Write checked values into the frozen fields; for `__post_init__` only."""
        for name, value in values.items():
            object.__setattr__(self, name, value)
