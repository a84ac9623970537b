"""The seam at which a closure enters: the fourth angular moment as a function of the lower ones and of the strain rate.

In two dimensions the symmetric tensors c = <1>, D = <pp> and S = <pppp> with tr D = c and S : I = D are the moments

    psi_0 = c,   psi_2 = <exp(2 i theta)> = D11 - D22 + 2 i D12,   psi_4 = <exp(4 i theta)>,

so that a closure is one complex number, and the symmetry of S and its traces hold by construction:
S1111 = (3 c + 4 Re psi_2 + Re psi_4) / 8, S1112 = (2 Im psi_2 + Im psi_4) / 8, S1122 = (c - Re psi_4) / 8.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

from pliant.sim.spectral.arrays import Arrays

Spacing = tuple[float, ...]

LEAST = 1e-12  # concentration below which there is nothing to close

Pull = Callable[..., tuple[Any, Any, Any]]
"""pull(bar, weights=...) -> gradients by c, psi_2 and the strain rate of the mean over the points of Re(conj(bar) psi_4),
times their number; with weights=True, gradients of that mean by weights gather."""


class Closure(abc.ABC):
    """psi_4 of c (real), psi_2 and the strain rate e = E11 + i E12 (complex), arrays [batch, *points], points `spacing` = (dx, dy) [m]
    apart, which matters to a closure that sees the neighbourhood.

    Gradients of a real function by a complex number are those by its real and imaginary parts, as one complex number.
    `uses_strain` says whether e matters; if it does, the Stokes flow is found by iteration.
    """

    uses_strain = False

    @abc.abstractmethod
    def evaluate(self, xp: Arrays, c: Any, psi2: Any, e: Any, spacing: Spacing) -> Any:
        """psi_4."""

    @abc.abstractmethod
    def linearise(self, xp: Arrays, c: Any, psi2: Any, e: Any, spacing: Spacing) -> tuple[Any, Pull]:
        """psi_4, and its vector-Jacobian product."""


class FactorClosure(Closure):
    """psi_4 = psi_2^2 f(x) / c with x = |psi_2 / c|^2: what a closure by the scalar order alone can be.

    A realisable one has |x f - x| <= 1 - x. It turns with psi_2, and is smooth where there is no order.
    """

    @abc.abstractmethod
    def factor(self, xp: Arrays, x: Any) -> tuple[Any, Any]:
        """f and df/dx."""

    def evaluate(self, xp: Arrays, c: Any, psi2: Any, e: Any, spacing: Spacing) -> Any:
        z = psi2 / c
        return psi2 * z * self.factor(xp, _squared(z))[0]

    def linearise(self, xp: Arrays, c: Any, psi2: Any, e: Any, spacing: Spacing) -> tuple[Any, Pull]:
        z = psi2 / c
        x = _squared(z)
        f, slope = self.factor(xp, x)
        square = z * z

        def pull(bar: Any, *, weights: bool = True) -> tuple[Any, Any, Any]:
            by_x = slope * real_product(square, bar)
            by_z = 2.0 * (f * xp.conj(z) * bar + by_x * z)
            by_c = f * real_product(square, bar) - real_product(z, by_z)
            return by_c, by_z, None

        return psi2 * z * f, pull


@dataclasses.dataclass(frozen=True)
class QuadraticClosure(FactorClosure):
    """psi_4 = psi_2^2 / c, exact for perfect alignment: S = D D / c but for what its symmetry asks."""

    def factor(self, xp: Arrays, x: Any) -> tuple[Any, Any]:
        return 1.0 + 0.0 * x, 0.0 * x


@dataclasses.dataclass
class Projection:
    """(c, psi_2) on the realisable set |psi_2| <= c, where they are not, and how to pull gradients back to them.

    Eigenvalues of D are (c +- |psi_2|) / 2. `count` says how many points lay outside.
    """

    c: Any
    psi2: Any
    count: int
    direction: Any = None
    length: Any = None
    outside: Any = None

    @staticmethod
    def of(xp: Arrays, c: Any, psi2: Any) -> "Projection":
        squared = _squared(psi2)
        outside = (squared > c * c) | (c < LEAST)
        count = int(outside.sum())
        if not count:
            return Projection(c, psi2, 0)
        kept = xp.where(c < LEAST, LEAST + 0.0 * c, c)
        length = xp.sqrt(squared + LEAST**2)
        made = xp.where(outside, kept * (psi2 / length), psi2)
        return Projection(kept, made, count, psi2 / length, length, outside)

    def pull(self, xp: Arrays, by_c: Any, by_psi2: Any) -> tuple[Any, Any]:
        """Gradients by what was given, of a function of what was made."""
        if not self.count:
            return by_c, by_psi2
        along = real_product(self.direction, by_psi2)
        across = self.c * (by_psi2 - along * self.direction) / self.length
        moved = xp.where(self.c > LEAST, by_c + along, 0.0 * by_c)
        return xp.where(self.outside, moved, by_c), xp.where(self.outside, across, by_psi2)


def outside_count(c: Any, psi2: Any) -> int:
    """How many points have |psi_2| > c, which no distribution has."""
    return int((_squared(psi2) > c * c).sum())


def real_product(a: Any, b: Any) -> Any:
    """Re(conj(a) b)."""
    return a.real * b.real + a.imag * b.imag


def _squared(z: Any) -> Any:
    return z.real**2 + z.imag**2
