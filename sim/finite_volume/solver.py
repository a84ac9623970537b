"""Explicit steps of conservative finite volumes, and their adjoint.

    phi_(i+1/2) = -(K(u_(i+1)) - K(u_i)) / h,   u_i += dt (phi_(i-1/2) - phi_(i+1/2)) / h

At an end that is held, phi = -2 (K(u) - K(end)) / h outward; one that is not lets nothing through. Second order in h for
smooth u with dt ~ h^2; a front, at which u has a kink or a jump, is of first order. Mass changes by the inflow alone, and
u stays between its least and greatest value as long as dt <= h^2 / (3 k), or h^2 / (2 k) without held ends.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from pliant.sim.finite_volume.model import FIELDS, DiffusionState
from pliant.sim.status import Code, Status

if TYPE_CHECKING:
    from pliant.sim.finite_volume.binding import DiffusionBinding
    from pliant.sim.finite_volume.model import DiffusionModel

ROUND_OFF = 1e-6  # of the limit on dt


class DiffusionStates:
    """States, one a slot: {field: [slot, batch, ...]}."""

    def __init__(self, model: "DiffusionModel", slots: int):
        shapes, dtype = model.state_shapes, model.precision.numpy
        self.values = {name: np.zeros((slots, *shapes[name]), dtype) for name in FIELDS}

    def copy(self, slot: int, source: "DiffusionStates", source_slot: int) -> None:
        for name, array in self.values.items():
            array[slot] = source.values[name][source_slot]

    def write(self, slot: int, state: DiffusionState) -> None:
        for name, array in self.values.items():
            array[slot] = state.arrays()[name]

    def read(self, slot: int) -> DiffusionState:
        return DiffusionState({name: array[slot].copy() for name, array in self.values.items()})


class DiffusionSolver:
    """`slots` stored states of a model, and the adjoint of one."""

    def __init__(self, model: "DiffusionModel", binding: "DiffusionBinding", *, slots: int, every: int):
        self.model, self.binding, self.every = model, binding, every
        self.states, self.adjoint = DiffusionStates(model, slots), DiffusionStates(model, 1)
        self.step = self.slot = 0
        self._status = Status()

    def make_states(self, slots: int) -> DiffusionStates:
        return DiffusionStates(self.model, slots)

    def begin(self, first_step: int) -> None:
        self._status = Status()

    def reset(self) -> None:
        """Nothing outlives a step."""

    def set_clock(self, step: int, slot: int) -> None:
        self.step, self.slot = step, slot

    def advance(self, substeps: int) -> None:
        with np.errstate(all="ignore"):  # what is not finite is reported by `status`
            for _ in range(substeps):
                self._forward()
                self.step, self.slot = self.step + 1, self.slot + 1

    def retreat(self, substeps: int) -> None:
        for _ in range(substeps):
            self.step, self.slot = self.step - 1, self.slot - 1
            self._backward()

    def collect_controls(self) -> None:
        """Gradients of the ends gather by their interval already."""

    def status(self) -> Status:
        return self._status

    def _ends(self) -> dict[str, np.ndarray]:
        return {end: self.binding.end(end, self.step // self.every) for end in self.model.ends}

    def _forward(self) -> None:
        model, law, p = self.model, self.model.law, self.binding.constants
        u, h, dt = self.states.values["concentration"][self.slot], model.width, model.dt
        K = law.potential(u, p)
        flux = np.zeros((model.batch, model.cells + 1), u.dtype)
        flux[:, 1:-1] = -np.diff(K, axis=1) / h
        for end, value in self._ends().items():
            edge = law.potential(value, p)[:, 0]
            if end == "left":
                flux[:, 0] = -2.0 * (K[:, 0] - edge) / h
            else:
                flux[:, -1] = -2.0 * (edge - K[:, -1]) / h
        self.states.values["concentration"][self.slot + 1] = u - dt / h * np.diff(flux, axis=1)
        inflow = self.states.values["inflow"]
        inflow[self.slot + 1] = inflow[self.slot] + dt * (flux[:, 0] - flux[:, -1])
        self._watch(u, self.slot + 1)

    def _watch(self, u: np.ndarray, slot: int) -> None:
        """Keep the first thing that goes wrong."""
        if not self._status.ok:
            return
        model, item = self.model, f"{self.model.name}.concentration"
        new = self.states.values["concentration"][slot]
        most = max(float(model.law.diffusivity(v, self.binding.constants).max()) for v in (u, *self._ends().values()))
        faces = 3.0 if model.ends else 2.0  # how far a cell is tied to its neighbours; an end is half a cell away
        limit = model.width**2 / (faces * most) if most > 0.0 else np.inf
        if model.dt > limit * (1.0 + ROUND_OFF):
            sentence = (
                f"'{model.name}' would be unstable: dt = {model.dt:.3g} s exceeds {limit:.3g} s for a diffusivity of "
                f"{most:.3g} m^2/s in cells of {model.width:.3g} m; lower dt or `cells` (at substep {self.step})."
            )
            self._status = Status(Code.CFL, self.step, 0, item, sentence)
        elif not np.isfinite(new).all():
            environment, cell = (int(number) for number in np.argwhere(~np.isfinite(new))[0])
            of = environment if model.batch > 1 else None
            sentence = f"cell {cell} of '{model.name}' is not finite; lower dt (at substep {self.step})."
            self._status = Status(Code.NOT_FINITE, self.step, cell, item, sentence, environment=of)

    def _backward(self) -> None:
        """The adjoint of the state in the slot from that of the next."""
        model, law, p = self.model, self.model.law, self.binding.constants
        u, h, dt = self.states.values["concentration"][self.slot], model.width, model.dt
        du, dinflow = self.adjoint.values["concentration"][0], self.adjoint.values["inflow"][0]
        dflux = np.zeros((model.batch, model.cells + 1), u.dtype)
        dflux[:, :-1] += dt / h * du
        dflux[:, 1:] -= dt / h * du
        dflux[:, 0] += dt * dinflow
        dflux[:, -1] -= dt * dinflow
        dK = np.zeros_like(u)
        dK[:, :-1] += dflux[:, 1:-1] / h
        dK[:, 1:] -= dflux[:, 1:-1] / h
        for end, value in self._ends().items():
            cell, sign = (0, 1.0) if end == "left" else (-1, -1.0)
            dedge = (sign * 2.0 * dflux[:, cell] / h)[:, None]
            dK[:, cell] -= dedge[:, 0]
            self._gather(value, dedge, p)
            self.binding.dends[end][:, self.step // self.every] += (dedge * law.diffusivity(value, p))[:, 0]
        self._gather(u, dK, p)
        du += law.diffusivity(u, p) * dK

    def _gather(self, u: np.ndarray, dK: np.ndarray, p: Any) -> None:
        """Add the gradients by the law's parameters."""
        for name, slope in self.model.law.slopes(u, p).items():
            self.binding.dconstants[name] += (slope * dK).sum(axis=1, dtype=np.float64)
