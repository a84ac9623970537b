"""A scene made ready to run: frozen arrays, laws and named parameters on one device in one precision."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import warp as wp

from pliant.sim.colliders.kinematics import POSE
from pliant.sim.errors import InputError
from pliant.sim.mpm.binding import Binding
from pliant.sim.mpm.contact import SEPARATING, solid_struct
from pliant.sim.mpm.frames import ParticleFrames
from pliant.sim.mpm.leaks import can_flow, depth_of, leaks
from pliant.sim.mpm.particle_contact import Following, pushes
from pliant.sim.mpm.placement import walls_beside_extent
from pliant.sim.mpm.solver import MPMSolver
from pliant.sim.mpm.state import FIELDS, SHAPES, State
from pliant.sim.mpm.transfers import grid_struct
from pliant.sim.parameter import Parameter, ParameterSpec
from pliant.sim.precision import Precision
from pliant.sim.shapes import Box, Cylinder, Shape
from pliant.sim.shapes.base import FAR
from pliant.sim.solver import BaseModel

if TYPE_CHECKING:
    from pliant.sim.rollout import Rollout

POSITION = ParameterSpec("position", "m", meaning="initial position of every particle")
VELOCITY = ParameterSpec("velocity", "m/s", meaning="initial velocity of every particle")
VELOCITY_GRADIENT = ParameterSpec(
    "velocity_gradient", "1/s", meaning="initial APIC velocity gradient: of the velocity about each particle"
)
DEFORMATION = ParameterSpec("deformation_gradient", "1", meaning="initial deformation gradient")
DENSITY = ParameterSpec("density", "kg/m^3", 0.0, meaning="mass per rest volume")
GRAVITY = ParameterSpec("gravity", "m/s^2", meaning="acceleration of every particle")
ACTIVATION = ParameterSpec("activation", "1", meaning="activation of every muscle group in every control interval")
STRENGTH = ParameterSpec("muscle_strength", "Pa", 0.0, lower_closed=True, meaning="active stress at activation 1")
POSE_SPEC = ParameterSpec("pose", "m, 1", meaning="position and quaternion (xyzw) at every knot", quaternion=True)
FRICTION = ParameterSpec("friction", "1", 0.0, lower_closed=True, meaning="Coulomb's coefficient")


@dataclasses.dataclass(frozen=True)
class MuscleModel:
    """Rest direction of the fibre [items, 3] and muscle group [items] (-1: passive) of a body's particles."""

    group: np.ndarray
    fibre: np.ndarray
    groups: int


@dataclasses.dataclass(frozen=True)
class Body:
    """A body of material points: the first of its items in one environment, their number and rest volumes [items] m^3.

    `radius` is that of its particles [m] where colliders push them, 0 where the grid's rule serves it; `following` says how
    the contact's modulus follows Young's where none was given.
    """

    name: str
    first: int
    items: int
    volume: np.ndarray
    material: Any
    parameters: tuple[Parameter, ...]
    muscle: MuscleModel | None = None
    radius: float = 0.0
    following: Following | None = None
    pressure_filter: bool = False


@dataclasses.dataclass(frozen=True)
class Collider:
    """A rigid obstacle: shape, what its surface does, and its own parameters (pose, friction)."""

    name: str
    shape: Shape
    surface: int
    parameters: tuple[Parameter, ...]


@dataclasses.dataclass(frozen=True)
class GridSpec:
    """Where the nodes are: the first one [m], spacing [m], counts, what each of the six walls does, and the mass floor [kg].

    `keep_inside` is how far within the faces of the extent positions are set back to [m], if they are; `transfer_memory`
    for how long [s] particles remember motion that the nodes do not hold.
    """

    lower: np.ndarray
    spacing: float
    counts: tuple[int, int, int]
    walls: tuple[int, ...]
    mass_floor: float
    keep_inside: float | None = None
    transfer_memory: float = 0.0

    def to_dict(self) -> dict:
        return {**dataclasses.asdict(self), "lower": self.lower.tolist()}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Model(BaseModel):
    """Everything about a scene that does not change while it runs. Made by `Scene.build`."""

    description: dict
    device: wp.Device
    precision: Precision
    dt: float
    batch: int
    threads: int
    seed: int
    grid_spec: GridSpec
    bodies: tuple[Body, ...]
    colliders: tuple[Collider, ...]
    gravity: Parameter
    at_start: tuple[str, ...] = ()

    @property
    def particle_count(self) -> int:
        """Particles of all bodies in all environments."""
        return self.batch * sum(body.items for body in self.bodies)

    @property
    def nodes_each(self) -> int:
        """Grid nodes of one environment."""
        return int(np.prod(self.grid_spec.counts))

    @property
    def node_count(self) -> int:
        return self.batch * self.nodes_each

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: (self.particle_count, *SHAPES[name]) for name in FIELDS}

    @property
    def frame_shapes(self) -> dict[str, tuple[int, ...]]:
        return self.state_shapes

    @property
    def default_record(self) -> tuple[str, ...]:
        return ("position", "velocity")

    @property
    def extent_text(self) -> str:
        return f"{self.particle_count} particles"

    def make_state(self, arrays: Mapping[str, np.ndarray]) -> State:
        return State(**arrays)

    def make_binding(self, intervals: int) -> Binding:
        return Binding(self, intervals)

    def make_solver(self, binding: Binding, *, slots: int, every: int, gradient: bool) -> MPMSolver:
        return MPMSolver(self, binding, slots=slots, every=every, gradient=gradient)

    def make_frames(self, rollout: "Rollout") -> ParticleFrames:
        return ParticleFrames(rollout)

    def derivatives(
        self, binding: Any, start: Any, directions: Mapping[str, Any], **options: Any
    ) -> dict[str, np.ndarray]:
        from pliant.sim.mpm.tangent.solver import derivatives  # its kernels are compiled only where they are used

        return derivatives(binding, start, directions, **options)

    def item_of(self, particle: int) -> tuple[str, int, int]:
        """(body, environment, item) of a particle counted over the whole model."""
        for body in self.bodies:
            local = particle - body.first * self.batch
            if 0 <= local < body.items * self.batch:
                return body.name, local // body.items, local % body.items
        raise IndexError(particle)

    @cached_property
    def _parameters(self) -> dict[str, Parameter]:
        bodies = [q for body in self.bodies for q in body.parameters]
        colliders = [q for collider in self.colliders for q in collider.parameters]
        owners = [self.gravity, *bodies, *colliders]
        return {parameter.name: parameter for parameter in owners}

    @cached_property
    def grid(self) -> Any:
        """The nodes as the Warp struct that kernels take."""
        grid, spec = grid_struct(self.precision)(), self.grid_spec
        grid.lower = self.precision.vec3(*spec.lower.tolist())
        grid.dx, grid.inv_dx, grid.dt = spec.spacing, 1.0 / spec.spacing, self.dt
        grid.mass_floor = spec.mass_floor
        grid.nx, grid.ny, grid.nz = spec.counts
        return grid

    @cached_property
    def walls(self) -> Any:
        return wp.types.vector(6, int)(*self.grid_spec.walls)

    @cached_property
    def kept_within(self) -> tuple[Any, Any] | None:
        """Corners of the box that positions are set back into after every substep, if they are."""
        margin, vec3 = self.grid_spec.keep_inside, self.precision.vec3
        if margin is None:
            return None
        lower, upper = (np.asarray(corner, float) for corner in self.description["extent"])
        return vec3(*(lower + margin).tolist()), vec3(*(upper - margin).tolist())

    @cached_property
    def distances(self) -> wp.array:
        """Distance volumes of all mesh colliders, one after the other."""
        values = [volume.values.ravel() for volume in self._volumes.values()] or [np.zeros(1)]
        return wp.array(
            np.concatenate(values).astype(self.precision.numpy), dtype=self.precision.real, device=self.device
        )

    @cached_property
    def solids(self) -> wp.array:
        """The constant part of every collider as an array of Warp structs."""
        return self._solids([collider.shape.size for collider in self.colliders])

    @cached_property
    def rounded_solids(self) -> wp.array:
        """The same with boxes and cylinders smaller by the radius of their edges, `roundings`."""
        made = zip(self.colliders, self.roundings.numpy(), strict=True)
        return self._solids([collider.shape.size - radius * (collider.shape.size > 0.0) for collider, radius in made])

    @cached_property
    def roundings(self) -> wp.array:
        """Radius [m] of the edges of every collider where it pushes particles: half a cell, or half of what is thinner."""
        edged = [isinstance(collider.shape, (Box, Cylinder)) for collider in self.colliders]
        half = 0.5 * self.grid_spec.spacing
        radii = [min(half, depth_of(c.shape)) if e else 0.0 for c, e in zip(self.colliders, edged, strict=True)]
        return wp.array(np.array(radii, self.precision.numpy), dtype=self.precision.real, device=self.device)

    @cached_property
    def hull_corners(self) -> tuple[wp.array, wp.array]:
        """Lower and upper corner [m] of a box in the frame of every collider beyond which no distance to it is less than nothing.

        Between the values of a mesh's distance volume it may be less than the mesh's by a part of their spacing.
        """
        corners = np.array([collider.shape.own_bounds() for collider in self.colliders]).reshape(-1, 2, 3)
        for index, volume in self._volumes.items():
            corners[index] += np.array([[-volume.spacing], [volume.spacing]])
        new = functools.partial(wp.array, dtype=self.precision.vec3, device=self.device)
        return new(corners[:, 0].astype(self.precision.numpy)), new(corners[:, 1].astype(self.precision.numpy))

    def _solids(self, sizes: list[np.ndarray]) -> wp.array:
        Solid, made, offset = solid_struct(self.precision), [], 0
        for index, collider in enumerate(self.colliders):
            solid = Solid()
            solid.kind, solid.surface = collider.shape.KIND, collider.surface
            solid.size, solid.spacing = self.precision.vec3(*sizes[index].tolist()), 1.0
            if index in self._volumes:
                volume = self._volumes[index]
                solid.origin, solid.spacing = self.precision.vec3(*volume.origin.tolist()), volume.spacing
                solid.offset, (solid.nx, solid.ny, solid.nz) = offset, volume.values.shape
                offset += volume.values.size
            made.append(solid)
        return wp.array(made, dtype=Solid, device=self.device)

    @cached_property
    def ruled_solids(self) -> wp.array:
        """The colliders that the grid's rule has to look at: all, or none where every meeting is one of particles."""
        needed = any(b.radius == 0.0 for b in self.bodies) or any(c.surface != SEPARATING for c in self.colliders)
        return self.solids if needed else wp.empty(0, dtype=solid_struct(self.precision), device=self.device)

    @property
    def is_mixed(self) -> bool:
        """Whether particles are pushed by some colliders while the grid's rule acts elsewhere."""
        return pushes(self) and self.ruled_solids.shape[0] > 0

    @cached_property
    def middles(self) -> wp.array:
        """How deep the middle of every collider lies [m]."""
        depths = [min(depth_of(c.shape, self._volumes.get(i)), FAR) for i, c in enumerate(self.colliders)]
        return wp.array(np.array(depths, self.precision.numpy), dtype=self.precision.real, device=self.device)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what makes every run doubtful; the status of each repeats them."""
        flows = any(can_flow(b.material, self.precision) for b in self.bodies if b.radius == 0.0)
        pushed = all(body.radius > 0.0 for body in self.bodies)
        moved = walls_beside_extent(self.description["extent"], self.grid_spec)
        thin = leaks(self.colliders, self._volumes, self.grid_spec, flows=flows, pushed=pushed)
        return (*moved, *self.at_start, *thin)

    @cached_property
    def _volumes(self) -> dict[int, Any]:
        return mesh_volumes(self.colliders, self.grid_spec.spacing)


def mesh_volumes(colliders: Sequence[Collider], cell: float) -> dict[int, Any]:
    """Distance volumes of the colliders that are meshes, by their number, for a grid of that cell [m]."""
    meshes = {i: c.shape for i, c in enumerate(colliders) if hasattr(c.shape, "volume_for")}
    return {i: shape.volume_for(cell) for i, shape in meshes.items()}


def make_parameter(owner: str, spec: ParameterSpec, value: np.ndarray, dtype: type, **options: Any) -> Parameter:
    """A parameter named owner.spec (or just spec for the scene's own) with its full value."""
    name = f"{owner}.{spec.name}" if owner else spec.name
    return Parameter(name, spec, spec.cast(value, dtype, owner or "scene"), **options)


def pose_of(shape: Shape) -> np.ndarray:
    """The pose [7] of a shape: its center and rotation (xyzw)."""
    pose = np.concatenate([np.asarray(shape.center, float), np.asarray(shape.rotation, float)])
    if pose.shape != (POSE,):
        raise InputError(f"pose: expected 7 numbers, got {pose.shape}; give center [3] and rotation [4].")
    return pose
