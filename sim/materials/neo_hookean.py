"""Compressible neo-Hookean solid."""

import dataclasses
import functools
from collections.abc import Callable

import warp as wp

from pliant.sim.linalg.matrix import cofactor, spherical
from pliant.sim.materials.base import attach_vjp
from pliant.sim.materials.isotropic import IsotropicSolid
from pliant.sim.precision import Precision


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NeoHookean(IsotropicSolid):
    """A compressible neo-Hookean solid; stiff against compression, defined for det F > 0 only.

    tau = mu (F F^T - I) + lambda log(J) I,   energy = mu/2 (tr F^T F - 3) - mu log J + lambda/2 (log J)^2

    Source: Bonet and Wood, Nonlinear Continuum Mechanics for Finite Element Analysis, eqs. 6.27 and 6.29.
    """

    @classmethod
    @functools.cache
    def kirchhoff(cls, p: Precision) -> Callable:
        mat33, vec2, diagonal = p.mat33, p.vector(2), spherical(p)

        @wp.func(inline=True)
        def kirchhoff_of(F: mat33, C: mat33, c: vec2) -> mat33:
            pressure = c[1] * wp.log(wp.determinant(F)) - c[0]
            return c[0] * (F * wp.transpose(F)) + diagonal(pressure)

        return attach_vjp(kirchhoff_of, cls.kirchhoff_vjp(p), p, 2)

    @classmethod
    @functools.cache
    def kirchhoff_vjp(cls, p: Precision) -> Callable:
        real, mat33, vec2, cof = p.real, p.mat33, p.vector(2), cofactor(p)

        @wp.func(inline=True)
        def vjp(F: mat33, C: mat33, c: vec2, A: mat33):
            J = wp.determinant(F)
            trace = wp.trace(A)
            B = A + wp.transpose(A)
            BF = B * F
            gF = c[0] * BF + (c[1] * trace / J) * cof(F)
            gc = vec2(real(0.5) * wp.ddot(BF, F) - trace, wp.log(J) * trace)
            return gF, mat33(), gc

        return vjp

    @classmethod
    @functools.cache
    def energy(cls, p: Precision) -> Callable:
        real, mat33, vec2 = p.real, p.mat33, p.vector(2)

        @wp.func(inline=True)
        def energy_of(F: mat33, c: vec2) -> real:
            logarithm = wp.log(wp.determinant(F))
            shear = real(0.5) * (wp.ddot(F, F) - real(3.0)) - logarithm
            return c[0] * shear + real(0.5) * c[1] * logarithm * logarithm

        return energy_of
