"""A learned hyperelastic law of a solid with one or two families of fibres, by structural tensors."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from pliant.learn.models.laws.dense import ScalarNetwork
from pliant.learn.models.laws.fibre import FIBRE_STRESS, STRETCH_AND_GREEN
from pliant.learn.models.laws.fibre_invariants import FibreInvariants
from pliant.learn.models.laws.neural import Gradients, NeuralLaw
from pliant.sim.checks import positive
from pliant.sim.errors import InputError

ROOT_3 = math.sqrt(3.0)


class AnisotropicNetwork(NeuralLaw):
    """psi = neo-Hookean(mu, lambda) + sum_f kappa_f/2 (l_f - 1)^2 + stress_scale (g(k) - g(0) - p log J - sum_f p_f log l_f).

    k holds tr U - 3, |F| - sqrt(3) and log J; for each family of fibres with direction a its stretch l_f = |F a|
    (I_4 = l_f^2) as l_f - 1, and the shear along it |F^T F a| / l_f - l_f (from I_5); for two families the squared change of
    the cosine between them. All grow at most linearly and so does g, a network, so that the rest, with learned positive
    moduli, rules as J -> 0 and at large stretches. p and p_f are the numbers that make the stress vanish at rest.

    Args:
        fibres: directions at rest, [families, 3], or [families, items, 3] one for each particle of the body.
        learn_fibres: whether directions (one a family) are learned too.
        stress_scale: typical stiffness [Pa].
        hidden: width of the network's two hidden layers.
        gain: factor on the first output weights.
        dtype, generator: of the first weights.

    Source: Holzapfel, Gasser and Ogden, A New Constitutive Framework for Arterial Wall Mechanics (2000), for the invariants.
    """

    FEATURES, ASSEMBLY = STRETCH_AND_GREEN, FIBRE_STRESS
    PRIORS: ClassVar[frozenset[str]] = frozenset({"zero at rest", "objective", "symmetric", "conservative", "growth"})

    def __init__(
        self,
        *,
        fibres: Any = ((1.0, 0.0, 0.0),),
        learn_fibres: bool = True,
        stress_scale: float = 1.0,
        hidden: int = 32,
        gain: float = 0.1,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        directions = _directions(fibres, learn_fibres, dtype)
        if learn_fibres:
            self.fibres = torch.nn.Parameter(directions)
        else:
            self.register_buffer("fibres", directions)
        self.learn_fibres, self.families = learn_fibres, len(directions)
        self.log_moduli = torch.nn.Parameter(torch.full((2 + self.families,), math.log(0.25), dtype=dtype))
        size = 5 if self.families == 1 else 8
        self.network = ScalarNetwork(size, hidden=hidden, gain=gain, dtype=dtype, generator=generator)
        self.register_buffer("stress_scale", torch.tensor(positive("stress_scale", stress_scale), dtype=dtype))
        rest = torch.zeros(self.families + 1, size, dtype=dtype)  # the rows give p, and p_f of each family
        rest[0, :3] = torch.tensor([1.0, 1.0 / ROOT_3, 1.0], dtype=dtype)
        rest[range(1, self.families + 1), self._stretches()] = 1.0
        self.register_buffer("rest", rest)

    def options(self) -> dict[str, Any]:
        hidden = len(self.network.last)
        return {"hidden": hidden, "fibres": self.fibres.tolist(), "learn_fibres": self.learn_fibres}

    def energy(self, F: torch.Tensor) -> torch.Tensor:
        """psi [n] in J/m^3 of rest volume."""
        k, _ = self._invariants(self.FEATURES.value(F))
        mu, lame, *kappa = self.stress_scale * self.log_moduli.exp()
        origin = torch.zeros_like(k[:1])
        p = self.rest @ self.network.gradient(origin)[0][0]
        made = mu * (0.5 * ((k[:, 1] + ROOT_3) ** 2 - 3.0) - k[:, 2]) + 0.5 * lame * k[:, 2] ** 2
        made = made + self.stress_scale * (self.network(k) - self.network(origin) - p[0] * k[:, 2])
        for f, column in enumerate(self._stretches()):
            made = made + 0.5 * kappa[f] * k[:, column] ** 2 - self.stress_scale * p[1 + f] * torch.log1p(k[:, column])
        return made

    def coefficients(self, k: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """dpsi/dk [n, 8], zero for a family that is not there, and the directions; one more row of slopes, at rest, gives p."""
        k, kept = self._invariants(k)
        slopes, saved = self.network.gradient(torch.cat([k, torch.zeros_like(k[:1])]))
        mu, lame, *kappa = moduli = self.stress_scale * self.log_moduli.exp()
        p = self.stress_scale * (self.rest @ slopes[-1])
        made = torch.zeros(len(k), 14, dtype=k.dtype, device=k.device)
        made[:, : k.shape[1]] = self.stress_scale * slopes[:-1]
        made[:, 1] += mu * (k[:, 1] + ROOT_3)
        made[:, 2] += lame * k[:, 2] - mu - p[0]
        for f, column in enumerate(self._stretches()):
            made[:, column] += kappa[f] * k[:, column] - p[1 + f] / (1.0 + k[:, column])
        made[:, 8:11], made[:, 11:] = kept.a[0], kept.a[-1]
        return made, (k, kept, moduli, p, saved)

    def coefficients_vjp(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, Gradients]:
        k, kept, (mu, lame, *kappa), p, network = saved
        size = k.shape[1]
        dp, dmoduli = [-adjoint[:, 2].sum()], [adjoint[:, 1] @ (k[:, 1] + ROOT_3) - adjoint[:, 2].sum()]
        dmoduli.append(adjoint[:, 2] @ k[:, 2])
        direct = torch.zeros_like(k)
        direct[:, 1:3] = adjoint[:, 1:3] * torch.stack([mu, lame])
        for f, column in enumerate(self._stretches()):
            inverse = (1.0 + k[:, column]).reciprocal()
            dp.append(-(adjoint[:, column] @ inverse))
            dmoduli.append(adjoint[:, column] @ k[:, column])
            direct[:, column] = adjoint[:, column] * (kappa[f] + p[1 + f] * inverse**2)
        rows = torch.cat([adjoint[:, :size], (torch.stack(dp) @ self.rest)[None]])
        dk, weights = self.network.pull_back(network, self.stress_scale * rows)
        dfeatures, da = kept.pull_back(dk[:-1] + direct)
        moduli = torch.stack([mu, lame, *kappa])
        gradients = [moduli * torch.stack(dmoduli), *weights]
        if self.learn_fibres:
            da[0] += adjoint[:, 8:11].sum(0)
            da[-1] += adjoint[:, 11:].sum(0)
            gradients = [self._through_length(da), *gradients]
        return dfeatures, gradients

    def _stretches(self) -> Sequence[int]:
        """Columns of k that hold the stretch of each family."""
        return range(3, 3 + 2 * self.families, 2)

    def _invariants(self, k: torch.Tensor) -> tuple[torch.Tensor, FibreInvariants]:
        """k [n, 5 or 8] of the features [n, 8]."""
        a = self.fibres / self.fibres.norm(dim=-1, keepdim=True)
        if a.ndim == 3:
            if len(k) % a.shape[1]:
                raise InputError(
                    f"AnisotropicNetwork: expected {a.shape[1]} particles, one a direction, got {len(k)}; give as many fibres."
                )
            a = a.repeat(1, len(k) // a.shape[1], 1)
        kept = FibreInvariants(k, a)
        return kept.value, kept

    def _through_length(self, da: torch.Tensor) -> torch.Tensor:
        """Gradient with respect to directions of any length."""
        length = self.fibres.norm(dim=-1, keepdim=True)
        a = self.fibres / length
        return (da - (da * a).sum(-1, keepdim=True) * a) / length


def _directions(fibres: Any, learned: bool, dtype: torch.dtype) -> torch.Tensor:
    """The directions as unit vectors; `InputError` for another shape, or a direction without length."""
    a = torch.as_tensor(fibres, dtype=dtype)
    if a.ndim not in (2, 3) or a.shape[-1] != 3 or len(a) not in (1, 2) or (learned and a.ndim == 3):
        expected = "[1 or 2, 3]" if learned else "[1 or 2, 3] or [1 or 2, items, 3]"
        raise InputError(f"AnisotropicNetwork.fibres: expected shape {expected}, got {list(a.shape)}; reshape them.")
    length = a.norm(dim=-1, keepdim=True)
    if not (torch.isfinite(length) & (length > 0)).all():
        raise InputError(
            "AnisotropicNetwork.fibres: expected finite directions that are not zero, got others; correct them."
        )
    return a / length
