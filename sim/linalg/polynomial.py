"""Polynomials of one variable as Warp functions."""

import functools
from collections.abc import Callable

import warp as wp

from pliant.sim.precision import Precision


@functools.cache
def polynomial(p: Precision, coefficients: tuple[float, ...]) -> Callable:
    """Warp function x -> c_0 + c_1 x + c_2 x^2 + ..., by Horner's rule."""
    real = p.real
    if len(coefficients) == 1:

        @wp.func(inline=True)
        def constant(x: real) -> real:
            return real(wp.static(coefficients[0]))

        return constant
    rest = polynomial(p, coefficients[1:])

    @wp.func(inline=True)
    def horner(x: real) -> real:
        return real(wp.static(coefficients[0])) + x * rest(x)

    return horner
