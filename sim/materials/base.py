"""What a constitutive law is: Kirchhoff stress, energy and return map as Warp functions, parameters with units."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import warp as wp

from pliant.sim.checks import numbers
from pliant.sim.errors import InputError
from pliant.sim.parameter import ParameterSpec
from pliant.sim.precision import Precision

_KINDS: dict[str, type["Material"]] = {}

Value = float | np.ndarray
"""A parameter: one number, or an array of one value a particle."""


def _number_or_array(value: Value | Sequence[float], owner: str, unit: str) -> Value:
    """The value as a float, or as a read-only float64 array where it has entries."""
    entries = numbers(value)
    if entries is None or not entries.size:
        raise InputError(f"{owner}: expected a number or an array in {unit}, got {value!r}; give numbers.")
    array = entries.copy()
    array.setflags(write=False)
    return array if array.ndim else float(array)


def attach_vjp(kirchhoff: Callable, vjp: Callable, p: Precision, count: int) -> Callable:
    """`kirchhoff` with `vjp` registered as its adjoint, so that `wp.grad` of whatever calls it is right and fast.

    Args:
        kirchhoff: Warp function (F, C, c) -> tau.
        vjp: Warp function (F, C, c, A) -> gradients of tau : A with respect to F, C and c.
        p: precision of both.
        count: number of coefficients in c.
    """
    mat33, vec = p.mat33, p.vector(count)

    @wp.func_grad(kirchhoff)
    def adjoint(F: mat33, C: mat33, c: vec, A: mat33):
        gF, gC, gc = vjp(F, C, c, A)
        wp.adjoint[F] += gF
        wp.adjoint[C] += gC
        wp.adjoint[c] += gc

    return kirchhoff


def attach_return_map_vjp(return_map: Callable, vjp: Callable, p: Precision, count: int) -> Callable:
    """`return_map` with `vjp` registered as its adjoint; as `attach_vjp`, for (F_trial, c) -> F."""
    mat33, vec = p.mat33, p.vector(count)

    @wp.func_grad(return_map)
    def adjoint(F: mat33, c: vec, A: mat33):
        gF, gc = vjp(F, c, A)
        wp.adjoint[F] += gF
        wp.adjoint[c] += gc

    return return_map


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """A constitutive law; the dataclass fields are its parameters, floats or arrays of one value a particle.

    A law is four Warp functions of the deformation gradient F [3, 3], the velocity gradient C [3, 3] in 1/s and the
    coefficient vector c (made once from the parameters, for instance Lame's from Young's modulus).
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = ()
    uses_velocity_gradient: ClassVar[bool] = False
    is_solid: ClassVar[bool] = False  # keeps its shape under its weight; decides the contact
    is_fluid: ClassVar[bool] = False  # its state is the volume ratio, its first coefficient the bulk modulus

    def __init_subclass__(cls, abstract: bool = False, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not abstract:
            _KINDS[cls.__name__] = cls

    def __post_init__(self) -> None:
        for spec in self.PARAMETERS:
            value = _number_or_array(getattr(self, spec.name), f"{type(self).__name__}.{spec.name}", spec.unit)
            spec.check(value, type(self).__name__)
            object.__setattr__(self, spec.name, value)

    @classmethod
    def parameter_count(cls) -> int:
        return len(cls.PARAMETERS)

    @classmethod
    def coefficient_count(cls) -> int:
        return cls.parameter_count()

    @classmethod
    @functools.cache
    def coefficients(cls, p: Precision) -> Callable:
        """Warp function: parameter vector -> coefficient vector c."""
        vec = p.vector(cls.parameter_count())

        @wp.func
        def same(parameters: vec) -> vec:
            return parameters

        return same

    @classmethod
    def kirchhoff(cls, p: Precision) -> Callable:
        """Warp function (F, C, c) -> Kirchhoff stress tau = P F^T [Pa]."""
        raise NotImplementedError

    @classmethod
    @functools.cache
    def kirchhoff_vjp(cls, p: Precision) -> Callable:
        """Warp function (F, C, c, A) -> gradients of tau : A with respect to F, C and c."""
        real, mat33, vec = p.real, p.mat33, p.vector(cls.coefficient_count())
        kirchhoff = cls.kirchhoff(p)

        @wp.func
        def contracted(F: mat33, C: mat33, c: vec, A: mat33) -> real:
            return wp.ddot(kirchhoff(F, C, c), A)

        @wp.func
        def vjp(F: mat33, C: mat33, c: vec, A: mat33):
            gF, gC, gc, gA = wp.grad(contracted)(F, C, c, A)
            return gF, gC, gc

        return vjp

    @classmethod
    def energy(cls, p: Precision) -> Callable | None:
        """Warp function (F, c) -> stored energy per rest volume [J/m^3], or None where the law has none."""
        return None

    @classmethod
    def return_map(cls, p: Precision) -> Callable | None:
        """Warp function (F_trial, c) -> F on the yield surface, or None for an elastic law."""
        return None

    @classmethod
    @functools.cache
    def return_map_vjp(cls, p: Precision) -> Callable | None:
        """Warp function (F_trial, c, A) -> gradients of F : A with respect to F_trial and c."""
        return_map = cls.return_map(p)
        if return_map is None:
            return None
        real, mat33, vec = p.real, p.mat33, p.vector(cls.coefficient_count())

        @wp.func
        def contracted(F: mat33, c: vec, A: mat33) -> real:
            return wp.ddot(return_map(F, c), A)

        @wp.func
        def vjp(F: mat33, c: vec, A: mat33):
            gF, gc, gA = wp.grad(contracted)(F, c, A)
            return gF, gc

        return vjp

    def wave_speed(self, density: Value) -> float:
        """Fastest elastic wave [m/s] of any particle, for the density [kg/m^3]; it limits the explicit time step."""
        raise NotImplementedError

    def to_dict(self) -> dict:
        """The law as numbers, lists and strings only, ready for JSON; `Material.from_dict` reads it back."""
        values = {spec.name: np.asarray(getattr(self, spec.name)).tolist() for spec in self.PARAMETERS}
        return {"kind": type(self).__name__, **values}

    @staticmethod
    def from_dict(data: dict) -> "Material":
        """The law a dictionary made by `to_dict` describes.

        Errors: `InputError` for an unknown kind or parameter name.
        """
        kind = data.get("kind")
        if kind not in _KINDS:
            raise InputError(f"material: expected one of {sorted(_KINDS)}, got {kind!r}; correct the kind.")
        given = {name: value for name, value in data.items() if name != "kind"}
        fields = dataclasses.fields(_KINDS[kind])
        required = {field.name for field in fields if field.default is dataclasses.MISSING}
        if not required <= set(given) <= {field.name for field in fields}:
            names = [field.name for field in fields]
            raise InputError(
                f"material {kind}: expected the parameters {names}, got {sorted(given)}; correct the names."
            )
        return _KINDS[kind](**given)
