"""Invariants of the logarithmic (Hencky) strain, and tensors assembled from it, as Warp function factories.

F = Q diag(s) V^T; e_i = log s_i are the principal logarithmic strains, d_i = e_i - tr(e) / 3 their deviator.
"""

import functools
import math
from collections.abc import Callable

import warp as wp

from learn.pointwise import Assembly, Features
from sim.linalg.spectral import (
    exponential_quotients,
    in_eigenbasis,
    logarithmic_strain,
    spectral_matrix,
    spectral_vjp,
    strain_quotients,
)
from sim.materials import Hencky
from sim.materials.base import attach_return_map_vjp
from sim.materials.radial_return import deviator, exponentials
from sim.precision import Precision

ROOT_6 = math.sqrt(6.0)


@functools.cache
def strain_invariants(p: Precision) -> Callable:
    """Warp function F -> (tr e, |d|, sqrt(6) sum_i (d_i / |d|)^3): volume, shear, and the cosine of three Lode angles.

    The cosine is 1 in uniaxial tension, -1 in uniaxial compression and, having no value where d = 0, 0 there.
    """
    real, mat33, vec3, strain, split = p.real, p.mat33, p.vec3, logarithmic_strain(p), deviator(p)

    @wp.func(inline=True)
    def invariants(F: mat33) -> vec3:
        Q, squares, e = strain(F)
        d, trace, norm = split(e)
        u = d / wp.where(norm > real(0.0), norm, real(1.0))
        return vec3(trace, norm, real(wp.static(3.0 * ROOT_6)) * u[0] * u[1] * u[2])

    return invariants


@functools.cache
def strain_invariants_vjp(p: Precision) -> Callable:
    """Its vector-Jacobian product; at d = 0, where |d| and the cosine have no derivative, only that of the volume."""
    real, mat33, vec3 = p.real, p.mat33, p.vec3
    strain, split, matrix = logarithmic_strain(p), deviator(p), spectral_matrix(p)

    @wp.func
    def vjp(F: mat33, g: vec3) -> mat33:
        third = real(wp.static(1.0 / 3.0))
        Q, squares, e = strain(F)
        d, trace, norm = split(e)
        ge = vec3(g[0], g[0], g[0])
        if norm > real(0.0):
            u = d / norm
            lode = real(wp.static(3.0 * ROOT_6)) * u[0] * u[1] * u[2]
            curve = real(wp.static(ROOT_6)) * (wp.cw_mul(u, u) - vec3(third, third, third)) - lode * u
            ge = ge + g[1] * u + (real(3.0) * g[2] / norm) * curve
        return matrix(Q, wp.cw_div(ge, squares)) * F

    return vjp


@functools.cache
def reduced_strain(p: Precision) -> Callable:
    """Warp function (F, c) -> Q diag(exp(-c_1 d_i - c_2)) Q^T F: shear strain times 1 - c_1, mean strain less c_2.

    It is F itself, to the bit, where both are zero.
    """
    real, mat33, vec2, vec3 = p.real, p.mat33, p.vector(2), p.vec3
    strain, split, matrix, exponential = logarithmic_strain(p), deviator(p), spectral_matrix(p), exponentials(p)

    @wp.func(inline=True)
    def reduced(F: mat33, c: vec2) -> mat33:
        if c[0] == real(0.0) and c[1] == real(0.0):
            return F
        Q, squares, e = strain(F)
        d, trace, norm = split(e)
        return matrix(Q, exponential(-c[0] * d - vec3(c[1], c[1], c[1]))) * F

    return attach_return_map_vjp(reduced, _reduced_strain_vjp(p), p, 2)


@functools.cache
def _reduced_strain_vjp(p: Precision) -> Callable:
    """Warp function (F, c, A) -> gradients of the reduced F : A with respect to F and c."""
    real, mat33, vec2, vec3 = p.real, p.mat33, p.vector(2), p.vec3
    strain, split, matrix, exponential = logarithmic_strain(p), deviator(p), spectral_matrix(p), exponentials(p)
    rotated, pullback = in_eigenbasis(p), spectral_vjp(p)
    slopes, exponential_slopes = strain_quotients(p), exponential_quotients(p)

    @wp.func(inline=True)
    def vjp(F: mat33, c: vec2, A: mat33):
        Q, squares, e = strain(F)
        d, trace, norm = split(e)
        a = -c[0] * d - vec3(c[1], c[1], c[1])
        k = exponential(a)
        B = rotated(Q, A * wp.transpose(F))
        weight = wp.cw_mul(wp.get_diag(B), k)
        total = weight[0] + weight[1] + weight[2]
        mean = total / real(3.0)
        ge = -c[0] * (weight - vec3(mean, mean, mean))
        theta = -c[0] * wp.cw_mul(exponential_slopes(k, a), slopes(squares, e))
        gF = pullback(F, Q, B, real(0.5) * wp.cw_div(ge, squares), theta)
        return gF + matrix(Q, k) * A, vec2(-wp.dot(weight, d), -total)

    return vjp


@functools.cache
def hencky_stress(p: Precision) -> Callable:
    """Warp function (F, (mu, lambda)) -> sum_i (2 mu e_i + lambda tr e) n_i n_i^T."""
    mat33, vec2, kirchhoff = p.mat33, p.vector(2), Hencky.kirchhoff(p)

    @wp.func(inline=True)
    def stress(F: mat33, c: vec2) -> mat33:
        return kirchhoff(F, mat33(), c)

    return stress


STRAIN_INVARIANTS = Features(strain_invariants, 3, strain_invariants_vjp)
REDUCED_STRAIN = Assembly(reduced_strain, 2)
HENCKY_STRESS = Assembly(hencky_stress, 2)
