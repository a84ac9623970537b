"""Solutions of equations as differentiable functions of their parameters, whatever found them.

    solve = custom_root(lambda x, a: x**3 - a)
    x = solve(torch.ones(3), a)          # has the gradient dx/da = 1 / (3 x^2)

Derivatives come from the implicit function theorem at the solution (`equation`): their memory and their cost do not depend
on how many iterations found it. There are reverse and forward mode, in any order, and torch.func's
grad, jvp, jacrev, jacfwd, hessian and vmap; vmap solves one system after another, `batch_dims` solves them together.

Source: Blondel et al., Efficient and Modular Implicit Differentiation (2022).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _pytree as pytree

from pliant.learn.constrain.derivatives import Tensors, bare, followed
from pliant.learn.constrain.equation import Equation
from pliant.learn.constrain.layout import Layout
from pliant.learn.constrain.linear_solvers import CG, GMRES, LinearSolver, Operator
from pliant.learn.constrain.root_solvers import Anderson, Newton, Nonlinear, RootSolver
from pliant.sim.errors import InputError


@dataclasses.dataclass(frozen=True)
class ImplicitFunction:
    """(start, *parameters) -> x; made by `custom_root` and `custom_fixed_point`."""

    name: str
    residual: Callable[..., Any]
    solver: RootSolver
    linear_solver: LinearSolver
    batch_dims: int

    def __call__(self, start: Any, *parameters: Any) -> Any:
        layout, leaves = Layout.of(start, self.batch_dims, f"{self.name}: start")
        given = _Parameters(parameters)
        residual = given.bound(self.residual, layout, self.name)
        given.refuse_hidden(residual, leaves, self.name)

        def find(start: Tensors, values: Tensors) -> Tensors:
            return layout.unravel(self.solver.solve(self._problem(equation, values), layout.ravel(start)))

        equation = Equation(residual, find, layout, self.linear_solver)
        return layout.structure(equation.solve(leaves, given.tensors))

    def _problem(self, equation: Equation, values: Tensors) -> Nonlinear:
        """What a solver sees: arrays, no graph."""
        layout = equation.layout

        def residual(x: torch.Tensor) -> torch.Tensor:
            return layout.ravel(equation.residual(layout.unravel(x), values))

        def structured(function: Callable[[Any, Any], Any], start: torch.Tensor) -> torch.Tensor:
            F = lambda x: layout.structure(equation.residual(layout.leaves(x, self.name), values))  # noqa: E731
            with torch.enable_grad():  # a solver of one's own may use gradients
                found = function(F, layout.structure(layout.unravel(start)))
            return layout.ravel(tuple(t.detach() for t in layout.leaves(found, f"{self.name}: solver")))

        return Nonlinear(
            residual, lambda x: equation.operator(layout.unravel(x), values), self.linear_solver, structured
        )


def custom_root(
    F: Callable[..., Any],
    solver: RootSolver | None = None,
    linear_solver: LinearSolver | None = None,
    *,
    batch_dims: int = 0,
) -> ImplicitFunction:
    """The function (start, *parameters) -> x with F(x, *parameters) = 0, differentiable in the parameters.

    Args:
        F: of unknowns and parameters (tensors, or tuples, lists and dicts of them), with one equation for each unknown. For
            the minimum of an energy it is the energy's gradient. Reverse mode differentiates it once, Newton's steps and
            forward mode twice.
        solver: `Newton()` unless said; `Given(function)` takes one of your own.
        linear_solver: of the systems with A = dF/dx in Newton's steps and in derivatives: `GMRES()` unless said, `CG()` for
            the minimum of an energy, whose A is symmetric positive definite.
        batch_dims: leading axes of every unknown over which the systems are independent of each other.

    The start is only a start, and gets no gradient: a nearby solution makes a warm one.

    Errors: `InputError` where F holds a tensor that requires a gradient instead of taking it as a parameter, whose gradient
        would silently be zero; `ConvergenceError` where the solve, or later that of a derivative, does not converge.
    """
    return _made("custom_root", F, solver or Newton(), linear_solver or GMRES(), batch_dims)


def custom_fixed_point(
    T: Callable[..., Any],
    solver: RootSolver | None = None,
    linear_solver: LinearSolver | None = None,
    *,
    batch_dims: int = 0,
) -> ImplicitFunction:
    """The function (start, *parameters) -> x with x = T(x, *parameters), differentiable in the parameters.

    The equation is F = x - T(x), A = I - dT/dx.

    Args:
        T: of unknowns and parameters, shaped like the unknowns: an iteration that contracts, for `Picard` and `Anderson`.
        solver: `Anderson()` unless said.

    Other arguments, and errors, as of `custom_root`.
    """

    def F(x: Any, *parameters: Any) -> Any:
        made, spec = pytree.tree_flatten(T(x, *parameters))
        leaves = pytree.tree_leaves(x)
        if len(made) != len(leaves) or any(a.shape != b.shape for a, b in zip(made, leaves, strict=True)):
            raise InputError(
                f"custom_fixed_point: expected T to return shapes {[tuple(a.shape) for a in leaves]}, those of its unknowns, "
                f"got {[tuple(a.shape) for a in made]}; correct T."
            )
        return pytree.tree_unflatten([a - b for a, b in zip(leaves, made, strict=True)], spec)

    return _made("custom_fixed_point", F, solver or Anderson(), linear_solver or GMRES(), batch_dims)


def _made(name: str, F: Callable[..., Any], solver: Any, linear_solver: Any, batch_dims: int) -> ImplicitFunction:
    """The function, where the solvers are solvers."""
    if not isinstance(solver, RootSolver):
        raise InputError(
            f"{name}: expected Newton(), Picard(), Anderson() or Given(function) as solver, got {solver!r}; make one."
        )
    _check_linear(linear_solver, name)
    return ImplicitFunction(name, F, solver, linear_solver, batch_dims)


def _check_linear(solver: Any, name: str) -> None:
    if not isinstance(solver, LinearSolver):
        raise InputError(
            f"{name}: expected CG(), NormalCG(), BiCGSTAB(), GMRES() or DenseLU() for linear systems, got {solver!r}; make one."
        )


def linear_solve(
    matvec: Callable[..., Any] | torch.Tensor,
    b: Any,
    *parameters: Any,
    solver: LinearSolver | None = None,
    start: Any = None,
    batch_dims: int = 0,
) -> Any:
    """x with A x = b, differentiable in b and in what A is made of.

    Args:
        matvec: (x, *parameters) -> A x, linear in x; or the matrix itself, [n, n] or [..., n, n] for b [..., n].
        b: tensors; with `batch_dims` leading axes, so many independent systems that are solved together.
        parameters: tensors that A depends on.
        solver: `CG()` unless said, for symmetric positive definite A; `GMRES()`, `BiCGSTAB()`, `NormalCG()`, `DenseLU()`.
        start: shaped like b, of the iteration; a nearby solution makes a warm one.

    Errors: as of `custom_root`.
    """
    if isinstance(matvec, torch.Tensor):
        _check_matrix(matvec, b)
        parameters, batch_dims = (matvec,), b.ndim - 1
        matvec = lambda x, A: (A @ x[..., None])[..., 0]  # noqa: E731
    solver = solver or CG()
    _check_linear(solver, "linear_solve")
    layout, right = Layout.of(b, batch_dims, "linear_solve: b")
    given = _Parameters((b, *parameters))
    product = matvec

    def apart(x: Any, b: Any, *parameters: Any) -> Any:
        made = layout.leaves(product(x, *parameters), "linear_solve: matvec")
        return layout.structure(tuple(a - c for a, c in zip(made, layout.leaves(b, "linear_solve: b"), strict=True)))

    residual = given.bound(apart, layout, "linear_solve")
    first = tuple(torch.zeros_like(t) for t in right)
    given.refuse_hidden(residual, first, "linear_solve")
    first = first if start is None else layout.leaves(start, "linear_solve: start")

    def find(start: Tensors, values: Tensors) -> Tensors:
        operator = _direct_operator(equation, start, values)
        return layout.unravel(solver.solve(operator, layout.ravel(values[: len(right)]), layout.ravel(start)))

    equation = Equation(residual, find, layout, solver)
    return layout.structure(equation.solve(first, given.tensors))


def _direct_operator(equation: Equation, x: Tensors, values: Tensors) -> Operator:
    """A of a linear equation, whose product is the user's own: F(x) - F(0)."""
    layout = equation.layout
    zero = equation.residual(tuple(torch.zeros_like(t) for t in x), values)

    def product(a: torch.Tensor) -> torch.Tensor:
        made = equation.residual(layout.unravel(a), values)
        return layout.ravel(tuple(m - z for m, z in zip(made, zero, strict=True)))

    return dataclasses.replace(equation.operator(x, values), product=product)


def _check_matrix(matrix: torch.Tensor, b: Any) -> None:
    n = b.shape[-1] if isinstance(b, torch.Tensor) and b.ndim else None
    if n is None or matrix.ndim < 2 or matrix.shape[-2:] != (n, n):
        raise InputError(
            f"linear_solve: expected a matrix [..., n, n] and b [..., n], got {tuple(matrix.shape)} and "
            f"{tuple(getattr(b, 'shape', ()))}; for k right-hand sides of one matrix give b [k, n]."
        )


class _Parameters:
    """Parameters as the user gave them: the tensors among them, which may have gradients, and all else."""

    def __init__(self, parameters: tuple):
        self.plain = all(isinstance(parameter, torch.Tensor) for parameter in parameters)
        self.leaves, self.spec = pytree.tree_flatten(parameters)
        self.places = [i for i, leaf in enumerate(self.leaves) if isinstance(leaf, torch.Tensor)]
        self.tensors: Tensors = tuple(self.leaves[i] for i in self.places)

    def bound(self, function: Callable[..., Any], layout: Layout, name: str) -> Callable[[Tensors, Tensors], Tensors]:
        """A function of the user as one of tuples of tensors."""
        constants = {i: leaf for i, leaf in enumerate(self.leaves) if i not in set(self.places)}
        places, spec, count = self.places, self.spec, len(self.leaves)
        plain = self.plain  # nothing to put together, which costs as much as a small F

        def residual(x: Tensors, values: Tensors) -> Tensors:
            parameters = values
            if not plain:
                filled = constants | dict(zip(places, values, strict=True))
                parameters = pytree.tree_unflatten([filled[i] for i in range(count)], spec)
            return layout.leaves(function(layout.structure(x), *parameters), name)

        return residual

    def refuse_hidden(self, residual: Callable[[Tensors, Tensors], Tensors], x: Tensors, name: str) -> None:
        """Raise where the function depends on a tensor that is differentiated and is not among its arguments."""
        plain = [tuple(bare(t) for t in tensors) for tensors in (x, self.tensors)]
        with torch.enable_grad():
            hidden = any(followed(out) for out in residual(*plain))
        if hidden:
            raise InputError(
                f"{name}: expected a function of its arguments, got one that holds a tensor with a gradient, which would be "
                "lost; pass that tensor as a parameter (a module's by torch.func.functional_call), or detach it."
            )
