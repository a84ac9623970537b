"""An equation F(x, theta) = 0 as one node of autograd: the implicit function theorem, written once.

    x(theta) with F(x, theta) = 0,   A = dF/dx,   B = dF/dtheta
    reverse: A^T u = v, theta's gradient is -B^T u        forward: A t_x = -B t_theta

The linear systems of both are equations themselves, with the same node; so every derivative of them is there too.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch.autograd import forward_ad

from pliant.learn.constrain.derivatives import Tensors, pullback, pushforward
from pliant.learn.constrain.layout import Layout
from pliant.learn.constrain.linear_solvers import LinearSolver, Operator, Product

Residual = Callable[[Tensors, Tensors], Tensors]


@dataclasses.dataclass(frozen=True)
class Equation:
    """F(x, theta) = 0 on tuples of tensors.

    Args:
        residual: F of unknowns and parameters, shaped like the unknowns.
        find: x from a start and parameters, without a graph.
        layout: of the unknowns.
        linear_solver: of A, and of its transpose.
    """

    residual: Residual
    find: Callable[[Tensors, Tensors], Tensors]
    layout: Layout
    linear_solver: LinearSolver

    @property
    def unknowns(self) -> int:
        """Number of tensors."""
        return len(self.layout.shapes)

    def solve(self, start: Tensors, parameters: Tensors) -> Tensors:
        """x with a graph to the parameters; none to the start, on which a root does not depend."""
        return _Solution.apply(self, *start, *parameters)

    def operator(self, x: Tensors, parameters: Tensors) -> Operator:
        """A at a point."""
        function = lambda *x: self.residual(x, parameters)  # noqa: E731
        ravel, unravel = self.layout.ravel, self.layout.unravel
        product, transposed = _lazy(pushforward, function, x), _lazy(pullback, function, x)
        inverse, inverse_transposed = self._preconditioner(x)
        return Operator(
            lambda a: ravel(product(unravel(a))),
            lambda a: ravel(transposed(unravel(a))),
            inverse,
            inverse_transposed,
        )

    def _preconditioner(self, x: Tensors) -> tuple[Product | None, Product | None]:
        """The user's preconditioner and its transpose on [systems, n]."""
        given, layout = self.linear_solver.preconditioner, self.layout
        if given is None:
            return None, None
        apply = lambda *r: layout.leaves(given(layout.structure(r)), "preconditioner")  # noqa: E731
        transposed = _lazy(pullback, apply, x)
        return (
            lambda a: layout.ravel(apply(*layout.unravel(a))),
            lambda a: layout.ravel(transposed(layout.unravel(a))),
        )

    def adjoint(self) -> "Equation":
        """A^T u = v, with parameters (v, x, theta)."""
        return self._linear(pullback, lambda operator: operator.transposed)

    def tangent(self) -> "Equation":
        """A t = v, with parameters (v, x, theta)."""
        return self._linear(pushforward, lambda operator: operator)

    def _linear(self, product: Callable, side: Callable[[Operator], Operator]) -> "Equation":
        n, ravel = self.unknowns, self.layout.ravel

        def residual(u: Tensors, given: Tensors) -> Tensors:
            v, x, parameters = given[:n], given[n : 2 * n], given[2 * n :]
            made = product(lambda *x: self.residual(x, parameters), x)(u)
            return tuple(a - b for a, b in zip(made, v, strict=True))

        def find(start: Tensors, given: Tensors) -> Tensors:
            v, x, parameters = given[:n], given[n : 2 * n], given[2 * n :]
            operator = side(self.operator(x, parameters))
            return self.layout.unravel(self.linear_solver.solve(operator, ravel(v), ravel(start)))

        return Equation(residual, find, self.layout, self.linear_solver)


class _Solution(torch.autograd.Function):
    """Start and parameters in, the root out."""

    @staticmethod
    def forward(equation, *tensors):
        n = equation.unknowns
        plain = tuple(t.detach() for t in tensors)
        return tuple(x.clone() for x in equation.find(plain[:n], plain[n:]))

    @staticmethod
    def setup_context(ctx, inputs, output):
        equation, *tensors = inputs
        ctx.equation = equation
        ctx.save_for_backward(*output, *tensors[equation.unknowns :])
        ctx.save_for_forward(*output, *tensors[equation.unknowns :])

    @staticmethod
    def backward(ctx, *adjoints):
        equation, n = ctx.equation, ctx.equation.unknowns
        x, parameters = ctx.saved_tensors[:n], ctx.saved_tensors[n:]
        start = tuple(torch.zeros_like(v) for v in adjoints)
        u = equation.adjoint().solve(start, (*adjoints, *x, *parameters))
        moving = [i for i in range(len(parameters)) if ctx.needs_input_grad[1 + n + i]]
        found = pullback(
            lambda *p: equation.residual(x, _replaced(parameters, moving, p)), tuple(parameters[i] for i in moving)
        )(u)
        gradients: list[torch.Tensor | None] = [None] * (1 + n + len(parameters))
        for i, gradient in zip(moving, found, strict=True):
            gradients[1 + n + i] = -gradient
        return tuple(gradients)

    @staticmethod
    def jvp(ctx, _, *tangents):
        """With forward mode on, which torch turns off here: a level outside would silently miss what depends on it."""
        with forward_ad._set_fwd_grad_enabled(True):
            return _Solution._tangent(ctx.equation, tuple(map(_primal, ctx.saved_tensors)), tangents)

    @staticmethod
    def _tangent(equation, saved, tangents):
        n = equation.unknowns
        x, parameters = saved[:n], saved[n:]
        moving = [i for i in range(len(parameters)) if tangents[n + i] is not None]
        v = pushforward(
            lambda *p: equation.residual(x, _replaced(parameters, moving, p)), tuple(parameters[i] for i in moving)
        )(tuple(tangents[n + i] for i in moving))
        start = tuple(torch.zeros_like(t) for t in v)
        return equation.tangent().solve(start, (*(-t for t in v), *x, *parameters))

    @staticmethod
    def vmap(info, in_dims, equation, *tensors):
        rows = [
            tuple(t if dim is None else t.select(dim, i) for t, dim in zip(tensors, in_dims[1:], strict=True))
            for i in range(info.batch_size)
        ]
        solved = [_Solution.apply(equation, *row) for row in rows]
        return tuple(torch.stack(parts) for parts in zip(*solved, strict=True)), (0,) * equation.unknowns


def _replaced(values: Tensors, places: list[int], by: Tensors) -> Tensors:
    """The values with some of them replaced."""
    made = dict(enumerate(values)) | dict(zip(places, by, strict=True))
    return tuple(made[i] for i in range(len(values)))


def _primal(tensor: torch.Tensor) -> torch.Tensor:
    return forward_ad.unpack_dual(tensor).primal


def _lazy(transform: Callable, function: Callable, x: Tensors) -> Callable[[Tensors], Tensors]:
    """The transform of a function at a point, made when it is first applied."""
    made: list[Callable[[Tensors], Tensors]] = []

    def apply(direction: Tensors) -> Tensors:
        if not made:
            made.append(transform(function, x))
        return made[0](direction)

    return apply
