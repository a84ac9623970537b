"""Particles given one by one."""

import dataclasses
from typing import Any

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.shapes.base import FAR, NEAR, Shape, Triangles, Vector, check_points, positive


@dataclasses.dataclass(frozen=True, eq=False)
class Points(Shape):
    """A cloud of particles; it can be a body but not a collider.

    Args:
        positions: in the world, [n, 3] m.
        volume: of all of them together, at rest [m^3].
        center: what the body's angular velocity is about, [3] m; default: the mean position.
    """

    positions: np.ndarray
    volume: float = dataclasses.field()
    center: Any = dataclasses.field(default=None, kw_only=True)
    rotation: Vector = dataclasses.field(default=(0.0, 0.0, 0.0, 1.0), init=False, kw_only=True)

    def __post_init__(self) -> None:
        positions = check_points("Points.positions", self.positions).copy()
        if not len(positions):
            raise InputError("Points.positions: expected at least one particle, got none; add some.")
        positions.setflags(write=False)
        self._set(positions=positions, volume=positive("Points.volume", self.volume, NEAR**3, FAR**3, "m^3"))
        if self.center is None:
            self._set(center=positions.mean(axis=0))
        super().__post_init__()

    def sample(self, spacing: float) -> np.ndarray:
        """The positions [n, 3] as given; the spacing [m] only has to be valid."""
        positive("Points.sample: spacing", spacing)
        return self.positions.copy()

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return self.positions.min(axis=0), self.positions.max(axis=0)

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        raise InputError("Points.signed_distance: expected a solid shape, got separate points; use another shape.")

    def _surface(self, resolution: int) -> Triangles:
        raise InputError("Points.surface: expected a solid shape, got separate points; use another shape.")
