"""Baseline: an isotropic energy as a sum of splines, one in each invariant."""

import math
from typing import Any, ClassVar

import torch

from pliant.learn.models.laws.hyperelastic import REST
from pliant.learn.models.laws.neural import Gradients, NeuralLaw
from pliant.learn.models.laws.strain import INVARIANT_STRESS, STRETCH_INVARIANTS
from pliant.sim.checks import positive

# Rows: powers of the position in a knot interval; columns: the four uniform cubic B-splines that live there, times 6.
CUBIC = ((1.0, 4.0, 1.0, 0.0), (-3.0, 0.0, 3.0, 0.0), (3.0, -6.0, 3.0, 0.0), (-1.0, 3.0, -3.0, 1.0))


class SplineLaw(NeuralLaw):
    """psi = mu/2 (|F|^2 - 3 - 2 log J) + lambda/2 log^2 J + stress_scale (sum_j S_j(k_j) - p log J).

    k = (tr U - 3, |F| - sqrt(3), log J). S_j(0) = 0 and S_j' is a uniform cubic B-spline on [-extent, extent], constant
    beyond, so that there the neo-Hookean part rules; p makes the stress vanish at rest. Fixed corotated and neo-Hookean
    solids have such an energy exactly.

    Args:
        stress_scale: typical stiffness [Pa].
        knots: coefficients of each spline.
        extent: largest invariant that the splines resolve.
        dtype: of the coefficients, zero at the start.
        generator: unused; nothing is random here.
    """

    FEATURES, ASSEMBLY = STRETCH_INVARIANTS, INVARIANT_STRESS
    PRIORS: ClassVar[frozenset[str]] = frozenset(
        {"zero at rest", "objective", "symmetric", "isotropic", "conservative", "growth"}
    )

    def __init__(
        self,
        *,
        stress_scale: float = 1.0,
        knots: int = 16,
        extent: float = 0.6,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.log_moduli = torch.nn.Parameter(torch.full((2,), math.log(0.25), dtype=dtype))
        self.slopes = torch.nn.Parameter(torch.zeros(3, knots, dtype=dtype))
        self.register_buffer("stress_scale", torch.tensor(positive("stress_scale", stress_scale), dtype=dtype))
        self.register_buffer("rest", torch.tensor(REST, dtype=dtype))
        self.register_buffer("basis", torch.tensor(CUBIC, dtype=dtype) / 6.0)
        self.extent, self.spacing = extent, 2.0 * extent / (knots - 3)

    def options(self) -> dict[str, Any]:
        return {"knots": self.slopes.shape[1], "extent": self.extent}

    def energy(self, F: torch.Tensor) -> torch.Tensor:
        """psi [n] in J/m^3 of rest volume."""
        k = self.FEATURES.value(F)
        mu, lame = self.stress_scale * self.log_moduli.exp()
        length = k[:, 1] + math.sqrt(3.0)
        base = mu * (0.5 * (length**2 - 3.0) - k[:, 2]) + 0.5 * lame * k[:, 2] ** 2
        origin = torch.zeros_like(k[:1])
        pressure = (self._slopes(origin)[0] @ self.rest)[0]
        splines = (self._primitive(k) - self._primitive(origin)).sum(1)
        return base + self.stress_scale * (splines - pressure * k[:, 2])

    def coefficients(self, k: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """dpsi/dk [n, 3]; one more row, at rest, gives p."""
        slopes, saved = self._slopes(torch.cat([k, torch.zeros_like(k[:1])]))
        mu, lame = moduli = self.stress_scale * self.log_moduli.exp()
        made = self.stress_scale * slopes[:-1]
        made[:, 1] += mu * (k[:, 1] + math.sqrt(3.0))
        made[:, 2] += lame * k[:, 2] - (mu + self.stress_scale * (slopes[-1] @ self.rest))
        return made, (k, moduli, saved)

    def coefficients_vjp(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, Gradients]:
        k, moduli, kept = saved
        total = adjoint[:, 2].sum()
        rows = self.stress_scale * torch.cat([adjoint, (-total * self.rest)[None]])
        dk, dslopes = self._slopes_vjp(kept, rows)
        dk = dk[:-1]
        dk[:, 1:] += adjoint[:, 1:] * moduli
        dmu = (adjoint[:, 1] * (k[:, 1] + math.sqrt(3.0))).sum() - total
        dlame = (adjoint[:, 2] * k[:, 2]).sum()
        return dk, [moduli * torch.stack([dmu, dlame]), dslopes]

    def _place(self, k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Indices [n, 3, 4] of the splines alive at k, the position in their interval, and whether k is in the extent.

        What is not finite keeps a valid index and a position that is not finite: the rollout's status tells of it.
        """
        u = (k + self.extent) / self.spacing
        cells = self.slopes.shape[1] - 3
        inside = u.clamp(0.0, float(cells))
        cell = inside.floor().clamp(max=cells - 1.0)
        row = torch.arange(3, device=k.device)[:, None] * self.slopes.shape[1]
        index = row + cell.long().clamp(0, cells - 1)[..., None] + torch.arange(4, device=k.device)
        return index, inside - cell, u == inside

    def _slopes(self, k: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """S_j'(k_j) [n, 3]."""
        index, f, inside = self._place(k)
        weights = torch.stack([torch.ones_like(f), f, f**2, f**3], dim=-1) @ self.basis
        alive = self.slopes.reshape(-1)[index]
        return (alive * weights).sum(-1), (index, f, inside, weights, alive)

    def _slopes_vjp(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        index, f, inside, weights, alive = saved
        tilt = torch.stack([torch.zeros_like(f), torch.ones_like(f), 2.0 * f, 3.0 * f**2], dim=-1) @ self.basis
        dk = adjoint * (alive * tilt).sum(-1) * inside / self.spacing
        flat = torch.zeros_like(self.slopes).reshape(-1)
        flat.index_add_(0, index.reshape(-1), (adjoint[..., None] * weights).reshape(-1))
        return dk, flat.reshape(self.slopes.shape)

    def _primitive(self, k: torch.Tensor) -> torch.Tensor:
        """Integral [n, 3] of S_j' from the left end of the extent."""
        index, f, _ = self._place(k)
        alive = self.slopes.reshape(-1)[index]
        part = torch.stack([f, f**2 / 2, f**3 / 3, f**4 / 4], dim=-1) @ self.basis
        whole = torch.tensor([1.0, 1 / 2, 1 / 3, 1 / 4], dtype=k.dtype, device=k.device) @ self.basis
        cells = self.slopes.unfold(1, 4, 1) @ whole
        before = torch.nn.functional.pad(cells.cumsum(1), (1, 0)).reshape(-1)
        first = index[..., 0] + torch.arange(3, device=k.device) * (1 + cells.shape[1] - self.slopes.shape[1])
        beyond = k - k.clamp(-self.extent, self.extent)
        return self.spacing * (before[first] + (alive * part).sum(-1)) + beyond * self._slopes(k)[0]
