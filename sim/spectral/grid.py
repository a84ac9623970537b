"""The points and the wave numbers of a periodic box."""

import dataclasses
import math
from functools import cached_property

import numpy as np


@dataclasses.dataclass(frozen=True)
class Grid:
    """A periodic box with sides `lengths` (Lx, Ly, ...) [m] and `counts` (nx, ny, ...) points along them.

    A field lives on points, [..., nz, ny, nx], and as Fourier coefficients of the real transform, of which only those up to
    `cuts` (Mx, My, ...) are kept: [..., 2 Mz + 1, 2 My + 1, Mx + 1], along y and z in the order 0..M, -M..-1.
    """

    lengths: tuple[float, ...]
    counts: tuple[int, ...]
    cuts: tuple[int, ...]

    @staticmethod
    def resolving(lengths: tuple[float, ...], counts: tuple[int, ...], degree: int) -> "Grid":
        """The grid on which products of `degree` kept fields are free of aliasing: (degree + 1) M < n.

        For degree 2 that is Orszag's two-thirds rule; degree 1 keeps all but the Nyquist mode.

        Source: Canuto et al., Spectral Methods: Fundamentals in Single Domains (2006), sec. 3.4.2.
        """
        return Grid(lengths, counts, tuple((n - 1) // (degree + 1) for n in counts))

    @property
    def dimension(self) -> int:
        return len(self.counts)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Of the points (dx, dy, ...) [m]."""
        return tuple(length / count for length, count in zip(self.lengths, self.counts, strict=True))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a field on the points: (nz, ny, nx)."""
        return self.counts[::-1]

    @property
    def points(self) -> int:
        return math.prod(self.counts)

    @property
    def modes(self) -> tuple[int, ...]:
        """Shape of the kept coefficients."""
        return (*(2 * m + 1 for m in self.cuts[:0:-1]), self.cuts[0] + 1)

    @cached_property
    def wavenumbers(self) -> tuple[np.ndarray, ...]:
        """kx, ky, ... [1/m], each with axes of length one where it does not vary."""
        found = []
        for axis, (length, cut) in enumerate(zip(self.lengths, self.cuts, strict=True)):
            whole = np.arange(cut + 1) if axis == 0 else np.r_[0 : cut + 1, -cut:0]
            shape = [1] * self.dimension
            shape[self.dimension - 1 - axis] = len(whole)
            found.append(2.0 * np.pi / length * whole.reshape(shape))
        return tuple(found)

    @cached_property
    def squared(self) -> np.ndarray:
        """|k|^2 [1/m^2]."""
        return np.asarray(sum(k**2 for k in self.wavenumbers))

    @cached_property
    def inverse_squared(self) -> np.ndarray:
        """1 / |k|^2 [m^2], and 0 for the mean."""
        return np.divide(1.0, self.squared, out=np.zeros(self.modes), where=self.squared > 0)

    @cached_property
    def weights(self) -> np.ndarray:
        """How often a kept coefficient occurs in the full spectrum: 1 where kx = 0, else 2.

        The mean over the points of a b is the sum of weights * Re(conj(a^) b^).
        """
        return np.broadcast_to(np.where(self.wavenumbers[0] == 0.0, 1.0, 2.0), self.modes)

    @cached_property
    def coordinates(self) -> tuple[np.ndarray, ...]:
        """x, y, ... [m] of the points, each of shape (nz, ny, nx)."""
        axes = [length / n * np.arange(n) for length, n in zip(self.lengths, self.counts, strict=True)]
        return tuple(np.meshgrid(*axes[::-1], indexing="ij")[::-1])

    def largest_wavenumber(self, axis: int) -> float:
        """Of the kept ones along an axis (0: x) [1/m]."""
        return 2.0 * math.pi / self.lengths[axis] * self.cuts[axis]
