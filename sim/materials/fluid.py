"""Weakly compressible fluid."""

import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import warp as wp

from pliant.sim.linalg.matrix import cofactor, spherical
from pliant.sim.materials.base import Material, Value, attach_return_map_vjp, attach_vjp
from pliant.sim.parameter import ParameterSpec
from pliant.sim.precision import Precision


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Fluid(Material):
    """A weakly compressible Newtonian fluid; only the volume ratio J of its deformation is kept.

    tau = K J (J - 1) I + eta J (C + C^T - 2/3 tr(C) I),   energy = K/2 (J - 1)^2,   F <- J^(1/3) I

    The pressure K (1 - J) is linear in the volume. Viscosity limits an explicit step too, dt < 0.4 density dx^2 / eta, which
    `build` checks.

    A body of it has its pressures filtered each substep (`sim.mpm.pressure`) unless `add_mpm` is told otherwise.

    Source: Tampubolon et al., Multi-species Simulation of Porous Sand and Water Mixtures (2017), with gamma = -1.
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("bulk_modulus", "Pa", lower=0.0, meaning="pressure a relative loss of volume"),
        ParameterSpec("viscosity", "Pa s", lower=0.0, lower_closed=True, meaning="dynamic shear viscosity"),
    )
    uses_velocity_gradient: ClassVar[bool] = True
    is_fluid: ClassVar[bool] = True

    bulk_modulus: Value
    viscosity: Value = 0.0

    @classmethod
    @functools.cache
    def kirchhoff(cls, p: Precision) -> Callable:
        real, mat33, vec2, diagonal = p.real, p.mat33, p.vector(2), spherical(p)

        @wp.func(inline=True)
        def kirchhoff_of(F: mat33, C: mat33, c: vec2) -> mat33:
            J, eta = wp.determinant(F), c[1]
            volumetric = c[0] * (J - real(1.0)) - real(wp.static(2.0 / 3.0)) * eta * wp.trace(C)
            return J * (diagonal(volumetric) + eta * (C + wp.transpose(C)))

        return attach_vjp(kirchhoff_of, cls.kirchhoff_vjp(p), p, 2)

    @classmethod
    @functools.cache
    def kirchhoff_vjp(cls, p: Precision) -> Callable:
        real, mat33, vec2, cof, diagonal = p.real, p.mat33, p.vector(2), cofactor(p), spherical(p)

        @wp.func(inline=True)
        def vjp(F: mat33, C: mat33, c: vec2, A: mat33):
            J, trace = wp.determinant(F), wp.trace(A)
            B = A + wp.transpose(A) - diagonal(real(wp.static(2.0 / 3.0)) * trace)
            shear = wp.ddot(B, C)
            gJ = c[0] * (real(2.0) * J - real(1.0)) * trace + c[1] * shear
            return gJ * cof(F), (c[1] * J) * B, vec2(J * (J - real(1.0)) * trace, J * shear)

        return vjp

    @classmethod
    @functools.cache
    def energy(cls, p: Precision) -> Callable:
        real, mat33, vec2 = p.real, p.mat33, p.vector(2)

        @wp.func
        def energy_of(F: mat33, c: vec2) -> real:
            dilation = wp.determinant(F) - real(1.0)
            return real(0.5) * c[0] * dilation * dilation

        return energy_of

    @classmethod
    @functools.cache
    def return_map(cls, p: Precision) -> Callable:
        mat33, vec2, diagonal = p.mat33, p.vector(2), spherical(p)

        @wp.func(inline=True)
        def return_map_of(F: mat33, c: vec2) -> mat33:
            return diagonal(wp.cbrt(wp.determinant(F)))

        return attach_return_map_vjp(return_map_of, cls.return_map_vjp(p), p, 2)

    @classmethod
    @functools.cache
    def return_map_vjp(cls, p: Precision) -> Callable:
        real, mat33, vec2, cof = p.real, p.mat33, p.vector(2), cofactor(p)

        @wp.func(inline=True)
        def vjp(F: mat33, c: vec2, A: mat33):
            J = wp.determinant(F)
            return (wp.trace(A) * wp.cbrt(J) / (real(3.0) * J)) * cof(F), vec2()

        return vjp

    def wave_speed(self, density: Value) -> float:
        """Speed of sound sqrt(K / density) at rest [m/s]."""
        return float(np.sqrt(np.asarray(self.bulk_modulus) / np.asarray(density)).max())
