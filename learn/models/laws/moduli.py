"""Two analytic laws with learned moduli: what is left when the form of the energy is known."""

import math
from typing import Any, ClassVar

import torch

from pliant.learn.models.laws.entries import NO_FEATURES
from pliant.learn.models.laws.logarithmic import HENCKY_STRESS
from pliant.learn.models.laws.neural import Gradients, NeuralLaw
from pliant.learn.models.laws.strain import GREEN_STRESS
from pliant.learn.native.packed import Dense
from pliant.sim.checks import positive


class ModuliLaw(NeuralLaw):
    """A law of Lame's moduli mu, lambda [Pa], of which it keeps the logarithms: a network that sees nothing.

    Args:
        stress_scale: typical stiffness [Pa]; mu and lambda start at a quarter of it.
        dtype: of the moduli.
        generator: unused; nothing is random here.
    """

    FEATURES = NO_FEATURES

    def __init__(
        self,
        *,
        stress_scale: float = 1.0,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        start = math.log(0.25 * positive("stress_scale", stress_scale))
        self.log_moduli = torch.nn.Parameter(torch.full((2,), start, dtype=dtype))
        self.register_buffer("nothing", torch.zeros(2, 1, dtype=dtype), persistent=False)

    def moduli(self) -> torch.Tensor:
        """(mu, lambda) [Pa]."""
        return self.log_moduli.exp()

    def coefficients(self, k: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return self.log_moduli.expand(len(k), 2).contiguous(), k

    def coefficients_vjp(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, Gradients]:
        return torch.zeros_like(saved), [adjoint.sum(0)]

    def dense(self) -> Dense:
        return Dense((self.nothing,), (self.log_moduli,), "gelu")


class SaintVenantKirchhoffLaw(ModuliLaw):
    """tau = F (2 mu E + lambda tr(E) I) F^T with Green's strain E = (F^T F - I) / 2; it softens when squeezed.

    The energy mu |E|^2 + lambda/2 tr(E)^2 stays finite as det F -> 0, so the law is for small strains.
    """

    ASSEMBLY = GREEN_STRESS
    PRIORS: ClassVar[frozenset[str]] = frozenset(
        {"zero at rest", "objective", "symmetric", "isotropic", "conservative"}
    )

    def energy(self, F: torch.Tensor) -> torch.Tensor:
        """psi [n] in J/m^3 of rest volume."""
        mu, lame = self.moduli()
        E = 0.5 * (F.mT @ F - torch.eye(3, dtype=F.dtype, device=F.device))
        return mu * E.square().sum((1, 2)) + 0.5 * lame * E.diagonal(dim1=1, dim2=2).sum(1) ** 2


class HenckyLaw(ModuliLaw):
    """tau = 2 mu e + lambda tr(e) I with the logarithmic strain e of F F^T: the elastic part of metals, clay and sand.

    Its energy mu |e|^2 + lambda/2 tr(e)^2 never rises under a `DissipativeReturnMap`.
    """

    ASSEMBLY = HENCKY_STRESS
    PRIORS: ClassVar[frozenset[str]] = frozenset(
        {"zero at rest", "objective", "symmetric", "isotropic", "conservative", "ordered"}
    )

    def energy(self, F: torch.Tensor) -> torch.Tensor:
        """psi [n] in J/m^3 of rest volume."""
        mu, lame = self.moduli()
        e = torch.linalg.svdvals(F).log()
        return mu * e.square().sum(1) + 0.5 * lame * e.sum(1) ** 2
