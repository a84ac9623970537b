"""Parameter values of one rollout of a spectral model: coefficients of the integrator, sources, and what gradients gather in."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.spectral.arrays import complex_of
from pliant.sim.spectral.integrators import find_integrator
from pliant.sim.spectral.stability import FalseGrowth, false_growth
from pliant.sim.spectral.state import HISTORY, SpectralState
from pliant.sim.spectral.weights import Weights

if TYPE_CHECKING:
    from pliant.sim.spectral.model import SpectralModel


class SpectralBinding:
    """Values of all parameters of a spectral model for a rollout of `intervals` control intervals."""

    wanted: frozenset[str] | None = None

    def __init__(self, model: "SpectralModel", intervals: int):
        self.model, self.intervals = model, intervals
        grid, equation = model.grid, model.equation
        self._sources = equation.sources(grid)
        self.external_laws = equation.external_laws()
        self.has_rate = bool(equation.outputs(grid)) or bool(self._sources)
        self._given: dict[str, np.ndarray] = {}
        self._full: dict[str, np.ndarray] = {}
        self._physical: dict[str, Any] = {}
        self._linear_values: list[np.ndarray] | None = None
        self.points: dict[str, Any] = {}
        self.weights: dict[str, Weights] = {}
        self.growth: FalseGrowth | None = None
        self._slopes: dict[Any, list] = {}
        self._source_at: tuple[int, Any] | None = None
        self._source_room: Any = None
        shape = (model.components, model.batch, *grid.modes)
        self.dlinear = model.arrays.zeros(shape, complex_of(model.precision))
        self.dsource = model.arrays.zeros(shape if self._sources else (0,), complex_of(model.precision))
        batch, names = model.batch, [spec.name for spec in equation.PARAMETERS]
        self.dproducts = {name: np.zeros(batch) for name in names}
        self.damplitudes = {name: np.zeros((batch, intervals)) for name in self._sources}
        self.clear_gradients()

    def set(self, values: Mapping[str, Any]) -> None:
        """Load parameter values; names left out keep the model's own.

        Errors: `InputError` for an unknown name, a shape that does not fit or a value out of bounds.
        """
        self.model.check_names(values)
        values = {name: np.asarray(value) for name, value in values.items()}
        if self._full and _same(values, self._given):
            return
        self._full = {name: self._expanded(name, values) for name in self.model.parameters()}
        self._given, self._source_at = values, None
        self._physical = {spec.name: self._axes(spec.name, np.float64) for spec in self.model.equation.PARAMETERS}
        self.points = {n: self._loaded(v) for n, v in self._physical.items()}
        self._set_linear({n: _shared(v) for n, v in self._physical.items()})

    def speed_scale(self) -> np.ndarray:
        """What the velocities of `Equation.speeds` are multiplied by: [batch], or one number."""
        return np.ravel(self.model.equation.speed_scale(self._physical))

    def full(self, name: str) -> np.ndarray:
        """The full array of a parameter as it is bound now."""
        return self._full[name]

    def initial_state(self) -> SpectralState:
        """The state that the bound initial values describe, without a history."""
        model = self.model
        values = {field.name: self._full[f"{model.name}.{field.name}"] for field in model.equation.FIELDS}
        if model.history:
            values[HISTORY] = np.zeros(model.state_shapes[HISTORY], model.precision.numpy)
        return SpectralState(values)

    def source(self, interval: int) -> Any:
        """Coefficients [component, batch, *modes] of what does not depend on the state, until the next; None if nothing."""
        if self._source_at is None or self._source_at[0] != interval:
            self._source_at = (interval, self._make_source(interval))
        return self._source_at[1]

    @property
    def wants_linear(self) -> bool:
        """Whether the gradient by a parameter of the linear operator is asked for."""
        if self.wanted is None:
            return bool(self._slopes)
        names = {name[0] if isinstance(name, tuple) else name for name in self._slopes}
        return any(f"{self.model.name}.{name}" in self.wanted for name in names)

    def clear_gradients(self) -> None:
        self.dlinear[...] = 0.0
        self.dsource[...] = 0.0
        for law in self.external_laws:
            law.clear_gradients()
        for gathered in (*self.dproducts.values(), *self.damplitudes.values()):
            gathered[...] = 0.0

    def add_products(self, parts: Mapping[str, Any]) -> None:
        """Add gradients by parameters of the products, given as arrays [batch, *points]."""
        for name, array in parts.items():
            self.model.arrays.add_means(array, self.dproducts[name])

    def collect(self, interval: int) -> None:
        """Turn what gathered for the sources into gradients of the amplitudes in an interval."""
        if not self._sources:
            return
        gathered = self.model.arrays.host(self.dsource)
        for name, patterns in self._sources.items():
            for component, pattern in patterns.items():
                self.damplitudes[name][:, interval] += self._inner(pattern, gathered[component])
        self.dsource[...] = 0.0

    def gradients(self, adjoint: SpectralState) -> dict[str, np.ndarray]:
        """Gradient of every parameter, in the shape of the value it was given (or of the model's own)."""
        model, full = self.model, {}
        gathered = model.arrays.host(self.dlinear)
        for spec in model.equation.PARAMETERS:
            name = f"{model.name}.{spec.name}"
            if self.wanted is None or name in self.wanted:
                full[name] = self._gradient(spec.name, gathered)
        for field in model.equation.FIELDS:
            full[f"{model.name}.{field.name}"] = adjoint.arrays()[field.name]
        parameters = model.parameters()
        return {n: parameters[n].reduce(g, self._given[n]) if n in self._given else g for n, g in full.items()}

    def views(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """The arrays of a state as "<name>.<field>"."""
        return {f"{self.model.name}.{name}": array for name, array in arrays.items()}

    def unite(self, views: Mapping[str, Any], concatenate: Callable) -> dict[str, Any]:
        """The arrays of a state by field."""
        return {name.rpartition(".")[2]: array for name, array in views.items()}

    def _gradient(self, name: str, gathered: np.ndarray) -> np.ndarray:
        """Gradient of one parameter in its full shape: of the linear operator, the products and the sources."""
        equation, dtype = self.model.equation, self.model.precision.numpy
        if name in equation.VECTORS:
            parts = [self._linear_gradient(self._slopes[name, i], gathered) for i in range(self.model.grid.dimension)]
            return np.stack(parts, axis=-1).astype(dtype)
        steady = self.dproducts[name].copy()
        if name in self._slopes:
            steady += self._linear_gradient(self._slopes[name], gathered)
        if name in self.damplitudes and name in equation.TIMED:
            single = self._full[f"{self.model.name}.{name}"].shape[1] == 1
            amplitude = self.damplitudes[name]
            return (amplitude.sum(axis=1, keepdims=True) if single else amplitude).astype(dtype)
        if name in self.damplitudes:
            steady += self.damplitudes[name].sum(axis=1)
        return steady.astype(dtype)

    def _linear_gradient(self, slopes: list, gathered: np.ndarray) -> np.ndarray:
        """[batch] sum over components and modes of Re(gathered dL/dp)."""
        total = np.zeros(self.model.batch)
        for index, component in enumerate(gathered):
            slope = slopes[index if len(slopes) > 1 else 0]
            total += self._inner(np.conj(slope), component)
        return total

    def _inner(self, pattern: np.ndarray, values: np.ndarray) -> np.ndarray:
        """[batch] mean over the points of pattern times values [batch, *modes]."""
        product = self.model.grid.weights * np.real(np.conj(pattern) * values)
        return product.reshape(self.model.batch, -1).sum(axis=1, dtype=np.float64)

    def _expanded(self, name: str, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """The full array of a parameter; a timed one has one entry an interval, or one for all."""
        parameter = self.model.parameters()[name]
        value = parameter.expand(values[name]) if name in values else parameter.value
        if parameter.timed and value.shape[1] not in (1, self.intervals):
            raise InputError(
                f"{name}: expected {self.intervals} control intervals, got {value.shape[1]}; give one value each, or a "
                "single one."
            )
        return value

    def _axes(self, name: str, dtype: type) -> Any:
        """A parameter with axes of length one for the grid: [batch, 1, ...], or one such array a component."""
        value = self._full[f"{self.model.name}.{name}"].astype(dtype)
        ones = (1,) * self.model.grid.dimension
        if name in self.model.equation.VECTORS:
            return [value[:, i].reshape(-1, *ones) for i in range(value.shape[1])]
        return value[:, 0].reshape(-1, *ones) if name in self.model.equation.TIMED else value.reshape(-1, *ones)

    def _loaded(self, value: Any) -> Any:
        p = self.model.precision.numpy
        if isinstance(value, list):
            return [self.model.arrays.load(v.astype(p)) for v in value]
        return self.model.arrays.load(value.astype(p))

    def _set_linear(self, p: Mapping[str, Any]) -> None:
        """Make the integrator's coefficients, unless the linear operator is the one they were made for."""
        model = self.model
        symbols, self._slopes = model.equation.linear(model.grid, p)
        shape = np.broadcast_shapes(*(np.shape(s) for s in symbols), (1, *model.grid.modes))
        made = [np.broadcast_to(s, shape) for s in symbols]
        if self._linear_values is not None and all(map(np.array_equal, made, self._linear_values)):
            return
        self._linear_values = made
        z = model.dt * np.stack(made)
        if z.dtype.kind == "c" and not z.imag.any():
            z = z.real
        self.growth = false_growth(model, z)
        names = [model.integrator.name, *([model.integrator.starter] if model.integrator.starter else [])]
        with np.errstate(all="ignore"):  # what overflows is reported as a field that is not finite
            self.weights = {name: Weights(model, find_integrator(name), z, has_rate=self.has_rate) for name in names}

    def _make_source(self, interval: int) -> Any:
        model, total = self.model, None
        for name, patterns in self._sources.items():
            value = self._full[f"{model.name}.{name}"]
            amplitude = value[:, min(interval, value.shape[1] - 1)] if name in model.equation.TIMED else value
            if not amplitude.any():
                continue
            if total is None:
                total = np.zeros((model.components, model.batch, *model.grid.modes), complex_of(model.precision))
            for component, pattern in patterns.items():
                total[component] += amplitude.reshape(-1, *(1,) * model.grid.dimension) * pattern
        if total is None:
            return None
        if self._source_room is None:
            self._source_room = model.arrays.empty(total.shape, total.dtype)
        self._source_room[...] = model.arrays.load(total)
        return self._source_room


def _same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(one[n] is other[n] or np.array_equal(one[n], other[n]) for n in one)


def _shared(value: Any) -> Any:
    """One environment's value where all have the same, so that the coefficients are made and read once."""
    if isinstance(value, list):
        return [_shared(v) for v in value]
    return value[:1] if (value == value[:1]).all() else value
