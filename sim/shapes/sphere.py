"""A ball."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import warp as wp

from pliant.sim.precision import Precision
from pliant.sim.shapes.base import Shape, Triangles, differentiable, positive
from pliant.sim.shapes.revolution import arc, revolve


@dataclasses.dataclass(frozen=True)
class Sphere(Shape):
    """The ball |x - center| <= radius.

    Args:
        radius: in m.
    """

    KIND: ClassVar[int] = 1
    radius: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(radius=positive("Sphere.radius", self.radius))

    @property
    def volume(self) -> float:
        return 4.0 / 3.0 * math.pi * self.radius**3

    @property
    def size(self) -> np.ndarray:
        return np.array([self.radius, 0.0, 0.0])

    def _distance(self, points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points, axis=1) - self.radius

    def _support(self, directions: np.ndarray) -> np.ndarray:
        return np.full(len(directions), self.radius)

    def _surface(self, resolution: int) -> Triangles:
        return revolve(arc(self.radius, 0.0, -0.5 * math.pi, 0.5 * math.pi, resolution // 2), resolution)

    @classmethod
    @functools.cache
    def distance_and_normal(cls, p: Precision) -> Callable:
        real, vec3, vec4 = p.real, p.vec3, p.vec4

        @wp.func
        def sphere(x: vec3, size: vec3) -> vec4:
            r = wp.length(x)
            if r == real(0.0):
                return vec4(real(0.0), real(0.0), real(1.0), -size[0])
            return vec4(x[0] / r, x[1] / r, x[2] / r, r - size[0])

        return differentiable(sphere)
