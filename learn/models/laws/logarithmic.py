"""Invariants of the logarithmic (Hencky) strain, and tensors assembled from it, as Warp function factories.

F = Q diag(s) V^T; e_i = log s_i are the principal logarithmic strains, d_i = e_i - tr(e) / 3 their deviator.
"""

import functools
import math
from collections.abc import Callable

import warp as wp

from pliant.learn.models.laws.flow import BRISK, FLOOR, UNIT, flow_of, flow_of_vjp
from pliant.learn.native import plastic
from pliant.learn.pointwise import Assembly, Features
from pliant.sim.linalg.spectral import (
    exponential_quotients,
    in_eigenbasis,
    logarithmic_strain,
    spectral_matrix,
    spectral_vjp,
    strain_quotients,
)
from pliant.sim.materials import Hencky
from pliant.sim.materials.base import attach_return_map_vjp
from pliant.sim.materials.radial_return import deviator, exponentials
from pliant.sim.precision import Precision

ROOT_6 = math.sqrt(6.0)
FINE = 100.0  # shares of the strain scale that are told apart


@functools.cache
def lode(p: Precision) -> Callable:
    """Warp function u -> sqrt(6) sum_i u_i^3 of a deviator u: the cosine of three Lode angles where |u| = 1."""
    real, vec3 = p.real, p.vec3

    @wp.func(inline=True)
    def lode_of(u: vec3) -> real:
        return real(wp.static(3.0 * ROOT_6)) * u[0] * u[1] * u[2]

    return lode_of


@functools.cache
def strain_state(scale: float) -> Features:
    """F -> (x, asinh(100 x) / 3, cosine of three Lode angles) with x = tr e / scale, on which a yield surface depends.

    The second tells small volumetric strains apart as well as large ones, as a yield radius in proportion to them needs.
    The cosine is 1 in uniaxial tension and -1 in uniaxial compression. It has no value where d = 0: it is taken of
    d / sqrt(|d|^2 + (scale / 100)^2), so that it falls to 0 there: round-off decides on nothing, and slopes are bounded.
    """
    faint = (scale / FINE) ** 2

    @functools.cache
    def strain_state_of(p: Precision) -> Callable:
        real, mat33, vec3 = p.real, p.mat33, p.vec3
        strain, split, lode_of = logarithmic_strain(p), deviator(p), lode(p)

        @wp.func(inline=True)
        def state(F: mat33) -> vec3:
            Q, squares, e = strain(F)
            d, trace, norm = split(e)
            u = d / wp.sqrt(norm * norm + real(wp.static(faint)))
            y = wp.abs(trace) * real(wp.static(FINE / scale))
            fine = wp.log(y + wp.sqrt(y * y + real(1.0))) * real(wp.static(1.0 / 3.0))
            return vec3(trace / real(wp.static(scale)), wp.where(trace < real(0.0), -fine, fine), lode_of(u))

        return state

    @functools.cache
    def strain_state_vjp(p: Precision) -> Callable:
        real, mat33, vec3 = p.real, p.mat33, p.vec3
        strain, split, matrix, lode_of = logarithmic_strain(p), deviator(p), spectral_matrix(p), lode(p)

        @wp.func
        def vjp(F: mat33, g: vec3) -> mat33:
            third = real(wp.static(1.0 / 3.0))
            Q, squares, e = strain(F)
            d, trace, norm = split(e)
            y = trace * real(wp.static(FINE / scale))
            slope = real(wp.static(FINE / 3.0)) / wp.sqrt(y * y + real(1.0))
            share = (g[0] + g[1] * slope) / real(wp.static(scale))
            length = wp.sqrt(norm * norm + real(wp.static(faint)))
            u = d / length
            mean = third * wp.dot(u, u)
            curve = real(wp.static(ROOT_6)) * (wp.cw_mul(u, u) - vec3(mean, mean, mean)) - lode_of(u) * u
            ge = vec3(share, share, share) + (real(3.0) * g[2] / length) * curve
            return matrix(Q, wp.cw_div(ge, squares)) * F

        return vjp

    return Features(strain_state_of, 3, strain_state_vjp, lanes=plastic.strain_state(scale, FINE))


@functools.cache
def flow_law(scale: float, smoothing: float) -> Assembly:
    """(F, c[3]) -> Q diag(exp(-u d_i - v)) Q^T F: shear strain times 1 - u, mean strain less v, see `flow_of`.

    It is F itself, to the bit, where both are zero.
    """

    @functools.cache
    def reduced_strain(p: Precision) -> Callable:
        real, mat33, vec3 = p.real, p.mat33, p.vec3
        strain, split, matrix, exponential = logarithmic_strain(p), deviator(p), spectral_matrix(p), exponentials(p)
        flow = flow_of(p, scale, smoothing)

        @wp.func(inline=True)
        def reduced(F: mat33, c: vec3) -> mat33:
            Q, squares, e = strain(F)
            d, trace, norm = split(e)
            taken = flow(trace, norm, c)
            if taken[0] == real(0.0) and taken[1] == real(0.0):
                return F
            return matrix(Q, exponential(-taken[0] * d - vec3(taken[1], taken[1], taken[1]))) * F

        return attach_return_map_vjp(reduced, _reduced_strain_vjp(p, scale, smoothing), p, 3)

    lanes = plastic.flow_law(scale, smoothing, UNIT, FLOOR, BRISK)
    return Assembly(reduced_strain, 3, lanes=lanes)


@functools.cache
def _reduced_strain_vjp(p: Precision, scale: float, smoothing: float) -> Callable:
    """Warp function (F, c, A) -> gradients of the reduced F : A with respect to F and c."""
    real, mat33, vec3 = p.real, p.mat33, p.vec3
    strain, split, matrix, exponential = logarithmic_strain(p), deviator(p), spectral_matrix(p), exponentials(p)
    rotated, pullback = in_eigenbasis(p), spectral_vjp(p)
    slopes, exponential_slopes = strain_quotients(p), exponential_quotients(p)
    flow, flow_vjp = flow_of(p, scale, smoothing), flow_of_vjp(p, scale, smoothing)

    @wp.func(inline=True)
    def vjp(F: mat33, c: vec3, A: mat33):
        Q, squares, e = strain(F)
        d, trace, norm = split(e)
        taken = flow(trace, norm, c)
        a = -taken[0] * d - vec3(taken[1], taken[1], taken[1])
        k = exponential(a)
        B = rotated(Q, A * wp.transpose(F))
        weight = wp.cw_mul(wp.get_diag(B), k)
        total = weight[0] + weight[1] + weight[2]
        mean = total / real(3.0)
        gtrace, gnorm, gc = flow_vjp(trace, norm, c, -wp.dot(weight, d), -total)
        ge = vec3(gtrace, gtrace, gtrace) - taken[0] * (weight - vec3(mean, mean, mean))
        ge = ge + (gnorm / wp.where(norm > real(0.0), norm, real(1.0))) * d
        theta = -taken[0] * wp.cw_mul(exponential_slopes(k, a), slopes(squares, e))
        gF = pullback(F, Q, B, real(0.5) * wp.cw_div(ge, squares), theta)
        return gF + matrix(Q, k) * A, gc

    return vjp


@functools.cache
def hencky_stress(p: Precision) -> Callable:
    """Warp function (F, (log mu, log lambda)) -> sum_i (2 mu e_i + lambda tr e) n_i n_i^T."""
    mat33, vec2, kirchhoff = p.mat33, p.vector(2), Hencky.kirchhoff(p)

    @wp.func(inline=True)
    def stress(F: mat33, c: vec2) -> mat33:
        return kirchhoff(F, mat33(), vec2(wp.exp(c[0]), wp.exp(c[1])))

    return stress


HENCKY_STRESS = Assembly(hencky_stress, 2, lanes=plastic.HENCKY_STRESS)
