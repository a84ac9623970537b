"""Eigen-decomposition of a symmetric 3 x 3 matrix, accurate to round-off of its deviator in both precisions."""

import functools
from collections.abc import Callable

import warp as wp

from pliant.sim.linalg.matrix import cofactor, spherical
from pliant.sim.linalg.polynomial import polynomial
from pliant.sim.precision import Precision

# Chebyshev interpolant of 2 cos(arccos(h) / 3) on [0, 1]; its error is 1e-5, which one Newton step squares.
ROOT_FIT = (1.7320609, 0.3328234, -0.0918439, 0.0350244, -0.0080708)


@functools.cache
def complement(p: Precision) -> Callable:
    """Warp function n -> (a, b) with a, b, n orthonormal, for a unit vector n.

    Source: Duff et al., Building an Orthonormal Basis, Revisited (2017).
    """
    real, vec3 = p.real, p.vec3

    @wp.func(inline=True)
    def complement_of(n: vec3):
        one = real(1.0)
        side = wp.where(n[2] < real(0.0), -one, one)
        k = -one / (side + n[2])
        d = n[0] * n[1] * k
        a = vec3(one + side * n[0] * n[0] * k, side * d, -side * n[0])
        return a, vec3(d, side + n[1] * n[1] * k, -n[1])

    return complement_of


@functools.cache
def largest_root(p: Precision) -> Callable:
    """Warp function h -> largest root x of x^3 - 3 x = 2 h for 0 <= h <= 1; x lies between sqrt(3) and 2."""
    real = p.real
    steps = 1 if p.name == "float32" else 2
    guess = polynomial(p, ROOT_FIT)

    @wp.func(inline=True)
    def root(h: real) -> real:
        x = guess(h)
        for _k in range(wp.static(steps)):
            square = x * x
            x = x - (x * (square - real(3.0)) - real(2.0) * h) / (real(3.0) * square - real(3.0))
        return x

    return root


@functools.cache
def simple_eigenvector(p: Precision) -> Callable:
    """Warp function (S, x) -> unit eigenvector of a well separated eigenvalue x: the largest column of cof(S - x I)."""
    real, mat33, vec3, cof, diagonal = p.real, p.mat33, p.vec3, cofactor(p), spherical(p)

    @wp.func(inline=True)
    def eigenvector(S: mat33, x: real) -> vec3:
        M = cof(S - diagonal(x))
        n = wp.where(M[1, 1] > M[0, 0], vec3(M[0, 1], M[1, 1], M[2, 1]), vec3(M[0, 0], M[1, 0], M[2, 0]))
        n = wp.where(M[2, 2] > wp.max(M[0, 0], M[1, 1]), vec3(M[0, 2], M[1, 2], M[2, 2]), n)
        return n / wp.sqrt(wp.dot(n, n))

    return eigenvector


@functools.cache
def plane_rotation(p: Precision) -> Callable:
    """Warp function (a, b, d) -> (c, s, low, high): [[a, b], [b, d]] has vectors (-s, c) for low, (c, s) for high."""
    real, vec4 = p.real, p.vec4

    @wp.func(inline=True)
    def rotation(a: real, b: real, d: real) -> vec4:
        half, mean = real(0.5) * (a - d), real(0.5) * (a + d)
        radius = wp.sqrt(half * half + b * b)
        inverse = real(0.5) / wp.where(radius > real(0.0), radius, real(1.0))
        big = wp.sqrt(wp.where(radius > real(0.0), real(0.5) + wp.abs(half) * inverse, real(1.0)))
        small = b * inverse / big
        c = wp.where(half < real(0.0), wp.abs(small), big)
        s = wp.where(half < real(0.0), wp.where(b < real(0.0), -big, big), small)
        return vec4(c, s, mean - radius, mean + radius)

    return rotation


@functools.cache
def symmetric_eigen(p: Precision) -> Callable:
    """Warp function S -> (Q, w) with S = Q diag(w) Q^T, w ascending, the columns of Q orthonormal.

    The deviator of S is scaled so that its eigenvalues solve x^3 - 3 x = 2 h with |h| <= 1. The outer root on the side
    of sign(h) is always well separated, so its vector is a column of a cofactor; the other two vectors come from the
    2 x 2 problem that is left, which has no difficulty with equal eigenvalues. No iteration depends on the data.
    It is not meant to be differentiated (Q has no derivative at equal eigenvalues): see `spectral`.

    Source: Eberly, A Robust Eigensolver for 3 x 3 Symmetric Matrices (2014), with Newton in place of the arc cosine.
    """
    real, mat33, vec3, diagonal = p.real, p.mat33, p.vec3, spherical(p)
    basis, root, eigenvector, rotation = complement(p), largest_root(p), simple_eigenvector(p), plane_rotation(p)

    @wp.func(inline=True)
    def eigen(S: mat33):
        mean = wp.trace(S) * real(wp.static(1.0 / 3.0))
        D = S - diagonal(mean)
        scale = wp.sqrt(wp.ddot(D, D) * real(wp.static(1.0 / 6.0)))
        if scale == real(0.0):
            return wp.identity(n=3, dtype=real), vec3(mean, mean, mean)
        D = (real(1.0) / scale) * D
        h = real(0.5) * wp.determinant(D)
        flipped = h < real(0.0)
        D = wp.where(flipped, -D, D)
        scale = wp.where(flipped, -scale, scale)
        x = root(wp.min(wp.abs(h), real(1.0)))
        n = eigenvector(D, x)
        a, b = basis(n)
        Da, Db = D * a, D * b
        t = rotation(wp.dot(a, Da), wp.dot(a, Db), wp.dot(b, Db))
        high, low = t[0] * a + t[1] * b, t[0] * b - t[1] * a
        Q = wp.matrix_from_cols(wp.where(flipped, n, low), high, wp.where(flipped, low, n))
        outer = wp.where(flipped, vec3(x, t[3], t[2]), vec3(t[2], t[3], x))
        return Q, vec3(mean + scale * outer[0], mean + scale * outer[1], mean + scale * outer[2])

    return eigen
