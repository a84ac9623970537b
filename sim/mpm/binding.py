"""Parameter values of one rollout in device memory, and the arrays in which their gradients gather.

Inside the step every parameter is one value a particle, so that a gradient is gathered without atomics; only here are
values repeated and gradients summed to the shape that was handed over.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import warp as wp

from pliant.sim.colliders.kinematics import POSE, between_poses
from pliant.sim.errors import InputError
from pliant.sim.mpm.constitutive import LawKernels, law_kernels
from pliant.sim.mpm.particle_contact import BoundTouch, Following
from pliant.sim.mpm.state import FIELDS, State

if TYPE_CHECKING:
    from pliant.sim.model import Body, Model


@dataclasses.dataclass
class BoundMuscle:
    """Fibres and groups of a body's particles, strength and activation, and the adjoints of the last two."""

    group: wp.array
    fibre: wp.array
    strength: wp.array
    activation: wp.array
    dstrength: wp.array
    dparticles: wp.array
    dactivation: wp.array
    intervals: int
    groups: int


@dataclasses.dataclass
class BoundBody:
    """A body's slice of the particles [start, end), its law and the law's coefficients."""

    model: "Body"
    start: int
    end: int
    items: int
    law: Any
    kernels: LawKernels | None
    parameters: Any = None
    coefficients: Any = None
    dcoefficients: Any = None
    muscle: BoundMuscle | None = None
    touch: BoundTouch | None = None
    external: Any = None  # a law given from outside, bound to this body by the solver


class Binding:
    """Device arrays of all parameters of a model for a rollout of `intervals` control intervals."""

    wanted: frozenset[str] | None = None  # all gradients gather in any case

    def __init__(self, model: "Model", intervals: int):
        self.model, self.intervals, self.knots = model, intervals, intervals + 1
        p, new = model.precision, functools.partial(wp.zeros, device=model.device)
        count, frames = model.particle_count, len(model.colliders) * model.batch
        self.environment_of = np.concatenate([self._environment_of(b) for b in model.bodies])
        self.base_of = self._upload(self.environment_of * model.nodes_each, int)
        self.set_aside: frozenset[int] = frozenset()
        self.volume = self._upload(self._volumes(), p.real)
        self.mass, self.dmass = new(count, dtype=p.real), new(count, dtype=p.real)
        self.gravity, self.dgravity = new(count, dtype=p.vec3), new(count, dtype=p.vec3)
        self.poses, self.dposes = (new(frames * self.knots, dtype=p.vector(POSE)) for _ in range(2))
        self.friction, self.dfriction = new(frames, dtype=p.real), new(frames * model.threads, dtype=p.real)
        self.bodies = [self._bind_body(body) for body in model.bodies]
        self._given: dict[str, Any] = {}
        self._set = False

    def set(self, values: Mapping[str, Any]) -> None:
        """Load parameter values; names left out keep the model's own.

        Errors: `InputError` for an unknown name, a shape that does not fit or a value out of bounds.
        """
        self.model.check_names(values)
        values = {name: np.asarray(value) for name, value in values.items()}
        if self._set and self._same(values):
            return
        self._given, self._set = values, True
        full = {name: self.full(name) for name in self.model.parameters()}
        for bound in self.bodies:
            self._set_body(bound, full)
        spread = self._spread({b.name: full[f"{b.name}.density"] * b.volume for b in self.model.bodies})
        pull = self._spread({b.name: np.repeat(full["gravity"][:, None], b.items, 1) for b in self.model.bodies})
        self.mass.assign(spread * self._alive())
        self.gravity.assign(pull * self._alive()[:, None])
        if self.model.colliders:
            self.poses.assign(np.stack([full[f"{c.name}.pose"] for c in self.model.colliders]).reshape(-1, POSE))
            self.friction.assign(np.stack([full[f"{c.name}.friction"] for c in self.model.colliders]).ravel())

    def put_aside(self, environments: frozenset[int]) -> None:
        """Take mass, volume, gravity and contact from the particles of these environments alone, so that nothing moves them."""
        if environments == self.set_aside:
            return
        self.set_aside = environments
        self.volume.assign(self._volumes() * self._alive())
        if self._set:
            self._set = False
            self.set(self._given)

    def initial_state(self) -> State:
        """The state that the bound initial values describe."""
        spread = {n: self._spread({b.name: self.full(f"{b.name}.{n}") for b in self.model.bodies}) for n in FIELDS}
        return State(**spread)

    def poses_at(self, step: int, every: int) -> np.ndarray:
        """Pose [collider, batch, 7] of every collider at a substep, interpolated between knots as the step does it."""
        table = self.poses.numpy().reshape(-1, self.knots, POSE)
        knot = min(step // every, self.knots - 1)
        after = min(knot + 1, self.knots - 1)
        share = (step - knot * every) / every
        return between_poses(table[:, knot], table[:, after], share).reshape(-1, self.model.batch, POSE)

    def clear_gradients(self) -> None:
        arrays = [self.dmass, self.dgravity, self.dposes, self.dfriction]
        for bound in self.bodies:
            if bound.external is not None:
                bound.external.clear_gradients()
            arrays += [bound.dcoefficients] if bound.dcoefficients is not None else []
            if bound.muscle is not None:
                arrays += [bound.muscle.dstrength, bound.muscle.dparticles, bound.muscle.dactivation]
            arrays += [bound.touch.dmodulus, bound.touch.ddamping] if bound.touch is not None else []
        for array in arrays:
            array.zero_()

    def gradients(self, adjoint: State) -> dict[str, np.ndarray]:
        """Gradient of every parameter, in the shape of the value it was given (or of the model's own)."""
        full: dict[str, np.ndarray] = {}
        for bound in self.bodies:
            self._body_gradients(bound, adjoint, full)
            if bound.external is not None:
                bound.external.collect_gradients()
        for name, following in self.followers().items():
            slope = following.slope(self.full(f"{name}.youngs_modulus"))
            full[f"{name}.youngs_modulus"] += slope * full[f"{name}.contact_stiffness"]
        full["gravity"] = self._gravity_gradient()
        self._collider_gradients(full)
        parameters = self.model.parameters()
        return {n: parameters[n].reduce(g, self._given[n]) if n in self._given else g for n, g in full.items()}

    @property
    def external_laws(self) -> list:
        """The laws given from outside, each once."""
        return list({id(b.law): b.law for b in self.bodies if b.kernels is None}.values())

    def views(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Every body's part [batch, items, ...] of arrays [particles, ...], NumPy or torch, as "<body>.<field>"."""
        lead = {b.model.name: (self.model.batch, b.items) for b in self.bodies}
        return {
            f"{b.model.name}.{field}": array[b.start : b.end].reshape(*lead[b.model.name], *array.shape[1:])
            for b in self.bodies
            for field, array in arrays.items()
        }

    def unite(self, views: Mapping[str, Any], concatenate: Callable) -> dict[str, Any]:
        """Arrays [particles, ...] by field from every body's part."""
        flat = {n: v.reshape(-1, *v.shape[2:]) for n, v in views.items()}
        return {f: concatenate([flat[f"{b.model.name}.{f}"] for b in self.bodies]) for f in FIELDS}

    def _same(self, values: dict[str, np.ndarray]) -> bool:
        return values.keys() == self._given.keys() and all(
            values[n] is self._given[n] or np.array_equal(values[n], self._given[n]) for n in values
        )

    def full(self, name: str) -> np.ndarray:
        """The full array of a parameter; a timed one has one entry an interval, or a knot for poses."""
        parameter = self.model.parameters()[name]
        if name in self._given:
            value = parameter.expand(self._given[name])
        else:
            value = self._followed(name, parameter.value)
        if not parameter.timed:
            return value
        wanted = self.knots if name.endswith(".pose") else self.intervals
        if value.shape[1] == 1:
            return np.repeat(value, wanted, axis=1)
        if value.shape[1] != wanted:
            what = "knots (one more than control intervals)" if wanted == self.knots else "control intervals"
            raise InputError(
                f"{name}: expected {wanted} {what}, got {value.shape[1]}; give one value each, or a single one."
            )
        return value

    def followers(self) -> dict[str, Following]:
        """By body: how the contact's modulus follows the Young's modulus that is bound, where none was given."""
        made = {b.name: b.following for b in self.model.bodies if f"{b.name}.contact_stiffness" not in self._given}
        return {name: following for name, following in made.items() if following is not None}

    def _followed(self, name: str, value: np.ndarray) -> np.ndarray:
        """A value that was not given, or what follows from one that was."""
        owner, _, what = name.rpartition(".")
        if what != "contact_stiffness" or f"{owner}.youngs_modulus" not in self._given:
            return value
        following = self.followers().get(owner)
        return value if following is None else following.modulus(self.full(f"{owner}.youngs_modulus")).astype(value.dtype)

    def _upload(self, array: np.ndarray, dtype: type) -> wp.array:
        return wp.array(np.ascontiguousarray(array), dtype=dtype, device=self.model.device)

    def _environment_of(self, body: "Body") -> np.ndarray:
        return np.repeat(np.arange(self.model.batch), body.items)

    def _volumes(self) -> np.ndarray:
        return np.concatenate([np.tile(b.volume, self.model.batch) for b in self.model.bodies])

    def _alive(self) -> np.ndarray:
        """1 for every particle, 0 for those of environments that were put aside."""
        gone = np.isin(self.environment_of, list(self.set_aside))
        return np.where(gone, 0.0, 1.0).astype(self.model.precision.numpy)

    def _spread(self, per_body: dict[str, np.ndarray]) -> np.ndarray:
        """Values [batch, items, ...] of every body, one after the other: [particles, ...]."""
        parts = [np.asarray(v).reshape(-1, *np.shape(v)[2:]) for v in per_body.values()]
        return np.ascontiguousarray(np.concatenate(parts), dtype=self.model.precision.numpy)

    def _bind_body(self, body: "Body") -> BoundBody:
        model, p = self.model, self.model.precision
        start, count = body.first * model.batch, body.items * model.batch
        new = functools.partial(wp.zeros, device=model.device)
        law = body.material
        bound = BoundBody(body, start, start + count, body.items, law, None)
        if isinstance(law, type):
            bound.kernels = law_kernels(law, p)
            bound.parameters = new(count, dtype=p.vector(law.parameter_count()))
            made = p.vector(law.coefficient_count())
            bound.coefficients, bound.dcoefficients = new(count, dtype=made), new(count, dtype=made)
        if body.radius > 0.0:
            bound.touch = BoundTouch(body.radius, *(new(count, dtype=p.real) for _ in range(4)))
        if body.muscle is not None:
            cells = model.batch * self.intervals * body.muscle.groups
            scalars = {n: new(count, dtype=p.real) for n in ("strength", "dstrength", "dparticles")}
            bound.muscle = BoundMuscle(
                group=self._upload(body.muscle.group, int),
                fibre=self._upload(body.muscle.fibre, p.vec3),
                activation=new(cells, dtype=p.real),
                dactivation=new(cells, dtype=p.real),
                intervals=self.intervals,
                groups=body.muscle.groups,
                **scalars,
            )
        return bound

    def _set_body(self, bound: BoundBody, full: dict[str, np.ndarray]) -> None:
        name = bound.model.name
        if bound.kernels is not None:
            columns = [full[f"{name}.{spec.name}"].ravel() for spec in bound.law.PARAMETERS]
            bound.parameters.assign(np.stack(columns, axis=-1))
            inputs = [bound.parameters, bound.coefficients]
            wp.launch(bound.kernels.coefficients, bound.end - bound.start, inputs, device=self.model.device)
        if bound.touch is not None:
            alive = self._alive()[bound.start : bound.end]
            bound.touch.modulus.assign(full[f"{name}.contact_stiffness"].ravel() * alive)
            bound.touch.damping.assign(full[f"{name}.contact_damping"].ravel() * alive)
        if bound.muscle is not None:
            bound.muscle.strength.assign(full[f"{name}.muscle_strength"].ravel())
            bound.muscle.activation.assign(full[f"{name}.activation"].ravel())

    def _body_gradients(self, bound: BoundBody, adjoint: State, full: dict[str, np.ndarray]) -> None:
        name, lead = bound.model.name, (self.model.batch, bound.items)
        part = slice(bound.start, bound.end)
        for field, array in adjoint.arrays().items():
            full[f"{name}.{field}"] = array[part].reshape(*lead, *array.shape[1:])
        full[f"{name}.density"] = self.dmass.numpy()[part].reshape(lead) * bound.model.volume
        if bound.kernels is not None:
            made = wp.zeros_like(bound.parameters)
            inputs = [bound.parameters, bound.dcoefficients, made]
            wp.launch(bound.kernels.coefficients_vjp, bound.end - bound.start, inputs, device=self.model.device)
            table = made.numpy().reshape(*lead, -1)
            for column, spec in enumerate(bound.law.PARAMETERS):
                full[f"{name}.{spec.name}"] = table[..., column].copy()
        if bound.touch is not None:
            full[f"{name}.contact_stiffness"] = bound.touch.dmodulus.numpy().reshape(lead).copy()
            full[f"{name}.contact_damping"] = bound.touch.ddamping.numpy().reshape(lead).copy()
        if bound.muscle is not None:
            full[f"{name}.muscle_strength"] = bound.muscle.dstrength.numpy().reshape(lead).copy()
            table = bound.muscle.dactivation.numpy().reshape(self.model.batch, self.intervals, -1)
            full[f"{name}.activation"] = self._timed(f"{name}.activation", table)

    def _timed(self, name: str, gradient: np.ndarray) -> np.ndarray:
        """Sum over time when one value was given for all of it."""
        given = self._given.get(name)
        parameter = self.model.parameters()[name]
        single = given is None or parameter.expand(given).shape[1] == 1
        return gradient.sum(axis=1, keepdims=True) if single else gradient.copy()

    def _gravity_gradient(self) -> np.ndarray:
        table, batch = self.dgravity.numpy(), self.model.batch
        parts = [table[b.start : b.end].reshape(batch, b.items, 3).sum(axis=1) for b in self.bodies]
        return np.sum(parts, axis=0)

    def _collider_gradients(self, full: dict[str, np.ndarray]) -> None:
        colliders, batch = self.model.colliders, self.model.batch
        if not colliders:
            return
        poses = self.dposes.numpy().reshape(len(colliders), batch, self.knots, POSE)
        friction = self.dfriction.numpy().reshape(self.model.threads, len(colliders), batch).sum(axis=0)
        for index, collider in enumerate(colliders):
            full[f"{collider.name}.pose"] = self._timed(f"{collider.name}.pose", poses[index])
            full[f"{collider.name}.friction"] = friction[index]
