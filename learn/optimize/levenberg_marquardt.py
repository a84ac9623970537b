"""Levenberg and Marquardt's method: least squares by damped Gauss-Newton steps within bounds, with a covariance at the end."""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from scipy.optimize import lsq_linear

from pliant.learn.gradients.base import Estimate, GradientEstimator
from pliant.learn.gradients.forward_mode import ForwardMode
from pliant.learn.identify.posterior import GaussianPosterior, blocked, gaussian_posterior
from pliant.learn.method import Method, Query
from pliant.learn.problem import Problem
from pliant.sim.errors import InputError

LOGGED = 32  # unknown entries whose values and intervals are logged at most
LEAST_GAIN = 1e-4
MAY_CHANGE = {"may_change": True}  # when a training ends, a resumed one may be told anew


@dataclasses.dataclass(kw_only=True, eq=False)
class LevenbergMarquardt(Method):
    """Minimise L = |r|^2 / 2 within the bounds of the unknowns.

    d = argmin |r + J d|^2 + lambda |D d|^2 within the bounds,   D_j = largest |J_j| so far
    gain = (L - L+) / (L - |r + J d|^2 / 2)
    gain > 0:  theta += d,  lambda *= max(1/3, 1 - (2 gain - 1)^3),  nu = 2
    else, or where the simulation fails:  lambda *= nu,  nu *= 2

    The bounded linear problem is solved exactly, by active sets. An iteration is one evaluation with its Jacobian. It
    goes downhill, to the nearest minimum: where there may be several, let it start from the best of some samples.

    Args:
        starts: candidates of the first iteration, which has no Jacobian: the initial unknowns, and Gaussian samples
            around them with a deviation of one spread; 0 starts from the initial unknowns.
        damping: lambda at the start; D makes it a pure number.
        largest_step: of each coordinate (spreads of the unknowns) in one iteration; None: no limit.
        gradient_tolerance: end when the cosine between r and each column of J that is free to move is below.
        step_tolerance: end when no coordinate would move further.
        loss_tolerance: end when the loss changes, and is promised to, by no more than this share of it.
        patience: end after so many rejected steps in a row.
        level: of the intervals that are logged.
        estimator: where residuals and Jacobian come from.

    Source: Madsen, Nielsen and Tingleff, Methods for Non-Linear Least Squares Problems (2004), algorithm 3.16; More, The
        Levenberg-Marquardt Algorithm (1978), section 6, for D; Stark and Parker, Bounded-Variable Least-Squares (1995).
    """

    STATE: ClassVar[tuple[str, ...]] = (
        "sampled", "theta", "trial", "value", "factor", "projected", "samples", "scale", "lam", "nu", "predicted",
        "steps", "rejected", "in_a_row", "failed", "failure",
    )  # fmt: skip

    starts: int = 0
    damping: float = 1e-3
    largest_step: float | None = 2.0
    gradient_tolerance: float = dataclasses.field(default=1e-8, metadata=MAY_CHANGE)
    step_tolerance: float = dataclasses.field(default=1e-6, metadata=MAY_CHANGE)
    loss_tolerance: float = dataclasses.field(default=1e-9, metadata=MAY_CHANGE)
    patience: int = 16
    level: float = 0.9
    estimator: GradientEstimator = dataclasses.field(default_factory=ForwardMode)

    def __post_init__(self) -> None:
        tolerances = (self.gradient_tolerance, self.step_tolerance, self.loss_tolerance)
        largest = math.inf if self.largest_step is None else self.largest_step
        positive = self.damping > 0.0 and largest > 0.0 and 0.0 < self.level < 1.0
        if not (positive and self.patience >= 1 and min(self.starts, *tolerances) >= 0):
            raise InputError(
                "LevenbergMarquardt: expected a positive damping and largest_step, patience >= 1, a level between 0 and 1, and "
                f"starts and tolerances >= 0, got {self}; correct them."
            )

    def reset(self) -> None:
        n = self.space.dimension
        self.sampled = self.starts < 2
        self.theta = self.trial = self.space.initial.clone()
        self.value, self.samples, self.predicted = math.inf, 0, 0.0
        self.factor, self.projected = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
        self.scale = torch.zeros(n, dtype=torch.float64)
        self.lam, self.nu = self.damping, 2.0
        self.steps = self.rejected = self.in_a_row = self.failed = 0
        self.failure = ""

    def restart(self) -> None:
        self.trial, self.value, self.finished = self.theta, math.inf, ""
        self.scale = torch.zeros_like(self.scale)
        self.lam, self.nu, self.in_a_row, self.failure = self.damping, 2.0, 0, ""

    def ask(self) -> Query:
        if self.sampled:
            return Query(candidates=self.trial[None], estimator=self.estimator)
        noise = self.space.noise(self.starts, self.rng)
        noise[0] = 0.0
        return Query(candidates=self.space.project(self.theta + noise)[0])

    def cost(self, problem: Problem) -> int:
        return self.estimator.cost(problem) if self.sampled else problem.calls(self.starts)

    def tell(self, query: Query, estimates: Sequence[Estimate]) -> dict[str, float]:
        if not self.sampled:
            return self._choose(query, estimates)
        estimate = estimates[0]
        if estimate.ok and (estimate.residuals is None or estimate.jacobian is None):
            raise InputError(
                "LevenbergMarquardt: expected residuals and a Jacobian from its estimator; use ForwardMode."
            )
        if not math.isfinite(self.value):
            return self._begin(estimate)
        fall = self.value - estimate.value
        fallen = max(self.predicted, abs(fall)) > self.loss_tolerance * self.value
        accepted = fall > LEAST_GAIN * self.predicted
        if accepted:
            self._accept(estimate, min(fall / self.predicted, 2.0))
        else:
            self._reject(estimate)
        self._conclude(fallen)
        return self._record(accepted)

    def report(self) -> list[str]:
        told = []
        if self.rejected:
            failed = f", {self.failed} of them because the simulation failed" if self.failed else ""
            told.append(f"{self.rejected} of {self.rejected + self.steps} steps were rejected{failed}.")
        posterior = self.posterior()
        return told + (list(posterior.warnings) if posterior else [])

    def posterior(self) -> GaussianPosterior | None:
        """The Gaussian around the best point; None before the first evaluation, or with too few residuals."""
        if not math.isfinite(self.value):
            return None
        return gaussian_posterior(self.space, self.theta, self.factor, 2.0 * self.value, self.samples, self._blocked())

    def _choose(self, query: Query, estimates: Sequence[Estimate]) -> dict[str, float]:
        """Start from the best sample."""
        self.sampled = True
        best = min(range(self.starts), key=lambda i: estimates[i].value)
        self.theta = self.trial = query.candidates[best].clone()
        return {"damping": self.lam}

    def _begin(self, estimate: Estimate) -> dict[str, float]:
        if not estimate.ok:
            self.finished = "LevenbergMarquardt cannot start, the initial unknowns fail: " + estimate.failure.rstrip(
                "."
            )
            return {"damping": self.lam}
        self._linearise(estimate)
        self._conclude(fallen=True)
        return self._record(accepted=True)

    def _accept(self, estimate: Estimate, gain: float) -> None:
        self.lam *= max(1.0 / 3.0, 1.0 - (2.0 * gain - 1.0) ** 3)
        self.nu, self.in_a_row, self.failure = 2.0, 0, ""
        self.steps += 1
        self.theta = self.trial
        self._linearise(estimate)

    def _reject(self, estimate: Estimate) -> None:
        self.lam *= self.nu
        self.nu *= 2.0
        self.rejected += 1
        self.in_a_row += 1
        self.failed += not estimate.ok
        self.failure = estimate.failure

    def _linearise(self, estimate: Estimate) -> None:
        """Keep R of J = Q R and Q^T r: all that the steps and the covariance need."""
        given = (estimate.residuals, estimate.jacobian)
        residuals, jacobian = (g.double().cpu() for g in given if g is not None)
        n = self.space.dimension
        upper = torch.linalg.qr(torch.cat([jacobian, residuals[:, None]], dim=1), mode="r").R
        self.factor, self.projected = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
        rows = min(n, len(upper))
        self.factor[:rows], self.projected[:rows] = upper[:rows, :n], upper[:rows, n]
        self.value, self.samples = float(residuals.square().sum()) / 2.0, len(residuals)
        self.scale = torch.maximum(self.scale, self.factor.norm(dim=0))

    def _conclude(self, fallen: bool) -> None:
        """The next step, or the sentence why there is none; `fallen`: whether the loss changed by more than its tolerance."""
        gradient, reach = self.factor.T @ self.projected, self.factor.norm(dim=0) * math.sqrt(2.0 * self.value)
        steep = (gradient.abs() > self.gradient_tolerance * reach) & ~self._blocked()
        self._propose()
        if not steep.any():
            self.finished = "the gradient vanishes"
        elif not fallen and not self.failure:
            self.finished = f"the loss changes by less than {self.loss_tolerance:g} of itself"
        elif self.in_a_row >= self.patience or (self.in_a_row and self._length() <= self.step_tolerance):
            why = "; the last failed: " + self.failure.rstrip(".") if self.failure else ""
            self.finished = f"{self.in_a_row} steps in a row did not lower the loss{why}"
        elif self._length() <= self.step_tolerance:
            self.finished = f"no unknown would move by more than {self.step_tolerance:g} of its spread"

    def _propose(self) -> None:
        """The trial point of the present damping, and the fall of the loss that the linear model promises for it."""
        n, reach = self.space.dimension, math.inf if self.largest_step is None else self.largest_step
        bounds = ((b - self.theta).double().cpu().numpy() for b in (self.space.lower, self.space.upper))
        low, high = (np.clip(b, -reach, reach) for b in bounds)
        damped = torch.cat([self.factor, math.sqrt(self.lam) * torch.diag(self.scale)]).numpy()
        wanted = np.concatenate([-self.projected.numpy(), np.zeros(n)])
        step = lsq_linear(damped, wanted, (low, high), method="bvls").x
        self.trial, _ = self.space.project(self.theta + torch.from_numpy(step).to(self.theta))
        moved = (self.trial - self.theta).double().cpu()
        left = (self.factor @ moved + self.projected).square().sum()
        self.predicted = max(float(self.projected.square().sum() - left) / 2.0, 1e-300)

    def _length(self) -> float:
        """The furthest any coordinate moves in the proposed step."""
        return float((self.trial - self.theta).abs().max())

    def _blocked(self) -> torch.Tensor:
        return blocked(self.space, self.theta, self.factor.T @ self.projected)

    def _record(self, accepted: bool) -> dict[str, float]:
        record = {"damping": self.lam, "accepted": float(accepted), "step": self._length()}
        posterior = self.posterior()
        if posterior is None or self.space.dimension > LOGGED:
            return record
        values, interval = self.space.values(self.theta), posterior.interval(self.level)
        columns = (values, *({n: ends[i] for n, ends in interval.items()} for i in range(2)))
        flat = [torch.cat([column[n].reshape(-1) for n in self.space.names]).tolist() for column in columns]
        for name, value, low, high in zip(self.space.entry_names(), *flat, strict=True):
            record |= {name: value, f"{name}.low": low, f"{name}.high": high}
        return record
