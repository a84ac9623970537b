"""Warp functions of one 3 x 3 matrix: cofactor, cross-product matrix and its inverse, the axial vector."""

import functools
from collections.abc import Callable

import warp as wp

from sim.precision import Precision


@functools.cache
def cofactor(p: Precision) -> Callable:
    """Warp function M -> cof M = det(M) M^-T, which is the derivative of det M and exists for singular M too."""
    mat33 = p.mat33

    @wp.func
    def cofactor_of(M: mat33) -> mat33:
        return mat33(
            M[1, 1] * M[2, 2] - M[1, 2] * M[2, 1],
            M[1, 2] * M[2, 0] - M[1, 0] * M[2, 2],
            M[1, 0] * M[2, 1] - M[1, 1] * M[2, 0],
            M[0, 2] * M[2, 1] - M[0, 1] * M[2, 2],
            M[0, 0] * M[2, 2] - M[0, 2] * M[2, 0],
            M[0, 1] * M[2, 0] - M[0, 0] * M[2, 1],
            M[0, 1] * M[1, 2] - M[0, 2] * M[1, 1],
            M[0, 2] * M[1, 0] - M[0, 0] * M[1, 2],
            M[0, 0] * M[1, 1] - M[0, 1] * M[1, 0],
        )

    return cofactor_of


@functools.cache
def axial(p: Precision) -> Callable:
    """Warp function M -> a with [a]x = M - M^T, so that <[z]x, M> = z . a."""
    mat33, vec3 = p.mat33, p.vec3

    @wp.func
    def axial_of(M: mat33) -> vec3:
        return vec3(M[2, 1] - M[1, 2], M[0, 2] - M[2, 0], M[1, 0] - M[0, 1])

    return axial_of
