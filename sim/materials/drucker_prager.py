"""Hencky solid with Drucker-Prager plasticity: sand."""

import dataclasses
import functools
import math
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
class DruckerPrager(Hencky):
    """A granular Hencky solid: shear is carried in proportion to pressure, tension (beyond cohesion) not at all.

    alpha = sqrt(2/3) 2 sin(phi) / (3 - sin(phi)),   h = cohesion cot(phi) / (3 lambda + 2 mu)
    excess = |dev e| + alpha (3 lambda + 2 mu) / (2 mu) (tr e - 3 h)
    tr e >= 3 h (apart): e <- (h, h, h);   excess <= 0: elastic;   else (shear): e <- e - excess dev(e) / |dev e|

    phi is the friction angle in radians. Shear flow keeps the volume (non-associated). In the elastic case the return
    map is exactly F; at the two borders its derivative is one-sided. Without cohesion, F <- R where it comes apart.
    The coefficients are mu, lambda [Pa], alpha (3 lambda + 2 mu) / (2 mu) and h.

    Source: Klar et al., Drucker-Prager Elastoplasticity for Sand Animation (2016).
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        YOUNGS_MODULUS,
        POISSONS_RATIO,
        ParameterSpec("friction_angle", "rad", lower=0.0, upper=math.pi / 2, meaning="angle of internal friction"),
        ParameterSpec("cohesion", "Pa", lower=0.0, lower_closed=True, meaning="shear strength without pressure"),
    )

    is_solid: ClassVar[bool] = False

    friction_angle: Value
    cohesion: Value = 0.0

    @classmethod
    @functools.cache
    def coefficients(cls, p: Precision) -> Callable:
        real, vec4, convert = p.real, p.vec4, lame(p)

        @wp.func
        def coefficients_of(parameters: vec4) -> vec4:
            moduli = convert(parameters[0], parameters[1])
            sine = wp.sin(parameters[2])
            alpha = real(wp.static(2.0 * math.sqrt(2.0 / 3.0))) * sine / (real(3.0) - sine)
            bulk = real(3.0) * moduli[1] + real(2.0) * moduli[0]
            tip = parameters[3] * wp.cos(parameters[2]) / (sine * bulk)
            return vec4(moduli[0], moduli[1], alpha * bulk / (real(2.0) * moduli[0]), tip)

        return coefficients_of

    @classmethod
    @functools.cache
    def return_map(cls, p: Precision) -> Callable:
        return attach_return_map_vjp(radial_return(p, _plan(p), 4), cls.return_map_vjp(p), p, 4)

    @classmethod
    @functools.cache
    def return_map_vjp(cls, p: Precision) -> Callable:
        return radial_return_vjp(p, _plan(p), _plan_vjp(p), 4)


@functools.cache
def _plan(p: Precision) -> Callable:
    """Warp function (e, c) -> (plastic, t, center): t = 1 about the tip, or t = excess / |dev e| about the mean."""
    real, vec3, vec4, split = p.real, p.vec3, p.vec4, deviator(p)

    @wp.func(inline=True)
    def plan(e: vec3, c: vec4):
        d, trace, norm = split(e)
        opening = trace - real(3.0) * c[3]
        if opening >= real(0.0):
            return True, real(1.0), c[3]
        excess = norm + c[2] * opening
        return excess > real(0.0), excess / norm, trace / real(3.0)

    return plan


@functools.cache
def _plan_vjp(p: Precision) -> Callable:
    real, vec3, vec4, split = p.real, p.vec3, p.vec4, deviator(p)

    @wp.func(inline=True)
    def plan_vjp(e: vec3, c: vec4, gt: real, gcenter: real):
        o = real(0.0)
        d, trace, norm = split(e)
        opening = trace - real(3.0) * c[3]
        if opening >= o:
            return vec3(), vec4(o, o, o, gcenter)
        rate = gt / norm
        share = gcenter / real(3.0) + rate * c[2]
        ge = (-rate * c[2] * opening / (norm * norm)) * d + vec3(share, share, share)
        return ge, vec4(o, o, rate * opening, -real(3.0) * rate * c[2])

    return plan_vjp
