"""Directions of change of parameter values in device memory, one after the other, beside the values of a binding."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import warp as wp

from pliant.sim.colliders.kinematics import FRAME, POSE
from pliant.sim.errors import InputError
from pliant.sim.mpm.binding import Binding, BoundBody
from pliant.sim.mpm.particle_contact import pushes
from pliant.sim.mpm.state import FIELDS, SHAPES
from pliant.sim.mpm.tangent.laws import law_tangents


@dataclasses.dataclass
class BodyTangent:
    """Tangents of a body's coefficients, muscle strength and activation, and of its contact, each [direction * entry]."""

    coefficients: wp.array
    strength: wp.array | None = None
    contact_stiffness: wp.array | None = None
    contact_damping: wp.array | None = None
    activation: wp.array | None = None


class TangentBinding:
    """Tangents of everything that a binding holds, and of the state, its scratch and the grid.

    Args:
        binding: with the values set at which the derivative is taken.
        directions: parameter name -> [direction, *shape of the value as it was given].

    Errors: `InputError` for an unknown name, a shape that does not fit, directions of different number, or a body whose
        law is a torch module.
    """

    def __init__(self, binding: Binding, directions: Mapping[str, Any]):
        self.binding, self.model = binding, binding.model
        if not isinstance(directions, Mapping):
            raise InputError(f"tangent: expected directions by name, got {type(directions).__name__}; give a dictionary.")
        self.model.check_names(directions)
        self.given = {name: _numbers(name, value) for name, value in directions.items()}
        self.count = _count_of(self.given)
        self._check_laws()
        model, p = self.model, self.model.precision
        self._new = functools.partial(wp.zeros, device=model.device)
        particles, frames = self.count * model.particle_count, self.count * len(model.colliders) * model.batch
        kinds = {(3,): p.vec3, (3, 3): p.mat33}
        self.state = {n: self._upload(self._spread_state(n), kinds[SHAPES[n]]) for n in FIELDS}
        self.tau = self._new(particles, dtype=p.mat33)
        self.mass = self._upload(self._spread_mass(), p.real)
        self.gravity = self._upload(self._spread_gravity(), p.vec3)
        self.poses = self._upload(self._collider_knots(), p.vector(POSE))
        self.friction = self._upload(self._stack_colliders("friction"), p.real)
        self.frames = self._new(frames, dtype=p.vector(FRAME))
        self.nodes = self._new(self.count * model.node_count * model.threads, dtype=p.vec4)
        self.velocity = self._new(self.count * model.node_count, dtype=p.vec4)
        entries = self.count * model.node_count * len(model.colliders) * model.threads if pushes(model) else 0
        self.press, self.lever = self._new(entries, dtype=p.vec4), self._new(entries, dtype=p.vec4)
        flowing = self.count * model.node_count * model.threads if model.is_mixed else 0
        self.flowing = self._new(flowing, dtype=p.vec4)
        self.wrench = self._new(frames * model.threads, dtype=p.vector(6))
        self.bodies = [self._body(bound) for bound in binding.bodies]

    def full(self, name: str) -> np.ndarray:
        """Direction of a parameter in its full shape, [direction, batch, item..., component...]; zero if not given."""
        parameter, size = self.model.parameters()[name], 1
        if parameter.timed:
            size = self.binding.knots if name.endswith(".pose") else self.binding.intervals
        shape = (*parameter.shape[:1], size, *parameter.shape[2:]) if parameter.timed else parameter.shape
        if name not in self.given:
            return np.zeros((self.count, *shape))
        try:
            return np.stack([np.broadcast_to(parameter.aligned(each), shape) for each in self.given[name]])
        except ValueError:
            expected = f"{size} knots or intervals, or one" if parameter.timed else list(shape)
            got = list(self.given[name].shape)
            raise InputError(f"{name}: expected a direction of shape {expected}, got {got}; reshape it.") from None

    def _check_laws(self) -> None:
        for bound in self.binding.bodies:
            if bound.kernels is None:
                raise InputError(
                    f"tangent: expected a law of sim.materials for {bound.model.name!r}, got a torch module, whose tangent "
                    "is not known; use finite differences or the gradient."
                )

    def _upload(self, array: np.ndarray, dtype: Any) -> wp.array:
        made = np.ascontiguousarray(array, dtype=self.model.precision.numpy)
        return wp.array(made, dtype=dtype, device=self.model.device)

    def _particles(self, per_body: list[np.ndarray]) -> np.ndarray:
        """Values [direction, batch, items, ...] of every body as [direction * particle, ...]."""
        parts = [v.reshape(self.count, -1, *v.shape[3:]) for v in per_body]
        table = np.concatenate(parts, axis=1)
        return table.reshape(-1, *table.shape[2:])

    def _spread_state(self, field: str) -> np.ndarray:
        return self._particles([self.full(f"{body.name}.{field}") for body in self.model.bodies])

    def _spread_mass(self) -> np.ndarray:
        return self._particles([self.full(f"{body.name}.density") * body.volume for body in self.model.bodies])

    def _spread_gravity(self) -> np.ndarray:
        gravity = self.full("gravity")[:, :, None]
        return self._particles([np.repeat(gravity, body.items, axis=2) for body in self.model.bodies])

    def _collider_knots(self) -> np.ndarray:
        return self._stack_colliders("pose").reshape(-1, POSE)

    def _stack_colliders(self, what: str) -> np.ndarray:
        """Values of all colliders, [direction * collider * batch...]; one unused entry if there are none."""
        tables = [self.full(f"{collider.name}.{what}") for collider in self.model.colliders]
        return np.stack(tables, axis=1).ravel() if tables else np.zeros(POSE if what == "pose" else 1)

    def _body(self, bound: BoundBody) -> BodyTangent:
        name, p, size = bound.model.name, self.model.precision, self.count * (bound.end - bound.start)
        columns = [self.full(f"{name}.{spec.name}").ravel() for spec in bound.law.PARAMETERS]
        parameters = self._upload(np.stack(columns, axis=-1), p.vector(bound.law.parameter_count()))
        made = BodyTangent(self._new(size, dtype=p.vector(bound.law.coefficient_count())))
        kernel = law_tangents(bound.law, p).coefficients
        inputs = [self.count, bound.parameters, parameters, made.coefficients]
        wp.launch(kernel, bound.end - bound.start, inputs, device=self.model.device)
        if bound.touch is not None:
            made.contact_stiffness = self._upload(self._contact(bound).ravel(), p.real)
            made.contact_damping = self._upload(self.full(f"{name}.contact_damping").ravel(), p.real)
        if bound.muscle is not None:
            made.strength = self._upload(self.full(f"{name}.muscle_strength").ravel(), p.real)
            made.activation = self._upload(self.full(f"{name}.activation").ravel(), p.real)
        return made

    def _contact(self, bound: BoundBody) -> np.ndarray:
        """Direction of a body's contact modulus, which follows Young's where none was given."""
        name, direction = bound.model.name, self.full(f"{bound.model.name}.contact_stiffness")
        following = self.binding.followers().get(name)
        if following is not None:
            slope = following.slope(self.binding.full(f"{name}.youngs_modulus"))
            direction = direction + slope * self.full(f"{name}.youngs_modulus")
        return direction


def _numbers(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError):
        raise InputError(f"{name}: expected directions of numbers, got {value!r}; correct them.") from None


def _count_of(directions: Mapping[str, np.ndarray]) -> int:
    """The number of directions; `InputError` when there are none, or different numbers of them."""
    counts = {name: (value.shape[0] if value.ndim else 0) for name, value in directions.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise InputError(f"tangent: expected the same number of directions for each name, got {counts}; correct them.")
    return next(iter(counts.values()))
