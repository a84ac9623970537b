"""Steps of a spectral model forward, and the adjoint of its state backward, by the table of an integrator.

A step keeps in its slot what its adjoint needs: N at every stage, and the fields on the points that N was made of. No
graph is recorded; the adjoint walks the table from the last stage to the first.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from pliant.sim.spectral.arrays import complex_of
from pliant.sim.spectral.binding import SpectralBinding
from pliant.sim.spectral.native.player import Player
from pliant.sim.spectral.native.recording import RecordingArrays
from pliant.sim.spectral.rate import Rate
from pliant.sim.spectral.state import Basis, SpectralAdjoint, SpectralStates
from pliant.sim.spectral.watch import Watch
from pliant.sim.spectral.weights import Term, Weights
from pliant.sim.status import Status

if TYPE_CHECKING:
    from pliant.sim.spectral.model import SpectralModel


Parts = list[tuple[Any, Any]]
"""An adjoint as a sum: of others, each with its factor, or None for one."""


class SpectralSolver:
    """`slots` stored states of a model, and the adjoint of one."""

    def __init__(self, model: "SpectralModel", binding: SpectralBinding, *, slots: int, every: int, gradient: bool):
        self.model, self.binding, self.every, self.gradient = model, binding, every, gradient
        self.basis = Basis(model)
        self.states = SpectralStates(model, self.basis, slots)
        self.adjoint = SpectralAdjoint(model, self.basis, 1)
        self.rate = model.equation.make_rate(model, binding, self.basis.transform)
        self._watch = Watch(model, binding, self.basis)
        self.step, self.slot, self.first_step = 0, 0, 0
        arrays, dtype = model.arrays, complex_of(model.precision)
        self._dtype = dtype
        shape = (model.components, model.batch, *model.grid.modes)
        rates = (slots if gradient else 1, model.evaluations, *shape)
        self._rates = arrays.empty(rates, dtype) if binding.has_rate else arrays.zeros(rates, dtype)
        fields = (rates[0], model.evaluations, self.rate.inputs, model.batch, *model.grid.shape)
        self._fields = arrays.empty(fields, model.precision.numpy)
        self._scratch, self._stage, self._sum = (arrays.empty(shape, dtype) for _ in range(3))
        self._stage_bars = [arrays.empty(shape, dtype) for _ in range(model.evaluations - 1)]
        self._rate_bar = arrays.empty(shape, dtype)
        self._past_bars = [arrays.empty(shape, dtype) for _ in range(1 + model.history if model.history else 0)]
        self._held: list[Any] = []
        self._kept = [(1 + i, model.sources.index(origin)) for i, (_, origin) in enumerate(model.integrator.history)]
        self._sources: list[list | None] = [None] * slots
        recorded = isinstance(arrays, RecordingArrays) and type(self.rate) is Rate
        self._player = Player(self) if recorded else None

    def make_states(self, slots: int) -> SpectralStates:
        return SpectralStates(self.model, self.basis, slots)

    def begin(self, first_step: int) -> None:
        """A run starts at this substep of a longer one; it tells whether a multistep method has its history."""
        self.first_step = first_step
        self._watch.begin()
        self.rate.begin()

    def reset(self) -> None:
        """Nothing outlives a step."""

    def set_clock(self, step: int, slot: int) -> None:
        self.step, self.slot = step, slot
        self._watch.start(step, slot)

    def advance(self, substeps: int) -> None:
        if self._player is not None and self._player.advance(substeps):
            return
        with np.errstate(all="ignore"):  # what is not finite is reported by `status`
            for _ in range(substeps):
                self.forward(self.slot)
                self.step, self.slot = self.step + 1, self.slot + 1

    def retreat(self, substeps: int) -> None:
        if self._player is not None and self._player.retreat(substeps):
            return
        with np.errstate(all="ignore"):
            for _ in range(substeps):
                self.step, self.slot = self.step - 1, self.slot - 1
                self.backward(self.slot)

    def collect_controls(self) -> None:
        self.binding.collect(self.step // self.every)

    def status(self) -> Status:
        found = self._watch.status(self.states.coefficients, self.step, self.slot)
        return self.rate.status(self.step) if found.ok else found

    def slotted(self) -> list:
        """The arrays whose first axis is the slot."""
        return [self.states.coefficients, *([self._rates, self._fields] if self.gradient else [])]

    def _weights(self) -> Weights:
        """Those of the integrator, or of its starter as long as there is no history."""
        method = self.model.integrator
        return self.binding.weights[method.starter if self.starting(self.step) else method.name]

    def starting(self, step: int) -> bool:
        """Whether the starter takes a step."""
        return self.first_step + step < self.model.integrator.first_steps

    def _values(self, slot: int) -> list:
        """Every source of the step from a slot, in the order of `model.sources`."""
        made = self._sources[slot]
        if made is None:
            made = [*self.states.coefficients[slot], *self._rates[slot if self.gradient else 0]]
            self._sources[slot] = made
        return made

    def forward(self, slot: int) -> None:
        """One step, from a slot to the next."""
        weights, values, target = self._weights(), self._values(slot), self.states.coefficients[slot + 1]
        source, fields = self.binding.source(self.step // self.every), self._fields[slot if self.gradient else 0]
        first_rate = 1 + self.model.history
        while len(self._held) < weights.held_count:
            self._held.append(self.model.arrays.empty(tuple(self._sum.shape), self._dtype))
        for j in range(weights.integrator.evaluations if self.binding.has_rate else 0):
            state = values[0] if j == 0 else self._combine(weights.stages[j - 1], values, self._stage)
            self.rate.evaluate(state, source, fields[j], values[first_rate + j])
        self._combine(weights.result, values, target[0])
        self.model.symmetrise(target[0])
        for entry, origin in self._kept:
            self.model.arrays.copy(values[origin], target[entry])

    def _combine(self, terms: list[Term], values: list, out: Any) -> Any:
        """The sum of coefficient * source."""
        multiply, add = self.model.arrays.multiply, self.model.arrays.add
        if self._player is not None and self._player.recording:
            self._player.combine([(values[term.source], term.factor) for term in terms], out)
            return out
        for index, term in enumerate(terms):
            if term.held is None:
                part = multiply(values[term.source], term.factor, out=self._scratch if index else out)
            else:
                part = self._held[term.held]
                if term.first:
                    multiply(values[term.source], term.factor, out=part)
            if index:
                add(out, part, out=out)
            elif part is not out:
                out[...] = part
        return out

    def backward(self, slot: int) -> None:
        """The adjoint of one step: that of the state in a slot from that of the next."""
        weights, values = self._weights(), self._values(slot)
        adjoint, first_rate = self.adjoint.coefficients[0], 1 + self.model.history
        parts: list[Parts] = [[] for _ in values]
        self.model.symmetrise(adjoint[0])
        self._spread(weights.result, values, adjoint[0], parts)
        for entry, origin in self._kept:
            parts[origin].append((adjoint[entry], None))
        for j in reversed(range(1, weights.integrator.evaluations)):
            if parts[first_rate + j]:
                bar, stage = self._total(parts[first_rate + j], self._rate_bar), self._stage_bars[j - 1]
                self.rate.pull_back(self._fields[slot][j], bar, stage, add=False)
                self._spread(weights.stages[j - 1], values, stage, parts)
        bar = self._total(parts[first_rate], self._rate_bar) if parts[first_rate] else None
        rooms = self._past_bars or [adjoint[0]]  # a multistep method needs the adjoints of its past for each other
        for entry, room in enumerate(rooms):
            self._total(parts[entry], room)
        if bar is not None:
            self.rate.pull_back(self._fields[slot][0], bar, rooms[0], add=True)
        for entry, room in enumerate(self._past_bars):
            self.model.arrays.copy(room, adjoint[entry])

    def _spread(self, terms: list[Term], values: list, adjoint: Any, parts: list[Parts]) -> None:
        """Hand the adjoint of a sum to its sources, and to the linear operator."""
        arrays = self.model.arrays
        for term in terms:
            parts[term.source].append((adjoint, term.conjugate))
        if not self.binding.wants_linear:
            return
        for index, term in enumerate(terms):
            if index:
                arrays.multiply_add(values[term.source], term.slope, out=self._sum, scratch=self._scratch)
            else:
                arrays.multiply(values[term.source], term.slope, out=self._sum)
        arrays.multiply_add(self._sum, arrays.conj(adjoint), out=self.binding.dlinear, scratch=self._scratch)

    def _total(self, parts: Parts, out: Any) -> Any:
        """The sum of adjoint * factor, written to `out`, which can be the first of the adjoints."""
        arrays = self.model.arrays
        if not parts:
            arrays.copy(0.0, out)
        elif self._player is not None and self._player.recording:
            self._player.combine([(values, 1.0 if factor is None else factor) for values, factor in parts], out)
        else:
            for index, (values, factor) in enumerate(parts):
                if index and factor is not None:
                    arrays.multiply_add(values, factor, out=out, scratch=self._scratch)
                elif index:
                    arrays.add(out, values, out=out)
                elif factor is not None:
                    arrays.multiply(values, factor, out=out)
                else:
                    arrays.copy(values, out)
        return out
