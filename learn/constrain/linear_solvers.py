"""Solvers of A x = b for a matrix known by its products, many systems at once: arrays are [systems, n].

Every system has its own inner products and stops by itself. What they share stands in `LinearSolver.solve`: start, true
residual, restart, and the refusal to return what did not converge.
"""

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch

from pliant.learn.constrain.convergence import ConvergenceError
from pliant.sim.checks import positive
from pliant.sim.errors import InputError

Product = Callable[[torch.Tensor], torch.Tensor]
DEFAULT_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
STALLED = 0.999  # of the residual left after a restart


@dataclasses.dataclass(frozen=True)
class Operator:
    """A square matrix by its products [systems, n] -> [systems, n], with an approximate inverse of each."""

    product: Product
    transposed_product: Product
    precondition: Product | None = None
    transposed_precondition: Product | None = None

    @property
    def transposed(self) -> "Operator":
        return Operator(self.transposed_product, self.product, self.transposed_precondition, self.precondition)

    def inverse(self, r: torch.Tensor) -> torch.Tensor:
        """What the preconditioner makes of r."""
        return r if self.precondition is None else self.precondition(r)


def norm(a: torch.Tensor) -> torch.Tensor:
    """Of each system, [systems, 1]."""
    return torch.linalg.vector_norm(a, dim=-1, keepdim=True)


def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Of each system, [systems, 1]."""
    return (a * b).sum(-1, keepdim=True)


def quotient(a: torch.Tensor, b: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """a / b in some systems, 0 in the others."""
    return torch.where(where, a / torch.where(where, b, torch.ones_like(b)), torch.zeros_like(a))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearSolver(abc.ABC):
    """What solves A x = b until |b - A x| <= tolerance |b| in every system.

    Args:
        tolerance: relative; None: 1e-10 in float64, 1e-5 in float32, whose iterations stall there.
        max_iterations: products with A at most; None: ten for each unknown, at least 100.
        preconditioner: r -> an approximation of A^-1 r, linear, of the unknowns' own structure; it changes the number of
            iterations, not the solution. Its transpose, for the adjoint, is taken by autograd.

    Errors: `ConvergenceError` where a system is singular, or not solved in time. A singular system whose right-hand side
    lies in its range has many solutions; Krylov methods return one of them and cannot notice, `DenseLU` does.
    """

    tolerance: float | None = None
    max_iterations: int | None = None
    preconditioner: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        if self.tolerance is not None:
            positive(f"{type(self).__name__}: tolerance", self.tolerance, upper=1.0)
        if self.max_iterations is not None and self.max_iterations < 1:
            raise InputError(
                f"{type(self).__name__}: expected max_iterations >= 1, got {self.max_iterations}; leave it out or raise it."
            )

    def solve(self, operator: Operator, b: torch.Tensor, start: torch.Tensor | None = None) -> torch.Tensor:
        """x [systems, n], from the start."""
        tolerance = DEFAULT_TOLERANCE.get(b.dtype, 1e-5) if self.tolerance is None else self.tolerance
        limit = self.max_iterations or max(100, 10 * b.shape[-1])
        goal, scale = tolerance * norm(b), norm(b)
        x = torch.zeros_like(b) if start is None else torch.where(scale > 0.0, start, torch.zeros_like(b))
        r = b - operator.product(x)
        spent, before = 0, math.inf
        while not bool((norm(r) <= goal).all()):
            left = float(quotient(norm(r), scale, scale != 0.0).max())
            if spent >= limit or not left < STALLED * before:
                why = "the limit" if spent >= limit else "the residual no longer falls"
                why = why if math.isfinite(left) else "the system or its right-hand side is not finite"
                raise ConvergenceError(
                    type(self).__name__, why, self.remedy(), residual=left, tolerance=tolerance, iterations=spent
                )
            correction, used = self.correct(operator, r, goal, limit - spent)
            spent, before = spent + max(used, 1), left
            x = x + correction
            r = b - operator.product(x)
        return x

    def remedy(self) -> str:
        return (
            "raise max_iterations, give a preconditioner, or take DenseLU, which says whether the system is singular."
        )

    @abc.abstractmethod
    def correct(self, operator: Operator, r: torch.Tensor, goal: torch.Tensor, limit: int) -> tuple[torch.Tensor, int]:
        """About A^-1 r until the residual is below the goal or no further progress is seen, and the iterations it took."""

    def failed(self, why: str, remedy: str, r: torch.Tensor, iterations: int) -> ConvergenceError:
        """The error of a breakdown; the residual is absolute."""
        return ConvergenceError(
            type(self).__name__, why, remedy, residual=float(norm(r).max()), tolerance=0.0, iterations=iterations
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CG(LinearSolver):
    """Conjugate gradients, for symmetric positive definite A (and preconditioner).

    Source: Hestenes and Stiefel, Methods of conjugate gradients for solving linear systems (1952).
    """

    def correct(self, operator, r, goal, limit):
        x, p, before = torch.zeros_like(r), torch.zeros_like(r), torch.ones_like(r[:, :1])
        for iteration in range(limit):
            active = norm(r) > goal
            if not bool(active.any()):
                return x, iteration
            z = operator.inverse(r)
            rho = dot(r, z)
            p = z + quotient(rho, before, active) * p if iteration else z
            q = operator.product(p)
            curvature = dot(p, q)
            if bool((active & ~(curvature > 0.0)).any()):
                raise self.failed(
                    "a direction of no or negative curvature: the system is not positive definite",
                    "take GMRES, BiCGSTAB or NormalCG, or change the sign of the equation.",
                    r,
                    iteration,
                )
            alpha = quotient(rho, curvature, active)
            x, r, before = x + alpha * p, r - alpha * q, rho
        return x, limit


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormalCG(LinearSolver):
    """Conjugate gradients on A^T A x = A^T b, for any regular A; its condition is squared. It takes no preconditioner.

    Source: Bjoerck, Numerical Methods for Least Squares Problems (1996), algorithm 7.4.1 (CGLS).
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.preconditioner is not None:
            raise InputError("NormalCG: expected no preconditioner, got one; take GMRES or BiCGSTAB with it.")

    def correct(self, operator, r, goal, limit):
        x, s = torch.zeros_like(r), operator.transposed_product(r)
        p, gamma = s, dot(s, s)
        for iteration in range(limit):
            active = (norm(r) > goal) & (gamma > 0.0)
            if not bool(active.any()):
                return x, iteration
            q = operator.product(p)
            alpha = quotient(gamma, dot(q, q), active & (dot(q, q) > 0.0))
            x, r = x + alpha * p, r - alpha * q
            s = operator.transposed_product(r)
            before, gamma = gamma, dot(s, s)
            p = s + quotient(gamma, before, active) * p
        return x, limit


@dataclasses.dataclass(frozen=True, kw_only=True)
class BiCGSTAB(LinearSolver):
    """Stabilised biconjugate gradients, for any A; short recurrences, two products an iteration, no guarantee.

    Source: van der Vorst, Bi-CGSTAB (1992), preconditioned from the right.
    """

    def correct(self, operator, r, goal, limit):
        x, p, q = torch.zeros_like(r), torch.zeros_like(r), torch.zeros_like(r)
        shadow = r
        rho = alpha = omega = torch.ones_like(r[:, :1])
        for iteration in range(limit):
            before, rho = rho, dot(shadow, r)
            active = (norm(r) > goal) & (rho != 0.0) & (omega != 0.0)
            if not bool(active.any()):
                return x, iteration
            beta = quotient(rho * alpha, before * omega, active)
            p = torch.where(active, r + beta * (p - omega * q), torch.zeros_like(r))
            p_hat = operator.inverse(p)
            q = operator.product(p_hat)
            along = dot(shadow, q)
            alpha = quotient(rho, along, active & (along != 0.0))
            s = r - alpha * q
            s_hat = operator.inverse(s)
            t = operator.product(s_hat)
            square = dot(t, t)
            omega = quotient(dot(t, s), square, active & (square > 0.0))
            x = x + alpha * p_hat + omega * s_hat
            r = torch.where(active, s - omega * t, r)
        return x, limit


@dataclasses.dataclass(frozen=True, kw_only=True)
class GMRES(LinearSolver):
    """The least residual in a Krylov space, for any A; the memory is that of `restart` vectors.

    Source: Saad and Schultz, GMRES (1986), with Givens rotations, preconditioned from the right.
    """

    restart: int = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.restart < 1:
            raise InputError(f"GMRES: expected restart >= 1, got {self.restart}; raise it.")

    def correct(self, operator, r, goal, limit):
        size, (systems, n) = norm(r), r.shape
        steps = min(self.restart, limit, n)
        basis = [quotient(r, size, (size > 0.0).expand_as(r))]
        upper, rotations, right = r.new_zeros(systems, steps, steps), [], [size[:, 0]]
        for k in range(steps):
            w = operator.product(operator.inverse(basis[k]))
            column = []
            for v in basis:
                column.append(dot(v, w)[:, 0])
                w = w - column[-1][:, None] * v
            length = norm(w)
            for i, (cosine, sine) in enumerate(rotations):
                above, below = column[i], column[i + 1]
                column[i], column[i + 1] = cosine * above + sine * below, cosine * below - sine * above
            hypotenuse = torch.hypot(column[k], length[:, 0])
            regular = hypotenuse > 0.0
            cosine, sine = (quotient(a, hypotenuse, regular) for a in (column[k], length[:, 0]))
            rotations.append((cosine, sine))
            upper[:, :k, k], upper[:, k, k] = torch.stack(column[:k], 1) if k else upper[:, :0, k], hypotenuse
            right[k], last = cosine * right[k], -sine * right[k]
            right.append(last)
            basis.append(quotient(w, length, (length > 0.0).expand_as(w)))
            if bool((last.abs()[:, None] <= goal).all()) or not bool((length > 0.0).any()):
                steps = k + 1
                break
        diagonal = upper.diagonal(dim1=1, dim2=2)
        diagonal += torch.where(diagonal == 0.0, torch.ones_like(diagonal), torch.zeros_like(diagonal))
        weights = torch.stack(right[:steps], 1)[..., None]
        y = torch.linalg.solve_triangular(upper[:, :steps, :steps], weights, upper=True)[..., 0]
        made = torch.einsum("sk,skn->sn", y, torch.stack(basis[:steps], 1))
        return operator.inverse(made), steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseLU(LinearSolver):
    """The matrix itself, built of n products, and its LU factors: for up to some thousand unknowns, and to find singular systems."""

    def correct(self, operator, r, goal, limit):
        systems, n = r.shape
        columns = [operator.product(unit.expand(systems, n)) for unit in torch.eye(n, dtype=r.dtype, device=r.device)]
        matrix = torch.stack(columns, dim=2)
        factors, pivots, info = torch.linalg.lu_factor_ex(matrix)
        condition = float(torch.linalg.cond(matrix, p=1).max()) if bool((info == 0).all()) else math.inf
        if not condition * torch.finfo(r.dtype).eps < 1.0:
            raise self.failed(
                f"the matrix is singular, its condition {condition:.2g}",
                "fix what leaves the solution free (a gauge, a constraint), or add a regularisation.",
                r,
                n,
            )
        return torch.linalg.lu_solve(factors, pivots, r[..., None])[..., 0], n
