"""Stress of an energy that depends on the stretch of fibres, as a Warp function factory.

f = F a and h = F b are two fibres (unit vectors a, b at rest), l_f = |f|, m_f = |F^T f|, x = f . h / (l_f l_h).
"""

import functools
from collections.abc import Callable

import warp as wp

from pliant.learn.models.laws.strain import right_cauchy_green
from pliant.learn.pointwise import Assembly, Features
from pliant.sim.linalg.matrix import cofactor
from pliant.sim.linalg.polar import polar_rotation
from pliant.sim.precision import Precision


@functools.cache
def stretch_and_green(p: Precision) -> Callable:
    """Warp function F -> (tr U - 3, the entries xx, yy, zz, yz, xz, xy of F^T F - I, log J)."""
    real, mat33, vec, rotation, strain = p.real, p.mat33, p.vector(8), polar_rotation(p), right_cauchy_green(p)

    @wp.func(inline=True)
    def features(F: mat33) -> vec:
        E = strain(F)
        excess = wp.ddot(rotation(F), F) - real(3.0)
        J = wp.determinant(F)
        return vec(excess, E[0, 0], E[1, 1], E[2, 2], E[1, 2], E[0, 2], E[0, 1], wp.log(J))

    return features


@functools.cache
def stretch_and_green_vjp(p: Precision) -> Callable:
    """Its vector-Jacobian product: g_1 R + 2 F G + g_8 F^-T, with G the gradient with respect to F^T F."""
    real, mat33, vec, rotation, cof = p.real, p.mat33, p.vector(8), polar_rotation(p), cofactor(p)

    @wp.func
    def vjp(F: mat33, g: vec) -> mat33:
        two = real(2.0)
        twice = mat33(two * g[1], g[6], g[5], g[6], two * g[2], g[4], g[5], g[4], two * g[3])
        return g[0] * rotation(F) + F * twice + (g[7] / wp.determinant(F)) * cof(F)

    return vjp


@functools.cache
def fibre_stress(p: Precision) -> Callable:
    """Warp function (F, c[14]) -> the Kirchhoff stress of an energy whose derivatives are c_1 to c_8.

    The derivatives are with respect to tr U, |F| and log J, then l_f, m_f / l_f - l_f, l_h, m_h / l_h - l_h, and
    (x - a . b)^2; a = c_9 to c_11 and b = c_12 to c_14.
    """
    real, mat33, vec3, vec, rotation = p.real, p.mat33, p.vec3, p.vector(14), polar_rotation(p)

    @wp.func
    def along(F: mat33, f: vec3, stretch: real, shear: real) -> mat33:
        lf = wp.length(f)
        v = wp.transpose(F) * f
        m, g = wp.length(v), F * v
        radial = (stretch - shear * (real(1.0) + m / (lf * lf))) / lf
        return radial * wp.outer(f, f) + (shear / (lf * m)) * (wp.outer(g, f) + wp.outer(f, g))

    @wp.func
    def between(f: vec3, h: vec3, cosine: real, slope: real) -> mat33:
        u, w = wp.normalize(f), wp.normalize(h)
        x = wp.dot(u, w)
        turned = wp.outer(u, w) + wp.outer(w, u) - x * (wp.outer(u, u) + wp.outer(w, w))
        return (real(2.0) * slope * (x - cosine)) * turned

    @wp.func
    def stress(F: mat33, c: vec) -> mat33:
        a, b = vec3(c[8], c[9], c[10]), vec3(c[11], c[12], c[13])
        f, h, Ft = F * a, F * b, wp.transpose(F)
        isotropic = c[0] * (rotation(F) * Ft) + (c[1] / wp.sqrt(wp.ddot(F, F))) * (F * Ft)
        fibres = along(F, f, c[3], c[4]) + along(F, h, c[5], c[6]) + between(f, h, wp.dot(a, b), c[7])
        return isotropic + fibres + c[2] * wp.identity(n=3, dtype=real)

    return stress


STRETCH_AND_GREEN = Features(stretch_and_green, 8, stretch_and_green_vjp)
FIBRE_STRESS = Assembly(fibre_stress, 14)
