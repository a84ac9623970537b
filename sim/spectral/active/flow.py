"""The flow that belongs to given moments: what velocities and strain rates of an active fluid are, frame by frame."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.spectral.active.rate import ActiveRate
from pliant.sim.spectral.arrays import complex_of
from pliant.sim.spectral.transform import Transform

if TYPE_CHECKING:
    from pliant.sim.spectral.model import SpectralModel


@dataclasses.dataclass(frozen=True)
class Flow:
    """On the points: velocity [..., ny, nx, 2], vorticity dv/dx - du/dy, strain rate (E11, E12) [..., 2], and psi_4 [..., 2]."""

    velocity: np.ndarray
    vorticity: np.ndarray
    strain_rate: np.ndarray
    fourth: np.ndarray


def flow_of(model: "SpectralModel", frames: Mapping[str, Any], values: Mapping[str, Any] | None = None) -> Flow:
    """The Stokes flow of recorded moments.

    Args:
        model: of an active fluid.
        frames: the arrays `concentration`, `order` and (for the kinetic theory) `fourth` [frame, batch, ny, nx, ...], with or
            without the name of the field before them: a trajectory is one.
        values: parameter values, as for a rollout.

    Errors: `InputError` for a model of something else, or an array that is missing.
    """
    binding = model.make_binding(1)
    binding.set(values or {})
    transform = Transform(model.grid, model.arrays, model.precision, model.batch, model.most_fields)
    rate = model.equation.make_rate(model, binding, transform)
    if not isinstance(rate, ActiveRate):
        raise InputError(f"flow_of: expected an active fluid, got {type(model.equation).__name__}; give its model.")
    names = ("concentration", "order") if rate.closure else ("concentration", "order", "fourth")
    arrays = [_found(model, frames, name) for name in names]
    parts = [_flow(model, rate, [array[frame] for array in arrays]) for frame in range(len(arrays[0]))]
    return Flow(*(np.stack(part) for part in zip(*parts, strict=True)))


def _flow(model: "SpectralModel", rate: ActiveRate, frame: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    c, *rest = frame
    moments = np.stack([c + 0j, *(part[..., 0] + 1j * part[..., 1] for part in rest)])
    psi4, g = rate.solve(model.arrays.load(moments.astype(complex_of(model.precision))))
    u, v, w, e, psi4 = (model.arrays.host(a) for a in (*rate.stokes.flow(g), psi4))
    return np.stack([u, v], -1), w, _pair(e), _pair(psi4)


def _pair(z: np.ndarray) -> np.ndarray:
    return np.stack([z.real, z.imag], axis=-1)


def _found(model: "SpectralModel", frames: Mapping[str, Any], name: str) -> np.ndarray:
    for key in (name, f"{model.name}.{name}"):
        if key in frames:
            return np.asarray(frames[key])
    raise InputError(f"flow_of: expected {name!r} among the arrays, got {sorted(frames)}; record it.")
