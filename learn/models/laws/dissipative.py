"""A learned plastic return map that can only take energy away: a yield surface in the logarithmic strain."""

import math
from typing import Any, ClassVar

import torch
from torch.nn.functional import softplus

from learn.models.laws.dense import DenseNetwork
from learn.models.laws.logarithmic import REDUCED_STRAIN, STRAIN_INVARIANTS
from learn.models.laws.neural import Gradients, NeuralLaw

UNIT = math.log(math.e - 1.0)  # softplus of this is 1
FLOOR = 1e-4  # least yield radius over strain_scale, so that no weights divide by zero
BRISK = 5.0  # by which the four scalars are multiplied: one rate of learning serves them and the network


class DissipativeReturnMap(NeuralLaw):
    """Shear strain beyond a learned yield radius, and volumetric strain beyond two learned limits, flow away.

        |d'| = |d| - phi_1 excess(|d|, Y),   d' parallel to d,   Y = strain_scale softplus(network(tr e, Lode angle)) > 0
        tr e' = tr e - phi_2 excess(tr e, T) + phi_2 excess(-tr e, C)
        excess(n, Y) = w Y ramp((n - Y) / (w Y)),   ramp(x) = 0 below -1, x above 1 and (x + 1)^2 / 4 between

    of F_trial = Q diag(exp e) V^T, with d = e - tr(e) / 3; F keeps Q and V. phi, in (0, 1), is the share of the excess
    that one call takes (1: rate-independent plasticity, less: viscous flow in substeps), T, C > 0 limit tension and
    compaction. von Mises is Y constant, Drucker-Prager (sand) Y growing with -tr e and vanishing in tension with T -> 0,
    and a fluid Y -> 0, which leaves J^(1/3) times a rotation. Where |d| <= (1 - w) Y, and |tr e| as far within T and C,
    the map is F itself. Training begins with Y = T = C = strain_scale and phi = `flow`, so
    that strains on both sides of the surface pull at it.

    Dissipation: d' = r d and tr e' = q tr e with 0 <= r, q <= 1, because 0 <= excess(n, Y) <= n for n >= 0. So an
    isotropic energy psi(e) never rises, whatever the weights, if for every strain (i) (tau_i - tau_j)(e_i - e_j) >= 0
    (Baker and Ericksen) and (ii) sum(tau) tr e >= 0, where tau_i = dpsi/de_i. Proof: go from e to e' along straight
    lines, first shrink d by s from 1 to r, then the trace from 1 to q. Along the first dpsi/ds = sum tau_i d_i >=
    sum(tau) sum(d) / 3 = 0, Chebyshev's inequality for tau and d in the same order, by (i). Along the second dpsi/ds =
    sum(tau) tr(e) / 3 >= 0, taken where the trace is s tr e, by (ii). As s falls, so does psi. (i) and (ii) hold for
    a Hencky solid with mu, 3 lambda + 2 mu >= 0, and for any energy f(|d|) + g(tr e) where f rises and g falls to 0 and
    then rises; (i) alone, which serves where the map leaves volume alone, holds for every energy convex in e.

    Args:
        strain_scale: typical strain at yield.
        flow: phi at the start.
        smoothing: w, half the width of the corner at yield over Y.
        hidden: width of the network's two hidden layers.
        dtype, generator: of the first weights.

    Source: the radial return of Simo and Hughes, Computational Inelasticity (1998), chapter 9, with a learned surface.
    """

    FEATURES, ASSEMBLY = STRAIN_INVARIANTS, REDUCED_STRAIN
    PRIORS: ClassVar[frozenset[str]] = frozenset({"identity at rest", "objective", "isotropic", "dissipative"})

    def __init__(
        self,
        *,
        strain_scale: float = 1e-2,
        flow: float = 0.5,
        smoothing: float = 0.1,
        hidden: int = 16,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.flow = torch.nn.Parameter(torch.full((2,), math.log(flow / (1.0 - flow)) / BRISK, dtype=dtype))
        self.limits = torch.nn.Parameter(torch.zeros(2, dtype=dtype))
        self.network = DenseNetwork((2, hidden, hidden, 1), bias=True, gain=0.1, dtype=dtype, generator=generator)
        self.register_buffer("strain_scale", torch.tensor(strain_scale, dtype=dtype))
        self.smoothing, self.hidden = smoothing, hidden

    def options(self) -> dict[str, Any]:
        return {"hidden": self.hidden, "smoothing": self.smoothing}

    def yield_radius(self, trace: torch.Tensor, lode: torch.Tensor) -> torch.Tensor:
        """Y [n] at volumetric strains tr e [n] and cosines of three Lode angles [n]."""
        z = self.network(torch.stack([trace / self.strain_scale, lode], dim=1))[:, 0]
        return self.strain_scale * (softplus(z + UNIT) + FLOOR)

    def volumetric_limits(self) -> torch.Tensor:
        """Largest volumetric strains (T, C) that are kept in tension and in compression."""
        return self.strain_scale * (BRISK * self.limits).exp()

    def coefficients(self, k: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Share 1 - r of the deviator and mean strain that are taken away."""
        trace, norm, lode = k.unbind(1)
        z, kept = self.network.evaluate(torch.stack([trace / self.strain_scale, lode], dim=1))
        z = z[:, 0] + UNIT
        phi, (opening, closing) = torch.sigmoid(BRISK * self.flow), self.volumetric_limits()
        shear = self._excess(norm, self.strain_scale * (softplus(z) + FLOOR))
        open_, close = self._excess(trace, opening), self._excess(-trace, closing)
        inverse = torch.where(norm > 0, norm, torch.ones_like(norm)).reciprocal()
        rates = (shear[0] * inverse, (open_[0] - close[0]) / 3.0)
        return torch.stack([phi[0] * rates[0], phi[1] * rates[1]], dim=1), (
            inverse, rates, phi, z, shear, open_, close, kept,
        )  # fmt: skip

    def coefficients_vjp(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, Gradients]:
        inverse, rates, phi, z, shear, open_, close, kept = saved
        dphi = torch.stack([adjoint[:, 0] @ rates[0], adjoint[:, 1] @ rates[1]])
        dshear = (phi[0] * adjoint[:, 0]) * inverse
        dz = (dshear * shear[2]) * (self.strain_scale * torch.sigmoid(z))
        dx, weights = self.network.pull_back(kept, dz[:, None])
        dnorm = dshear * (shear[1] - rates[0])
        dvolume = adjoint[:, 1] * (phi[1] / 3.0)
        dtrace = dvolume * (open_[1] + close[1]) + dx[:, 0] / self.strain_scale
        dlimits = torch.stack([dvolume @ open_[2], -(dvolume @ close[2])]) * self.volumetric_limits()
        scalars = [BRISK * dphi * phi * (1.0 - phi), BRISK * dlimits]
        return torch.stack([dtrace, dnorm, dx[:, 1]], dim=1), [*scalars, *weights]

    def _excess(self, n: torch.Tensor, limit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """excess(n, limit), and its derivatives with respect to n and to the limit."""
        width = self.smoothing * limit
        x = (n - limit) / width
        slope = (0.5 * x + 0.5).clamp(0.0, 1.0)
        excess = width * torch.where(x > 1.0, x, slope * slope)
        return excess, slope, (excess - n * slope) / limit
