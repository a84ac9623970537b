"""An integrator's table on the device, for one linear operator."""

import collections
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pliant.sim.spectral.functions import Function
from pliant.sim.spectral.integrators import Integrator
from pliant.sim.spectral.transform import repeated

if TYPE_CHECKING:
    from pliant.sim.spectral.model import SpectralModel


@dataclasses.dataclass
class Term:
    """One term of a stage: its source by number, the coefficient, its conjugate, and its derivative by L.

    A product that several stages need is `held` under a number; `first` says that this one makes it.
    """

    source: int
    factor: Any
    conjugate: Any
    slope: Any
    held: int | None = None
    first: bool = False


class Weights:
    """The terms of every stage and of the result, of z = dt L [component or 1, batch or 1, *modes].

    Without a rate (`has_rate`), an equation has no N, and no stage but the result is needed.
    """

    def __init__(self, model: "SpectralModel", integrator: Integrator, z: np.ndarray, *, has_rate: bool):
        self.integrator, self._model, self._z, self._has_rate = integrator, model, z, has_rate
        self._placed: dict[int, tuple] = {}
        self._numbers: dict[tuple, int] = {}
        table = integrator.table(z, model.dt)
        sums = [*(table.stages if has_rate else ()), table.result]
        self._uses = collections.Counter((source, id(f)) for total in sums for source, f in total.items())
        terms = [self._terms(total) for total in sums]
        self.stages, self.result = terms[:-1], terms[-1]

    @property
    def held_count(self) -> int:
        """How many products are held."""
        return len(self._numbers)

    def _terms(self, total: Mapping[str, Function]) -> list[Term]:
        """The terms of a sum, those whose products are held last."""
        terms = [self._term(source, f) for source, f in total.items() if self._has_rate or source[0] not in "NM"]
        return sorted(terms, key=lambda term: term.held is not None)

    def _term(self, source: str, function: Function) -> Term:
        if id(function) not in self._placed:
            self._placed[id(function)] = self._place(function)
        term, key = Term(self._model.sources.index(source), *self._placed[id(function)]), (source, id(function))
        if self._uses[key] > 1:
            term.first = key not in self._numbers
            term.held = self._numbers.setdefault(key, len(self._numbers))
        return term

    def _place(self, function: Function) -> tuple:
        """Coefficient, conjugate and derivative by L on the device; real where z is, since the functions then are."""
        model, made = self._model, []
        for values in (function.value, np.conj(function.value), model.dt * function.slope):
            whole = np.broadcast_to(values, self._z.shape)
            whole = repeated(whole if self._z.dtype.kind == "c" else np.real(whole), model.batch, axis=1)
            made.append(model.arrays.load_factor(whole, model.precision))
        return tuple(made)
