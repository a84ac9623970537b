"""Features of the deformation gradient that learned laws see, and tensors they assemble, as Warp function factories.

F = R U with R the rotation and U the stretch; s_i are the principal stretches, C = F^T F, J = det F.
"""

import functools
from collections.abc import Callable

import warp as wp

from pliant.learn.native import strain as lanes
from pliant.learn.pointwise import Assembly, Features
from pliant.sim.linalg.eigen import symmetric_eigen
from pliant.sim.linalg.matrix import cofactor, spherical
from pliant.sim.linalg.polar import polar_factors, polar_rotation, polar_vjp
from pliant.sim.precision import Precision

PLASTIC_SCALE = 1e-3  # of the correction of a learned return map


@functools.cache
def right_cauchy_green(p: Precision) -> Callable:
    """Warp function F -> C - I, from F - I so that small strains keep their relative accuracy."""
    real, mat33 = p.real, p.mat33

    @wp.func(inline=True)
    def strain(F: mat33) -> mat33:
        G = F - wp.identity(n=3, dtype=real)
        Gt = wp.transpose(G)
        return G + Gt + Gt * G

    return strain


@functools.cache
def stretches_strain_volume(p: Precision) -> Callable:
    """Warp function F -> (s_i - 1 ascending, the 9 entries of C - I, J - 1): zero at rest, unchanged by rotations QF.

    The squared stretches 1 + x are below zero by rounding only; an F that is singular ends the rollout with a Status.
    """
    real, mat33, vec = p.real, p.mat33, p.vector(13)
    eigen, strain = symmetric_eigen(p), right_cauchy_green(p)

    @wp.func(inline=True)
    def stretch(x: real) -> real:
        return x / (wp.sqrt(wp.max(real(1.0) + x, real(0.0))) + real(1.0))

    @wp.func(inline=True)
    def features(F: mat33) -> vec:
        E = strain(F)
        Q, x = eigen(E)
        return vec(
            stretch(x[0]), stretch(x[1]), stretch(x[2]),
            E[0, 0], E[0, 1], E[0, 2], E[1, 0], E[1, 1], E[1, 2], E[2, 0], E[2, 1], E[2, 2],
            wp.determinant(F) - real(1.0),
        )  # fmt: skip

    return features


@functools.cache
def stretches_strain_volume_vjp(p: Precision) -> Callable:
    """Its vector-Jacobian product: dC = sum_i g_i / (2 s_i) n_i n_i^T + G, dF = F (dC + dC^T) + g_J cof F.

    The stretches have a derivative each only where they differ; a symmetric function of them has the right one always.
    """
    real, mat33, vec = p.real, p.mat33, p.vector(13)
    eigen, strain, cof = symmetric_eigen(p), right_cauchy_green(p), cofactor(p)

    @wp.func
    def vjp(F: mat33, g: vec) -> mat33:
        Q, x = eigen(strain(F))
        H = mat33(g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10], g[11])
        for i in range(3):
            n = wp.vector(Q[0, i], Q[1, i], Q[2, i])
            s = wp.sqrt(wp.max(real(1.0) + x[i], real(1e-12)))
            H += (real(0.5) * g[i] / s) * wp.outer(n, n)
        return F * (H + wp.transpose(H)) + g[12] * cof(F)

    return vjp


@functools.cache
def stretch_invariants(p: Precision) -> Callable:
    """Warp function F -> (tr U - 3, |F| - sqrt(3), log J): a complete set of isotropic invariants, zero at rest.

    All grow at most linearly with the stretches.
    """
    real, mat33, vec = p.real, p.mat33, p.vector(3)
    rotation, strain = polar_rotation(p), right_cauchy_green(p)

    @wp.func(inline=True)
    def invariants(F: mat33) -> vec:
        E = strain(F)
        length = wp.sqrt(real(3.0) + wp.trace(E))
        R = rotation(F)
        excess = wp.ddot(R, F) - real(3.0)
        return vec(excess, wp.trace(E) / (length + real(wp.static(3.0**0.5))), wp.log(wp.determinant(F)))

    return invariants


@functools.cache
def stretch_invariants_vjp(p: Precision) -> Callable:
    """Its vector-Jacobian product: g_1 R + g_2 F / |F| + g_3 F^-T."""
    mat33, vec = p.mat33, p.vector(3)
    rotation, cof = polar_rotation(p), cofactor(p)

    @wp.func
    def vjp(F: mat33, g: vec) -> mat33:
        inverse = (g[2] / wp.determinant(F)) * cof(F)
        return g[0] * rotation(F) + (g[1] / wp.sqrt(wp.ddot(F, F))) * F + inverse

    return vjp


@functools.cache
def rotated_stress(p: Precision) -> Callable:
    """Warp function (F, c[9]) -> R S F^T with S the symmetric part of c: P = R S, tau = P F^T."""
    real, mat33, vec = p.real, p.mat33, p.vector(9)
    rotation = polar_rotation(p)

    @wp.func(inline=True)
    def stress(F: mat33, c: vec) -> mat33:
        M = mat33(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8])
        S = real(0.5) * (M + wp.transpose(M))
        return rotation(F) * S * wp.transpose(F)

    return stress


@functools.cache
def rotated_correction(p: Precision) -> Callable:
    """Warp function (F, c[9]) -> F + 1e-3 R S with S the symmetric part of c."""
    real, mat33, vec = p.real, p.mat33, p.vector(9)
    rotation = polar_rotation(p)

    @wp.func(inline=True)
    def corrected(F: mat33, c: vec) -> mat33:
        M = mat33(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8])
        return F + real(wp.static(0.5 * PLASTIC_SCALE)) * (rotation(F) * (M + wp.transpose(M)))

    return corrected


@functools.cache
def invariant_stress(p: Precision) -> Callable:
    """Warp function (F, c[3]) -> c_1 R F^T + c_2 F F^T / |F| + c_3 I: the stress of an energy with these derivatives."""
    real, mat33, vec = p.real, p.mat33, p.vector(3)
    rotation = polar_rotation(p)

    @wp.func(inline=True)
    def stress(F: mat33, c: vec) -> mat33:
        Ft = wp.transpose(F)
        length = wp.sqrt(wp.ddot(F, F))
        return c[0] * (rotation(F) * Ft) + (c[1] / length) * (F * Ft) + c[2] * wp.identity(n=3, dtype=real)

    return stress


@functools.cache
def stretch_entries(p: Precision) -> Callable:
    """Warp function F -> the entries xx, yy, zz, yz, xz, xy of U - I."""
    real, mat33, vec, rotation = p.real, p.mat33, p.vector(6), polar_rotation(p)

    @wp.func(inline=True)
    def features(F: mat33) -> vec:
        U = wp.transpose(rotation(F)) * F
        one, half = real(1.0), real(0.5)
        return vec(
            U[0, 0] - one, U[1, 1] - one, U[2, 2] - one,
            half * (U[1, 2] + U[2, 1]), half * (U[0, 2] + U[2, 0]), half * (U[0, 1] + U[1, 0]),
        )  # fmt: skip

    return features


@functools.cache
def stretch_entries_vjp(p: Precision) -> Callable:
    """Its vector-Jacobian product: R G and, through R of U = R^T F, the polar factor's product with F G."""
    real, mat33, vec, factors, pullback = p.real, p.mat33, p.vector(6), polar_factors(p), polar_vjp(p)

    @wp.func
    def vjp(F: mat33, g: vec) -> mat33:
        half = real(0.5)
        a, b, c = half * g[3], half * g[4], half * g[5]
        G = mat33(g[0], c, b, c, g[1], a, b, a, g[2])
        R, x, D = factors(F)
        return R * G + pullback(F, R, x, D, F * G)

    return vjp


@functools.cache
def green_stress(p: Precision) -> Callable:
    """Warp function (F, (log mu, log lambda)) -> F (2 mu E + lambda tr(E) I) F^T with E = (F^T F - I) / 2."""
    real, mat33, vec2, strain = p.real, p.mat33, p.vector(2), right_cauchy_green(p)

    @wp.func(inline=True)
    def stress(F: mat33, c: vec2) -> mat33:
        E = real(0.5) * strain(F)
        volumetric = (wp.exp(c[1]) * wp.trace(E)) * (F * wp.transpose(F))
        return (real(2.0) * wp.exp(c[0])) * (F * E * wp.transpose(F)) + volumetric

    return stress


@functools.cache
def isotropic_stress(p: Precision) -> Callable:
    """Warp function (F, c[4]) -> c_1 (V - I) + c_2 (V^2 - I) + (c_3 log J + c_4 (|F| - sqrt(3))) I, F = V R."""
    real, mat33, vec4, rotation, diagonal = p.real, p.mat33, p.vec4, polar_rotation(p), spherical(p)

    @wp.func(inline=True)
    def stress(F: mat33, c: vec4) -> mat33:
        Ft = wp.transpose(F)
        size = wp.sqrt(wp.ddot(F, F)) - real(wp.static(3.0**0.5))
        pressure = c[2] * wp.log(wp.determinant(F)) + c[3] * size - c[0] - c[1]
        return c[0] * (F * wp.transpose(rotation(F))) + c[1] * (F * Ft) + diagonal(pressure)

    return stress


STRETCHES_STRAIN_VOLUME = Features(
    stretches_strain_volume, 13, stretches_strain_volume_vjp, lanes=lanes.STRETCHES_STRAIN_VOLUME
)
STRETCH = Features(stretch_entries, 6, stretch_entries_vjp)
STRETCH_INVARIANTS = Features(stretch_invariants, 3, stretch_invariants_vjp, lanes=lanes.STRETCH_INVARIANTS)
ROTATED_STRESS = Assembly(rotated_stress, 9, lanes=lanes.ROTATED_STRESS)
ROTATED_CORRECTION = Assembly(rotated_correction, 9, lanes=lanes.rotated_correction(PLASTIC_SCALE))
INVARIANT_STRESS = Assembly(invariant_stress, 3, lanes=lanes.INVARIANT_STRESS)
GREEN_STRESS = Assembly(green_stress, 2)
ISOTROPIC_STRESS = Assembly(isotropic_stress, 4)
