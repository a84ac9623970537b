"""Array operations noted down instead of done, and replayed by compiled code."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import warp as wp

from pliant.sim.precision import Precision
from pliant.sim.spectral.native.operations import REGISTER, TERMS, Layout, Operation, group_count, replay_kernel
from pliant.sim.spectral.native.transform import tables

Place = list[int]
"""An operand: address, bytes from slot to slot, bytes along either axis of rows, layout."""


@dataclasses.dataclass
class Entry:
    """One operation; `lead` are the rows along two axes, `follow` says that those of the second follow each other."""

    operation: Operation
    lead: tuple[int, int]
    count: int
    places: list[Place]  # of the result, then of the operands
    follow: bool = False
    extra: list[int] = dataclasses.field(default_factory=list)
    bare: "Entry | None" = None  # of a transform: itself, of rows as they would lie and without a factor

    def integers(self) -> list[int]:
        """As the compiled loop reads it."""
        places = [number for place in self.places for number in place]
        body = [int(self.operation), *self.lead, self.count, int(self.follow), *self.extra, *places]
        return [len(body) + 1, *body]

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*self.lead, self.count)


class Tape:
    """Operations on NumPy arrays [..., environment, point or mode] of at most three axes, in order.

    Those in `slotted`, whose first axis are slots, move: what is noted with entries of slot 0 (and 1) is replayed for any
    slot (and the next).
    """

    def __init__(self, p: Precision, environments: int, slotted: Sequence[np.ndarray] = ()):
        self.precision, self.environments = p, environments
        self._slotted = [(_address(a), a.nbytes, a.strides[0]) for a in slotted]
        self._entries: list[Entry] = []
        self._kept: list[Any] = list(slotted)
        self._launch: wp.Launch | None = None
        self._head = np.zeros(3, np.int64)

    def __len__(self) -> int:
        """How many operations there are."""
        return len(self._entries)

    def part(self, chosen: Callable[[Operation], bool]) -> "Tape":
        """A tape of only some operations, to time them; transforms in it are of rows as they lie, without factors."""
        made = Tape(self.precision, self.environments)
        made._kept = self._kept
        made._entries = [entry.bare or entry for entry in self._entries if chosen(entry.operation)]
        return made

    def note(self, operation: Operation, out: np.ndarray, *operands: Any) -> None:
        """Note an operation; operands are arrays that broadcast to `out`, or numbers."""
        pairs = operation in (Operation.MULTIPLY, Operation.MULTIPLY_ADD, Operation.COMBINE)
        if pairs:
            operands = tuple(o for a, b in zip(operands[::2], operands[1::2], strict=True) for o in _ordered(a, b))
        if len(operands) > 2 * TERMS:
            raise ValueError(f"a sum of {len(operands) // 2} products; at most {TERMS} can be noted")
        shape = out.shape if out.ndim and (out.strides[-1] == out.itemsize or out.size == 1) else (*out.shape, 1)
        target = out.reshape(shape) if shape == out.shape else out[..., None]
        doubled = 2 if out.dtype.kind == "c" else 1
        placed = [self._place(target, target, Layout.SAME)]
        for index, operand in enumerate(operands):
            factor = pairs and index % 2 == 1
            placed.append(self._operand(target, operand, factor=factor, fits=shape == out.shape))
        count = doubled * shape[-1]
        self._append(Entry(operation, _lead(shape), count, placed, self._follow(count, placed)))

    def add_means(self, out: np.ndarray, values: np.ndarray) -> None:
        """Note out += mean(values), of [row] and [row, point]."""
        rows = values.reshape(len(values), -1)
        target = out.reshape(-1, 1)
        placed = [self._place(target, target, Layout.SAME), self._place(target, rows[:, :1], Layout.SAME)]
        self._kept.append(values)
        self._append(Entry(Operation.ADD_MEAN, (1, len(rows)), rows.shape[1], placed))

    def transform(
        self,
        operation: Operation,
        out: np.ndarray,
        values: np.ndarray,
        factor: np.ndarray | None,
        *,
        add: bool = False,
        spent: bool = False,
    ) -> None:
        """Note a transform along the last axis, between n real numbers and as many coefficients as there is room for.

        Coefficients are multiplied by those of `factor` [mode] if there is one; those made can be added. Values that are `spent`,
        which nothing reads after this, need not be written if they are a product: it is made on the way.
        """
        points, modes = (out, values) if operation == Operation.TO_POINTS else (values, out)
        n, made = points.shape[-1], tables(points.shape[-1], self.precision.numpy)
        room = np.empty(n * REGISTER + 2 * REGISTER, np.uint8)
        first = -_address(room) % (2 * REGISTER)
        self._kept += [made, room, out, values, factor]
        target, source = (self._place(a[..., :1], a[..., :1], Layout.SAME) for a in (out, values))
        lead = _lead(out.shape)
        sources = self._absorbed(source, (*lead, n)) if spent and operation == Operation.TO_MODES else [source]
        extra = [n, modes.shape[-1], *map(_address, made), _address(room) + first]
        bare = Entry(operation, lead, n, [target, source], extra=[*extra, 0, 0, 1])
        extra += [0 if factor is None else _address(factor), int(add), len(sources)]
        self._append(Entry(operation, lead, n, [target, *sources], extra=extra, bare=bare))

    def _absorbed(self, place: Place, shape: tuple[int, int, int]) -> list[Place]:
        """The factors of what was just written to a place, two rows and maybe a number, which is then no entry of its own."""
        numbers: list[Place] = []
        for back in (1, 2):
            entry = self._entries[-back] if len(self._entries) >= back else None
            if (
                entry is None
                or entry.operation != Operation.MULTIPLY
                or entry.shape != shape
                or entry.places[0] != place
            ):
                break
            _, one, other = entry.places
            if one[-1] == other[-1] == Layout.SAME:
                del self._entries[-back:]
                return [one, other, *numbers]
            if back == 2 or one != place or other[-1] != Layout.NUMBER:
                break
            numbers = [other]
        return [place]

    def replay(self, slot: int = 0, stride: int = 1, steps: int = 1) -> None:
        """Do everything, `steps` times."""
        if not self._entries:
            return
        if self._launch is None:
            body = [number for entry in self._entries for number in entry.integers()]
            whole = [0, 0, 0, 4 + len(body), *body]
            table = wp.array(np.array(whole, np.int64), dtype=wp.int64, device="cpu")
            groups = group_count(self.precision, self.environments)
            self._launch = wp.launch(
                replay_kernel(self.precision), dim=groups, inputs=[table], device="cpu", record_cmd=True
            )
            self._head = table.numpy()[:3]  # on the CPU it is the table itself
        self._head[:] = slot, stride, steps
        self._launch.launch()

    def _follow(self, count: int, placed: list[Place]) -> bool:
        """Whether the rows of all environments follow each other in every operand, so that they are one long row."""
        size = np.dtype(self.precision.numpy).itemsize
        spans = {Layout.NUMBER: 0, Layout.PAIR: 0, Layout.DOUBLED: count * size // 2}
        return all(p[3] == spans.get(Layout(p[4]), count * size) for p in placed)

    def _append(self, entry: Entry) -> None:
        if entry.lead[1] != self.environments:
            raise ValueError(f"expected {self.environments} environments on the last axis but one, got {entry.lead[1]}")
        self._entries.append(entry)

    def _operand(self, target: np.ndarray, operand: Any, *, factor: bool, fits: bool) -> Place:
        array = np.asarray(operand)
        whole = array.dtype.kind == "c" or (array.ndim == 0 and target.dtype.kind == "c" and not factor)
        array = array.astype(target.dtype if whole else self.precision.numpy, copy=False)
        if not fits and array.ndim:
            array = array[..., None]
        complex_here, complex_there = array.dtype.kind == "c", target.dtype.kind == "c"
        if array.ndim == 0 or array.shape[-1] == 1 and target.shape[-1] > 1:
            layout = Layout.PAIR if complex_here else Layout.NUMBER
        elif complex_here:
            layout = Layout.TURNED if factor else Layout.SAME
        else:
            layout = Layout.DOUBLED if complex_there else Layout.SAME
        if not factor and layout in (Layout.NUMBER, Layout.DOUBLED) and complex_there:
            raise TypeError("real numbers are only factors of complex ones")
        return self._place(target, array, layout)

    def _place(self, target: np.ndarray, array: np.ndarray, layout: Layout) -> Place:
        """Address and strides of an operand, its leading axes broadcast to those of the result."""
        if array.ndim and array.shape[-1] > 1 and array.strides[-1] != array.itemsize:
            raise ValueError("a row of an operand has gaps, and a copy of it would not change with it")
        self._kept.append(array)
        whole = np.broadcast_to(array, (*target.shape[:-1], *array.shape[-1:])) if target.ndim > 1 else array
        strides = (0, 0, *whole.strides[:-1])[-2:]
        if whole.ndim > 3:
            raise ValueError(f"expected at most three axes, got {whole.ndim}")
        address = _address(array)
        moves = next((step for start, size, step in self._slotted if start <= address < start + size), 0)
        return [address, moves, *strides, int(layout)]


def _lead(shape: tuple[int, ...]) -> tuple[int, int]:
    """The rows along two axes of an array."""
    first, second = (1, 1, *shape[:-1])[-2:]
    return first, second


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _ordered(a: Any, b: Any) -> tuple[Any, Any]:
    """Two factors, the one that is complex or has more numbers first."""
    kinds = [np.asarray(x).dtype.kind == "c" for x in (a, b)]
    if kinds[0] != kinds[1]:
        return (a, b) if kinds[0] else (b, a)
    return (a, b) if np.size(a) >= np.size(b) else (b, a)
