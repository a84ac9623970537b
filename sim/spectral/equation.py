"""What an equation is: a linear operator by its Fourier symbol, and a nonlinear term on the points with its adjoint.

    du/dt = L u + D q(S u) + sources

S and D are linear maps of Fourier coefficients (derivatives, inverse Laplacians), q acts point by point. An equation
states L, S, q, D and the adjoint of q; the adjoints of S and D are their conjugate transposes.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.parameter import ParameterSpec
from pliant.sim.spectral.arrays import Arrays
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.rate import Rate
from pliant.sim.spectral.transform import Rows, Transform

if TYPE_CHECKING:
    from pliant.sim.spectral.binding import SpectralBinding
    from pliant.sim.spectral.model import SpectralModel

_KINDS: dict[str, type["Equation"]] = {}

Value = float | np.ndarray
"""A parameter: one number (or one vector), or an array with one an environment."""

Parameters = Mapping[str, Any]
"""Values by name, [batch, 1, ...] with the axes of the grid last; of a vector, one such array a component."""


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of an equation: a scalar, or with components on the last axis of its array.

    A "vector" has `size` of them (0: one an axis of the box); a "tensor" is symmetric and has xx, xy, yy, or xx, xy,
    xz, yy, yz, zz.
    """

    name: str
    unit: str
    meaning: str = ""
    kind: Literal["scalar", "vector", "tensor"] = "scalar"
    size: int = 0

    def tail(self, dimension: int) -> tuple[int, ...]:
        """The last axis, if there is one."""
        vector, tensor = self.size or dimension, dimension * (dimension + 1) // 2
        return {"scalar": (), "vector": (vector,), "tensor": (tensor,)}[self.kind]

    def components(self, dimension: int) -> int:
        return math.prod(self.tail(dimension))


@dataclasses.dataclass(frozen=True)
class Derived:
    """Something that can be recorded because it is linear in the fields: its rows over their components."""

    unit: str
    rows: Rows
    vector: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Equation:
    """A partial differential equation on a periodic box; the dataclass fields are its parameters and options.

    `FIELDS` are what evolves, `PARAMETERS` the differentiable numbers, `DIMENSIONS` the boxes it is for, and `DEGREE` that
    of q as a polynomial, from which follows how many modes can be kept without aliasing.
    """

    FIELDS: ClassVar[tuple[Field, ...]] = ()
    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = ()
    VECTORS: ClassVar[tuple[str, ...]] = ()  # parameters with a component an axis of the box
    TIMED: ClassVar[tuple[str, ...]] = ()  # source amplitudes that may change every control interval
    DIMENSIONS: ClassVar[tuple[int, ...]] = (1, 2, 3)
    DEGREE: ClassVar[int] = 2

    def __init_subclass__(cls, abstract: bool = False, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not abstract:
            _KINDS[cls.__name__] = cls

    def __post_init__(self) -> None:
        for spec in self.PARAMETERS:
            value = _numbers(getattr(self, spec.name), f"{type(self).__name__}.{spec.name}", spec.unit)
            spec.check(value, type(self).__name__)
            object.__setattr__(self, spec.name, value)

    def linear(self, grid: Grid, p: Parameters) -> tuple[list, dict[Any, list]]:
        """Symbols of L, one for every component or a single one for all, and their derivatives by the parameters in it.

        A symbol has shape [*grid.modes], or [batch, *grid.modes] where a parameter enters. Derivatives are listed like
        the symbols, under the parameter's name, or (name, axis) for a component of a vector.
        """
        raise NotImplementedError

    def inputs(self, grid: Grid) -> Rows:
        """S: the fields q is a function of, as rows over the components of the state; none for a linear equation."""
        return []

    def outputs(self, grid: Grid) -> Rows:
        """D: the rate of every component, as rows over the products that q makes."""
        return []

    def products(self, xp: Arrays, p: Parameters, f: Any, out: Any) -> None:
        """Write q [product, batch, *points] of the inputs f [input, batch, *points] to `out`."""

    def products_vjp(self, xp: Arrays, p: Parameters, f: Any, w: Any, out: Any) -> dict[str, Any]:
        """Write the gradient of q . w with respect to f to `out`; returns those by parameters, as arrays on the points."""
        return {}

    def sources(self, grid: Grid) -> dict[str, dict[int, np.ndarray]]:
        """What does not depend on the state: {amplitude parameter: {component: coefficients}}."""
        return {}

    def make_rate(self, model: "SpectralModel", binding: "SpectralBinding", transform: Transform) -> Rate:
        """What evaluates the nonlinear term; an equation that is more than D q(S u) brings its own."""
        return Rate(model, binding, transform)

    def external_laws(self) -> Sequence[Any]:
        """What a learner brought into the nonlinear term."""
        return ()

    def speeds(self, grid: Grid) -> Rows:
        """The velocity that advects, a row an axis (x, y, ...) over the components of the state; none without advection."""
        return []

    def speed_scale(self, p: Parameters) -> Any:
        """What those velocities are multiplied by for parameter values [batch, 1, ...], in the same shape or one number."""
        return 1.0

    def derived(self, grid: Grid) -> dict[str, Derived]:
        """What else can be recorded, by name."""
        return {}

    def to_state(self, grid: Grid) -> Rows | None:
        """How the state's components follow from the fields', where they are not the same."""
        return None

    def from_state(self, grid: Grid) -> Rows | None:
        """How the fields' components follow from the state's."""
        return None

    def components(self, dimension: int) -> int:
        """Of all fields together."""
        return sum(field.components(dimension) for field in self.FIELDS)

    def check(self, grid: Grid) -> None:
        """Raise `InputError` for options that do not fit the grid."""

    def to_dict(self) -> dict:
        """The equation as plain numbers and strings."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain = {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in values.items()}
        return {"kind": type(self).__name__, **plain}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "Equation":
        """The equation that `to_dict` described; `InputError` for an unknown kind or entry."""
        options = {name: value for name, value in data.items() if name != "kind"}
        if data.get("kind") not in _KINDS:
            raise InputError(f"equation: expected one of {sorted(_KINDS)}, got {data.get('kind')!r}; correct it.")
        try:
            return _KINDS[data["kind"]](**options)
        except TypeError as error:
            raise InputError(
                f"equation: its description does not fit {data['kind']} ({error}); save it anew."
            ) from None


def kinds() -> dict[str, type[Equation]]:
    """Every equation by the name of its class."""
    return dict(_KINDS)


def identity(count: int) -> Rows:
    """Rows of the identity."""
    return [{i: 1.0} for i in range(count)]


def _numbers(value: Any, owner: str, unit: str) -> Value:
    """The value as a float, or as a read-only float64 array where it has entries."""
    try:
        array = np.array(value)
    except (TypeError, ValueError):
        raise InputError(f"{owner}: expected a number or an array in {unit}, got {value!r}; give numbers.") from None
    if array.dtype.kind not in "fiu":
        raise InputError(f"{owner}: expected real numbers in {unit}, got {value!r}; give real numbers.")
    array = array.astype(np.float64)
    array.setflags(write=False)
    return array if array.ndim else float(array)
