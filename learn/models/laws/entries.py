"""The entries of F as features, the entries of a tensor as coefficients, as Warp function factories; and no features at all."""

import functools
from collections.abc import Callable

import warp as wp

from pliant.learn.models.laws.strain import PLASTIC_SCALE
from pliant.learn.native import plastic
from pliant.learn.pointwise import Assembly, Features
from pliant.sim.precision import Precision


@functools.cache
def no_features(p: Precision) -> Callable:
    """Warp function F -> (0): a law whose coefficients are the same at every strain looks at nothing."""
    mat33, vec = p.mat33, p.vector(1)

    @wp.func(inline=True)
    def features(F: mat33) -> vec:
        return vec()

    return features


@functools.cache
def no_features_vjp(p: Precision) -> Callable:
    mat33, vec = p.mat33, p.vector(1)

    @wp.func
    def vjp(F: mat33, g: vec) -> mat33:
        return mat33()

    return vjp


@functools.cache
def entries(p: Precision) -> Callable:
    """Warp function F -> its nine entries."""
    mat33, vec = p.mat33, p.vector(9)

    @wp.func(inline=True)
    def features(F: mat33) -> vec:
        return vec(F[0, 0], F[0, 1], F[0, 2], F[1, 0], F[1, 1], F[1, 2], F[2, 0], F[2, 1], F[2, 2])

    return features


@functools.cache
def as_matrix(p: Precision) -> Callable:
    """Warp function c[9] -> the matrix with these entries."""
    mat33, vec = p.mat33, p.vector(9)

    @wp.func(inline=True)
    def matrix(c: vec) -> mat33:
        return mat33(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8])

    return matrix


@functools.cache
def entries_vjp(p: Precision) -> Callable:
    mat33, vec, matrix = p.mat33, p.vector(9), as_matrix(p)

    @wp.func
    def vjp(F: mat33, g: vec) -> mat33:
        return matrix(g)

    return vjp


@functools.cache
def first_piola_stress(p: Precision) -> Callable:
    """Warp function (F, P[9]) -> P F^T."""
    mat33, vec, matrix = p.mat33, p.vector(9), as_matrix(p)

    @wp.func(inline=True)
    def stress(F: mat33, c: vec) -> mat33:
        return matrix(c) * wp.transpose(F)

    return stress


@functools.cache
def correction(p: Precision) -> Callable:
    """Warp function (F, c[9]) -> F + 1e-3 c."""
    real, mat33, vec, matrix = p.real, p.mat33, p.vector(9), as_matrix(p)

    @wp.func(inline=True)
    def corrected(F: mat33, c: vec) -> mat33:
        return F + real(wp.static(PLASTIC_SCALE)) * matrix(c)

    return corrected


NO_FEATURES = Features(no_features, 1, no_features_vjp, lanes=plastic.NO_FEATURES)
ENTRIES = Features(entries, 9, entries_vjp)
FIRST_PIOLA_STRESS = Assembly(first_piola_stress, 9)
CORRECTION = Assembly(correction, 9)
