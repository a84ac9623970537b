"""Steps of a spectral model forward, and the adjoint of its state backward, by the table of an integrator.

A step keeps in its slot what its adjoint needs: N at every stage, and the fields on the points that N was made of. No
graph is recorded; the adjoint walks the table from the last stage to the first.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from sim.spectral.arrays import complex_of
from sim.spectral.binding import SpectralBinding, Term, Weights
from sim.spectral.state import Basis, SpectralAdjoint, SpectralStates
from sim.spectral.watch import Watch
from sim.status import Status

if TYPE_CHECKING:
    from sim.spectral.model import SpectralModel


class SpectralSolver:
    """`slots` stored states of a model, and the adjoint of one."""

    def __init__(self, model: "SpectralModel", binding: SpectralBinding, *, slots: int, every: int, gradient: bool):
        self.model, self.binding, self.every, self.gradient = model, binding, every, gradient
        self.basis = Basis(model)
        self.states = SpectralStates(model, self.basis, slots)
        self.adjoint = SpectralAdjoint(model, self.basis, 1)
        self.rate = model.equation.make_rate(model, binding, self.basis.transform)
        self._watch = Watch(model, self.basis)
        self.step, self.slot, self.first_step = 0, 0, 0
        arrays, dtype = model.arrays, complex_of(model.precision)
        shape = (model.components, model.batch, *model.grid.modes)
        rates = (slots if gradient else 1, model.evaluations, *shape)
        self._rates = arrays.empty(rates, dtype)
        self._fields: list[list] = [[None] * model.evaluations for _ in range(rates[0])]
        self._scratch, self._stage, self._sum = (arrays.empty(shape, dtype) for _ in range(3))
        self._bars = {source: arrays.empty(shape, dtype) for source in self._sources()}

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
        with np.errstate(all="ignore"):  # what is not finite is reported by `status`
            for _ in range(substeps):
                self._forward(self.slot)
                self.step, self.slot = self.step + 1, self.slot + 1

    def retreat(self, substeps: int) -> None:
        with np.errstate(all="ignore"):
            for _ in range(substeps):
                self.step, self.slot = self.step - 1, self.slot - 1
                self._backward(self.slot)

    def collect_controls(self) -> None:
        self.binding.collect(self.step // self.every)

    def status(self) -> Status:
        found = self._watch.status(self.states.coefficients, self.step, self.slot)
        return self.rate.status(self.step) if found.ok else found

    def _sources(self) -> list[str]:
        """Names of everything a stage can be a sum over."""
        kept = [source for source, _ in self.model.integrator.history]
        return ["u", *kept, *(f"N{j}" for j in range(self.model.evaluations))]

    def _weights(self) -> Weights:
        """Those of the integrator, or of its starter as long as there is no history."""
        method = self.model.integrator
        starting = self.first_step + self.step < method.first_steps
        return self.binding.weights[method.starter if starting else method.name]

    def _values(self, slot: int) -> dict[str, Any]:
        """Every source of the step from a slot by its name."""
        kept = [source for source, _ in self.model.integrator.history]
        state, rates = self.states.coefficients[slot], self._rates[slot if self.gradient else 0]
        return dict(zip(["u", *kept], state, strict=True)) | {f"N{j}": rate for j, rate in enumerate(rates)}

    def _forward(self, slot: int) -> None:
        """One step, from a slot to the next."""
        weights, values, target = self._weights(), self._values(slot), self.states.coefficients[slot + 1]
        source = self.binding.source(self.step // self.every)
        for j in range(weights.integrator.evaluations):
            state = values["u"] if j == 0 else self._combine(weights.stages[j - 1], values, self._stage)
            if self.binding.has_rate:
                fields = self.rate.evaluate(state, source, values[f"N{j}"])
                if self.gradient:
                    self._fields[slot][j] = fields
        self._combine(weights.result, values, target[0])
        self.model.symmetrise(target[0])
        for entry, (_, origin) in enumerate(self.model.integrator.history):
            target[1 + entry][...] = values[origin]

    def _combine(self, terms: list[Term], values: dict[str, Any], out: Any) -> Any:
        """The sum of coefficient * source."""
        arrays = self.model.arrays
        for index, term in enumerate(terms):
            part = arrays.multiply(values[term.source], term.factor, out=self._scratch if index else out)
            if index:
                arrays.add(out, part, out=out)
        return out

    def _backward(self, slot: int) -> None:
        """The adjoint of one step: that of the state in a slot from that of the next."""
        weights, values = self._weights(), self._values(slot)
        bars, adjoint = self._bars, self.adjoint.coefficients[0]
        written: set[str] = set()
        for entry, (_, origin) in enumerate(self.model.integrator.history):
            self._add_bar(origin, adjoint[1 + entry], written)
        self.model.symmetrise(adjoint[0])
        self._spread(weights.result, values, adjoint[0], written)
        if self.binding.has_rate:
            for j in reversed(range(weights.integrator.evaluations)):
                self._stage_back(j, slot, weights, values, written)
        for entry, source in enumerate(["u", *(source for source, _ in self.model.integrator.history)]):
            adjoint[entry][...] = bars[source] if source in written else 0.0

    def _stage_back(self, j: int, slot: int, weights: Weights, values: dict[str, Any], written: set[str]) -> None:
        """The adjoint of N at stage j goes to that of the stage's state, and from there to its sources."""
        if f"N{j}" not in written:
            return
        fields, bar = self._fields[slot][j], self._bars[f"N{j}"]
        if j == 0:
            self.rate.pull_back(fields, bar, self._bars["u"])
            return
        self._stage[...] = 0.0
        self.rate.pull_back(fields, bar, self._stage)
        self._spread(weights.stages[j - 1], values, self._stage, written)

    def _spread(self, terms: list[Term], values: dict[str, Any], adjoint: Any, written: set[str]) -> None:
        """Hand the adjoint of a sum to its sources, and to the linear operator."""
        arrays = self.model.arrays
        for term in terms:
            if term.source in written:
                arrays.add(
                    self._bars[term.source],
                    arrays.multiply(adjoint, term.conjugate, out=self._scratch),
                    out=self._bars[term.source],
                )
            else:
                arrays.multiply(adjoint, term.conjugate, out=self._bars[term.source])
                written.add(term.source)
        for index, term in enumerate(terms):
            part = arrays.multiply(values[term.source], term.slope, out=self._scratch if index else self._sum)
            if index:
                arrays.add(self._sum, part, out=self._sum)
        arrays.multiply(self._sum, arrays.conj(adjoint), out=self._sum)
        arrays.add(self.binding.dlinear, self._sum, out=self.binding.dlinear)

    def _add_bar(self, source: str, adjoint: Any, written: set[str]) -> None:
        if source in written:
            self.model.arrays.add(self._bars[source], adjoint, out=self._bars[source])
        else:
            self._bars[source][...] = adjoint
            written.add(source)
