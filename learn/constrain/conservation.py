"""Conservation laws imposed on a Gaussian prediction: what it says, conditioned on a linear constraint.

    G u = b + noise,   u ~ N(mu, Sigma)
    mu' = mu - K (G mu - b),   Sigma' = Sigma - K G Sigma,   K = Sigma G^T (G Sigma G^T + noise^2)^-1

With no noise the constraint holds exactly, and no variance is left along G. What moves is what was uncertain: that is the
difference to a projection (`project`), which spreads the correction evenly.

Source: Hansen et al., Learning Physical Models that Can Respect Conservation Laws (2023), eq. 7.
"""

import math
from functools import cached_property
from typing import Any

import torch
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    constraints,
)

from pliant.sim.errors import InputError

EXACT = torch.float64  # conservation to round-off needs it, whatever the network works in


class GaussianConstraint:
    """G u = b up to noise, for Gaussian predictions of u.

    Args:
        G: [k, n], a row for each conserved quantity: quadrature weights for a mass.
        b: [k] or [..., k], its values; a leading axis for each of the prediction.
        noise: standard deviation of the constraint, a number or [k]; 0 is exact.

    Everything is computed and returned in float64. Gradients flow to the prediction, to G, b and noise.

    Errors: `InputError` for shapes, for numbers that are not finite, and without noise for rows that depend on each other,
        whether they agree or contradict each other.
    """

    def __init__(self, G: Any, b: Any, noise: Any = 0.0):
        self.G, self.b, self.noise = (torch.as_tensor(value).to(EXACT) for value in (G, b, noise))
        k = self.G.shape[0] if self.G.ndim == 2 else 0
        if k == 0 or self.b.ndim == 0 or self.b.shape[-1] != k or self.noise.shape not in ((), (k,)):
            raise InputError(
                f"GaussianConstraint: expected G [k, n], b [..., k] and noise () or [k], got {tuple(self.G.shape)}, "
                f"{tuple(self.b.shape)} and {tuple(self.noise.shape)}; correct them."
            )
        finite = all(bool(value.isfinite().all()) for value in (self.G, self.b, self.noise))
        if not (finite and bool((self.noise >= 0.0).all())):
            raise InputError("GaussianConstraint: expected finite G and b and noise >= 0, got others; correct them.")
        if not bool((self.noise > 0.0).all()):
            self._check_rows()

    @property
    def size(self) -> int:
        """n, of the predictions."""
        return self.G.shape[1]

    def residual(self, u: torch.Tensor) -> torch.Tensor:
        """G u - b of u [..., n]."""
        if u.ndim == 0 or u.shape[-1] != self.size:
            raise InputError(
                f"GaussianConstraint: expected {self.size} entries on its last axis, as G has columns, got shape {tuple(u.shape)}; "
                "bring them there."
            )
        return u.to(EXACT) @ self.G.T - self.b

    def project(self, u: torch.Tensor) -> torch.Tensor:
        """The nearest u [..., n] with G u = b: the mean update for Sigma = 1 without noise (HardC)."""
        self._check_rows()
        u = u.to(EXACT)
        gain = torch.linalg.solve(self.G @ self.G.T, self.G)  # [k, n]
        for _ in range(2):  # the second takes away the round-off of the first
            u = u - self.residual(u) @ gain
        return u

    def __call__(self, prediction: Distribution) -> "ConstrainedGaussian":
        """The prediction, conditioned.

        Args:
            prediction: `Normal` with loc [..., n] (independent entries), `MultivariateNormal` or
                `LowRankMultivariateNormal`; the covariance is never made where it has a structure.

        Errors: `InputError` for other distributions and sizes, and for a covariance that is not positive.
        """
        return ConstrainedGaussian(prediction, self)

    def _check_rows(self) -> None:
        """Raise for rows that depend on each other."""
        G, k = self.G.detach(), self.G.shape[0]
        lengths = torch.linalg.vector_norm(G, dim=1, keepdim=True)
        scaled = G / torch.where(lengths > 0.0, lengths, torch.ones_like(lengths))
        rank = int(torch.linalg.matrix_rank(scaled))
        if rank == k:
            return
        b = (self.b.detach() / torch.where(lengths > 0.0, lengths, torch.ones_like(lengths))[:, 0]).reshape(-1, k)
        left = torch.linalg.svd(scaled).U[:, rank:]  # combinations of rows that vanish
        contradiction = float((b @ left).abs().max())
        agree = contradiction <= 1e-10 * max(float(b.abs().max()), 1e-300)
        what = (
            "say the same: leave out what is repeated" if agree else "contradict each other: correct b, or give noise"
        )
        raise InputError(
            f"GaussianConstraint: expected independent rows of G, got {k} rows of rank {rank}, whose values {what}."
        )


class ConstrainedGaussian(Distribution):
    """A Gaussian prediction conditioned on a linear constraint; event shape [n].

    Samples are the prediction's own, each moved by the same gain (Matheron's rule): they obey the constraint as the
    distribution does, and carry gradients.
    """

    arg_constraints: dict = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, prediction: Distribution, constraint: GaussianConstraint):
        self.constraint, self.prior = constraint, _Prior(prediction, constraint.size)
        self._sigma_g = self.prior.times(constraint.G.T)  # Sigma G^T [..., n, k]
        k = constraint.G.shape[0]
        self.innovation = constraint.G @ self._sigma_g + torch.diag((constraint.noise**2).expand(k))
        factor, info = torch.linalg.cholesky_ex(0.5 * (self.innovation + self.innovation.mT))
        least = float(factor.diagonal(dim1=-2, dim2=-1).square().min()) if not bool(info.any()) else math.nan
        if not least > k * torch.finfo(EXACT).eps * float(self.innovation.diagonal(dim1=-2, dim2=-1).max()):
            raise InputError(
                "GaussianConstraint: expected a covariance that is positive along every row of G, got one that is singular or "
                "negative there; add a jitter to the prediction's covariance, or noise to the constraint."
            )
        self._factor = factor
        self.gain = torch.cholesky_solve(self._sigma_g.mT, factor).mT
        batch = torch.broadcast_shapes(self.prior.mean.shape[:-1], constraint.b.shape[:-1])
        super().__init__(batch, torch.Size([constraint.size]), validate_args=False)

    def _moved(self, u: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
        return u - (self.gain @ error[..., None])[..., 0]

    @cached_property
    def mean(self) -> torch.Tensor:
        """mu' [..., n]."""
        made = self._moved(self.prior.mean, self.constraint.residual(self.prior.mean))
        return self._settled(made)

    def _settled(self, u: torch.Tensor) -> torch.Tensor:
        """u after one more step, where the constraint is exact: it takes away the round-off of the first."""
        if bool((self.constraint.noise > 0.0).any()):
            return u
        return self._moved(u, self.constraint.residual(u))

    @cached_property
    def variance(self) -> torch.Tensor:
        """The diagonal of Sigma' [..., n]; an entry that the constraint determines has exactly none."""
        before = self.prior.variance
        left = before - (self.gain * self._sigma_g).sum(-1)
        # a difference of equal numbers: below this there is nothing but round-off, of either sign
        return torch.where(left > 16.0 * torch.finfo(EXACT).eps * before, left, torch.zeros_like(left))

    @property
    def stddev(self) -> torch.Tensor:
        return self.variance.sqrt()

    @cached_property
    def covariance_matrix(self) -> torch.Tensor:
        """Sigma' [..., n, n], symmetric and without negative eigenvalues: (1 - K G) Sigma (1 - K G)^T + K noise^2 K^T."""
        n, k = self.constraint.size, self.constraint.G.shape[0]
        keep = torch.eye(n, dtype=EXACT, device=self.gain.device) - self.gain @ self.constraint.G
        spread = self.gain * self.constraint.noise.expand(k)
        made = keep @ self.prior.times(keep.mT) + spread @ spread.mT
        return 0.5 * (made + made.mT)

    def marginals(self) -> Normal:
        """The distribution of every entry by itself, for a likelihood.

        Errors: `InputError` where the constraint determines an entry, which has no density then.
        """
        if bool((self.variance == 0.0).any()):
            raise InputError(
                "marginals: expected every entry to keep some variance, got entries that the constraint determines; leave "
                "them out of the likelihood, or give the constraint noise."
            )
        return Normal(self.mean, self.stddev)

    def rsample(self, sample_shape: Any = ()) -> torch.Tensor:
        shape = torch.Size(sample_shape)
        u = self.prior.sample(shape)
        error = self.constraint.residual(u)
        noise = self.constraint.noise.expand(error.shape[-1])
        return self._settled(self._moved(u, error + noise * torch.randn_like(error)))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """log p(u | b) = log p(u) + log p(b | u) - log p(b).

        Errors: `InputError` without noise: the distribution lies in a subspace and has no density; see `marginals`.
        """
        noise = self.constraint.noise.expand(self.constraint.G.shape[0])
        if not bool((noise > 0.0).all()):
            raise InputError(
                "log_prob: expected a constraint with noise, got an exact one, which leaves no density; use marginals()."
            )
        value = value.to(EXACT)
        given = Normal(torch.zeros_like(noise), noise).log_prob(self.constraint.residual(value)).sum(-1)
        error = self.constraint.residual(self.prior.mean)
        evidence = MultivariateNormal(torch.zeros_like(error), scale_tril=self._factor).log_prob(error)
        return self.prior.log_prob(value) + given - evidence


class _Prior:
    """A Gaussian in float64: its mean [..., n], products with its covariance, and samples."""

    def __init__(self, given: Distribution, size: int):
        while isinstance(given, Independent):
            given = given.base_dist
        if not isinstance(given, (Normal, MultivariateNormal, LowRankMultivariateNormal)):
            raise InputError(
                "GaussianConstraint: expected a Normal, MultivariateNormal or LowRankMultivariateNormal, got "
                f"{type(given).__name__}; describe the prediction by its mean and covariance."
            )
        self.mean = given.loc.to(EXACT)
        if self.mean.ndim == 0 or self.mean.shape[-1] != size:
            raise InputError(
                f"GaussianConstraint: expected a prediction of {size} entries on its last axis, as G has columns, got shape "
                f"{tuple(self.mean.shape)}; bring them there."
            )
        self.factor: Any
        self.diagonal: Any
        self.factor, self.diagonal = self._structure(given)
        least = self.factor.diagonal(dim1=-2, dim2=-1) if self.diagonal is None else self.diagonal
        if not bool((least > 0.0).all()):
            raise InputError(
                "GaussianConstraint: expected a positive covariance, got a scale that is zero, negative or not a number; "
                "bound the predicted scale from below."
            )

    @staticmethod
    def _structure(given: Distribution) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """W and D of Sigma = W W^T + diag(D)."""
        if isinstance(given, Normal):
            return None, torch.where(given.scale > 0.0, given.scale, torch.nan).to(EXACT).square()
        if isinstance(given, MultivariateNormal):
            return given.scale_tril.to(EXACT), None
        return given.cov_factor.to(EXACT), given.cov_diag.to(EXACT)

    def times(self, a: torch.Tensor) -> torch.Tensor:
        """Sigma a of a [..., n, m]."""
        parts = []
        if self.factor is not None:
            parts.append(self.factor @ (self.factor.mT @ a))
        if self.diagonal is not None:
            parts.append(self.diagonal[..., None] * a)
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    @property
    def variance(self) -> torch.Tensor:
        """The diagonal of Sigma [..., n]."""
        wide = 0.0 if self.factor is None else self.factor.square().sum(-1)
        return wide + (0.0 if self.diagonal is None else self.diagonal)

    def sample(self, shape: torch.Size) -> torch.Tensor:
        """Samples [*shape, ..., n]."""
        full = (*shape, *torch.broadcast_shapes(self.mean.shape, self.variance.shape))
        u = self.mean.expand(full)
        if self.diagonal is not None:
            u = u + self.diagonal.sqrt() * torch.randn(full, dtype=EXACT, device=u.device)
        if self.factor is not None:
            z = torch.randn((*full[:-1], self.factor.shape[-1], 1), dtype=EXACT, device=u.device)
            u = u + (self.factor @ z)[..., 0]
        return u

    def log_prob(self, u: torch.Tensor) -> torch.Tensor:
        if self.factor is None:
            return Normal(self.mean, self.variance.sqrt()).log_prob(u).sum(-1)
        if self.diagonal is None:
            return MultivariateNormal(self.mean, scale_tril=self.factor).log_prob(u)
        return LowRankMultivariateNormal(self.mean, self.factor, self.diagonal).log_prob(u)
