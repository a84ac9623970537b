"""Hencky solid with von Mises plasticity."""

import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar

import warp as wp

from pliant.sim.materials.base import Value, attach_return_map_vjp
from pliant.sim.materials.hencky import Hencky
from pliant.sim.materials.isotropic import POISSONS_RATIO, YOUNGS_MODULUS, lame
from pliant.sim.materials.radial_return import deviator, radial_return, radial_return_vjp
from pliant.sim.parameter import ParameterSpec
from pliant.sim.precision import Precision


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class VonMises(Hencky):
    """A Hencky solid that flows where |dev tau| would exceed the yield stress; perfect plasticity, volume kept.

    |dev e| <= r = yield_stress / (2 mu);   else e <- mean(e) + r dev(e) / |dev e|

    The norm is Frobenius', so the uniaxial yield stress is sqrt(3/2) times `yield_stress`. Stretches below 0.05 are
    not cut off: a law this far compressed is a matter for the solver's status (see `Hencky`), which also keeps the
    gradient that of the law. At the yield surface the derivative is one-sided; below it the return map is exactly F.
    Its coefficients are mu, lambda [Pa] and r.

    Source: Simo and Hughes, Computational Inelasticity (1998), chapter 9.
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        YOUNGS_MODULUS,
        POISSONS_RATIO,
        ParameterSpec("yield_stress", "Pa", lower=0.0, meaning="Frobenius norm of the deviatoric stress at yield"),
    )

    yield_stress: Value

    @classmethod
    @functools.cache
    def coefficients(cls, p: Precision) -> Callable:
        real, vec3, convert = p.real, p.vec3, lame(p)

        @wp.func
        def coefficients_of(parameters: vec3) -> vec3:
            moduli = convert(parameters[0], parameters[1])
            return vec3(moduli[0], moduli[1], parameters[2] / (real(2.0) * moduli[0]))

        return coefficients_of

    @classmethod
    @functools.cache
    def return_map(cls, p: Precision) -> Callable:
        return attach_return_map_vjp(radial_return(p, _plan(p), 3), cls.return_map_vjp(p), p, 3)

    @classmethod
    @functools.cache
    def return_map_vjp(cls, p: Precision) -> Callable:
        return radial_return_vjp(p, _plan(p), _plan_vjp(p), 3)


@functools.cache
def _plan(p: Precision) -> Callable:
    """Warp function (e, c) -> (plastic, t, center) with t = 1 - r / |dev e| about the mean strain."""
    real, vec3, split = p.real, p.vec3, deviator(p)

    @wp.func(inline=True)
    def plan(e: vec3, c: vec3):
        d, trace, norm = split(e)
        return norm > c[2], real(1.0) - c[2] / norm, trace / real(3.0)

    return plan


@functools.cache
def _plan_vjp(p: Precision) -> Callable:
    real, vec3, split = p.real, p.vec3, deviator(p)

    @wp.func(inline=True)
    def plan_vjp(e: vec3, c: vec3, gt: real, gcenter: real):
        d, trace, norm = split(e)
        share = gcenter / real(3.0)
        ge = (gt * c[2] / (norm * norm * norm)) * d + vec3(share, share, share)
        return ge, vec3(real(0.0), real(0.0), -gt / norm)

    return plan_vjp
