"""Radial return: F_new = Q diag(exp(a)) Q^T F, which scales the principal logarithmic strains along their deviator."""

import functools
from collections.abc import Callable

import warp as wp

from pliant.sim.linalg.spectral import (
    exponential_quotients,
    in_eigenbasis,
    logarithmic_strain,
    spectral_matrix,
    spectral_vjp,
    strain_quotients,
)
from pliant.sim.precision import Precision


@functools.cache
def deviator(p: Precision) -> Callable:
    """Warp function e -> (d, trace, |d|): deviator, trace and norm of the deviator of the principal strains e."""
    real, vec3 = p.real, p.vec3

    @wp.func(inline=True)
    def split(e: vec3):
        trace = e[0] + e[1] + e[2]
        mean = trace / real(3.0)
        d = e - vec3(mean, mean, mean)
        return d, trace, wp.sqrt(wp.dot(d, d))

    return split


@functools.cache
def exponentials(p: Precision) -> Callable:
    """Warp function a -> (exp a_0, exp a_1, exp a_2)."""
    vec3 = p.vec3

    @wp.func(inline=True)
    def exponentials_of(a: vec3) -> vec3:
        return vec3(wp.exp(a[0]), wp.exp(a[1]), wp.exp(a[2]))

    return exponentials_of


@functools.cache
def radial_return(p: Precision, plan: Callable, count: int) -> Callable:
    """Warp function (F, c) -> Q diag(exp a) Q^T F, or F itself where the trial strain is elastic.

    Args:
        p: precision.
        plan: Warp function (e, c) -> (plastic, t, center) for principal strains e: a = -t (e - center) where plastic.
        count: number of coefficients in c.
    """
    mat33, vec3, vec = p.mat33, p.vec3, p.vector(count)
    strain, exponential, matrix = logarithmic_strain(p), exponentials(p), spectral_matrix(p)

    @wp.func(inline=True)
    def return_map_of(F: mat33, c: vec) -> mat33:
        Q, squares, e = strain(F)
        plastic, t, center = plan(e, c)
        if not plastic:
            return F
        return matrix(Q, exponential(-t * (e - vec3(center, center, center)))) * F

    return return_map_of


@functools.cache
def radial_return_vjp(p: Precision, plan: Callable, plan_vjp: Callable, count: int) -> Callable:
    """Warp function (F, c, A) -> gradients of F_new : A; the exact identity where the trial strain is elastic.

    Args:
        p: precision.
        plan: as in `radial_return`.
        plan_vjp: Warp function (e, c, gt, gcenter) -> gradients of gt t + gcenter center with respect to e and c.
        count: number of coefficients in c.
    """
    real, mat33, vec3, vec = p.real, p.mat33, p.vec3, p.vector(count)
    strain, exponential, matrix, rotated = logarithmic_strain(p), exponentials(p), spectral_matrix(p), in_eigenbasis(p)
    pullback, slopes, exponential_slopes = spectral_vjp(p), strain_quotients(p), exponential_quotients(p)

    @wp.func(inline=True)
    def vjp(F: mat33, c: vec, A: mat33):
        Q, squares, e = strain(F)
        plastic, t, center = plan(e, c)
        if not plastic:
            return A, vec()
        offset = e - vec3(center, center, center)
        a = -t * offset
        k = exponential(a)
        B = rotated(Q, A * wp.transpose(F))
        weight = wp.cw_mul(wp.get_diag(B), k)
        ge, gc = plan_vjp(e, c, -wp.dot(weight, offset), t * (weight[0] + weight[1] + weight[2]))
        ge = ge - t * weight
        theta = -t * wp.cw_mul(exponential_slopes(k, a), slopes(squares, e))
        gF = pullback(F, Q, B, real(0.5) * wp.cw_div(ge, squares), theta)
        return gF + matrix(Q, k) * A, gc

    return vjp
