"""The state of spectral fields: on the host as values on the points, on the device as Fourier coefficients.

A state holds every field, and for a multistep method `history`: what it keeps of the steps before, component after
component, on the points.
"""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pliant.sim.spectral.arrays import complex_of
from pliant.sim.spectral.equation import identity
from pliant.sim.spectral.transform import LinearMap, Transform

if TYPE_CHECKING:
    from pliant.sim.spectral.model import SpectralModel

HISTORY = "history"


@dataclasses.dataclass
class SpectralState:
    """One instant: values of every field on the points, {name: [batch, nz, ny, nx]}, with a last axis for a vector."""

    values: dict[str, np.ndarray]

    def arrays(self) -> dict[str, np.ndarray]:
        return self.values


class Basis:
    """Between fields on the points, as users see them, and coefficients [component, batch, *modes], as a step has them."""

    def __init__(self, model: "SpectralModel"):
        self.model = model
        grid, count = model.grid, model.components
        self.transform = Transform(grid, model.arrays, model.precision, model.batch, model.most_fields)
        into, back = model.equation.to_state(grid), model.equation.from_state(grid)
        self._to_state = LinearMap(into or identity(count), count, self.transform)
        self._from_state = LinearMap(back or identity(count), count, self.transform)
        self._to_state_vjp, self._from_state_vjp = self._to_state.transposed(), self._from_state.transposed()
        self._fields = self.transform.empty(count)

    def to_state(self, fields: Any, out: Any) -> None:
        """Coefficients of fields [component, batch, *points]."""
        self._to_state.from_points(fields, out)

    def from_state(self, state: Any) -> Any:
        """Fields [component, batch, *points] of coefficients, until the next call."""
        return self._from_state.to_points(state, self._fields)

    def to_state_vjp(self, adjoint: Any) -> Any:
        """The adjoint of fields from that of their state, in the inner product of means, until the next call."""
        return self._to_state_vjp.to_points(adjoint, self._fields)

    def from_state_vjp(self, adjoint: Any, out: Any, *, add: bool = False) -> None:
        """The adjoint of a state from that of its fields, written or added to `out`."""
        self._from_state_vjp.from_points(adjoint, out, add=add)

    def stack(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Fields by name, as users see them, one component after the other: [component, batch, *points]."""
        parts = []
        for field in self.model.equation.FIELDS:
            values = arrays[field.name]
            parts.append(values[None] if field.kind == "scalar" else np.moveaxis(values, -1, 0))
        return np.ascontiguousarray(np.concatenate(parts), dtype=self.model.precision.numpy)

    def unstack(self, components: np.ndarray) -> dict[str, np.ndarray]:
        """Fields by name from their components."""
        made, first = {}, 0
        for field in self.model.equation.FIELDS:
            count = field.components(self.model.grid.dimension)
            part = components[first : first + count]
            made[field.name] = np.ascontiguousarray(part[0] if field.kind == "scalar" else np.moveaxis(part, 0, -1))
            first += count
        return made


class SpectralStates:
    """States of coefficients, one a slot: `coefficients` [slot, 1 + history, component, batch, *modes]."""

    def __init__(self, model: "SpectralModel", basis: Basis, slots: int):
        self.model, self.basis = model, basis
        shape = (slots, 1 + model.history, model.components, model.batch, *model.grid.modes)
        self.coefficients = model.arrays.empty(shape, complex_of(model.precision))

    def copy(self, slot: int, source: "SpectralStates", source_slot: int) -> None:
        self.coefficients[slot][...] = source.coefficients[source_slot]

    def write(self, slot: int, state: SpectralState) -> None:
        for entry, fields in zip(self.coefficients[slot], self._entries(state), strict=True):
            self.basis.to_state(self.model.arrays.load(fields), entry)

    def read(self, slot: int) -> SpectralState:
        host = self.model.arrays.host
        return self._state([host(self.basis.from_state(entry)) for entry in self.coefficients[slot]])

    def _entries(self, state: SpectralState) -> list[np.ndarray]:
        """The fields and each part of the history, [component, batch, *points]."""
        values = state.arrays()
        past = np.moveaxis(values[HISTORY], 0, 2) if self.model.history else ()
        return [self.basis.stack(values), *(np.ascontiguousarray(part) for part in past)]

    def _state(self, entries: list[np.ndarray]) -> SpectralState:
        values = self.basis.unstack(entries[0])
        if self.model.history:
            values[HISTORY] = np.ascontiguousarray(np.moveaxis(np.stack(entries[1:]), 2, 0))
        return SpectralState(values)


class SpectralAdjoint(SpectralStates):
    """The adjoint of a state; on the host it is the gradient with respect to the values on the points.

    On the device it is that of the mean over the points: what a sum over them has, times their number.
    """

    def write(self, slot: int, state: SpectralState) -> None:
        if not any(array.any() for array in state.arrays().values()):  # most losses are of frames, and have none
            self.coefficients[slot][...] = 0.0
            return
        for entry, fields in zip(self.coefficients[slot], self._entries(state), strict=True):
            self.basis.from_state_vjp(self.model.arrays.load(fields * self.model.grid.points), entry)

    def read(self, slot: int) -> SpectralState:
        host, points = self.model.arrays.host, self.model.grid.points
        return self._state([host(self.basis.to_state_vjp(entry)) / points for entry in self.coefficients[slot]])


def state_shapes(model: "SpectralModel") -> dict[str, tuple[int, ...]]:
    """Shape of every array of a state."""
    grid = model.grid
    shapes = {field.name: (model.batch, *grid.shape, *field.tail(grid.dimension)) for field in model.equation.FIELDS}
    if model.history:
        shapes[HISTORY] = (model.batch, model.history, model.components, *grid.shape)
    return shapes


def coefficient_count(model: "SpectralModel") -> int:
    """Complex numbers of one state."""
    return (1 + model.history) * model.components * model.batch * math.prod(model.grid.modes)
