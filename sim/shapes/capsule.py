"""A capsule: a cylinder with half a ball at each end."""

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
class Capsule(Shape):
    """Everything within `radius` of a segment along the shape's own z axis.

    Args:
        radius: in m.
        length: of the segment, between the centers of the caps, in m.
    """

    KIND: ClassVar[int] = 3
    radius: float
    length: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(radius=positive("Capsule.radius", self.radius), length=positive("Capsule.length", self.length))

    @property
    def volume(self) -> float:
        return math.pi * self.radius**2 * (self.length + 4.0 / 3.0 * self.radius)

    @property
    def size(self) -> np.ndarray:
        return np.array([self.radius, 0.5 * self.length, 0.0])

    def _distance(self, points: np.ndarray) -> np.ndarray:
        half = 0.5 * self.length
        axial = points[:, 2] - np.minimum(np.maximum(points[:, 2], -half), half)
        return np.sqrt(points[:, 0] ** 2 + points[:, 1] ** 2 + axial**2) - self.radius

    def _support(self, directions: np.ndarray) -> np.ndarray:
        return self.radius + 0.5 * self.length * np.abs(directions[:, 2])

    def _surface(self, resolution: int) -> Triangles:
        half, right = 0.5 * self.length, 0.5 * math.pi
        steps = max(1, resolution // 4)
        caps = arc(self.radius, -half, -right, 0.0, steps), arc(self.radius, half, 0.0, right, steps)
        return revolve(np.concatenate(caps), resolution)

    @classmethod
    @functools.cache
    def distance_and_normal(cls, p: Precision) -> Callable:
        real, vec3, vec4 = p.real, p.vec3, p.vec4

        @wp.func
        def capsule(x: vec3, size: vec3) -> vec4:
            arm = vec3(x[0], x[1], x[2] - wp.clamp(x[2], -size[1], size[1]))
            r = wp.length(arm)
            if r == real(0.0):
                return vec4(real(1.0), real(0.0), real(0.0), -size[0])
            return vec4(arm[0] / r, arm[1] / r, arm[2] / r, r - size[0])

        return differentiable(capsule)
