"""The longest substep and the most particles that a scene can have: what `build` refuses, and what a failed run names.

An elastic wave may cross .9 of a cell in a substep. Viscosity is a diffusion, whose explicit step is stable up to a share of
density dx^2 / viscosity.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.materials import Material
from pliant.sim.shapes import Points

if TYPE_CHECKING:
    from pliant.sim.model import Model

STABLE_SHARE = 0.9  # of the time an elastic wave takes to cross a cell: measured in tests/test_mpm_stability.py
VISCOUS_SHARE = 0.4  # of density dx^2 / viscosity: measured there too
PARTICLE_BYTES = 512  # of a rollout with gradients in float32, kept states apart


class StepLimit(NamedTuple):
    """The longest stable substep [s] of a body, what sets it ("elastic", "viscous"), and that in numbers."""

    longest: float
    kind: str
    reason: str
    remedy: str


def step_limits(material: Any, density: Any, dx: float) -> list[StepLimit]:
    """The limits of a material of this density [kg/m^3] on cells of dx [m]; none of a learned law, which tells no stiffness."""
    if not isinstance(material, Material):
        return []
    with np.errstate(all="ignore"):  # an infinite speed allows no step
        speed = material.wave_speed(np.asarray(density))
        viscosity = getattr(material, "viscosity", 0.0)
        diffusivity = float(np.max(np.asarray(viscosity) / np.asarray(density)))
    limits = []
    if speed > 0.0:
        reason = f"wave speed {speed:.3g} m/s, cell {dx:.3g} m"
        limits.append(StepLimit(STABLE_SHARE * dx / speed, "elastic", reason, "stiffness"))
    if diffusivity > 0.0:
        reason = f"viscosity {float(np.max(viscosity)):.3g} Pa s, cell {dx:.3g} m"
        limits.append(StepLimit(VISCOUS_SHARE * dx * dx / diffusivity, "viscous", reason, "viscosity"))
    return limits


def check_time_step(bodies: Sequence[Mapping[str, Any]], dt: float, dx: float) -> None:
    """Raise `InputError` for a substep beyond a limit of one of the scene's bodies."""
    for entry in bodies:
        for limit in step_limits(entry["material"], entry["density"], dx):
            if dt > limit.longest:
                raise InputError(
                    f"MPM: {_exceeded(entry['name'], dt, limit)}; lower dt or the {limit.remedy}, or enlarge the cells."
                )


def longest_step(bodies: Sequence[Mapping[str, Any]], dx: float) -> float:
    """The longest substep [s] that no body forbids."""
    limits = [limit for entry in bodies for limit in step_limits(entry["material"], entry["density"], dx)]
    return min((limit.longest for limit in limits), default=math.inf)


def check_room(bodies: Sequence[Mapping[str, Any]], memory: float) -> None:
    """Raise `InputError` for more particles in one environment than so many bytes hold, before any of them is made."""
    shapes = [(entry["shape"], entry["spacing"]) for entry in bodies]
    counts = [len(s.positions) if isinstance(s, Points) else s.volume / spacing**3 for s, spacing in shapes]
    needed, most = PARTICLE_BYTES * sum(counts), int(np.argmax(counts))
    if memory < needed < math.inf:  # a plane has no end, and its own sentence
        raise InputError(
            f"scene: {sum(counts):.3g} particles need {needed / 1e9:.3g} GB, expected at most "
            f"{memory / 1e9:.3g} GB; enlarge the spacing, most of all of {bodies[most]['name']!r} ({counts[most]:.3g})."
        )


def broken_limit(model: "Model", binding: Any, body: str) -> str:
    """What to say of a body whose bound values (they may have been given after `build`) allow no substep of dt; or nothing."""
    law = next(b.material for b in model.bodies if b.name == body)
    if not (isinstance(law, type) and issubclass(law, Material)):
        return ""
    values = {spec.name: binding.full(f"{body}.{spec.name}") for spec in law.PARAMETERS}
    material, density = law(**values), binding.full(f"{body}.density")
    broken = [x for x in step_limits(material, density, model.grid_spec.spacing) if model.dt > x.longest]
    if not broken:
        return ""
    given = ", ".join(
        f"{spec.name} = {float(np.max(values[spec.name])):.4g} {spec.unit}".rstrip(" 1") for spec in law.PARAMETERS
    )
    return f"{_exceeded(body, model.dt, broken[0])} for {given}; lower `dt` or the {broken[0].remedy}"


def _exceeded(body: str, dt: float, limit: StepLimit) -> str:
    return f"dt = {dt:.3g} s exceeds the {limit.kind} limit {limit.longest:.3g} s of {body!r} ({limit.reason})"
