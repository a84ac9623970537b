"""What least squares know about their unknowns: a Gaussian around the best value, and sentences where it is not to be trusted.

With residuals r of independent errors of one unknown size, J = dr / dtheta and m residuals for n unknowns,

    covariance = s^2 (J^T J)^-1,   s^2 = |r|^2 / (m - n)

in coordinates. It takes the model for true and linear over the size of the interval.

Source: Seber and Wild, Nonlinear Regression (1989), section 2.1, eqs. 2.18 and 2.21.
"""

import dataclasses

import torch
from scipy import stats

from pliant.learn.space import Space
from pliant.sim.errors import InputError

UNSEEN = 1e3  # times round-off: a column of the Jacobian below this share of the largest is no more than that
SAME, CLOSE = 1e-6, 1e-2  # singular values over the largest, of the Jacobian with columns of length one
TAKES_PART = 0.2  # share of a unit vector
CORRELATED = 0.95
CAUSES = {
    "yield_stress": "the material may never have yielded",
    "friction_angle": "the material may never have flowed",
    "cohesion": "the material may never have flowed",
    "friction": "nothing may have slid on it",
    "viscosity": "nothing may have been sheared",
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GaussianPosterior:
    """A Gaussian over coordinates.

    Args:
        space: the unknowns.
        theta: mean [dimension].
        covariance: [dimension, dimension]; zero for what is at a bound, infinite on the diagonal for what nothing depends on.
        free: which coordinates the covariance is about, [dimension].
        noise: s, the size of one residual's error.
        freedom: m - n.
        warnings: sentences that name the unknowns whose interval means little, and why.
    """

    space: Space
    theta: torch.Tensor
    covariance: torch.Tensor
    free: torch.Tensor
    noise: float
    freedom: int
    warnings: tuple[str, ...] = ()

    def standard_deviations(self) -> torch.Tensor:
        """Of each coordinate, [dimension]."""
        return self.covariance.diagonal().sqrt()

    def correlations(self) -> torch.Tensor:
        """[dimension, dimension]; not a number for what is at a bound or unseen."""
        std = self.standard_deviations()
        return self.covariance / torch.outer(std, std)

    def interval(self, level: float = 0.9) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Lower and upper end of the interval of each unknown, in its own unit and shape, within its bounds.

        Each end is the physical value of theta -+ t std with Student's t of `freedom` degrees, so that a logarithmic unknown
        has an interval of factors. Errors: `InputError` for a level outside (0, 1).
        """
        if not 0.0 < level < 1.0:
            raise InputError(f"interval: expected a level between 0 and 1, got {level}; give 0.9 for 90 %.")
        reach = float(stats.t.ppf(0.5 + level / 2.0, self.freedom)) * self.standard_deviations()
        ends = (self.space.project((self.theta + sign * reach).to(self.space.dtype))[0] for sign in (-1, 1))
        low, high = (self.space.values(end) for end in ends)
        return {name: (low[name], high[name]) for name in self.space.names}


def gaussian_posterior(
    space: Space, theta: torch.Tensor, factor: torch.Tensor, square: float, samples: int, fixed: torch.Tensor
) -> GaussianPosterior | None:
    """The posterior of least squares; None where there are not more residuals than unknowns.

    Args:
        theta: coordinates [dimension] of the minimum.
        factor: R of the Jacobian's QR decomposition, so that J^T J = R^T R.
        square: |r|^2 there.
        samples: number of residuals.
        fixed: which coordinates are held at a bound, [dimension].
    """
    lengths = factor.norm(dim=0)
    seen = lengths > UNSEEN * torch.finfo(space.dtype).eps * lengths.max().clamp(min=1e-300)
    free = seen & ~fixed
    freedom = samples - int(free.sum())
    if freedom < 1:
        return None
    covariance = torch.diag(torch.where(seen | fixed, 0.0, torch.inf).to(factor.dtype))
    _, values, axes = torch.linalg.svd(factor[:, free] / lengths[free], full_matrices=False)
    values = values.clamp(min=1e-15 * float(values.max()) if len(values) else 0.0)
    half = axes.T / values / lengths[free, None]
    where = free.nonzero()[:, 0]
    covariance[where[:, None], where] = (square / freedom) * (half @ half.T)
    names = space.entry_names()
    loose = [name for name, f in zip(names, free.tolist(), strict=True) if f]
    sentences = [*_unseen(names, seen | fixed), *_at_bounds(names, space, theta, fixed)]
    sentences += _collinear(loose, values, axes, covariance[where[:, None], where])
    noise = (square / freedom) ** 0.5
    return GaussianPosterior(
        space=space,
        theta=theta,
        covariance=covariance,
        free=free,
        noise=noise,
        freedom=freedom,
        warnings=tuple(sentences),
    )


def blocked(space: Space, theta: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Coordinates at a bound which the loss would fall beyond, [dimension] of booleans."""
    below = (theta <= space.lower) & (gradient.to(theta) > 0.0)
    return (below | ((theta >= space.upper) & (gradient.to(theta) < 0.0))).cpu()


def _unseen(names: list[str], seen: torch.Tensor) -> list[str]:
    """A sentence for every unknown that nothing depends on."""
    found = [name for name, s in zip(names, seen.tolist(), strict=True) if not s]
    sentences = []
    for name in found:
        cause = CAUSES.get(name.partition("[")[0].rpartition(".")[2], "another motion may show it")
        sentences.append(f"'{name}' changes nothing that was recorded, and stays what it was guessed to be: {cause}.")
    return sentences


def _at_bounds(names: list[str], space: Space, theta: torch.Tensor, fixed: torch.Tensor) -> list[str]:
    """A sentence for every unknown that the data would push beyond its bound."""
    side = ["lower" if t <= low else "upper" for t, low in zip(theta.tolist(), space.lower.tolist(), strict=True)]
    return [
        f"'{name}' is at its {which} bound and would go beyond: its interval is not known, the others take it for given."
        for name, which, held in zip(names, side, fixed.tolist(), strict=True)
        if held
    ]


def _collinear(names: list[str], values: torch.Tensor, axes: torch.Tensor, covariance: torch.Tensor) -> list[str]:
    """Sentences for groups of unknowns of which only a combination is known, then for pairs that are correlated."""
    groups: dict[frozenset[str], float] = {}
    for value, axis in zip(values.tolist(), axes, strict=True):
        group = frozenset(n for n, share in zip(names, axis.abs().tolist(), strict=True) if share > TAKES_PART)
        if value < CLOSE * float(values.max()) and len(group) > 1:
            groups[group] = value / float(values.max())
    sentences = [_together([n for n in names if n in group], ratio) for group, ratio in groups.items()]
    std = covariance.diagonal().sqrt()
    correlation = (covariance / torch.outer(std, std)).tolist()
    for i, second in enumerate(names):
        for j, first in enumerate(names[:i]):
            told = any({first, second} <= group for group in groups)
            if abs(correlation[i][j]) > CORRELATED and not told:
                sentences.append(
                    f"'{first}' and '{second}' are correlated by {correlation[i][j]:.3f}: one can stand in for the other, and "
                    "both intervals are the wider for it."
                )
    return sentences


def _together(group: list[str], ratio: float) -> str:
    listed = ", ".join(f"'{name}'" for name in group)
    if ratio < SAME:
        return f"{listed} cannot be told apart, only a combination of them is known: fix one of them."
    return (
        f"{listed} are hard to tell apart: a change of all of them together shows {ratio:.1e} as much as of one alone; fix one "
        "of them, or record another motion."
    )
