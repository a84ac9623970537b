"""Solvers of F(x) = 0 and x = T(x), many systems at once: arrays are [systems, n]. Nothing of them is differentiated."""

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch

from pliant.learn.constrain.convergence import ConvergenceError
from pliant.learn.constrain.linear_solvers import LinearSolver, Operator, norm
from pliant.sim.checks import positive
from pliant.sim.errors import InputError

DEFAULT_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
HALVINGS = 30


@dataclasses.dataclass(frozen=True)
class Nonlinear:
    """F of one problem [systems, n] -> [systems, n], its linearisation, and the solver of linear systems that goes with it.

    `structured` runs a function of the unknowns as the user wrote it.
    """

    residual: Callable[[torch.Tensor], torch.Tensor]
    linearise: Callable[[torch.Tensor], Operator]
    linear_solver: LinearSolver
    structured: Callable[[Callable[[Any, Any], Any], torch.Tensor], torch.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RootSolver(abc.ABC):
    """What finds x with |F(x)| <= tolerance in every system.

    Args:
        tolerance: in the unit of F, of its Euclidean norm; None: 1e-10 in float64, 1e-5 in float32. The error of x and of
            every derivative is proportional to it.
        max_iterations: evaluations of F at most, those of a line search not counted.

    Errors: `ConvergenceError`.
    """

    tolerance: float | None = None
    max_iterations: int = 1000

    def __post_init__(self) -> None:
        if self.tolerance is not None:
            positive(f"{type(self).__name__}: tolerance", self.tolerance)
        if self.max_iterations < 1:
            raise InputError(
                f"{type(self).__name__}: expected max_iterations >= 1, got {self.max_iterations}; raise it."
            )

    def goal(self, like: torch.Tensor) -> float:
        return DEFAULT_TOLERANCE.get(like.dtype, 1e-5) if self.tolerance is None else self.tolerance

    @abc.abstractmethod
    def solve(self, problem: Nonlinear, start: torch.Tensor) -> torch.Tensor:
        """x [systems, n], from the start."""

    def failed(self, why: str, remedy: str, residual: torch.Tensor, iterations: int) -> ConvergenceError:
        return ConvergenceError(
            type(self).__name__,
            why,
            remedy,
            residual=float(norm(residual).max()),
            tolerance=self.goal(residual),
            iterations=iterations,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Newton(RootSolver):
    """x -= A^-1 F(x) with A = dF/dx, every system's step halved until its |F| falls.

    The linear systems are solved by the `linear_solver` of the equation, as those of the derivatives are.
    """

    max_iterations: int = 50

    def solve(self, problem, start):
        x, goal = start, self.goal(start)
        value = problem.residual(x)
        for iteration in range(self.max_iterations):
            active = ~(norm(value) <= goal)
            if not bool(active.any()):
                return x
            if not bool(value.isfinite().all()):
                raise self.failed("F is not finite", "start elsewhere.", value, iteration)
            step = problem.linear_solver.solve(problem.linearise(x), -value)
            x, value = self._descend(problem, x, value, step, active, iteration)
        if bool((norm(value) <= goal).all()):
            return x
        raise self.failed("the limit", "start nearer, raise max_iterations or tolerance.", value, self.max_iterations)

    def _descend(self, problem, x, value, step, active, iteration):
        """x and F after the longest of the steps 1, 1/2, 1/4, ... that lowers |F|; systems that are solved stay."""
        length = active.to(x.dtype)
        for _ in range(HALVINGS):
            moved = x + length * step
            found = problem.residual(moved)
            worse = active & ~(norm(found) < norm(value))
            if not bool(worse.any()):
                return moved, found
            length = torch.where(worse, 0.5 * length, length)
        raise self.failed(
            "no step along Newton's direction lowers |F|", "start elsewhere, or raise tolerance.", value, iteration
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picard(RootSolver):
    """x -= damping F(x); of a fixed point, where F(x) = x - T(x), that is x = T(x) for damping 1.

    It converges where T contracts. Memory and the cost of a gradient do not depend on the number of iterations.
    """

    damping: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("Picard: damping", self.damping)

    def solve(self, problem, start):
        x, goal = start, self.goal(start)
        for iteration in range(self.max_iterations):
            value = problem.residual(x)
            active = ~(norm(value) <= goal)
            if not bool(active.any()):
                return x
            if not bool(value.isfinite().all()):
                raise self.failed("it diverges", "lower damping, or take Anderson or Newton.", value, iteration)
            x = torch.where(active, x - self.damping * value, x)
        raise self.failed(
            "the limit", "raise max_iterations, or take Anderson or Newton.", problem.residual(x), self.max_iterations
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Anderson(RootSolver):
    """Picard's iteration, extrapolated from the last `memory` residuals by least squares.

    gamma = argmin |g - dG gamma|^2 + ridge tr(dG^T dG) |gamma|^2,   x += damping g - (dX + damping dG) gamma,   g = -F(x)

    Args:
        memory: earlier residuals it keeps; 0 is Picard's iteration.
        damping: of the residual.
        ridge: relative, of the least squares.

    Source: Walker and Ni, Anderson acceleration for fixed-point iterations (2011), eq. 2.2.
    """

    memory: int = 5
    damping: float = 1.0
    ridge: float = 1e-12
    max_iterations: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("Anderson: damping", self.damping)
        if self.memory < 0 or not self.ridge >= 0.0:
            raise InputError(
                f"Anderson: expected memory and ridge >= 0, got {self.memory} and {self.ridge}; correct them."
            )

    def solve(self, problem, start):
        x, goal, moves, changes = start, self.goal(start), [], []
        before: tuple[torch.Tensor, torch.Tensor] | None = None
        for iteration in range(self.max_iterations):
            g = -problem.residual(x)
            active = ~(norm(g) <= goal)
            if not bool(active.any()):
                return x
            if not bool(g.isfinite().all()):
                raise self.failed("it diverges", "lower damping or memory, or take Newton.", g, iteration)
            if before is not None and self.memory:
                moves, changes = [*moves, x - before[0]][-self.memory :], [*changes, g - before[1]][-self.memory :]
            before = (x, g)
            x = torch.where(active, x + self.damping * g - self._extrapolation(g, moves, changes), x)
        value = problem.residual(x)
        raise self.failed("the limit", "raise max_iterations or memory, or take Newton.", value, self.max_iterations)

    def _extrapolation(self, g, moves, changes):
        if not moves:
            return 0.0
        dx, dg = torch.stack(moves, 2), torch.stack(changes, 2)  # [systems, n, memory]
        gram = dg.mT @ dg
        trace = gram.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
        ridge = max(self.ridge, 10.0 * torch.finfo(g.dtype).eps) * trace + torch.finfo(g.dtype).tiny
        gamma = torch.linalg.solve(
            gram + ridge * torch.eye(gram.shape[-1], dtype=g.dtype, device=g.device), dg.mT @ g[..., None]
        )
        return ((dx + self.damping * dg) @ gamma)[..., 0]


@dataclasses.dataclass(frozen=True)
class Given(RootSolver):
    """A solver of one's own, function(F, start) -> x on the unknowns as the user writes them; what it returns is checked.

    Args:
        function: F is the function of x alone, its parameters bound and without a graph. It may use anything.
    """

    function: Callable[[Callable[[Any], Any], Any], Any]

    def solve(self, problem, start):
        x = problem.structured(self.function, start)
        value = problem.residual(x)
        if not float(norm(value).max()) <= self.goal(x) or not math.isfinite(float(norm(value).max())):
            raise self.failed("as `function` returned it", "let it run longer, or raise tolerance.", value, 1)
        return x
