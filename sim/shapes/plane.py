"""A plane: everything below it is solid."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import warp as wp

from pliant.sim.errors import InputError
from pliant.sim.precision import Precision
from pliant.sim.shapes.base import FAR, Shape, Triangles, Vector, differentiable, positive, unit, vector


@dataclasses.dataclass(frozen=True)
class Plane(Shape):
    """The half-space n . (x - center) <= 0.

    Args:
        normal: direction out of the solid, [3]; its length does not matter.
        offset: signed distance [m] of the plane from the world's origin along the normal;
            give this or a center.
        center: a point on the plane, [3] m.
        extent: side [m] of the square that stands for the plane in pictures.
    """

    KIND: ClassVar[int] = 0
    normal: Vector = (0.0, 0.0, 1.0)
    offset: float | None = None
    extent: float = dataclasses.field(default=10.0, kw_only=True)
    rotation: Vector = dataclasses.field(default=(0.0, 0.0, 0.0, 1.0), init=False, kw_only=True)

    def __post_init__(self) -> None:
        normal = unit("Plane.normal", self.normal, 3)
        self._set(normal=normal, rotation=_from_z(normal), extent=positive("Plane.extent", self.extent))
        super().__post_init__()
        height = float(np.dot(normal, self.center))
        if self.offset is None:
            self._set(offset=height)
        (offset,) = vector("Plane.offset", [self.offset], 1, FAR)
        self._set(offset=offset)
        if not any(self.center):
            self._set(center=tuple(offset * component + 0.0 for component in normal))
        elif abs(offset - height) > 1e-9 * (1.0 + abs(height)):
            raise InputError(
                f"Plane: expected an offset or a center, got both, {offset:g} m and {height:g} m along the normal; "
                "leave one out."
            )

    @property
    def volume(self) -> float:
        return math.inf

    def sample(self, spacing: float) -> np.ndarray:
        raise InputError("Plane.sample: expected a bounded shape, got a plane; fill a Box instead.")

    def _distance(self, points: np.ndarray) -> np.ndarray:
        return points[:, 2]

    def _support(self, directions: np.ndarray) -> np.ndarray:
        return np.where(directions[:, 2] >= 1.0 - 1e-12, 0.0, math.inf)

    def _surface(self, resolution: int) -> Triangles:
        corners = np.array([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]])
        return 0.5 * self.extent * corners, np.array([[0, 1, 2], [0, 2, 3]])

    @classmethod
    @functools.cache
    def distance_and_normal(cls, p: Precision) -> Callable:
        real, vec3, vec4 = p.real, p.vec3, p.vec4

        @wp.func
        def plane(x: vec3, size: vec3) -> vec4:
            return vec4(real(0.0), real(0.0), real(1.0), x[2])

        return differentiable(plane)


def _from_z(normal: tuple[float, ...]) -> tuple[float, ...]:
    """The shortest rotation (quaternion xyzw) from z to a unit normal; half a turn about x for -z."""
    x, y, z = normal
    if z < -1.0 + 1e-12:
        return (1.0, 0.0, 0.0, 0.0)
    return unit("Plane.normal", (0.0 - y, x, 0.0, 1.0 + z), 4)
