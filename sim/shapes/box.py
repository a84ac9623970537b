"""A box."""

import dataclasses
import functools
from collections.abc import Callable
from itertools import product
from typing import ClassVar

import numpy as np
import warp as wp

from pliant.sim.precision import Precision
from pliant.sim.shapes.base import Shape, Triangles, Vector, differentiable, positive, vector


@dataclasses.dataclass(frozen=True)
class Box(Shape):
    """A box whose edges follow its own axes.

    Args:
        sides: full lengths [3] in m of the sides, or one number for a cube.
    """

    KIND: ClassVar[int] = 2
    sides: float | Vector

    def __post_init__(self) -> None:
        super().__post_init__()
        alone = np.isscalar(self.sides) or getattr(self.sides, "ndim", 1) == 0
        given = [self.sides] * 3 if alone else vector("Box.sides", self.sides)
        self._set(sides=tuple(positive("Box.sides", side) for side in given))

    @property
    def volume(self) -> float:
        return float(np.prod(self.sides))

    @property
    def size(self) -> np.ndarray:
        return 0.5 * np.asarray(self.sides)

    def _distance(self, points: np.ndarray) -> np.ndarray:
        beyond = np.abs(points) - self.size
        return np.linalg.norm(np.maximum(beyond, 0.0), axis=1) + np.minimum(beyond.max(axis=1), 0.0)

    def _support(self, directions: np.ndarray) -> np.ndarray:
        return np.abs(directions) @ self.size

    def _surface(self, resolution: int) -> Triangles:
        corners = np.array(list(product((-1.0, 1.0), repeat=3)))
        quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
        return corners * self.size, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])

    @classmethod
    @functools.cache
    def distance_and_normal(cls, p: Precision) -> Callable:
        real, vec3, vec4 = p.real, p.vec3, p.vec4

        @wp.func
        def outside(x: vec3, q: vec3) -> vec4:
            """Nearest is a face, an edge or a corner: the part of q above zero points away from it."""
            zero = real(0.0)
            beyond = vec3(wp.max(q[0], zero), wp.max(q[1], zero), wp.max(q[2], zero))
            d = wp.length(beyond)
            n = wp.cw_mul(vec3(wp.sign(x[0]), wp.sign(x[1]), wp.sign(x[2])), beyond) / d
            return vec4(n[0], n[1], n[2], d)

        @wp.func
        def box(x: vec3, size: vec3) -> vec4:
            zero = real(0.0)
            q = vec3(wp.abs(x[0]) - size[0], wp.abs(x[1]) - size[1], wp.abs(x[2]) - size[2])
            if q[0] > zero or q[1] > zero or q[2] > zero:
                return outside(x, q)
            if q[0] >= q[1] and q[0] >= q[2]:
                return vec4(wp.sign(x[0]), zero, zero, q[0])
            if q[1] >= q[2]:
                return vec4(zero, wp.sign(x[1]), zero, q[1])
            return vec4(zero, zero, wp.sign(x[2]), q[2])

        return differentiable(box)
