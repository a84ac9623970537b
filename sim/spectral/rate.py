"""N(u) = D q(S u) + sources on coefficients, and the adjoint of its derivative."""

from typing import TYPE_CHECKING, Any

from sim.spectral.arrays import complex_of
from sim.spectral.transform import LinearMap, Rows, Transform
from sim.status import Status

if TYPE_CHECKING:
    from sim.spectral.binding import SpectralBinding
    from sim.spectral.model import SpectralModel


class Rate:
    """The nonlinear term of a model's equation; `inputs` and `products` are how many fields q takes and makes."""

    def __init__(self, model: "SpectralModel", binding: "SpectralBinding", transform: Transform):
        self.model, self.binding, self.transform = model, binding, transform
        equation, grid, arrays = model.equation, model.grid, model.arrays
        rows_in, rows_out = equation.inputs(grid), equation.outputs(grid)
        self.inputs = len(rows_in)
        self.products = 1 + max((m for row in rows_out for m in row), default=-1)
        self._gather = self._map(rows_in, model.components)
        self._scatter = self._map(rows_out, self.products)
        most, real = max(self.inputs, self.products), model.precision.numpy
        self._modes = arrays.empty((most, model.batch, *grid.modes), complex_of(model.precision))
        self._scratch = arrays.empty((model.batch, *grid.modes), complex_of(model.precision))
        self._points = arrays.empty((most, model.batch, *grid.shape), real)

    def _map(self, rows: Rows, columns: int) -> LinearMap:
        return LinearMap(rows, columns, self.model.arrays, self.model.precision)

    def begin(self) -> None:
        """A run starts."""

    def status(self, step: int) -> Status:
        """What went wrong in the nonlinear term up to this step, or what is to be said of it."""
        return Status()

    def evaluate(self, state: Any, source: Any, out: Any) -> Any:
        """Write N to `out`; returns the inputs of q on the points, a new array, which the adjoint needs."""
        if not self.products:
            out[...] = 0.0 if source is None else source
            return None
        fields = self.transform.to_points(self._gather.apply(state, self._modes[: self.inputs], self._scratch))
        made = self._points[: self.products]
        self.model.equation.products(self.model.arrays, self.binding.points, fields, made)
        target = out if self._scatter.is_identity else self._modes[: self.products]
        self.transform.to_modes(made, target)
        self._scatter.apply(target, out, self._scratch)
        if source is not None:
            self.model.arrays.add(out, source, out=out)
        return fields

    def pull_back(self, fields: Any, adjoint: Any, state: Any) -> None:
        """Add the adjoint of the state to `state`, for N's `adjoint`; what belongs to parameters goes to the binding."""
        binding, arrays = self.binding, self.model.arrays
        if binding.damplitudes:
            arrays.add(binding.dsource, adjoint, out=binding.dsource)
        if not self.products:
            return
        seeds = self._scatter.adjoint(adjoint, self._modes[: self.products], self._scratch)
        on_points, made = self.transform.to_points(seeds), self._points[: self.inputs]
        by_parameters = self.model.equation.products_vjp(arrays, binding.points, fields, on_points, made)
        binding.add_products(by_parameters)
        self.transform.to_modes(made, self._modes[: self.inputs])
        self._gather.add_adjoint(self._modes[: self.inputs], state, self._scratch)
