"""What a user writes: bodies, colliders and gravity, from which `build` makes a model. SI units, z up."""

import copy
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import warp as wp

from pliant.sim.atomic import write_atomically
from pliant.sim.checks import boolean, corners, number, positive, vector
from pliant.sim.device import choose_threads, find_device
from pliant.sim.errors import InputError
from pliant.sim.file_access import read_bytes
from pliant.sim.materials import Material
from pliant.sim.memory import device_memory
from pliant.sim.model import (
    ACTIVATION,
    DEFORMATION,
    DENSITY,
    FRICTION,
    GRAVITY,
    POSE_SPEC,
    POSITION,
    STRENGTH,
    VELOCITY,
    VELOCITY_GRADIENT,
    Body,
    Collider,
    GridSpec,
    Model,
    MuscleModel,
    make_parameter,
    mesh_volumes,
    pose_of,
)
from pliant.sim.mpm.grid import OPEN, SEPARATING_WALL, SLIP_WALL, STICK_WALL
from pliant.sim.mpm.overlaps import overlaps
from pliant.sim.mpm.particle_contact import (
    DAMPING,
    STIFFNESS,
    contact_modulus,
    contact_options,
    following,
    has_particle_contact,
)
from pliant.sim.mpm.placement import checked_margin, grid_spacing, place_grid, whole_counts
from pliant.sim.mpm.step_limits import check_room, check_time_step, longest_step
from pliant.sim.parameter import ParameterSpec
from pliant.sim.precision import Precision, precision
from pliant.sim.shapes import Shape
from pliant.sim.shapes.base import FAR, NEAR
from pliant.sim.sharing import built_alone

FORMAT = 1
WALLS = {"open": OPEN, "separating": SEPARATING_WALL, "slip": SLIP_WALL, "stick": STICK_WALL}
SURFACES = {"separating": 0, "slip": 1, "stick": 2}
FACES = ("x-", "x+", "y-", "y+", "z-", "z+")
SHORTEST, LONGEST = 1e-15, 1e6  # s, of a substep: beyond, single precision loses its inverse or its motion


class Scene:
    """A scene under construction.

    Args:
        gravity: acceleration [3] m/s^2.
        extent: (lower [3], upper [3]) corners of the space material can move in [m]; walls stand on its faces.
            Default: the bodies' bounds enlarged by their size on every side.
        cell_size: spacing of the grid [m]; default: twice the smallest particle spacing, or what near it (0.8 to 1.25 of it)
            divides the extent between walls. A wall stands on nodes: where the extent is no multiple of the cell, the upper
            one stands up to a cell further out, and the model warns of it.
        walls: "separating" (slide along, leave freely), "slip", "stick" or "open", or a dict by face ("x-", ..., "z+").
        mass_floor: mass [kg] added to a node's when its momentum becomes a velocity, as some codes do: a drag, which takes
            up to mass_floor times the velocity of every node a body touches from its momentum in every substep. Default: none.
        keep_inside: set positions back to this distance [m] within the faces of `extent` (negative: beyond them) after every
            substep. A projection, no contact, to reproduce codes that have it: see `sim/mpm/inside.py`. Default: not done.
        transfer_memory: for how long [s] particles remember motion that the grid does not hold. 0 (APIC) forgets it each substep, which
            calms, and damps the more the smaller dt; a tenth of the period of what rings or swirls keeps its energy for any dt.
    """

    def __init__(
        self,
        *,
        gravity=(0.0, 0.0, -9.81),
        extent=None,
        cell_size=None,
        walls="separating",
        mass_floor=0.0,
        keep_inside=None,
        transfer_memory=0.0,
    ):
        self.gravity = vector("gravity", gravity)
        self.extent = None if extent is None else corners(extent)
        self.cell_size = None if cell_size is None else positive("cell_size", cell_size, NEAR, FAR)
        self.walls = _walls(walls)
        self.mass_floor = number("mass_floor", mass_floor)
        if not 0.0 <= self.mass_floor < math.inf:
            raise InputError(f"mass_floor: expected a finite number of at least 0, got {mass_floor!r}; correct it.")
        self.keep_inside = checked_margin(keep_inside, self.extent)
        self.transfer_memory = number("transfer_memory", transfer_memory)
        if not self.transfer_memory >= 0.0:
            raise InputError(f"transfer_memory: expected a time of at least 0 s, got {transfer_memory!r}; correct it.")
        self.bodies: list[dict[str, Any]] = []
        self.colliders: list[dict[str, Any]] = []

    def add_mpm(
        self,
        shape: Shape,
        material: Material,
        *,
        density: float | np.ndarray,
        spacing: float,
        name: str | None = None,
        velocity=(0.0, 0.0, 0.0),
        angular_velocity=(0.0, 0.0, 0.0),
        pressure_filter: bool = True,
        color=None,
        contact: str | None = None,
        contact_stiffness: float | np.ndarray | None = None,
        contact_damping: float | np.ndarray = 0.0,
    ) -> str:
        """Add a body of material points and return its name.

        Args:
            shape: what the particles fill; `shapes.Points` gives them one by one.
            material: a law of `sim.materials`, or a law learned in torch (`learn.TorchLaw`).
            density: mass per rest volume [kg/m^3], one number or one a particle.
            spacing: distance between particles [m].
            pressure_filter: whether a `Fluid` relaxes the pressure of each particle to its neighbourhood's, without which
                patterns that no force answers grow and resist like an elastic solid; other materials have none.
            velocity, angular_velocity: initial motion [m/s], [rad/s] about the shape's center; particles start with the velocity
                gradient [omega]x, so a run that is given other velocities wants "<body>.velocity_gradient" with them.
            color: RGB in [0, 1] for pictures.
            contact: with colliders that let go: "particle" (a force from a position, see `sim.mpm.touch`) or "grid" (nodes are
                held back); default: "particle" for solids, "grid" for what flows and for learned laws.
            contact_stiffness: of "particle" [Pa]; default: 3 E spacing / cell_size with E as it is bound to a run, or what `dt`
                allows if that is less.
            contact_damping: of "particle" [s/m]: a bounce at speed v loses about 2/3 of damping * v of it.
        """
        if not isinstance(shape, Shape):
            raise InputError(f"shape: expected a shape of sim.shapes, got {type(shape).__name__}; see sim.shapes.")
        if not isinstance(material, Material) and not getattr(material, "is_external_law", False):
            raise InputError(
                f"material: expected a law of sim.materials, got {type(material).__name__}; see sim.materials."
            )
        DENSITY.check(density, name or "body")
        entry: dict[str, Any] = {
            "family": "mpm",
            "name": self._unique(name, "body"),
            "shape": shape,
            "material": material,
            "density": density,
            "spacing": positive("spacing", spacing, NEAR, FAR),
            "velocity": vector("velocity", velocity),
            "angular_velocity": vector("angular_velocity", angular_velocity),
            "pressure_filter": boolean("pressure_filter", pressure_filter),
            "color": None if color is None else vector("color", color),
            **contact_options(name or "body", material, contact, contact_stiffness, contact_damping),
        }
        self.bodies.append(entry)
        return entry["name"]

    def with_material(self, body: str, material: Material) -> "Scene":
        """A copy of the scene in which one body has another material; `InputError` for an unknown body."""
        if body not in (known := [entry["name"] for entry in self.bodies]):
            raise InputError(f"with_material: expected one of {known}, got {body!r}; correct the name.")
        other = copy.copy(self)
        other.bodies = [{**b, "material": material} if b["name"] == body else b for b in self.bodies]
        return other

    def add_muscle(self, body: str, *, fibre, group, strength: float | np.ndarray) -> None:
        """Make a body's particles contract along fibres: Kirchhoff stress strength * activation * (F f)(F f)^T.

        Args:
            fibre: unit direction at rest, [3], [items, 3], or a function of the rest positions [items, 3].
            group: muscle number of every particle (-1: passive): a number, [items], or a function of the positions.
            strength: stress at activation 1 [Pa], one number or one a particle.
        """
        entry = next((b for b in self.bodies if b["name"] == body), None)
        if entry is None:
            raise InputError(
                f"add_muscle: expected one of {[b['name'] for b in self.bodies]}, got {body!r}; add it first."
            )
        STRENGTH.check(strength, body)
        points = entry["shape"].sample(entry["spacing"])
        directions = _over_items("fibre", fibre, points, (3,)).astype(float)
        groups = _over_items("group", group, points, ())
        with np.errstate(over="ignore"):  # an infinite length is refused below
            lengths = np.linalg.norm(directions, axis=1)
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise InputError(f"add_muscle: fibres of {body!r} must be finite and not zero; correct `fibre`.")
        if groups.dtype.kind not in "iu" or not -1 <= groups.min() <= groups.max() < len(points) or groups.max() < 0:
            raise InputError(
                f"add_muscle: expected whole numbers from -1 to {len(points) - 1} for {body!r}, at least one of them not "
                f"-1, got {_short(np.unique(groups)[:3])}; correct `group`."
            )
        # A fibre of unit length stays as it is, to the bit, so that a scene read back from its file is the same scene.
        fibres = np.where(np.abs(lengths - 1.0) < 1e-15, directions.T, directions.T / lengths).T
        entry["muscle"] = {"fibre": _compact(fibres), "group": _compact(groups), "strength": strength}

    def add_collider(
        self, shape: Shape, *, friction: float = 0.0, surface: str = "separating", name: str | None = None, color=None
    ) -> str:
        """Add a rigid obstacle and return its name; it moves when a rollout gives "<name>.pose" knots.

        Args:
            friction: Coulomb's coefficient.
            surface: "separating", "slip" (no separation) or "stick" (moves with the collider).
        """
        if not isinstance(shape, Shape) or getattr(shape, "KIND", -1) < 0:
            raise InputError(
                f"shape: expected a solid shape of sim.shapes, got {type(shape).__name__}; see sim.shapes."
            )
        FRICTION.check(friction, name or "collider")
        if not isinstance(surface, str) or surface not in SURFACES:
            raise InputError(f"surface: expected one of {list(SURFACES)}, got {surface!r}; correct it.")
        entry: dict[str, Any] = {
            "name": self._unique(name, "collider"),
            "shape": shape,
            "friction": number("friction", friction),
            "surface": surface,
            "color": None if color is None else vector("color", color),
        }
        self.colliders.append(entry)
        return entry["name"]

    @built_alone
    def build(
        self,
        *,
        dt: float,
        device: str = "cpu",
        batch: int = 1,
        dtype: str = "float32",
        threads: int | None = None,
        seed: int = 0,
    ) -> Model:
        """Freeze the scene into a model.

        Args:
            dt: substep [s]; must stay below the time an elastic wave takes to cross a cell.
            device: "cpu" or "cuda" (or "cuda:1").
            batch: number of environments that run side by side with their own parameters, controls and initial states.
            dtype: "float32" or "float64".
            threads: 1 or 2 CPU threads; default 2 for larger scenes. The same number gives the same bits.
            seed: kept in the trajectory's metadata for whoever draws random numbers.
        """
        p, where = precision(dtype), find_device(device)
        if not self.bodies:
            raise InputError("scene: expected at least one body, got none; call add_mpm first.")
        if isinstance(batch, bool) or not isinstance(batch, (int, np.integer)) or batch < 1:
            raise InputError(f"batch: expected a whole number of at least 1, got {batch!r}; correct it.")
        check_room(self.bodies, device_memory(where))
        points = [entry["shape"].sample(entry["spacing"]) for entry in self.bodies]
        total = batch * sum(len(x) for x in points)
        grid = self._grid(points, batch, total, where)
        self._check_inside(points, grid)
        steps = (grid.spacing, positive("dt", dt, SHORTEST, LONGEST))
        bodies = self._model_bodies(points, batch, p, steps)
        check_time_step(self.bodies, float(dt), grid.spacing)
        colliders = tuple(self._model_collider(entry, batch, p) for entry in self.colliders)
        volumes = mesh_volumes(colliders, grid.spacing)
        return Model(
            description=self.to_dict(grid),
            device=where,
            precision=p,
            dt=float(dt),
            batch=int(batch),
            threads=choose_threads(threads, where, total),
            seed=seed,
            grid_spec=grid,
            bodies=bodies,
            colliders=colliders,
            gravity=make_parameter("", GRAVITY, np.tile(self.gravity, (batch, 1)), p.numpy, components=1),
            at_start=overlaps(self.bodies, points, colliders, volumes, grid),
        )

    def to_dict(self, grid: GridSpec | None = None) -> dict:
        """The scene as plain numbers and strings; with the grid it was built on, if given."""
        plain = {
            "format": FORMAT,
            "gravity": self.gravity.tolist(),
            "extent": None if self.extent is None else [e.tolist() for e in self.extent],
            "cell_size": self.cell_size,
            "walls": dict(zip(FACES, self.walls, strict=True)),
            "mass_floor": self.mass_floor,
            "keep_inside": self.keep_inside,
            "transfer_memory": self.transfer_memory,
            "bodies": [_plain(entry) for entry in self.bodies],
            "colliders": [_plain(entry) for entry in self.colliders],
        }
        return plain if grid is None else {**plain, "grid": grid.to_dict()}

    @staticmethod
    def from_dict(data: dict) -> "Scene":
        """The scene that `to_dict` described.

        Errors: `InputError` for a missing entry, an unknown format, or whatever `add_mpm` and `add_collider` refuse.
        """
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise InputError(f"scene: expected a description of format {FORMAT}, got another; save it anew.")
        try:
            options = {k: data[k] for k in ("gravity", "extent", "cell_size", "walls", "mass_floor")}
            optional = {"keep_inside": data.get("keep_inside"), "transfer_memory": data.get("transfer_memory", 0.0)}
            scene = Scene(**options, **optional)
            for entry in data["bodies"]:
                scene._restore_body(entry)
            for entry in data["colliders"]:
                options = {k: v for k, v in entry.items() if k != "shape"}
                scene.add_collider(Shape.from_dict(entry["shape"]), **options)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"scene: its description lacks or misnames an entry ({error}); save it anew.") from None
        return scene

    def save(self, path: str | os.PathLike) -> None:
        """Write the scene as JSON."""
        write_atomically(path, json.dumps(self.to_dict(), indent=1).encode())

    @staticmethod
    def load(path: str | os.PathLike) -> "Scene":
        """Read a scene that `save` wrote.

        Errors: `InputError` for a missing or damaged file.
        """
        try:
            if not Path(path).exists():
                raise InputError(f"scene: expected a file, found none at {path}; check the path.")
            return Scene.from_dict(json.loads(read_bytes(path, "scene").decode()))
        except InputError:
            raise
        except (ValueError, RecursionError) as error:  # damaged, not UTF-8, or an integer of thousands of digits
            raise InputError(f"scene: {path} is not a complete JSON file ({error}); save it anew.") from None

    def copy(self) -> "Scene":
        """An independent copy to vary."""
        return copy.deepcopy(self)

    def _restore_body(self, entry: dict) -> None:
        skip = {"family", "shape", "material", "muscle", "name"}
        arrays = ("density", "contact_stiffness", "contact_damping")
        options = {k: _array(v) if k in arrays else v for k, v in entry.items() if k not in skip}
        material = Material.from_dict(entry["material"])
        self.add_mpm(Shape.from_dict(entry["shape"]), material, name=entry["name"], **options)
        if entry.get("muscle"):
            muscle = {k: _array(v) for k, v in entry["muscle"].items()}
            self.add_muscle(entry["name"], **muscle)

    def _unique(self, name: str | None, kind: str) -> str:
        taken = {entry["name"] for entry in (*self.bodies, *self.colliders)} | {"gravity"}
        if name is None:
            return next(f"{kind}{i}" for i in range(1, len(taken) + 2) if f"{kind}{i}" not in taken)
        if not isinstance(name, str) or not name or "." in name or name in taken:
            raise InputError(f"name: expected a new one without dots, got {name!r}; choose another.")
        return name

    def _grid(self, points: list[np.ndarray], batch: int, particles: int, device: wp.Device) -> GridSpec:
        modes = self._modes()
        first, dx, counts = place_grid(points, self.extent, self.cell_size, self._wanted(), modes)
        nodes = whole_counts(counts, batch, particles, device)
        return GridSpec(first, dx, nodes, modes, self.mass_floor, self.keep_inside, self.transfer_memory)

    def _check_inside(self, points: list[np.ndarray], grid: GridSpec) -> None:
        low = grid.lower + 0.5 * grid.spacing
        high = grid.lower + grid.spacing * (np.asarray(grid.counts) - 1.5)
        for entry, x in zip(self.bodies, points, strict=True):
            outside = int(((x < low) | (x >= high)).any(axis=1).sum())
            if outside:
                raise InputError(
                    f"body {entry['name']!r}: {outside} of {len(x)} particles lie outside the grid from "
                    f"{_short(low)} to {_short(high)} m; enlarge `extent` or move the shape."
                )

    def stable_dt(self) -> float:
        """The longest substep [s] that `build` accepts; infinite where every law is learned."""
        return longest_step(self.bodies, grid_spacing(self.extent, self.cell_size, self._wanted(), self._modes()))

    def _wanted(self) -> float:
        return 2.0 * min((entry["spacing"] for entry in self.bodies), default=NEAR)

    def _modes(self) -> tuple[int, ...]:
        return tuple(WALLS[wall] for wall in self.walls)

    def _model_bodies(
        self, points: list[np.ndarray], batch: int, p: Precision, steps: tuple[float, float]
    ) -> tuple[Body, ...]:
        bodies, first = [], 0
        lets_go = any(entry["surface"] == "separating" for entry in self.colliders)
        for entry, x in zip(self.bodies, points, strict=True):
            bodies.append(_model_body(entry, x, first, batch, p, steps if lets_go else None))
            first += len(x)
        return tuple(bodies)

    def _model_collider(self, entry: dict, batch: int, p: Precision) -> Collider:
        name = entry["name"]
        pose = np.tile(pose_of(entry["shape"]), (batch, 1, 1))
        parameters = (
            make_parameter(name, POSE_SPEC, pose, p.numpy, components=1, timed=True),
            make_parameter(name, FRICTION, np.full(batch, entry["friction"]), p.numpy),
        )
        return Collider(name, entry["shape"], SURFACES[entry["surface"]], parameters)


def _model_body(entry: dict, points: np.ndarray, first: int, batch: int, p: Precision, steps: Any) -> Body:
    """The body; `steps` are cell and substep, None where no collider lets go, so that none pushes its particles."""
    name, items, material = entry["name"], len(points), entry["material"]
    arm = points - np.asarray(entry["shape"].center)
    spin = entry["angular_velocity"]
    velocity = entry["velocity"] + np.cross(spin, arm)

    def given(spec: ParameterSpec, value: Any, components: int = 0) -> Any:
        full = _per_item(f"{name}.{spec.name}", value, batch, items, components)
        return make_parameter(name, spec, full, p.numpy, components=components)

    parameters = [
        given(POSITION, points, 1),
        given(VELOCITY, velocity, 1),
        given(VELOCITY_GRADIENT, np.cross(np.eye(3), spin), 2),  # rows e_i x w: its product with an arm r is w x r
        given(DEFORMATION, np.eye(3), 2),
        given(DENSITY, entry["density"]),
    ]
    if isinstance(material, Material):
        parameters += [given(spec, getattr(material, spec.name)) for spec in material.PARAMETERS]
    muscle = None
    if entry.get("muscle"):
        group = np.broadcast_to(entry["muscle"]["group"], items)
        muscle = MuscleModel(group, np.broadcast_to(entry["muscle"]["fibre"], (items, 3)), int(group.max()) + 1)
        parameters.append(given(STRENGTH, entry["muscle"]["strength"]))
        rest = np.zeros((batch, 1, muscle.groups))
        parameters.append(make_parameter(name, ACTIVATION, rest, p.numpy, components=1, timed=True))
    volume, radius, follows = np.full(items, entry["shape"].volume / items), 0.0, None
    if steps is not None and has_particle_contact(entry):
        radius = 0.5 * float(volume[0]) ** (1.0 / 3.0)
        follows = following(entry, 2.0 * radius, *steps)
        parameters.append(given(STIFFNESS, contact_modulus(entry, 2.0 * radius, *steps)))
        parameters.append(given(DAMPING, entry["contact_damping"]))
    law = type(material) if isinstance(material, Material) else material
    filtered = entry["pressure_filter"] and getattr(material, "is_fluid", False)
    return Body(name, first, items, volume, law, tuple(parameters), muscle, radius, follows, filtered)


def _per_item(name: str, value: Any, batch: int, items: int, components: int) -> np.ndarray:
    array = np.asarray(value, float)
    lead = array.shape[: array.ndim - components]
    if lead not in ((), (items,)):
        raise InputError(
            f"{name}: expected one value, or one for each of {items} particles, got {list(lead)}; correct the length."
        )
    return np.broadcast_to(array, (batch, items, *array.shape[len(lead) :]))


def _over_items(name: str, given: Any, points: np.ndarray, tail: tuple[int, ...]) -> np.ndarray:
    """What was given for all points [items, 3], for each of them, or as a function of them: [items, *tail]."""
    try:
        array = np.asarray(given(points) if callable(given) else given)
        full = np.broadcast_to(array, (len(points), *tail))
    except ValueError:
        array, full = np.zeros(0, object), np.zeros(0)
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"add_muscle: expected numbers {list(tail)} or {[len(points), *tail]} for `{name}`, got {given!r}; correct it."
        )
    return full


def _walls(walls: Any) -> tuple[str, ...]:
    by_face = walls if isinstance(walls, dict) else dict.fromkeys(FACES, walls)
    named = tuple(by_face.get(face, "separating") for face in FACES)
    if set(by_face) - set(FACES) or not all(isinstance(wall, str) and wall in WALLS for wall in named):
        raise InputError(f"walls: expected {list(WALLS)} for all or by face {list(FACES)}, got {walls!r}; correct it.")
    return named


def _plain(value: Any) -> Any:
    """A description of numbers, strings, lists and dicts."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return value


def _array(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, list) else value


def _compact(values: np.ndarray) -> np.ndarray:
    """The first row if all are the same, so that descriptions stay short."""
    return values[0] if (values == values[0]).all() else values


def _short(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{v:.3g}" for v in values) + ")"
