"""A learned isotropic hyperelastic law: the stress is the derivative of an energy, so it is symmetric and conservative."""

import math
from typing import Any, ClassVar

import torch

from pliant.learn.models.laws.dense import ScalarNetwork
from pliant.learn.models.laws.neural import Gradients, NeuralLaw
from pliant.learn.models.laws.strain import INVARIANT_STRESS, STRETCH_INVARIANTS
from pliant.learn.native.dense import Layout
from pliant.learn.native.gradient import GradientShape, ScalarGradient
from pliant.sim.checks import positive

REST = (1.0, 1.0 / math.sqrt(3.0), 1.0)  # F^T times the derivative of the invariants at F = I is this times I
TERM_SLOPES = ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0))  # of the neo-Hookean dpsi/dk in k, for mu and lambda,
TERM_OFFSETS = ((0.0, math.sqrt(3.0), -1.0), (0.0, 0.0, 0.0))  # and what it is at k = 0


class HyperelasticNetwork(NeuralLaw):
    """psi = mu/2 (|F|^2 - 3 - 2 log J) + lambda/2 log^2 J + stress_scale (g(k) - g(0) - p log J).

    k = (tr U - 3, |F| - sqrt(3), log J) are invariants of the stretch U that grow at most linearly, and so does g, a
    network; the neo-Hookean part, with learned positive moduli, therefore rules as J -> 0 and at large stretches. p is
    the number that makes the stress vanish at rest. The stress is dpsi/dF F^T = psi_1 R F^T + psi_2 F F^T / |F| + psi_3 I.

    Args:
        stress_scale: typical stiffness [Pa].
        hidden: width of the network's two hidden layers.
        gain: factor on the first output weights; small, so that training starts near the neo-Hookean part.
        dtype, generator: of the first weights.
    """

    FEATURES, ASSEMBLY = STRETCH_INVARIANTS, INVARIANT_STRESS
    PRIORS: ClassVar[frozenset[str]] = frozenset(
        {"zero at rest", "objective", "symmetric", "isotropic", "conservative", "growth"}
    )

    def __init__(
        self,
        *,
        stress_scale: float = 1.0,
        hidden: int = 32,
        gain: float = 0.1,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.log_moduli = torch.nn.Parameter(torch.full((2,), math.log(0.25), dtype=dtype))
        self.network = ScalarNetwork(3, hidden=hidden, gain=gain, dtype=dtype, generator=generator)
        self.register_buffer("stress_scale", torch.tensor(positive("stress_scale", stress_scale), dtype=dtype))
        self.register_buffer("rest", torch.tensor(REST, dtype=dtype))

    def options(self) -> dict[str, Any]:
        return {"hidden": len(self.network.last)}

    def dense(self) -> "EnergyGradient":
        return EnergyGradient(self)

    def energy(self, F: torch.Tensor) -> torch.Tensor:
        """psi [n] in J/m^3 of rest volume."""
        k = self.FEATURES.value(F)
        mu, lame = self.stress_scale * self.log_moduli.exp()
        origin = torch.zeros_like(k[:1])
        pressure = self.network.gradient(origin)[0] @ self.rest
        base = mu * (0.5 * ((k[:, 1] + math.sqrt(3.0)) ** 2 - 3.0) - k[:, 2]) + 0.5 * lame * k[:, 2] ** 2
        return base + self.stress_scale * (self.network(k) - self.network(origin) - pressure * k[:, 2])

    def coefficients(self, k: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """dpsi/dk [n, 3]; one more row of the network's gradient, at rest, gives p."""
        slopes, saved = self.network.gradient(torch.cat([k, torch.zeros_like(k[:1])]))
        mu, lame = moduli = self.stress_scale * self.log_moduli.exp()
        made = self.stress_scale * slopes[:-1]
        made[:, 1] += mu * (k[:, 1] + math.sqrt(3.0))
        made[:, 2] += lame * k[:, 2] - (mu + self.stress_scale * (slopes[-1] @ self.rest))
        return made, (k, moduli, saved)

    def coefficients_vjp(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, Gradients]:
        k, moduli, kept = saved
        total = adjoint[:, 2].sum()
        rows = torch.cat([adjoint, (-total * self.rest)[None]])
        dk, weights = self.network.pull_back(kept, self.stress_scale * rows)
        dk = dk[:-1]
        dk[:, 1:] += adjoint[:, 1:] * moduli
        dmu = (adjoint[:, 1] * (k[:, 1] + math.sqrt(3.0))).sum() - total
        dlame = (adjoint[:, 2] * k[:, 2]).sum()
        return dk, [moduli * torch.stack([dmu, dlame]), *weights]


class EnergyGradient:
    """dpsi/dk of a hyperelastic network as a `ScalarGradient`, whose terms are neo-Hookean and which knows of p itself."""

    def __init__(self, law: HyperelasticNetwork):
        self.law, self.network = law, law.network

    @property
    def shape(self) -> GradientShape:
        return GradientShape(self.network.first.shape[1], len(self.network.last))

    @property
    def parameters(self) -> list[torch.Tensor]:
        net = self.network
        return [self.law.log_moduli, net.first, net.second, net.last, net.first_bias, net.second_bias]

    def pack(self, layout: Layout, weights: torch.Tensor, transposed: torch.Tensor) -> None:
        """Write the weights as they are now; those that are transposed lie beside the others."""
        net, scale = self.network, self.law.stress_scale
        terms = (TERM_SLOPES, TERM_OFFSETS)
        slopes, offsets = (torch.tensor(rows, dtype=scale.dtype) for rows in terms)
        trained = (net.first, net.first_bias, net.second, net.second_bias, scale * net.last, self._moduli())
        ScalarGradient(*trained, slopes, offsets, self.law.rest).pack(layout, weights)

    @torch.no_grad()
    def unpack(self, layout: Layout, gradient: torch.Tensor) -> list[torch.Tensor]:
        """A gradient with respect to what is packed as gradients of `parameters`."""
        first, first_bias, second, second_bias, last, moduli = ScalarGradient.gradients(self.shape, layout, gradient)
        return [self._moduli() * moduli, first, second, self.law.stress_scale * last, first_bias, second_bias]

    def _moduli(self) -> torch.Tensor:
        return (self.law.stress_scale * self.law.log_moduli.exp()).detach()
