"""Parameter values of one rollout of an interval, and what their gradients gather in."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.finite_volume.model import DiffusionState

if TYPE_CHECKING:
    from pliant.sim.finite_volume.model import DiffusionModel


class DiffusionBinding:
    """Values of all parameters for a rollout of `intervals` control intervals."""

    external_laws: tuple = ()
    wanted: frozenset[str] | None = None

    def __init__(self, model: "DiffusionModel", intervals: int):
        self.model, self.intervals = model, intervals
        self._given: dict[str, np.ndarray] = {}
        self._full: dict[str, np.ndarray] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.dconstants = {spec.name: np.zeros(model.batch) for spec in model.law.PARAMETERS}
        self.dends = {end: np.zeros((model.batch, intervals)) for end in model.ends}

    def set(self, values: Mapping[str, Any]) -> None:
        """Load parameter values; names left out keep the model's own. `InputError` for what does not fit."""
        self.model.check_names(values)
        self._given = {name: np.asarray(value) for name, value in values.items()}
        self._full = {name: self._expanded(name) for name in self.model.parameters()}
        self.constants = {s.name: self._full[f"{self.model.name}.{s.name}"][:, None] for s in self.model.law.PARAMETERS}

    def full(self, name: str) -> np.ndarray:
        """The full array of a parameter as it is bound now."""
        return self._full[name]

    def end(self, end: str, interval: int) -> np.ndarray:
        """[batch, 1], the value held at an end in a control interval."""
        value = self._full[f"{self.model.name}.{end}"]
        return value[:, [min(interval, value.shape[1] - 1)]]

    def initial_state(self) -> DiffusionState:
        """The state that the bound values describe."""
        model = self.model
        inflow = np.zeros(model.batch, model.precision.numpy)
        return DiffusionState({"concentration": self._full[f"{model.name}.concentration"], "inflow": inflow})

    def clear_gradients(self) -> None:
        for gathered in (*self.dconstants.values(), *self.dends.values()):
            gathered[...] = 0.0

    def gradients(self, adjoint: DiffusionState) -> dict[str, np.ndarray]:
        """Gradient of every parameter, in the shape of the value it was given (or of the model's own)."""
        model, parameters = self.model, self.model.parameters()
        full: dict[str, np.ndarray] = {f"{model.name}.{name}": gathered for name, gathered in self.dconstants.items()}
        for end, gathered in self.dends.items():
            single = self._full[f"{model.name}.{end}"].shape[1] == 1
            full[f"{model.name}.{end}"] = gathered.sum(axis=1, keepdims=True) if single else gathered
        full[f"{model.name}.concentration"] = adjoint.arrays()["concentration"]
        full = {name: gradient.astype(model.precision.numpy) for name, gradient in full.items()}
        return {n: parameters[n].reduce(g, self._given[n]) if n in self._given else g for n, g in full.items()}

    def views(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """The arrays of a state as "<name>.<field>"."""
        return {f"{self.model.name}.{name}": array for name, array in arrays.items()}

    def unite(self, views: Mapping[str, Any], concatenate: Callable) -> dict[str, Any]:
        """The arrays of a state by field."""
        return {name.rpartition(".")[2]: array for name, array in views.items()}

    def _expanded(self, name: str) -> np.ndarray:
        parameter = self.model.parameters()[name]
        value = parameter.expand(self._given[name]) if name in self._given else parameter.value
        if parameter.timed and value.shape[1] not in (1, self.intervals):
            raise InputError(
                f"{name}: expected {self.intervals} control intervals, got {value.shape[1]}; give one value each, or a "
                "single one."
            )
        return value
