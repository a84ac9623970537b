"""Between kept Fourier coefficients and fields on the points, with a linear map of the coefficients on the way.

Coefficients are normalised, u(x) = sum of u^_k exp(i k x), and inner products are means over the points. Then the adjoint of
going to the points is coming back, and that of multiplication by a symbol is multiplication by its conjugate.
Modes that were cut are never computed: complex transforms skip the columns that hold none. Nor are they copied: a map
writes its products where the transform wants them, between zeros.
"""

import itertools
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
    """Transforms of stacks of fields [field, batch, *points], through buffers that are used again.

    Along y and z the kept modes 0..M and -M..-1 lie at both ends of a full axis: `entry` pairs the blocks of kept
    coefficients with those of the buffer a backward transform starts from (its first axis is full), `exit` with those
    of the buffer a forward transform ends in (all its axes are).
    """

    def __init__(self, grid: Grid, arrays: Arrays, p: Precision, batch: int):
        self.grid, self.arrays, self.precision, self.batch = grid, arrays, p, batch
        self.scratch = arrays.empty((batch, *grid.modes), complex_of(p))
        ends = [_ends(cut) for cut in grid.cuts[:0:-1]]
        row = slice(0, grid.cuts[0] + 1)
        after = [slice(None)] * max(0, grid.dimension - 2)
        self.entry: list[tuple] = (
            [((..., e, *after, row), (..., e, *after, row)) for e in ends[0]] if ends else [((..., row), (..., row))]
        )
        self.exit: list[tuple] = [((..., *block, row), (..., *block, row)) for block in itertools.product(*ends)]
        self._buffers: dict[int, tuple] = {}

    def start(self, count: int) -> Any:
        """The buffer to write `count` fields' coefficients to, block by block, before `to_points`."""
        return self._buffer(count)[0]

    def to_points(self, count: int, out: Any) -> Any:
        """Fields [count, batch, *points] of what was written to the buffer of `start`."""
        first, middle, wide, _ = self._buffer(count)
        row = (..., slice(0, self.grid.cuts[0] + 1))
        if self.grid.dimension == 3:
            for block in self._second_blocks():
                self.arrays.backward(first[block], -3, middle[block])
        if self.grid.dimension > 1:
            self.arrays.backward(middle, -2, wide[row])
        return self.arrays.backward_real(wide, out)

    def to_modes(self, fields: Any) -> Any:
        """A buffer with the coefficients of fields [count, batch, *points] in the blocks of `exit`."""
        full = self._buffer(len(fields))[3]
        self.arrays.forward_real(fields, full)
        if self.grid.dimension > 1:
            kept = full[..., : self.grid.cuts[0] + 1]
            self.arrays.forward(kept, -2, kept)
            if self.grid.dimension == 3:
                for block in self._second_blocks():
                    self.arrays.forward(kept[block], -3, kept[block])
        return full

    def empty(self, count: int) -> Any:
        """Room for fields on the points."""
        return self.arrays.empty((count, self.batch, *self.grid.shape), self.precision.numpy)

    def _second_blocks(self) -> list[tuple]:
        """Kept modes of y in an array whose axis y is the last but one."""
        return [(..., end, slice(None)) for end in _ends(self.grid.cuts[1])]

    def _buffer(self, count: int) -> tuple:
        """Buffers of `count` fields: backward with the first axis full, with y full too, with all; and forward.

        Those of fewer fields are parts of those of more; what is not written stays zero.
        """
        if count not in self._buffers:
            largest = max(self._buffers, default=0)
            if count > largest:
                self._buffers = {count: self._allocate(count)}
            else:
                self._buffers[count] = tuple(buffer[:count] for buffer in self._buffers[largest])
        return self._buffers[count]

    def _allocate(self, count: int) -> tuple:
        grid, dtype = self.grid, complex_of(self.precision)
        wide = (*grid.shape[:-1], grid.counts[0] // 2 + 1)
        shapes = [(*grid.shape[: n + 1], *grid.modes[n + 1 :]) for n in range(grid.dimension - 1)]
        first = [self.arrays.zeros((count, self.batch, *shape), dtype) for shape in shapes]
        whole = [self.arrays.zeros((count, self.batch, *wide), dtype) for _ in range(2)]
        return (first[0], first[-1], *whole) if first else (whole[0], whole[0], *whole)


class LinearMap:
    """Outputs as sums of symbols times inputs: of coefficients on the way to the points, or on the way from them."""

    def __init__(self, rows: Rows, columns: int, transform: Transform):
        self.rows, self.columns, self.transform = rows, columns, transform
        self._entering = [self._cut(row, transform.entry) for row in rows]
        self._leaving = [self._cut(row, transform.exit) for row in rows]

    def transposed(self) -> "LinearMap":
        """The adjoint: conjugate symbols, inputs and outputs exchanged."""
        rows: list[dict[int, Symbol]] = [{} for _ in range(self.columns)]
        for i, row in enumerate(self.rows):
            for j, symbol in row.items():
                rows[j][i] = np.conj(symbol)
        return LinearMap(rows, len(self.rows), self.transform)

    def to_points(self, coefficients: Any, out: Any) -> Any:
        """The outputs of coefficients [column, batch, *modes] as fields [row, batch, *points], written to `out`."""
        buffer = self.transform.start(len(self.rows))
        for row, target in zip(self._entering, buffer, strict=True):
            for kept, full, terms in row:
                self._sum(terms, [coefficients[j][kept] for j, _ in terms], target[full], kept, add=False)
        return self.transform.to_points(len(self.rows), out)

    def from_points(self, fields: Any, out: Any, *, add: bool = False) -> Any:
        """The outputs [row, batch, *modes] of fields [column, batch, *points], written or added to `out`."""
        full_modes = self.transform.to_modes(fields)
        for row, target in zip(self._leaving, out, strict=True):
            for kept, full, terms in row:
                self._sum(terms, [full_modes[j][full] for j, _ in terms], target[kept], kept, add=add)
        return out

    def _cut(self, row: Mapping[int, Symbol], blocks: list[tuple]) -> list[tuple]:
        """The row's terms in every block of coefficients: [(kept block, full block, [(column, symbol)])]."""
        modes = (1, *self.transform.grid.modes)
        made = []
        for kept, full in blocks:
            terms = [
                (j, self._place(s if np.ndim(s) == 0 else np.broadcast_to(s, modes)[kept])) for j, s in row.items()
            ]
            made.append((kept, full, terms))
        return made

    def _place(self, symbol: Symbol) -> Any:
        """A symbol on the device; a plain number stays one."""
        values = np.asarray(symbol)
        if values.dtype.kind == "c" and not values.imag.any():
            values = values.real
        if values.ndim == 0:
            return values.item()
        return self.transform.arrays.load_factor(values, self.transform.precision)

    def _sum(self, terms: list, inputs: list, target: Any, kept: tuple, *, add: bool) -> None:
        """Write or add the sum of symbol * input to a block."""
        arrays = self.transform.arrays
        if not terms and not add:
            target[...] = 0.0
        for index, ((_, symbol), values) in enumerate(zip(terms, inputs, strict=True)):
            plain = isinstance(symbol, float) and symbol == 1.0
            if index or add:
                part = values if plain else arrays.multiply(values, symbol, out=self.transform.scratch[kept])
                arrays.add(target, part, out=target)
            elif plain:
                target[...] = values
            else:
                arrays.multiply(values, symbol, out=target)


def _ends(cut: int) -> tuple[slice, slice]:
    """Where the modes 0..M and -M..-1 lie in an axis of any length."""
    return slice(0, cut + 1), slice(-cut, None)
