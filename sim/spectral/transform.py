"""Between fields on points and their kept Fourier coefficients, and linear maps of coefficients, with their adjoints.

Coefficients are normalised, u(x) = sum of u^_k exp(i k x), and inner products are means over the points. Then the
adjoint of going to the points is going back, and the adjoint of multiplication by a symbol is that by its conjugate.
Modes that were cut are never computed: the complex transforms skip the columns that hold none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sim.precision import Precision
from sim.spectral.arrays import Arrays, complex_of
from sim.spectral.grid import Grid

Symbol = complex | np.ndarray
Rows = Sequence[Mapping[int, Symbol]]
"""Row i of a linear map: {j: symbol} says output i is the sum of symbol * input j."""


class Transform:
    """Transforms of stacks of fields, [..., *grid.shape] and [..., *grid.modes]."""

    def __init__(self, grid: Grid, arrays: Arrays, p: Precision):
        self.grid, self.arrays, self.dtype = grid, arrays, complex_of(p)
        self._padded: dict[tuple, Any] = {}

    def to_points(self, coefficients: Any) -> Any:
        """Fields on the points: a new array."""
        made = coefficients
        for axis in range(self.grid.dimension - 1):
            made = self._pad(made, axis)
            made = self.arrays.backward(made, axis - self.grid.dimension)
        return self.arrays.backward_real(made, self.grid.counts[0])

    def to_modes(self, fields: Any, out: Any) -> Any:
        """Kept coefficients of fields, written to `out`."""
        dimension, cuts = self.grid.dimension, self.grid.cuts[::-1]
        made = self.arrays.forward_real(fields)[..., : cuts[-1] + 1]
        for axis in reversed(range(dimension - 1)):
            made = self.arrays.forward(made, axis - dimension)
            if axis:
                made = self._cut(made, axis)
        if dimension == 1:
            out[...] = made
            return out
        low, high = self._blocks(0)
        out[low], out[high] = made[low], made[high]
        return out

    def _blocks(self, axis: int) -> tuple[tuple, tuple]:
        """Where the modes 0..M and -M..-1 of an axis lie (0: the first of the grid's), in kept and in full arrays."""
        cut, after = self.grid.cuts[::-1][axis], self.grid.dimension - 1 - axis
        return (..., slice(0, cut + 1), *[slice(None)] * after), (..., slice(-cut, None), *[slice(None)] * after)

    def _pad(self, kept: Any, axis: int) -> Any:
        """The array with zeros for the modes of an axis that were cut, in a buffer that is used again."""
        place = axis - self.grid.dimension
        shape = list(kept.shape)
        shape[place] = self.grid.shape[axis]
        key = (axis, *shape)
        if key not in self._padded:
            self._padded[key] = self.arrays.zeros(tuple(shape), self.dtype)
        padded = self._padded[key]
        for block in self._blocks(axis):
            padded[block] = kept[block]
        return padded

    def _cut(self, full: Any, axis: int) -> Any:
        """The kept modes of an axis."""
        shape = list(full.shape)
        shape[axis - self.grid.dimension] = self.grid.modes[axis]
        kept = self.arrays.empty(tuple(shape), self.dtype)
        for block in self._blocks(axis):
            kept[block] = full[block]
        return kept


class LinearMap:
    """Outputs [rows, batch, *modes] as sums of symbols times inputs [columns, batch, *modes]."""

    def __init__(self, rows: Rows, columns: int, arrays: Arrays, p: Precision):
        self.rows, self.columns, self.arrays = rows, columns, arrays
        self.is_identity = len(rows) == columns and all(dict(r) == {i: 1.0} for i, r in enumerate(_scalars(rows)))
        self._terms = [[(j, _loaded(s, arrays, p)) for j, s in row.items()] for row in rows]
        self._adjoint: list[list] = [[] for _ in range(columns)]
        for i, row in enumerate(rows):
            for j, s in row.items():
                self._adjoint[j].append((i, _loaded(np.conj(s), arrays, p)))

    def apply(self, inputs: Any, out: Any, scratch: Any) -> Any:
        """The outputs, written to `out`; `scratch` [batch, *modes] is overwritten. An identity returns its inputs."""
        if self.is_identity:
            return inputs
        for terms, target in zip(self._terms, out, strict=True):
            self._sum(terms, inputs, target, scratch, fresh=True)
        return out

    def add(self, inputs: Any, out: Any, scratch: Any) -> None:
        """Add the outputs to `out`."""
        for terms, target in zip(self._terms, out, strict=True):
            self._sum(terms, inputs, target, scratch, fresh=False)

    def adjoint(self, outputs: Any, out: Any, scratch: Any) -> Any:
        """The adjoint of the inputs, written to `out`; that of an identity returns what it was given."""
        if self.is_identity:
            return outputs
        for terms, target in zip(self._adjoint, out, strict=True):
            self._sum(terms, outputs, target, scratch, fresh=True)
        return out

    def add_adjoint(self, outputs: Any, out: Any, scratch: Any) -> None:
        """Add the adjoint of the inputs to `out`."""
        for terms, target in zip(self._adjoint, out, strict=True):
            self._sum(terms, outputs, target, scratch, fresh=False)

    def _sum(self, terms: list, inputs: Any, target: Any, scratch: Any, *, fresh: bool) -> None:
        if fresh and not terms:
            target[...] = 0.0
        for index, (j, symbol) in enumerate(terms):
            if fresh and index == 0:
                self.arrays.multiply(inputs[j], symbol, out=target)
                continue
            part = inputs[j]
            if symbol is not None and not (isinstance(symbol, float) and symbol == 1.0):
                part = self.arrays.multiply(part, symbol, out=scratch)
            self.arrays.add(target, part, out=target)


def _scalars(rows: Rows) -> list[dict]:
    """Rows with arrays replaced by None, so that they compare."""
    return [{j: (None if isinstance(s, np.ndarray) else s) for j, s in row.items()} for row in rows]


def _loaded(symbol: Symbol, arrays: Arrays, p: Precision) -> Any:
    """A symbol on the device: a plain number stays one, and what has no imaginary part is kept real, which is exact."""
    values = np.asarray(symbol)
    if values.dtype.kind == "c" and not values.imag.any():
        values = values.real
    if values.ndim == 0:
        number = values.item()
        return number if isinstance(number, complex) else float(number)
    return arrays.load(values.astype(complex_of(p) if values.dtype.kind == "c" else p.numpy))
