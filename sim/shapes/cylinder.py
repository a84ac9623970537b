"""A cylinder with flat ends."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import warp as wp

from pliant.sim.precision import Precision
from pliant.sim.shapes.base import Shape, Triangles, differentiable, positive
from pliant.sim.shapes.revolution import revolve


@dataclasses.dataclass(frozen=True)
class Cylinder(Shape):
    """A round cylinder along the shape's own z axis, its center half way up.

    Args:
        radius: in m.
        height: in m.
    """

    KIND: ClassVar[int] = 4
    radius: float
    height: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(radius=positive("Cylinder.radius", self.radius), height=positive("Cylinder.height", self.height))

    @property
    def volume(self) -> float:
        return math.pi * self.radius**2 * self.height

    @property
    def size(self) -> np.ndarray:
        return np.array([self.radius, 0.5 * self.height, 0.0])

    def _distance(self, points: np.ndarray) -> np.ndarray:
        side = np.hypot(points[:, 0], points[:, 1]) - self.radius
        end = np.abs(points[:, 2]) - 0.5 * self.height
        return np.hypot(np.maximum(side, 0.0), np.maximum(end, 0.0)) + np.minimum(np.maximum(side, end), 0.0)

    def _support(self, directions: np.ndarray) -> np.ndarray:
        return self.radius * np.hypot(directions[:, 0], directions[:, 1]) + 0.5 * self.height * np.abs(directions[:, 2])

    def _surface(self, resolution: int) -> Triangles:
        radius, half = self.radius, 0.5 * self.height
        return revolve(np.array([[0.0, -half], [radius, -half], [radius, half], [0.0, half]]), resolution)

    @classmethod
    @functools.cache
    def distance_and_normal(cls, p: Precision) -> Callable:
        real, vec3, vec4 = p.real, p.vec3, p.vec4

        @wp.func
        def cylinder(x: vec3, size: vec3) -> vec4:
            zero = real(0.0)
            rho = wp.length(vec3(x[0], x[1], zero))
            along = wp.sign(x[2])
            end = wp.abs(x[2]) - size[1]
            side = rho - size[0]
            if end >= side and side <= zero:
                return vec4(zero, zero, along, end)
            cosine = real(1.0)
            sine = zero
            if rho > zero:
                cosine = x[0] / rho
                sine = x[1] / rho
            if end <= zero:
                return vec4(cosine, sine, zero, side)
            d = wp.sqrt(side * side + end * end)
            return vec4(cosine * side / d, sine * side / d, along * end / d, d)

        return differentiable(cylinder)
