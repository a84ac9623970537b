"""A learned plastic return map that can only take energy away: a yield surface in the logarithmic strain."""

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch.nn.functional import softplus

from pliant.learn.models.laws.dense import DenseNetwork
from pliant.learn.models.laws.flow import BRISK, FLOOR, UNIT
from pliant.learn.models.laws.logarithmic import FINE, flow_law, strain_state
from pliant.learn.models.laws.neural import Gradients, NeuralLaw
from pliant.learn.native.packed import Dense
from pliant.sim.checks import positive


class DissipativeReturnMap(NeuralLaw):
    """Shear strain beyond a learned yield radius, and volumetric strain beyond two learned limits, flow away.

        |d'| = |d| - excess(|d|, Y),   d' parallel to d,   tr e' = tr e - excess(tr e, T) + excess(-tr e, C)
        excess(n, Y) = w Y ramp((n - Y) / (w Y)),   ramp(x) = 0 below -1, x above 1 and (x + 1)^2 / 4 between

    of F_trial = Q diag(exp e) V^T, with d = e - tr(e) / 3; F keeps Q and V. A network of tr e and the Lode angle gives
    the yield radius Y and the limits T of tension and C of compaction, all at least strain_scale / 10000. von Mises is Y
    constant, Drucker-Prager (sand) Y growing with -tr e and vanishing in tension with T -> 0, a fluid Y -> 0, which
    leaves J^(1/3) times a rotation. Where |d| <= (1 - w) Y, and |tr e| as far within T and C, the map is F itself. The
    flow is rate-independent, so what is learned at one time step serves another. Training begins near Y = C =
    strain_scale, which some strains of the data should exceed, because only those that flow pull at the surface, and at
    T = strain_scale / 20: too low a T shows in whatever opens, too high a one only in what opens that far.

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
        smoothing: w, half the width of the corner at yield over Y, at most 1.
        hidden: width of the network's two hidden layers.
        dtype, generator: of the first weights.

    Source: the radial return of Simo and Hughes, Computational Inelasticity (1998), chapter 9, with a learned surface.
    """

    PRIORS: ClassVar[frozenset[str]] = frozenset({"identity at rest", "objective", "isotropic", "dissipative"})
    OUTPUTS: ClassVar[int] = 3  # of the network: Y, T and C

    def __init__(
        self,
        *,
        strain_scale: float = 3e-2,
        smoothing: float = 0.1,
        hidden: int = 16,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        positive("strain_scale", strain_scale)
        positive("smoothing", smoothing, 1e-9, 1.0)
        self.strain_scale, self.smoothing, self.hidden = strain_scale, smoothing, hidden
        self.FEATURES = strain_state(strain_scale)  # type: ignore[misc]
        self.ASSEMBLY = flow_law(strain_scale, smoothing)  # type: ignore[misc]
        sizes = (3, hidden, hidden, self.OUTPUTS)
        self.network = DenseNetwork(sizes, bias=True, gain=0.1, dtype=dtype, generator=generator)
        with torch.no_grad():
            self.network.biases[-1][1:2] = math.log(math.expm1(0.05) / (math.e - 1.0)) / BRISK

    def options(self) -> dict[str, Any]:
        return {"strain_scale": self.strain_scale, "smoothing": self.smoothing, "hidden": self.hidden}

    def coefficients(self, k: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return self.network.evaluate(k)

    def coefficients_vjp(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, Gradients]:
        return self.network.pull_back(saved, adjoint)

    def dense(self) -> Dense:
        return self.network.dense()

    def limits(self, k: torch.Tensor) -> torch.Tensor:
        """What decides on Y, T and C [n, 3] at features [n, 3]; differentiable."""
        return self.network(k)

    def surface(self, trace: torch.Tensor, lode: torch.Tensor) -> "YieldSurface":
        """What the map does at volumetric strains tr e [n] and cosines of three Lode angles [n]; differentiable."""
        x = trace / self.strain_scale
        c = self.limits(torch.stack([x, torch.asinh(FINE * x) / 3.0, lode], dim=1))
        limits = torch.cat([c[:, :1], BRISK * c[:, 1:]], dim=1)
        return YieldSurface(*(self.strain_scale * (softplus(limits + UNIT) + FLOOR)).unbind(1))


class YieldSurface(NamedTuple):
    """Yield radius Y, and limits T and C of the volumetric strain, each [n]."""

    radius: torch.Tensor
    tension: torch.Tensor
    compaction: torch.Tensor
