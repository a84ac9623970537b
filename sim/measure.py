"""Momentum and energies of a recorded motion, summed over the particles of a model."""

import functools
from typing import Any

import numpy as np
import warp as wp

from pliant.sim.errors import InputError
from pliant.sim.materials import Material
from pliant.sim.model import Body, Model
from pliant.sim.precision import Precision
from pliant.sim.trajectory import Trajectory


@functools.cache
def _energy_kernel(law: Any, p: Precision) -> wp.Kernel:
    mat33, given = p.mat33, p.vector(law.parameter_count())
    energy: Any = law.energy(p)
    coefficients = law.coefficients(p)

    @wp.kernel(enable_backward=False, module="unique")
    def stored(parameters: wp.array(dtype=given), F: wp.array(dtype=mat33), out: wp.array(dtype=p.real)):
        i = wp.tid()
        out[i] = energy(F[i], coefficients(parameters[i]))

    return stored


def _masses(model: Model, body: Body) -> np.ndarray:
    """Mass [batch, items] kg."""
    return model.parameters()[f"{body.name}.density"].value * body.volume


def momentum(model: Model, trajectory: Trajectory) -> dict[str, np.ndarray]:
    """Linear and angular momentum about the origin at every frame: {"linear", "angular"} [frame, batch, 3].

    Needs "position" and "velocity" recorded. The angular momentum that APIC keeps in the velocity gradient counts when
    "velocity_gradient" is recorded too: m D^-1 (dx^2 / 4) times the axial vector of C.
    """
    linear: Any = 0.0
    angular: Any = 0.0
    for body in model.bodies:
        m = _masses(model, body)[None, :, :, None]
        x, v = (np.asarray(trajectory[f"{body.name}.{n}"], float) for n in ("position", "velocity"))
        linear = linear + (m * v).sum(axis=2)
        angular = angular + (m * np.cross(x, v)).sum(axis=2)
        if f"{body.name}.velocity_gradient" in trajectory:
            C = np.asarray(trajectory[f"{body.name}.velocity_gradient"], float)
            axial = np.stack(
                [C[..., 2, 1] - C[..., 1, 2], C[..., 0, 2] - C[..., 2, 0], C[..., 1, 0] - C[..., 0, 1]], -1
            )
            angular = angular + (m * axial).sum(axis=2) * model.grid_spec.spacing**2 / 4.0
    return {"linear": linear, "angular": angular}


def energies(model: Model, trajectory: Trajectory) -> dict[str, np.ndarray]:
    """Kinetic, gravitational and elastic energy [J] at every frame: {"kinetic", "gravity", "elastic"} [frame, batch].

    Needs "position", "velocity" and, for the elastic part, "deformation_gradient" recorded. The kinetic energy counts
    what APIC keeps in a recorded velocity gradient: m (dx^2 / 8) C : C.

    Errors: `InputError` where an array was not recorded.
    """
    gravity = model.gravity.value
    total: dict[str, Any] = {"kinetic": 0.0, "gravity": 0.0, "elastic": 0.0}
    for body in model.bodies:
        m = _masses(model, body)
        x, v = (_recorded(trajectory, f"{body.name}.{n}") for n in ("position", "velocity"))
        total["kinetic"] = total["kinetic"] + 0.5 * (m * (v**2).sum(axis=-1)).sum(axis=-1)
        if f"{body.name}.velocity_gradient" in trajectory:
            C = _recorded(trajectory, f"{body.name}.velocity_gradient")
            affine = (m * (C**2).sum(axis=(-1, -2))).sum(axis=-1)
            total["kinetic"] = total["kinetic"] + affine * model.grid_spec.spacing**2 / 8.0
        total["gravity"] = total["gravity"] - (m[None, :, :, None] * x * gravity[None, :, None]).sum(axis=(2, 3))
        total["elastic"] = total["elastic"] + _elastic(model, body, trajectory)
    return total


def _recorded(trajectory: Trajectory, name: str) -> np.ndarray:
    if name not in trajectory:
        raise InputError(
            f"energies: expected {name} in the trajectory, got {sorted(trajectory)}; record it in the rollout."
        )
    return np.asarray(trajectory[name], float)


def _elastic(model: Model, body: Body, trajectory: Trajectory) -> np.ndarray:
    law: Any = body.material
    F = _recorded(trajectory, f"{body.name}.deformation_gradient")
    if not (isinstance(law, type) and issubclass(law, Material)) or law.energy(model.precision) is None:
        return np.zeros(F.shape[:2])
    values = np.stack([model.parameters()[f"{body.name}.{s.name}"].value for s in law.PARAMETERS], axis=-1)
    frames = len(F)
    p, new = model.precision, functools.partial(wp.array, device="cpu")
    parameters = new(
        np.tile(values, (frames, 1, 1, 1)).reshape(-1, values.shape[-1]), dtype=p.vector(law.parameter_count())
    )
    flat = new(np.ascontiguousarray(F.reshape(-1, 3, 3)), dtype=p.mat33)
    out = wp.zeros(len(flat), dtype=p.real, device="cpu")
    wp.launch(_energy_kernel(body.material, p), dim=len(flat), inputs=[parameters, flat, out], device="cpu")
    density = out.numpy().reshape(F.shape[:3]).astype(float)
    return (density * body.volume).sum(axis=-1)
