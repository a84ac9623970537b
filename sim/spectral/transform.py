"""Between kept Fourier coefficients and fields on the points, with a linear map of the coefficients on the way.

Coefficients are normalised, u(x) = sum of u^_k exp(i k x), and inner products are means over the points. Then the adjoint of
going to the points is coming back, and that of multiplication by a symbol is multiplication by its conjugate.
Modes that were cut are never computed: complex transforms skip the columns that hold none. Nor are they copied: a map
writes its products where the transform wants them, between zeros.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pliant.sim.precision import Precision
from pliant.sim.spectral.arrays import Arrays, complex_of
from pliant.sim.spectral.grid import Grid

SMALL = 2**13  # coefficients of all environments that are worth repeating
Symbol = complex | np.ndarray
Rows = Sequence[Mapping[int, Symbol]]
"""Row i of a linear map: {j: symbol} says output i is the sum of symbol * input j."""


class Transform:
    """Transforms of stacks of at most `most` fields [field, batch, *points], through buffers that are used again.

    Along y and z the kept modes 0..M and -M..-1 lie at both ends of a full axis: `entry` pairs the blocks of kept
    coefficients with those of the buffer a backward transform starts from (its first axis is full), `exit` with those
    of the buffer a forward transform ends in (all its axes are).
    """

    def __init__(self, grid: Grid, arrays: Arrays, p: Precision, batch: int, most: int):
        self.grid, self.arrays, self.precision, self.batch = grid, arrays, p, batch
        self.scratch = arrays.empty((batch, *grid.modes), complex_of(p))
        ends = [_ends(cut) for cut in grid.cuts[:0:-1]]
        row = slice(0, grid.cuts[0] + 1)
        after = [slice(None)] * max(0, grid.dimension - 2)
        self.entry: list[tuple] = (
            [((..., e, *after, row), (..., e, *after, row)) for e in ends[0]] if ends else [((..., row), (..., row))]
        )
        self.exit: list[tuple] = [((..., *block, row), (..., *block, row)) for block in itertools.product(*ends)]
        self._most = self._allocate(most)
        self._buffers: dict[int, tuple] = {}

    def start(self, count: int) -> Any:
        """The buffer to write `count` fields' coefficients to, block by block, before `to_points`."""
        return self._buffer(count)[0]

    def end(self, count: int) -> Any:
        """The buffer in which `to_modes` leaves the coefficients of `count` fields, in the blocks of `exit`."""
        return self._buffer(count)[3]

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

    def to_modes(self, fields: Any) -> None:
        """Transform fields [count, batch, *points] into the buffer that `end` tells."""
        full = self._buffer(len(fields))[3]
        self.arrays.forward_real(fields, full)
        if self.grid.dimension > 1:
            kept = full[..., : self.grid.cuts[0] + 1]
            self.arrays.forward(kept, -2, kept)
            if self.grid.dimension == 3:
                for block in self._second_blocks():
                    self.arrays.forward(kept[block], -3, kept[block])

    def empty(self, count: int) -> Any:
        """Room for fields on the points."""
        return self.arrays.empty((count, self.batch, *self.grid.shape), self.precision.numpy)

    def _second_blocks(self) -> list[tuple]:
        """Kept modes of y in an array whose axis y is the last but one."""
        return [(..., end, slice(None)) for end in _ends(self.grid.cuts[1])]

    def _buffer(self, count: int) -> tuple:
        """Buffers of `count` fields: backward with the first axis full, with y full too, with all; and forward.

        What is not written stays zero.
        """
        if count not in self._buffers:
            self._buffers[count] = tuple(buffer[:count] for buffer in self._most)
        return self._buffers[count]

    def _allocate(self, count: int) -> tuple:
        grid, dtype = self.grid, complex_of(self.precision)
        wide = (*grid.shape[:-1], grid.cuts[0] + 1 if self.arrays.narrow else grid.counts[0] // 2 + 1)
        shapes = [(*grid.shape[: n + 1], *grid.modes[n + 1 :]) for n in range(grid.dimension - 1)]
        first = [self.arrays.zeros((count, self.batch, *shape), dtype) for shape in shapes]
        whole = [self.arrays.zeros((count, self.batch, *wide), dtype) for _ in range(2)]
        return (first[0], first[-1], *whole) if first else (whole[0], whole[0], *whole)


@dataclasses.dataclass(frozen=True)
class _Move:
    """One product of a linear map in one block of coefficients: from input `column` to output `row`.

    `symbol` is None where it is one; `first` where nothing has been written to the output's block before.
    """

    row: int
    column: int
    symbol: Any
    first: bool
    kept: tuple | None  # None: the block is all of the kept coefficients
    full: Any
    scratch: Any


class LinearMap:
    """Outputs as sums of symbols times inputs: of coefficients on the way to the points, or on the way from them."""

    def __init__(self, rows: Rows, columns: int, transform: Transform):
        self.rows, self.columns, self.transform = rows, columns, transform
        self._start, self._end = transform.start(max(1, len(rows))), transform.end(max(1, columns))
        self._entering = self._moves(transform.entry, lambda i, j: self._start[i])
        self._leaving = self._moves(transform.exit, lambda i, j: self._end[j])
        self._alone = self._single() if transform.arrays.narrow else None

    def transposed(self) -> "LinearMap":
        """The adjoint: conjugate symbols, inputs and outputs exchanged."""
        rows: list[dict[int, Symbol]] = [{} for _ in range(self.columns)]
        for i, row in enumerate(self.rows):
            for j, symbol in row.items():
                rows[j][i] = np.conj(symbol)
        return LinearMap(rows, len(self.rows), self.transform)

    def to_points(self, coefficients: Any, out: Any) -> Any:
        """The outputs of coefficients [column, batch, *modes] as fields [row, batch, *points], written to `out`."""
        if self._alone is not None:
            narrow: Any = self.transform.arrays
            for i, (j, factor) in enumerate(self._alone):
                narrow.backward_real(coefficients[j], out[i], factor)
            return out
        for move in self._entering:
            if move.column < 0:
                self.transform.arrays.copy(0.0, move.full)
                continue
            values = coefficients[move.column]
            _move(self.transform.arrays, move, values if move.kept is None else values[move.kept], move.full, add=False)
        return self.transform.to_points(len(self.rows), out)

    def from_points(self, fields: Any, out: Any, *, add: bool = False, spent: bool = False) -> Any:
        """The outputs [row, batch, *modes] of fields [column, batch, *points], written or added to `out`.

        Fields that are `spent`, which nothing reads after this, may not even have been written.
        """
        if self._alone is not None and len(self.rows) == self.columns:
            narrow: Any = self.transform.arrays
            for i, (j, factor) in enumerate(self._alone):
                last = all(j != later for later, _ in self._alone[i + 1 :])
                narrow.forward_real(fields[j], out[i], factor, add=add, spent=spent and last)
            return out
        self.transform.to_modes(fields)
        for move in self._leaving:
            target = out[move.row] if move.kept is None else out[move.row][move.kept]
            if move.column >= 0:
                _move(self.transform.arrays, move, move.full, target, add=add)
            elif not add:
                self.transform.arrays.copy(0.0, target)
        return out

    def _single(self) -> list[tuple[int, Any]] | None:
        """Column and factor [mode] of every row, if each has one; the transforms multiply by them on the way."""
        if any(len(row) != 1 for row in self.rows):
            return None
        made = []
        for row in self.rows:
            ((j, symbol),) = row.items()
            whole = np.broadcast_to(np.asarray(symbol, complex_of(self.transform.precision)), self.transform.grid.modes)
            made.append((j, None if (whole == 1.0).all() else np.array(whole)))
        return made

    def _moves(self, blocks: list[tuple], buffer: Callable[[int, int], Any]) -> list[_Move]:
        """All products, block by block; a row without any has one with column -1."""
        made = []
        for i, row in enumerate(self.rows):
            for kept, full in blocks:
                whole = None if len(blocks) == 1 else kept
                for index, (j, symbol) in enumerate(row.items() or [(-1, 1.0)]):
                    place = buffer(i, j)[full]
                    move = _Move(
                        i, j, self._place(symbol, kept), index == 0, whole, place, self.transform.scratch[kept]
                    )
                    made.append(move)
        return made

    def _place(self, symbol: Symbol, kept: tuple) -> Any:
        """The part of a symbol in a block, on the device; a plain number stays one."""
        values = np.asarray(symbol)
        if values.dtype.kind == "c" and not values.imag.any():
            values = values.real
        if values.ndim == 0:
            return None if values == 1.0 else values.item()
        part = np.broadcast_to(values, (1, *self.transform.grid.modes))[kept]
        return self.transform.arrays.load_factor(repeated(part, self.transform.batch, axis=0), self.transform.precision)


def _move(arrays: Arrays, move: _Move, values: Any, target: Any, *, add: bool) -> None:
    """Write or add one product."""
    if move.first and not add:
        if move.symbol is None:
            arrays.copy(values, target)
        else:
            arrays.multiply(values, move.symbol, out=target)
    elif move.symbol is None:
        arrays.add(target, values, out=target)
    else:
        arrays.multiply_add(values, move.symbol, out=target, scratch=move.scratch)


def repeated(values: np.ndarray, batch: int, axis: int) -> np.ndarray:
    """Values with one entry along an axis, repeated over the environments where that is small.

    A product with a short row repeated takes NumPy half as long again as one with whole arrays.
    """
    if values.shape[axis] != 1 or values.size * batch > SMALL:
        return values
    return np.repeat(values, batch, axis=axis)


def _ends(cut: int) -> tuple[slice, slice]:
    """Where the modes 0..M and -M..-1 lie in an axis of any length."""
    return slice(0, cut + 1), slice(-cut, None)
