"""NumPy arrays whose operations can be noted on a tape, and what stands for an array while an equation is noted."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from pliant.sim.precision import Precision
from pliant.sim.spectral import fft
from pliant.sim.spectral.arrays import HostArrays, complex_of
from pliant.sim.spectral.native.operations import Operation
from pliant.sim.spectral.native.tape import Tape
from pliant.sim.spectral.native.transform import factors


class NotRecordable(Exception):
    """An equation does with its arrays what a tape cannot hold."""


class _Noting(threading.local):
    tape: Tape | None = None


class RecordingArrays(HostArrays):
    """NumPy arrays in one dimension; while `recording`, what is asked for is noted instead of done.

    Coefficients have no room for the modes that were cut: the transforms know of them.
    """

    narrow = True

    def __init__(self) -> None:
        self._noting = _Noting()

    @property
    def tape(self) -> Tape | None:
        """Where this thread notes."""
        return self._noting.tape

    @contextlib.contextmanager
    def recording(self, tape: Tape) -> Iterator[None]:
        self._noting.tape = tape
        try:
            yield
        finally:
            self._noting.tape = None

    def load_factor(self, values: np.ndarray, p: Precision) -> np.ndarray:
        return np.array(values, complex_of(p) if values.dtype.kind == "c" else p.numpy, order="C")

    def traced(self, values: np.ndarray) -> Any:
        return values if self.tape is None else Traced(self.tape, values)

    def multiply(self, a: Any, b: Any, out: Any) -> Any:  # type: ignore[override]
        return self._do(Operation.MULTIPLY, np.multiply, out, a, b)

    def add(self, a: Any, b: Any, out: Any) -> Any:  # type: ignore[override]
        return self._do(Operation.ADD, np.add, out, a, b)

    def subtract(self, a: Any, b: Any, out: Any) -> Any:  # type: ignore[override]
        return self._do(Operation.SUBTRACT, np.subtract, out, a, b)

    def conj(self, values: Any) -> Any:  # type: ignore[override]
        if self.tape is None:
            return np.conj(values)
        return self._do(Operation.CONJUGATE, np.conj, np.empty_like(values), values)

    def copy(self, values: Any, out: Any) -> None:
        self._do(Operation.COPY, np.positive, out, values)

    def multiply_add(self, a: Any, b: Any, out: Any, scratch: Any) -> None:
        if self.tape is None:
            super().multiply_add(a, b, out, scratch)
        else:
            self._do(Operation.MULTIPLY_ADD, None, out, a, b)

    def add_means(self, values: Any, out: np.ndarray) -> None:
        if self.tape is None:
            super().add_means(values, out)
        else:
            self.tape.add_means(out, _plain(values))

    def forward_real(  # type: ignore[override]
        self, values: Any, out: Any, factor: Any = None, *, add: bool = False, spent: bool = False
    ) -> Any:
        """Coefficients along the last axis times a factor [mode], written or added; nothing reads `spent` values again."""
        if self.tape is not None:
            self.tape.transform(Operation.TO_MODES, out, values, factor, add=add, spent=spent)
            return out
        made = fft.forward_real(values, self._wide(values, out.dtype))[..., : out.shape[-1]]
        made = made if factor is None else made * factor
        out[...] = out + made if add else made
        return out

    def backward_real(self, coefficients: Any, out: Any, factor: Any = None) -> Any:  # type: ignore[override]
        """Real values along the last axis of coefficients times a factor [mode]."""
        if self.tape is not None:
            self.tape.transform(Operation.TO_POINTS, out, coefficients, factor)
            return out
        wide, kept = self._wide(out, coefficients.dtype), coefficients.shape[-1]
        wide[..., :kept] = coefficients if factor is None else coefficients * factor
        return fft.backward_real(wide, out)

    @staticmethod
    def _wide(points: np.ndarray, dtype: Any) -> np.ndarray:
        """Zeros for all coefficients of fields."""
        return np.zeros((*points.shape[:-1], points.shape[-1] // 2 + 1), dtype)

    def _do(self, operation: Operation, at_once: Any, out: Any, *operands: Any) -> Any:
        if self.tape is None:
            return at_once(*operands, out=out)
        self.tape.note(operation, _plain(out), *map(_plain, operands))
        return out


class Traced:
    """An array of fields on the points whose arithmetic is noted on a tape.

    It can be indexed by its first axis, written whole, and multiplied, added, subtracted and divided by numbers.
    """

    __array_ufunc__ = None

    def __init__(self, tape: Tape, values: np.ndarray):
        self.tape, self.values = tape, values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> "Traced":
        if not isinstance(index, (int, np.integer, slice)):
            raise NotRecordable(f"index {index!r}")
        return Traced(self.tape, self.values[index])

    def __setitem__(self, index: Any, values: Any) -> None:
        if index is not Ellipsis:
            raise NotRecordable(f"index {index!r}")
        self.tape.note(Operation.COPY, self.values, _plain(values))

    def __mul__(self, other: Any) -> "Traced":
        return self._made(Operation.MULTIPLY, self, other)

    def __add__(self, other: Any) -> "Traced":
        return self._made(Operation.ADD, self, other)

    def __sub__(self, other: Any) -> "Traced":
        return self._made(Operation.SUBTRACT, self, other)

    def __rsub__(self, other: Any) -> "Traced":
        return self._made(Operation.SUBTRACT, other, self)

    def __truediv__(self, other: Any) -> "Traced":
        if isinstance(other, Traced):
            raise NotRecordable("division by a field")
        return self * (1.0 / np.asarray(other))

    def __neg__(self) -> "Traced":
        return self * -1.0

    __rmul__, __radd__ = __mul__, __add__

    def __getattr__(self, name: str) -> Any:
        raise NotRecordable(f"attribute {name}")

    def _made(self, operation: Operation, a: Any, b: Any) -> "Traced":
        try:
            out = np.empty(np.broadcast_shapes(*(np.shape(_plain(x)) for x in (a, b))), self.values.dtype)
            self.tape.note(operation, out, _plain(a), _plain(b))
        except (TypeError, ValueError) as error:
            raise NotRecordable(str(error)) from None
        return Traced(self.tape, out)


def _plain(values: Any) -> Any:
    return values.values if isinstance(values, Traced) else values


def has_fast_rows(points: int) -> bool:
    """Whether compiled transforms know rows of this many points."""
    return factors(points // 2) is not None
