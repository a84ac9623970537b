"""What the elastic solids share: Young's modulus and Poisson's ratio, turned once into Lame's coefficients."""

import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import warp as wp

from pliant.sim.materials.base import Material, Value
from pliant.sim.parameter import ParameterSpec
from pliant.sim.precision import Precision

YOUNGS_MODULUS = ParameterSpec("youngs_modulus", "Pa", lower=0.0, meaning="stiffness in uniaxial tension")
POISSONS_RATIO = ParameterSpec("poissons_ratio", "1", lower=-1.0, upper=0.5, meaning="lateral contraction")


@functools.cache
def lame(p: Precision) -> Callable:
    """Warp function (E, nu) -> (mu, lambda) = (E / 2 (1 + nu), E nu / (1 + nu) (1 - 2 nu)) [Pa]."""
    real, vec2 = p.real, p.vector(2)

    @wp.func
    def lame_of(E: real, nu: real) -> vec2:
        mu = E / (real(2.0) * (real(1.0) + nu))
        return vec2(mu, real(2.0) * mu * nu / (real(1.0) - real(2.0) * nu))

    # Written out because Warp leaves the adjoint of a nested function empty, and its gradient zero, in a forward-only
    # kernel that calls it before wp.grad does.
    @wp.func_grad(lame_of)
    def adjoint(E: real, nu: real, a: vec2):
        mu = E / (real(2.0) * (real(1.0) + nu))
        free = real(1.0) - real(2.0) * nu
        lam = real(2.0) * mu * nu / free
        wp.adjoint[E] += (a[0] * mu + a[1] * lam) / E
        wp.adjoint[nu] += real(2.0) * a[1] * mu / (free * free) - (a[0] * mu + a[1] * lam) / (real(1.0) + nu)

    return lame_of


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class IsotropicSolid(Material, abstract=True):
    """A solid with Young's modulus E [Pa] and Poisson's ratio nu; its coefficients are Lame's mu and lambda [Pa]."""

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (YOUNGS_MODULUS, POISSONS_RATIO)
    is_solid: ClassVar[bool] = True

    youngs_modulus: Value
    poissons_ratio: Value

    @classmethod
    @functools.cache
    def coefficients(cls, p: Precision) -> Callable:
        vec2, convert = p.vector(2), lame(p)

        @wp.func
        def coefficients_of(parameters: vec2) -> vec2:
            return convert(parameters[0], parameters[1])

        return coefficients_of

    def wave_speed(self, density: Value) -> float:
        """Fastest pressure wave sqrt((lambda + 2 mu) / density) at rest [m/s]."""
        E, nu = np.asarray(self.youngs_modulus), np.asarray(self.poissons_ratio)
        modulus = E * (1 - nu) / ((1 + nu) * (1 - 2 * nu))
        return float(np.sqrt(modulus / np.asarray(density)).max())
