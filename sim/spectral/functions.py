"""The functions of z = h L that exponential and implicit integrators are made of, with their derivatives in z."""

import dataclasses
import math

import numpy as np

INSIDE = 1.5  # beyond this |z| the recursion loses less than the integral
RADIUS, NODES = 4.0, 40  # of the contour, which leaves (1.5 / 4)^40 = 9e-18
CHUNK = 2**15  # points at a time, so that the kernel of the integral stays small


@dataclasses.dataclass(frozen=True)
class Function:
    """Values of an analytic function at the points z, and its slopes there; arithmetic carries both."""

    value: np.ndarray
    slope: np.ndarray

    def __add__(self, other: "Function | float") -> "Function":
        other = _function(other)
        return Function(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other: "Function | float") -> "Function":
        other = _function(other)
        return Function(self.value * other.value, self.slope * other.value + self.value * other.slope)

    def __truediv__(self, other: "Function | float") -> "Function":
        other = _function(other)
        value = self.value / other.value
        return Function(value, (self.slope - value * other.slope) / other.value)

    def __sub__(self, other: "Function | float") -> "Function":
        return self + other * -1.0 if isinstance(other, Function) else self + (-other)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: float) -> "Function":
        return self * -1.0 + other


def _function(value: "Function | float") -> Function:
    return value if isinstance(value, Function) else constant(value)


def constant(value: float) -> Function:
    """The same everywhere."""
    return Function(np.asarray(value), np.asarray(0.0))


def variable(z: np.ndarray) -> Function:
    """z itself."""
    return Function(z, np.ones_like(z))


def phi(order: int, z: np.ndarray, scale: float = 1.0) -> Function:
    """phi_order(scale * z) with its derivative in z.

    phi_0(z) = exp(z), phi_k(z) = (phi_(k-1)(z) - 1 / (k-1)!) / z, and d phi_k / dz = phi_k - k phi_(k+1).
    """
    values = phi_values(scale * z, order + 1)
    return Function(values[order], scale * (values[order] - order * values[order + 1]))


def phi_values(z: np.ndarray, highest: int) -> list[np.ndarray]:
    """phi_0 ... phi_highest at complex z, in complex128.

    Where |z| is small the recursion cancels, and Cauchy's integral over a circle about the origin takes its place. The values
    stay complex: truncated to their real part, an integrator is of first order on dispersive equations.

    Source: Kassam and Trefethen, Fourth-order time-stepping for stiff PDEs, SIAM J. Sci. Comput. 26 (2005), sec. 3.
    """
    z = np.asarray(z, np.complex128)
    small = np.abs(z) < INSIDE
    values = _recursion(np.where(small, INSIDE, z), highest)
    inside = z[small]
    if inside.size:
        for value, made in zip(values, _integral(inside, highest), strict=True):
            value[small] = made
    return [np.exp(z), *values[1:]]


def _integral(z: np.ndarray, highest: int) -> np.ndarray:
    """phi_0 ... phi_highest [order, points] where |z| < INSIDE, by the trapezoidal rule on the circle."""
    nodes = RADIUS * np.exp(2j * np.pi * (np.arange(NODES) + 0.5) / NODES)
    weighted = np.stack(_recursion(nodes, highest)) * nodes / NODES
    parts = [weighted @ (1.0 / (nodes[:, None] - part)) for part in np.split(z, range(CHUNK, len(z), CHUNK))]
    return np.concatenate(parts, axis=1)


def _recursion(z: np.ndarray, highest: int) -> list[np.ndarray]:
    """phi_0 ... phi_highest where |z| is not small."""
    values = [np.exp(z)]
    for k in range(1, highest + 1):
        values.append((values[-1] - 1.0 / math.factorial(k - 1)) / z)
    return values
