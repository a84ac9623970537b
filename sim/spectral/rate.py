"""N(u) = D q(S u) + sources on coefficients, and the adjoint of its derivative."""

from typing import TYPE_CHECKING, Any

from pliant.sim.spectral.transform import LinearMap, Transform
from pliant.sim.status import Status

if TYPE_CHECKING:
    from pliant.sim.spectral.binding import SpectralBinding
    from pliant.sim.spectral.model import SpectralModel


class Rate:
    """The nonlinear term of a model's equation; `inputs` and `products` are how many fields q takes and makes."""

    def __init__(self, model: "SpectralModel", binding: "SpectralBinding", transform: Transform):
        self.model, self.binding, self.transform = model, binding, transform
        gathering, scattering = model.equation.inputs(model.grid), model.equation.outputs(model.grid)
        self.inputs = len(gathering)
        self.products = 1 + max((m for row in scattering for m in row), default=-1)
        if self.products:
            self._gather = LinearMap(gathering, model.components, transform)
            self._scatter = LinearMap(scattering, self.products, transform)
            self._gather_vjp, self._scatter_vjp = self._gather.transposed(), self._scatter.transposed()
            most = transform.empty(max(self.inputs, self.products))
            self._made, self._seeds = most, transform.empty(self.products)

    def begin(self) -> None:
        """A run starts."""

    def status(self, step: int) -> Status:
        """What went wrong in the nonlinear term up to this step, or what is to be said of it."""
        return Status()

    def evaluate(self, state: Any, source: Any, fields: Any, out: Any) -> None:
        """Write N to `out`, and the inputs of q on the points, which the adjoint needs, to `fields`."""
        arrays = self.model.arrays
        if not self.products:
            arrays.copy(0.0 if source is None else source, out)
            return
        made = self._made[: self.products]
        self._gather.to_points(state, fields)
        self.model.equation.products(arrays, self.binding.points, arrays.traced(fields), arrays.traced(made))
        self._scatter.from_points(made, out, spent=True)
        if source is not None:
            arrays.add(out, source, out=out)

    def pull_back(self, fields: Any, adjoint: Any, state: Any, *, add: bool) -> None:
        """Write or add the adjoint of the state to `state`, for N's `adjoint`; that of parameters goes to the binding."""
        binding, arrays = self.binding, self.model.arrays
        if binding.damplitudes:
            arrays.add(binding.dsource, adjoint, out=binding.dsource)
        if not self.products:
            if not add:
                arrays.copy(0.0, state)
            return
        made = self._made[: self.inputs]
        seeds = self._scatter_vjp.to_points(adjoint, self._seeds)
        given = (arrays.traced(values) for values in (fields, seeds, made))
        binding.add_products(self.model.equation.products_vjp(arrays, binding.points, *given))
        self._gather_vjp.from_points(made, state, add=add, spent=True)
