"""Hencky solid: linear elasticity in the logarithmic strain."""

import dataclasses
import functools
from collections.abc import Callable

import warp as wp

from pliant.sim.linalg.spectral import (
    in_eigenbasis,
    logarithmic_strain,
    spectral_matrix,
    spectral_vjp,
    strain_quotients,
)
from pliant.sim.materials.base import attach_vjp
from pliant.sim.materials.isotropic import IsotropicSolid
from pliant.sim.precision import Precision


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Hencky(IsotropicSolid):
    """An elastic Hencky solid; e_i = log s_i are the principal logarithmic strains, s_i the stretches.

    tau = sum_i (2 mu e_i + lambda sum_j e_j) n_i n_i^T,   energy = mu sum e_i^2 + lambda/2 (sum e_i)^2

    The n_i are the eigenvectors of F F^T. The law is finite for every finite F: stretches below 1e-6 count as 1e-6,
    and an inverted F by the magnitude of its stretches; neither is meant to be met, a solver reports det F <= 0.

    Source: Simo and Hughes, Computational Inelasticity (1998), chapter 9.
    """

    @classmethod
    @functools.cache
    def kirchhoff(cls, p: Precision) -> Callable:
        real, mat33, vec3, vec = p.real, p.mat33, p.vec3, p.vector(cls.coefficient_count())
        strain, matrix = logarithmic_strain(p), spectral_matrix(p)

        @wp.func(inline=True)
        def kirchhoff_of(F: mat33, C: mat33, c: vec) -> mat33:
            Q, squares, e = strain(F)
            pressure = c[1] * (e[0] + e[1] + e[2])
            return matrix(Q, real(2.0) * c[0] * e + vec3(pressure, pressure, pressure))

        return attach_vjp(kirchhoff_of, cls.kirchhoff_vjp(p), p, cls.coefficient_count())

    @classmethod
    @functools.cache
    def kirchhoff_vjp(cls, p: Precision) -> Callable:
        real, mat33, vec3, vec = p.real, p.mat33, p.vec3, p.vector(cls.coefficient_count())
        strain, rotated = logarithmic_strain(p), in_eigenbasis(p)
        pullback, quotients = spectral_vjp(p), strain_quotients(p)

        @wp.func(inline=True)
        def vjp(F: mat33, C: mat33, c: vec, A: mat33):
            Q, squares, e = strain(F)
            B, trace, twice = rotated(Q, A), wp.trace(A), real(2.0) * c[0]
            diagonal = wp.get_diag(B)
            volumetric = c[1] * trace
            g = real(0.5) * wp.cw_div(twice * diagonal + vec3(volumetric, volumetric, volumetric), squares)
            gc = vec()
            gc[0] = real(2.0) * wp.dot(diagonal, e)
            gc[1] = trace * (e[0] + e[1] + e[2])
            return pullback(F, Q, B, g, twice * quotients(squares, e)), mat33(), gc

        return vjp

    @classmethod
    @functools.cache
    def energy(cls, p: Precision) -> Callable:
        real, mat33, vec3, vec = p.real, p.mat33, p.vec3, p.vector(cls.coefficient_count())
        strain, matrix = logarithmic_strain(p), spectral_matrix(p)

        @wp.func
        def energy_of(F: mat33, c: vec) -> real:
            Q, squares, e = strain(F)
            trace = e[0] + e[1] + e[2]
            return c[0] * wp.dot(e, e) + real(0.5) * c[1] * trace * trace

        @wp.func_grad(energy_of)
        def adjoint(F: mat33, c: vec, a: real):
            Q, squares, e = strain(F)
            trace = e[0] + e[1] + e[2]
            pressure = c[1] * trace
            tau = real(2.0) * c[0] * e + vec3(pressure, pressure, pressure)
            wp.adjoint[F] += a * (matrix(Q, wp.cw_div(tau, squares)) * F)
            gc = vec()
            gc[0] = a * wp.dot(e, e)
            gc[1] = real(0.5) * a * trace * trace
            wp.adjoint[c] += gc

        return energy_of
