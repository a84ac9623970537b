"""Warp functions of 3 x 3 matrices: cofactor, axial vector, cross products by column."""

import functools
from collections.abc import Callable

import warp as wp

from pliant.sim.precision import Precision


@functools.cache
def cofactor(p: Precision) -> Callable:
    """Warp function M -> cof M = det(M) M^-T, which is the derivative of det M and exists for singular M too."""
    mat33 = p.mat33

    @wp.func(inline=True)
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

    @wp.func(inline=True)
    def axial_of(M: mat33) -> vec3:
        return vec3(M[2, 1] - M[1, 2], M[0, 2] - M[2, 0], M[1, 0] - M[0, 1])

    return axial_of


@functools.cache
def axial_of_product(p: Precision) -> Callable:
    """Warp function (A, B) -> axial vector of A B^T, without the diagonal of the product."""
    real, mat33, vec3 = p.real, p.mat33, p.vec3

    @wp.func(inline=True)
    def entry(A: mat33, B: mat33, i: int, j: int) -> real:
        return (A[i, 0] * B[j, 0] + A[i, 1] * B[j, 1] + A[i, 2] * B[j, 2]) - (
            A[j, 0] * B[i, 0] + A[j, 1] * B[i, 1] + A[j, 2] * B[i, 2]
        )

    @wp.func(inline=True)
    def axial_of(A: mat33, B: mat33) -> vec3:
        return vec3(entry(A, B, 2, 1), entry(A, B, 0, 2), entry(A, B, 1, 0))

    return axial_of


@functools.cache
def cross_columns(p: Precision) -> Callable:
    """Warp function (w, M) -> [w]x M: the cross product of w with every column of M."""
    mat33, vec3 = p.mat33, p.vec3

    @wp.func(inline=True)
    def cross_of(w: vec3, M: mat33) -> mat33:
        return mat33(
            w[1] * M[2, 0] - w[2] * M[1, 0],
            w[1] * M[2, 1] - w[2] * M[1, 1],
            w[1] * M[2, 2] - w[2] * M[1, 2],
            w[2] * M[0, 0] - w[0] * M[2, 0],
            w[2] * M[0, 1] - w[0] * M[2, 1],
            w[2] * M[0, 2] - w[0] * M[2, 2],
            w[0] * M[1, 0] - w[1] * M[0, 0],
            w[0] * M[1, 1] - w[1] * M[0, 1],
            w[0] * M[1, 2] - w[1] * M[0, 2],
        )

    return cross_of


@functools.cache
def spherical(p: Precision) -> Callable:
    """Warp function s -> s I."""
    real, mat33 = p.real, p.mat33

    @wp.func(inline=True)
    def spherical_of(s: real) -> mat33:
        o = real(0.0)
        return mat33(s, o, o, o, s, o, o, o, s)

    return spherical_of
