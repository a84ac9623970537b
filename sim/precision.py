"""Warp types of one floating-point precision, so that every kernel is written once for float32 and float64."""

import dataclasses
import functools

import numpy as np
import warp as wp

from pliant.sim.errors import InputError


@dataclasses.dataclass(frozen=True)
class Precision:
    """The scalar, vector and matrix types of one precision; hashable, so kernel factories cache on it."""

    name: str

    @property
    def real(self) -> type:
        return {"float32": wp.float32, "float64": wp.float64}[self.name]

    @property
    def numpy(self) -> type:
        return {"float32": np.float32, "float64": np.float64}[self.name]

    @property
    def vec3(self) -> type:
        return self.vector(3)

    @property
    def vec4(self) -> type:
        return self.vector(4)

    @property
    def mat33(self) -> type:
        return wp.types.matrix((3, 3), self.real)

    @property
    def quat(self) -> type:
        return wp.types.quaternion(self.real)

    @property
    def epsilon(self) -> float:
        """Distance from 1 to the next number."""
        return float(np.finfo(self.numpy).eps)

    def vector(self, length: int) -> type:
        return wp.types.vector(length, self.real)


@functools.cache
def precision(name: str) -> Precision:
    """The `Precision` called "float32" or "float64".

    Errors: `InputError` for any other name.
    """
    if name not in ("float32", "float64"):
        raise InputError(f"dtype: expected 'float32' or 'float64', got {name!r}; choose one of the two.")
    return Precision(name)
