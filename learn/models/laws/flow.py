"""How much strain a plastic flow takes away, from what a network says of the yield surface, as Warp function factories."""

import functools
import math
from collections.abc import Callable

import warp as wp

from pliant.sim.precision import Precision

UNIT = math.log(math.e - 1.0)  # softplus of this is 1
FLOOR = 1e-4  # least limit over strain_scale, so that nothing divides by zero
BRISK = (
    5.0  # by which the two volumetric limits' outputs are multiplied: one rate of learning serves them and the radius
)


@functools.cache
def limit(p: Precision) -> Callable:
    """Warp function x -> log(1 + (e - 1) exp x) + 1e-4, and its derivative."""
    real = p.real

    @wp.func(inline=True)
    def limit_of(x: real):
        z = x + real(wp.static(UNIT))
        small = wp.exp(-wp.abs(z))
        slope = real(1.0) / (real(1.0) + small)
        value = wp.max(z, real(0.0)) + wp.log(real(1.0) + small) + real(wp.static(FLOOR))
        return value, wp.where(z < real(0.0), small * slope, slope)

    return limit_of


@functools.cache
def excess(p: Precision, smoothing: float) -> Callable:
    """Warp function (n, Y) -> w Y ramp((n - Y) / (w Y)) and its derivatives with respect to n and Y.

    ramp(x) is 0 below -1, x above 1 and (x + 1)^2 / 4 between.
    """
    real = p.real

    @wp.func(inline=True)
    def excess_of(n: real, limit: real):
        width = real(wp.static(smoothing)) * limit
        x = (n - limit) / width
        slope = wp.clamp(real(0.5) * x + real(0.5), real(0.0), real(1.0))
        value = width * wp.where(x > real(1.0), x, slope * slope)
        return value, slope, (value - n * slope) / limit

    return excess_of


@functools.cache
def flow_of(p: Precision, scale: float, smoothing: float) -> Callable:
    """Warp function (tr e, |d|, c[3]) -> (u, v): the share of the deviator and the mean strain that flow away.

    u = excess(|d|, Y) / |d|,   v = (excess(tr e, T) - excess(-tr e, C)) / 3
    Y = scale limit(c_1),   T = scale limit(5 c_2),   C = scale limit(5 c_3)
    limit(x) = log(1 + (e - 1) exp x) + 1e-4, which is 1 at 0
    """
    real, vec3, vec2 = p.real, p.vec3, p.vector(2)
    excess_of, limit_of = excess(p, smoothing), limit(p)

    @wp.func(inline=True)
    def flow(trace: real, norm: real, c: vec3) -> vec2:
        brisk, s = real(wp.static(BRISK)), real(wp.static(scale))
        radius, a = limit_of(c[0])
        tension, a = limit_of(brisk * c[1])
        compaction, a = limit_of(brisk * c[2])
        shear, a, b = excess_of(norm, s * radius)
        opening, a, b = excess_of(trace, s * tension)
        closing, a, b = excess_of(-trace, s * compaction)
        return vec2(shear / wp.where(shear > real(0.0), norm, real(1.0)), (opening - closing) / real(3.0))

    return flow


@functools.cache
def flow_of_vjp(p: Precision, scale: float, smoothing: float) -> Callable:
    """Warp function (tr e, |d|, c, gu, gv) -> gradients of gu u + gv v with respect to tr e, |d| and c."""
    real, vec3 = p.real, p.vec3
    excess_of, limit_of = excess(p, smoothing), limit(p)

    @wp.func(inline=True)
    def vjp(trace: real, norm: real, c: vec3, gu: real, gv: real):
        brisk, s = real(wp.static(BRISK)), real(wp.static(scale))
        radius, dradius = limit_of(c[0])
        tension, dtension = limit_of(brisk * c[1])
        compaction, dcompaction = limit_of(brisk * c[2])
        shear, shear_n, shear_y = excess_of(norm, s * radius)
        opening, opening_t, opening_y = excess_of(trace, s * tension)
        closing, closing_t, closing_y = excess_of(-trace, s * compaction)
        inverse = real(1.0) / wp.where(shear > real(0.0), norm, real(1.0))
        rate, share = gu * inverse, gv / real(3.0)
        fast = s * brisk * share
        gc = vec3(rate * shear_y * s * dradius, fast * opening_y * dtension, -fast * closing_y * dcompaction)
        return share * (opening_t + closing_t), rate * (shear_n - shear * inverse), gc

    return vjp
