"""What a user writes for fields: a periodic box, an equation in it, and its initial values."""

import copy
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import warp as wp

from pliant.sim.atomic import write_atomically
from pliant.sim.device import find_device
from pliant.sim.errors import InputError
from pliant.sim.memory import device_memory
from pliant.sim.parameter import Parameter, ParameterSpec
from pliant.sim.precision import Precision, precision
from pliant.sim.sharing import built_alone
from pliant.sim.spectral.equation import Equation, Field
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.integrators import find_integrator
from pliant.sim.spectral.model import SpectralModel

FORMAT, FAMILY = 1, "spectral"
SMALLEST = 8  # points along a side: fewer keep a mode or two
JUMP = 4.0  # times the largest difference of neighbours, for two points that the box makes neighbours
COPIES = 24  # arrays of the size of a field that a rollout of one step needs, kept states apart


class PeriodicBox:
    """A box with periodic faces under construction.

    Args:
        lengths: of its sides (Lx, Ly, ...) [m]; one number for a box in one dimension.
        resolution: even numbers of points (nx, ny, ...) along them. Arrays have the axes [nz, ny, nx]. In one dimension
            numbers without other prime factors than 2, 3 and 5 run in compiled code on the CPU.

    A field is what its kept Fourier modes make of it: those which products of the equation's degree do not alias (two
    thirds of them for a quadratic equation). What an initial field has beyond is not part of the simulation, and
    frame 0 shows what is.
    """

    def __init__(self, lengths: float | Sequence[float], resolution: int | Sequence[int]):
        self.lengths = _lengths(lengths)
        self.resolution = _resolution(resolution, len(self.lengths))
        self.entry: dict[str, Any] | None = None

    @property
    def coordinates(self) -> tuple[np.ndarray, ...]:
        """x, y, ... [m] of the points, each of shape [nz, ny, nx]."""
        return Grid.resolving(self.lengths, self.resolution, 1).coordinates

    def add_field(self, equation: Equation, *, name: str = "field", color=None, **initial: Any) -> str:
        """Let an equation rule the box, and return its name.

        Args:
            equation: of `sim.spectral.equations`.
            name: of what it describes, before the dot in "fluid.vorticity".
            color: ignored by fields so far; kept in the description.
            initial: every field of the equation by its name: an array [nz, ny, nx] (with a last axis for components, a
                first one for environments), a number, or a function of the coordinates x, y, ...

        Errors: `InputError` for an equation, a name or fields that do not fit, and for a field that is not periodic.
        """
        if not isinstance(equation, Equation):
            raise InputError(
                f"equation: expected one of sim.spectral.equations, got {type(equation).__name__}; see there."
            )
        if self.entry is not None:
            raise InputError(f"add_field: expected one equation a box, got a second; {self.entry['name']!r} is there.")
        if not isinstance(name, str) or not name or "." in name:
            raise InputError(f"name: expected a name without dots, got {name!r}; choose another.")
        dimension, kind = len(self.lengths), type(equation).__name__
        if dimension not in equation.DIMENSIONS:
            raise InputError(
                f"{kind}: expected a box with {_either(equation.DIMENSIONS)} axes, got one with {dimension}; change "
                "`lengths` and `resolution`."
            )
        grid = self._grid(equation)
        self._check_memory(grid.points * equation.components(dimension))
        equation.check(grid)
        wanted = [field.name for field in equation.FIELDS]
        if set(initial) != set(wanted):
            raise InputError(
                f"add_field: expected initial values of {wanted}, got {sorted(initial)}; give each of them."
            )
        fields = {field.name: self._sampled(field, initial[field.name]) for field in equation.FIELDS}
        self.entry = {"name": name, "equation": equation, "color": color, "initial": fields}
        return name

    @built_alone
    def build(
        self,
        *,
        dt: float,
        integrator: str = "ETDRK4",
        device: str = "cpu",
        batch: int = 1,
        dtype: str = "float32",
        threads: int | None = None,
        seed: int = 0,
    ) -> SpectralModel:
        """Freeze the box into a model.

        Args:
            dt: step [s].
            integrator: "ETDRK1" to "ETDRK4", "IMEXRK4", "SBDF1" to "SBDF3" (see `sim.spectral.integrators`).
            device: "cpu", or "cuda" (needs torch for its FFT).
            batch: environments that run side by side, with their own parameters and initial fields.
            dtype: "float32" or "float64"; the integrator's coefficients are made in float64 in any case.
            threads: 1, for fields run on one CPU thread.
            seed: kept in the trajectory's metadata.
        """
        p, where, method = precision(dtype), find_device(device), find_integrator(integrator)
        if self.entry is None:
            raise InputError("box: expected an equation, got none; call add_field first.")
        if isinstance(batch, bool) or not isinstance(batch, (int, np.integer)) or batch < 1:
            raise InputError(f"batch: expected a whole number of at least 1, got {batch!r}; correct it.")
        if threads not in (None, 1):
            raise InputError(f"threads: expected 1, as fields run on one thread, got {threads!r}; leave it out.")
        equation = self.entry["equation"]
        grid = self._grid(equation)
        needed = COPIES * float(batch) * equation.components(grid.dimension) * grid.points * np.dtype(p.numpy).itemsize
        if needed > device_memory(where):
            raise InputError(
                f"resolution: {grid.points} points in each of {batch} environments need {needed / 1e9:.2g} GB, which "
                f"{where} does not have; lower the resolution or the batch."
            )
        return SpectralModel(
            description=self.to_dict(initial=False),
            device=where,
            precision=p,
            dt=_positive("dt", dt),
            batch=int(batch),
            seed=seed,
            name=self.entry["name"],
            grid=grid,
            equation=equation,
            integrator=method,
            listed=self._parameters(self.entry, int(batch), p),
        )

    def to_dict(self, *, initial: bool = True) -> dict:
        """The box as plain numbers and strings, without the initial fields if they are not wanted."""
        plain: dict[str, Any] = {
            "format": FORMAT,
            "family": FAMILY,
            "lengths": list(self.lengths),
            "resolution": list(self.resolution),
            "fields": [],
        }
        if self.entry is not None:
            made = {"name": self.entry["name"], "color": self.entry["color"]}
            made["equation"] = self.entry["equation"].to_dict()
            if initial:
                made["initial"] = {name: array.tolist() for name, array in self.entry["initial"].items()}
            plain["fields"] = [made]
        return plain

    @staticmethod
    def from_dict(data: dict) -> "PeriodicBox":
        """The box that `to_dict` described.

        Errors: `InputError` for a missing entry, an unknown format, or whatever `add_field` refuses.
        """
        if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("family") != FAMILY:
            raise InputError(f"box: expected a description of format {FORMAT} of a box, got another; save it anew.")
        try:
            box = PeriodicBox(data["lengths"], data["resolution"])
            for entry in data["fields"]:
                initial = {name: np.asarray(values) for name, values in entry["initial"].items()}
                equation = Equation.from_dict(entry["equation"])
                box.add_field(equation, name=entry["name"], color=entry["color"], **initial)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"box: its description lacks or misnames an entry ({error}); save it anew.") from None
        return box

    def save(self, path: str | os.PathLike) -> None:
        """Write the box as JSON."""
        write_atomically(path, json.dumps(self.to_dict()).encode())

    @staticmethod
    def load(path: str | os.PathLike) -> "PeriodicBox":
        """Read a box that `save` wrote; `InputError` for a missing or damaged file."""
        try:
            return PeriodicBox.from_dict(json.loads(Path(path).read_text()))
        except OSError as error:
            raise InputError(f"box: cannot read {path}: {error.strerror or error}; check the path.") from None
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"box: {path} is not a complete JSON file ({error}); save it anew.") from None

    def copy(self) -> "PeriodicBox":
        """An independent copy to vary."""
        return copy.deepcopy(self)

    def _grid(self, equation: Equation) -> Grid:
        return Grid.resolving(self.lengths, self.resolution, equation.DEGREE)

    def _check_memory(self, numbers: int) -> None:
        """Raise `InputError` for initial fields that the host has no room for."""
        needed = 8.0 * numbers
        if needed > device_memory(wp.get_device("cpu")):
            raise InputError(
                f"resolution: {' x '.join(map(str, self.resolution))} points need {needed / 1e9:.2g} GB for the initial "
                "fields alone, which this machine does not have; lower it."
            )

    def _sampled(self, field: Field, given: Any) -> np.ndarray:
        """What was given for a field, on the points: [*points, component] or with environments before."""
        what = f"{field.name}: expected real numbers"
        try:
            values = np.asarray(given(*self.coordinates) if callable(given) else given)
        except (TypeError, ValueError):
            raise InputError(f"{what}, got what makes no array; give an array or a function of x, y, ...") from None
        if values.dtype.kind == "c":
            raise InputError(
                f"{what}, got complex ones; give the real part, or real and imaginary parts as two fields."
            )
        if values.dtype.kind not in "fiu":
            raise InputError(f"{what}, got dtype {values.dtype}; convert them to float.")
        if not np.isfinite(values).all():
            raise InputError(
                f"{field.name}: expected finite numbers, got {values[~np.isfinite(values)].flat[0]}; correct them."
            )
        whole = (*self.resolution[::-1], *field.tail(len(self.lengths)))
        if values.ndim == 0:
            values = np.full(whole, float(values))
        if values.shape != whole and (values.shape[1:] != whole or not values.size):
            raise InputError(
                f"{field.name}: expected shape {list(whole)}, with environments before it if they differ, got "
                f"{list(values.shape)}; sample it on the points of the box."
            )
        _check_ends(field.name, values, len(field.tail(len(self.lengths))), len(self.lengths))
        return values.astype(np.float64)

    def _parameters(self, entry: dict[str, Any], batch: int, p: Precision) -> tuple[Parameter, ...]:
        name, equation, initial = entry["name"], entry["equation"], entry["initial"]
        made = [self._parameter(name, equation, spec, batch, p) for spec in equation.PARAMETERS]
        for field in equation.FIELDS:
            values = initial[field.name]
            dims = len(self.lengths) + len(field.tail(len(self.lengths)))
            spec = ParameterSpec(field.name, field.unit, meaning=f"initial {field.meaning or field.name}")
            full = _per_environment(f"{name}.{field.name}", values, batch, values.shape[-dims:])
            made.append(Parameter(f"{name}.{field.name}", spec, spec.cast(full, p.numpy, name), dims))
        return tuple(made)

    def _parameter(self, name: str, equation: Equation, spec: ParameterSpec, batch: int, p: Precision) -> Parameter:
        tail = (len(self.lengths),) if spec.name in equation.VECTORS else ()
        full = _per_environment(f"{name}.{spec.name}", np.asarray(getattr(equation, spec.name)), batch, tail)
        timed = spec.name in equation.TIMED
        values = spec.cast(full[:, None] if timed else full, p.numpy, name)
        return Parameter(f"{name}.{spec.name}", spec, values, components=len(tail), timed=timed)


def _check_ends(name: str, values: np.ndarray, tail: int, dimension: int) -> None:
    """Raise `InputError` for a field that jumps from one end of the box to the other as it does nowhere inside.

    Its coefficients would fall off as 1 / k, and ring. A front inside the box or noise is what somebody may want.
    """
    for axis in range(dimension):
        along = np.moveaxis(values, values.ndim - 1 - tail - axis, 0)
        inside, jump = np.abs(np.diff(along, axis=0)).max(), np.abs(along[0] - along[-1]).max()
        if jump > JUMP * inside + 1e-6 * np.abs(values).max():
            raise InputError(
                f"{name}: expected a field that is periodic along {'xyz'[axis]}, got one that jumps by {jump:.3g} from one "
                f"end to the other, and by {inside:.3g} at most inside; taper it or enlarge the box."
            )


def _per_environment(name: str, value: np.ndarray, batch: int, tail: tuple[int, ...]) -> np.ndarray:
    """A value, or one for each environment, as [batch, *tail]."""
    if value.shape not in (tail, (batch, *tail)):
        raise InputError(
            f"{name}: expected shape {list(tail)} or {[batch, *tail]}, got {list(value.shape)}; correct it or the batch."
        )
    return np.array(np.broadcast_to(value, (batch, *tail)), np.float64)


def _lengths(lengths: Any) -> tuple[float, ...]:
    listed = (
        list(lengths) if isinstance(lengths, (Sequence, np.ndarray)) and not isinstance(lengths, str) else [lengths]
    )
    if not 1 <= len(listed) <= 3:
        raise InputError(f"lengths: expected one to three sides, got {len(listed)}; correct them.")
    return tuple(_positive("lengths", length) for length in listed)


def _resolution(resolution: Any, dimension: int) -> tuple[int, ...]:
    counts = list(resolution) if isinstance(resolution, (Sequence, np.ndarray)) else [resolution] * dimension
    if len(counts) != dimension:
        raise InputError(
            f"resolution: expected {dimension} numbers for {dimension} sides, got {len(counts)}; correct it."
        )
    for n in counts:
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < SMALLEST or n % 2:
            raise InputError(
                f"resolution: expected even numbers of at least {SMALLEST} points, got {n!r}; choose one with small "
                "prime factors, such as 64 or 96."
            )
    return tuple(int(n) for n in counts)


def _positive(name: str, value: Any) -> float:
    numeric = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not numeric or not 0.0 < value < math.inf:
        raise InputError(f"{name}: expected a positive number, got {value!r}; correct it.")
    return float(value)


def _either(numbers: Sequence[int]) -> str:
    return " or ".join(map(str, numbers))
