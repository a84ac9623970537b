"""An interval of cells with a law of diffusion: what a user describes, and builds into a model."""

from typing import Any

import numpy as np

from pliant.sim.checks import number, numbers, positive
from pliant.sim.errors import InputError
from pliant.sim.finite_volume.laws import DiffusionLaw
from pliant.sim.finite_volume.model import BOUNDARY, INITIAL, DiffusionModel
from pliant.sim.parameter import Parameter
from pliant.sim.precision import precision
from pliant.sim.scene import find_device
from pliant.sim.sharing import built_alone

FEWEST = 4


class Interval:
    """Cells of equal width on [0, length] with one field.

    Args:
        length: [m].
        cells: how many.
    """

    def __init__(self, length: float, cells: int):
        self.length = positive("length", length)
        if isinstance(cells, bool) or not isinstance(cells, (int, np.integer)) or cells < FEWEST:
            raise InputError(f"cells: expected a whole number of at least {FEWEST}, got {cells!r}; correct it.")
        self.cells = int(cells)
        self.entry: dict[str, Any] | None = None

    @property
    def centers(self) -> np.ndarray:
        """[cells], of the cells [m]."""
        return (np.arange(self.cells) + 0.5) * self.length / self.cells

    def add_field(
        self, law: DiffusionLaw, *, name: str, initial: Any = 0.0, left: Any = None, right: Any = None
    ) -> str:
        """Put a field on the cells; returns its name.

        Args:
            law: `Heat`, `PorousMedium` or `Stefan`.
            initial: means over the cells: an array [cells] or [batch, cells], a number, or a function of the centres.
            left, right: value held at that end; None lets nothing through.

        Errors: `InputError` for what does not fit.
        """
        if not isinstance(law, DiffusionLaw):
            raise InputError(f"law: expected one of sim.finite_volume, got {type(law).__name__}; see there.")
        if self.entry is not None:
            raise InputError("add_field: expected one field an interval, got a second; take another interval.")
        if not isinstance(name, str) or not name or "." in name:
            raise InputError(f"name: expected a name without dots, got {name!r}; choose another.")
        values = numbers(initial(self.centers) if callable(initial) else initial)
        fits = values is not None and values.ndim <= 2 and values.shape[-1:] in ((), (self.cells,))
        if values is None or not fits or not np.isfinite(values).all():
            raise InputError(f"initial: expected finite numbers [{self.cells}], got others; sample it on the centres.")
        ends = {"left": left, "right": right}
        held = {end: number(f"{name}.{end}", value) for end, value in ends.items() if value is not None}
        for end, value in held.items():
            BOUNDARY[end].check(value, name)
        self.entry = {"law": law, "name": name, "initial": values, "held": held}
        return name

    @built_alone
    def build(
        self, *, dt: float, device: str = "cpu", batch: int = 1, dtype: str = "float32", seed: int = 0
    ) -> DiffusionModel:
        """Freeze the interval into a model.

        Args:
            dt: step [s], at most width^2 / (3 k) for the largest k, width^2 / (2 k) without held ends, or the run ends with a
                status.
            device: "cpu".
            batch: environments that run side by side, with their own parameters and initial values.
        """
        p, where = precision(dtype), find_device(device)
        if where.is_cuda:
            raise InputError(
                f"device: expected 'cpu', as finite volumes run there alone, got {device!r}; leave it out."
            )
        if self.entry is None:
            raise InputError("interval: expected a field, got none; call add_field first.")
        if isinstance(batch, bool) or not isinstance(batch, (int, np.integer)) or batch < 1:
            raise InputError(f"batch: expected a whole number of at least 1, got {batch!r}; correct it.")
        return DiffusionModel(
            description=self.to_dict(),
            device=where,
            precision=p,
            dt=positive("dt", dt),
            batch=int(batch),
            seed=seed,
            name=self.entry["name"],
            width=self.length / self.cells,
            cells=self.cells,
            law=self.entry["law"],
            ends=tuple(self.entry["held"]),
            listed=self._parameters(int(batch), p),
        )

    def to_dict(self) -> dict:
        """The interval as plain values, without the initial field."""
        made: dict[str, Any] = {"family": "finite_volume", "lengths": [self.length], "cells": self.cells}
        if self.entry is not None:
            made |= {"name": self.entry["name"], **self.entry["law"].to_dict(), "held": self.entry["held"]}
        return made

    def _parameters(self, batch: int, p: Any) -> tuple[Parameter, ...]:
        entry = self.entry or {}
        name, law = entry["name"], entry["law"]
        made = []
        for spec in law.PARAMETERS:
            value = spec.cast(np.full(batch, getattr(law, spec.name), np.float64), p.numpy, name)
            made.append(Parameter(f"{name}.{spec.name}", spec, value))
        for end, value in entry["held"].items():
            full = BOUNDARY[end].cast(np.full((batch, 1), value), p.numpy, name)
            made.append(Parameter(f"{name}.{end}", BOUNDARY[end], full, timed=True))
        values = entry["initial"]
        if values.ndim > 1 and len(values) not in (1, batch):
            raise InputError(f"initial: expected {batch} environments, got {len(values)}; correct it or the batch.")
        full = INITIAL.cast(np.broadcast_to(values, (batch, self.cells)), p.numpy, name)
        made.append(Parameter(f"{name}.{INITIAL.name}", INITIAL, full, 1))
        return tuple(made)
