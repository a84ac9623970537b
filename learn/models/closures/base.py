"""What learned closures share: a tensor h in place of psi_4 that turns as it does, made realisable.

With z = psi_2 / c = s exp(2 i phi) and psi_4 = c w, the distributions that exist are those with |w - z^2| <= 1 - s^2. A network gives
h, which turns with psi_4, and

    psi_4 = c (z^2 + (1 - s^2) h / sqrt(1 + |h|^2))

is inside for every h. As h is made of z^2 and other tensors of its kind, multiplied by functions of invariants such as
e conj(z) = s (E11 + i E12), E in the eigenframe of D, it is smooth where there is no order and no eigenframe. In that frame

    S1111 = c (3 + 4 s + Re q) / 8,   S1112 = c Im q / 8,   psi_4 = c exp(4 i phi) q;

symmetry of S and S : I = D hold for any psi_4.
"""

import abc
from typing import Any, ClassVar

import torch

from pliant.sim.spectral.active.closures import Spacing

STRAIN_SCALE = 0.5  # typical strain rate [1/s] by which the network's input is divided


class NeuralClosure(torch.nn.Module, abc.ABC):
    """(c, psi_2, e) [batch, ny, nx] -> psi_4, complex; |psi_2| <= c.

    The points are `spacing` = (dx, dy) [m] apart; None: as far as those a closure that sees the neighbourhood was made for.

    Subclasses give h by `correction`, such that z -> exp(2 i a) z, e -> exp(2 i a) e makes h -> exp(4 i a) h, and a reflection,
    z -> conj(z), e -> conj(e), makes h -> conj(h).
    """

    uses_strain: ClassVar[bool] = True
    sees_neighbourhood: ClassVar[bool] = False  # and then has a `width`

    def __init__(self, strain_scale: float = STRAIN_SCALE):
        super().__init__()
        self.strain_scale = strain_scale

    @abc.abstractmethod
    def correction(self, z: torch.Tensor, e: torch.Tensor, spacing: Spacing | None) -> torch.Tensor:
        """Complex h of z and of e / strain_scale."""

    @abc.abstractmethod
    def options(self) -> dict[str, Any]:
        """The constructor arguments, for a closure on disk."""

    def forward(
        self, c: torch.Tensor, psi2: torch.Tensor, e: torch.Tensor, spacing: Spacing | None = None
    ) -> torch.Tensor:
        z = psi2 / c
        h = self.correction(z, e / self.strain_scale, spacing)
        return c * (z * z + (1.0 - squared(z)) * torch.rsqrt(1.0 + squared(h)) * h)


def squared(z: torch.Tensor) -> torch.Tensor:
    """|z|^2."""
    return z.real.square() + z.imag.square()


def reference(x: torch.Tensor) -> torch.Tensor:
    """v of x = s^2 with h = z^2 v close to Bingham's, to which networks add: v / sqrt(1 + x^2 v^2) = -(1 + x) / 2."""
    w = -0.5 * (1.0 + x)
    return w * torch.rsqrt(1.0 + 1e-6 - (x * w).square())


def squeezed(y: torch.Tensor) -> torch.Tensor:
    """y / sqrt(1 + |y|^2): strain rates beyond those of the training data saturate."""
    return y * torch.rsqrt(1.0 + squared(y))


def tensor_of(c: torch.Tensor, psi2: torch.Tensor, psi4: torch.Tensor) -> torch.Tensor:
    """S [..., 2, 2, 2, 2] of the moments."""
    ones = (3.0 * c + 4.0 * psi2.real + psi4.real) / 8.0  # S1111, and so on by the number of twos among the indices
    entries = [
        ones,
        (2.0 * psi2.imag + psi4.imag) / 8.0,
        (c - psi4.real) / 8.0,
        (2.0 * psi2.imag - psi4.imag) / 8.0,
        (3.0 * c - 4.0 * psi2.real + psi4.real) / 8.0,
    ]
    indices = [bin(i).count("1") for i in range(16)]
    return torch.stack([entries[i] for i in indices], dim=-1).reshape(*c.shape, 2, 2, 2, 2)


def closure_error(c: torch.Tensor, psi2: torch.Tensor, psi4: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """|S - S*| / |S*| over all points, for psi_4 made in place of the true one.

    |S|^2 = (3 c^2 + 4 |psi_2|^2 + |psi_4|^2) / 8 in two dimensions.
    """
    size = (3.0 * c.square() + 4.0 * psi2.abs().square() + psi4.abs().square()).sum()
    gap = made - psi4
    return ((gap.real.square() + gap.imag.square()).sum() / size).sqrt()
