"""Fixed corotated solid."""

import dataclasses
import functools
from collections.abc import Callable

import warp as wp

from pliant.sim.linalg.matrix import cofactor, spherical
from pliant.sim.linalg.polar import polar_factors, polar_rotation, polar_vjp
from pliant.sim.materials.base import attach_vjp
from pliant.sim.materials.isotropic import IsotropicSolid
from pliant.sim.precision import Precision


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FixedCorotated(IsotropicSolid):
    """A fixed corotated solid: linear elasticity in the rotated frame, with a volume term that stays finite.

    tau = 2 mu (F - R) F^T + lambda J (J - 1) I,   energy = mu |F - R|^2 + lambda/2 (J - 1)^2

    R is the rotation closest to F; the law is finite for every F, inverted ones included (R stays a rotation).

    Source: Stomakhin et al., Energetically Consistent Invertible Elasticity (2012).
    """

    @classmethod
    @functools.cache
    def kirchhoff(cls, p: Precision) -> Callable:
        real, mat33, vec2 = p.real, p.mat33, p.vector(2)
        polar, diagonal = polar_rotation(p), spherical(p)

        @wp.func(inline=True)
        def kirchhoff_of(F: mat33, C: mat33, c: vec2) -> mat33:
            J = wp.determinant(F)
            pressure = c[1] * J * (J - real(1.0))
            V = F * wp.transpose(polar(F))
            b = F * wp.transpose(F)
            return c[0] * (b + b - V - wp.transpose(V)) + diagonal(pressure)

        return attach_vjp(kirchhoff_of, cls.kirchhoff_vjp(p), p, 2)

    @classmethod
    @functools.cache
    def kirchhoff_vjp(cls, p: Precision) -> Callable:
        real, mat33, vec2 = p.real, p.mat33, p.vector(2)
        cof, polar, pullback = cofactor(p), polar_factors(p), polar_vjp(p)

        @wp.func(inline=True)
        def vjp(F: mat33, C: mat33, c: vec2, A: mat33):
            one, two = real(1.0), real(2.0)
            J, trace = wp.determinant(F), wp.trace(A)
            R, x, D = polar(F)
            B = A + wp.transpose(A)
            BF, BR = B * F, B * R
            gF = c[0] * (two * BF - BR - pullback(F, R, x, D, BF)) + (c[1] * (two * J - one) * trace) * cof(F)
            return gF, mat33(), vec2(wp.ddot(BF, F - R), J * (J - one) * trace)

        return vjp

    @classmethod
    @functools.cache
    def energy(cls, p: Precision) -> Callable:
        real, mat33, vec2, polar = p.real, p.mat33, p.vector(2), polar_rotation(p)

        @wp.func(inline=True)
        def energy_of(F: mat33, c: vec2) -> real:
            shear = F - polar(F)
            volume = wp.determinant(F) - real(1.0)
            return c[0] * wp.ddot(shear, shear) + real(0.5) * c[1] * volume * volume

        return energy_of
