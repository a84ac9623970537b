"""What there is to draw of a trajectory: bodies, colliders, ground, trails and arrows, at any of its frames.

Every kind of output reads a `Stage`; pictures take `stage.drawing(frame)`, made of spheres, triangles and planes only.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from pliant.sim.errors import InputError
from pliant.sim.trajectory import Trajectory, host_array
from pliant.sim.view import geometry, obstacles, palette
from pliant.sim.view.camera import Camera, framing
from pliant.sim.view.obstacles import PlaneGround
from pliant.sim.view.options import ViewOptions
from pliant.sim.view.raycaster import Ground, Spheres, Triangles
from pliant.sim.view.skin import Skin, make_skin

SAMPLED_FRAMES = 60  # of a long trajectory, for its bounds and the range of its colours
RADIUS = 0.56  # of a drawn particle over the spacing: neighbours just overlap
UNITS = {"speed": "m/s", "velocity": "m/s", "displacement": "m", "position": "m"}


@dataclasses.dataclass(frozen=True)
class Body:
    """Particles [frame, n, 3] with a radius and a colour; `field` gives their values at a frame, `skin` their surface."""

    name: str
    positions: np.ndarray
    radius: float
    color: np.ndarray
    field: Callable[[int], np.ndarray] | None
    skin: Skin | None


@dataclasses.dataclass(frozen=True)
class Drawing:
    """One moment, as spheres, surfaces and planes."""

    spheres: list[Spheres]
    triangles: list[Triangles]
    grounds: list[Ground]


class Stage:
    """All there is to draw.

    Args:
        trajectory: what to show; without a scene in its metadata every "<body>.position" is drawn as particles.
        options: how.

    Errors: `InputError` when nothing can be drawn, or an option does not fit the trajectory.
    """

    def __init__(self, trajectory: Trajectory, options: ViewOptions):
        if not 0 <= options.batch < trajectory.batch:
            raise InputError(
                f"view: expected batch from 0 to {trajectory.batch - 1}, got {options.batch!r}; correct it."
            )
        self.trajectory, self.options, self.times = trajectory, options, trajectory.times
        scene = trajectory.metadata.get("scene") or {}
        self.bodies = list(self._bodies({entry["name"]: entry for entry in scene.get("bodies", ())}))
        if not self.bodies:
            raise InputError(
                "view: expected an array '<body>.position' [frame, batch, item, 3], found none; record it."
            )
        self.obstacles, planes = obstacles.build(trajectory, scene, options.batch)
        self.planes: list[PlaneGround] = planes if options.ground else []
        self.bar = self._bar()

    @property
    def frame_count(self) -> int:
        return len(self.times)

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a box around the bodies at all times, and around what colliders are near them [m]."""
        frames = self._sampled()
        clouds = [body.positions[frame] for body in self.bodies for frame in frames]
        low, high = _corners(clouds)
        margin = max(body.radius for body in self.bodies)
        low, high = low - margin, high + margin
        reach = 0.75 * float(np.linalg.norm(high - low))
        near_low, near_high = low - reach, high + reach
        for obstacle in self.obstacles:
            points = np.concatenate([obstacle.at(frame) for frame in frames])
            part = np.clip(np.stack([points.min(axis=0), points.max(axis=0)]), near_low, near_high)
            if (part[1] > part[0]).all():
                low, high = np.minimum(low, part[0]), np.maximum(high, part[1])
        return low, high

    @property
    def size(self) -> float:
        """Diagonal of the bounds [m]."""
        return float(np.linalg.norm(self.bounds[1] - self.bounds[0]))

    @property
    def cell(self) -> float:
        """Side of the ground's squares: a round number of metres."""
        rough = self.size / 9.0
        power = 10.0 ** math.floor(math.log10(rough))
        return power * max(step for step in (1.0, 2.0, 5.0) if step * power <= rough)

    def camera(self, size: tuple[int, int]) -> Camera:
        """The chosen camera, or one that shows everything in a picture of that size."""
        return self.options.camera or framing(*self.bounds, size[0] / size[1])

    def drawing(self, frame: int) -> Drawing:
        """What is there at a frame."""
        loose = [body for body in self.bodies if body.skin is None]
        spheres = [
            Spheres(b.positions[frame], np.full(b.positions.shape[1], b.radius), self.colors(b, frame)) for b in loose
        ]
        surfaces = [*self._skins(frame), *(obstacle.surface(frame) for obstacle in self.obstacles)]
        surfaces += [*self._trails(frame), *self.arrows(frame)]
        return Drawing(spheres, surfaces, [self.ground(plane, frame) for plane in self.planes])

    def ground(self, plane: PlaneGround, frame: int) -> Ground:
        """The part of a plane around the scene."""
        middle = 0.5 * (self.bounds[0] + self.bounds[1])
        return plane.ground(frame, middle, self.cell, 2.6 * self.size)

    def colors(self, body: Body, frame: int) -> np.ndarray:
        """Colours [n, 3] of a body's particles."""
        if body.field is None or self.bar is None:
            return np.tile(body.color, (body.positions.shape[1], 1))
        return self.bar.colors[self.bar.level(body.field(frame))]

    def tracks(self, body: Body) -> np.ndarray:
        """Paths [frame, trail, 3] of the particles whose trails are drawn."""
        count = body.positions.shape[1]
        chosen = np.unique(np.linspace(0, count - 1, min(self.options.trails, count)).astype(int))
        return np.asarray(body.positions[:, chosen])

    def trail_color(self, body: Body) -> np.ndarray:
        return 0.6 * body.color + 0.4 * palette.INK

    def arrows(self, frame: int) -> Iterator[Triangles]:
        """Contact forces at a frame."""
        for anchor in self.anchors if self.options.forces else ():
            mesh = self.arrow(anchor, frame)
            if mesh is not None:
                yield shaded(*mesh, palette.ARROW)

    def arrow(self, anchor: obstacles.Anchor, frame: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Vertices and faces of one force, the largest of all times a third of the scene long; None for a tiny one."""
        start, force = anchor.force(frame)
        largest = max(anchor.largest for anchor in self.anchors)
        radius = 0.011 * self.size
        vector = force * (0.33 * self.size / largest if largest else 0.0)
        if np.linalg.norm(vector) < 3.0 * radius:
            return None
        return geometry.arrow(start - vector if anchor.is_plane else start, vector, radius)

    @cached_property
    def anchors(self) -> list[obstacles.Anchor]:
        """Where forces act: colliders whose pose and wrench were recorded."""
        return obstacles.anchors(self.trajectory, self.options.batch)

    def _skins(self, frame: int) -> Iterator[Triangles]:
        for body in self.bodies:
            if body.skin is not None:
                vertices = body.skin.vertices(body.positions[frame])
                colors = body.skin.blend(self.colors(body, frame))
                yield Triangles(vertices, body.skin.faces, geometry.vertex_normals(vertices, body.skin.faces), colors)

    def _trails(self, frame: int) -> Iterator[Triangles]:
        if not self.options.trails or frame == 0:
            return
        for body in self.bodies:
            color = self.trail_color(body)
            for path in self.tracks(body)[: frame + 1].swapaxes(0, 1):
                whole = path[np.isfinite(path).all(axis=1)]
                if len(whole) > 1:
                    vertices, faces = geometry.tube(whole, 0.0022 * self.size)
                    yield Triangles(
                        vertices, faces, geometry.vertex_normals(vertices, faces), np.tile(color, (len(vertices), 1))
                    )

    def _bodies(self, entries: dict[str, dict]) -> Iterator[Body]:
        for name, array in self.trajectory.items():
            owner, _, field = name.rpartition(".")
            if field != "position" or np.ndim(array) != 4 or array.shape[3] != 3:
                continue
            positions = host_array(array)[:, self.options.batch]
            entry = entries.get(owner, {})
            spacing = entry.get("spacing") or _spacing(positions[0])
            color = palette.body_color(entry.get("color"), list(entries).index(owner) if owner in entries else 0)
            skin = make_skin(entry, positions[0], spacing, self.options.skin)
            yield Body(owner, positions, RADIUS * spacing, color, self._field(owner, positions), skin)

    def _field(self, owner: str, positions: np.ndarray) -> Callable[[int], np.ndarray] | None:
        """The values [n] at a frame that colour a body; None when it has no such field."""
        wanted, times = self.options.color_by, self.times
        if wanted is None:
            return None
        if wanted == "displacement":
            return lambda frame: np.linalg.norm(positions[frame] - positions[0], axis=1)
        name = f"{owner}.{'velocity' if wanted == 'speed' else wanted.removeprefix(f'{owner}.')}"
        if name in self.trajectory:
            array = host_array(self.trajectory[name])[:, self.options.batch]
            return (lambda frame: _scalar(array[frame])) if array.shape[1:2] == positions.shape[1:2] else None
        if wanted != "speed" or len(times) < 2:
            return None

        def speed(frame: int) -> np.ndarray:
            low, high = max(frame - 1, 0), min(frame + 1, len(times) - 1)
            return np.linalg.norm(positions[high] - positions[low], axis=1) / (times[high] - times[low])

        return speed

    def _bar(self) -> palette.ScalarBar | None:
        wanted = self.options.color_by
        if wanted is None:
            return None
        fields = [body.field for body in self.bodies if body.field]
        if not fields:
            raise InputError(
                f"view: expected color_by as 'speed', 'displacement' or a recorded field of particles among "
                f"{sorted(self.trajectory)}, got {wanted!r}; record it, or correct the name."
            )
        limits = self.options.color_range
        if limits is None:
            values = np.concatenate([field(frame) for field in fields for frame in self._sampled()])
            lower, upper = (
                np.percentile(values[np.isfinite(values)], [1.0, 99.0]) if np.isfinite(values).any() else (0, 1)
            )
            limits = (float(lower), float(upper) if upper > lower else float(lower) + 1.0)
        field_name = wanted.rpartition(".")[2]
        unit = f" [{UNITS[field_name]}]" if field_name in UNITS else ""
        return palette.ScalarBar(field_name.replace("_", " ") + unit, *limits, palette.colormap(self.options.colormap or "viridis"))

    def _sampled(self) -> list[int]:
        return np.unique(
            np.linspace(0, self.frame_count - 1, min(self.frame_count, SAMPLED_FRAMES)).astype(int)
        ).tolist()


def shaded(vertices: np.ndarray, faces: np.ndarray, color: np.ndarray) -> Triangles:
    """A surface of one colour, smooth but for its creases."""
    source, faces = geometry.split_creases(vertices, faces)
    vertices = vertices[source]
    return Triangles(vertices, faces, geometry.vertex_normals(vertices, faces), np.tile(color, (len(vertices), 1)))


def _scalar(values: np.ndarray) -> np.ndarray:
    """One number an item [n]: itself, the length of a vector, the determinant of a square matrix."""
    if values.ndim == 1:
        return values
    if values.ndim == 3 and values.shape[1] == values.shape[2]:
        return np.linalg.det(values.astype(np.float64))
    return np.linalg.norm(values.reshape(len(values), -1), axis=1)


def _corners(clouds: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest finite coordinates [3] of clouds of points; a unit box when there is none."""
    whole = [cloud[np.isfinite(cloud).all(axis=1)] for cloud in clouds]
    whole = [cloud for cloud in whole if len(cloud)]
    if not whole:
        return np.full(3, -0.5), np.full(3, 0.5)
    return np.min([c.min(axis=0) for c in whole], axis=0), np.max([c.max(axis=0) for c in whole], axis=0)


def _spacing(points: np.ndarray) -> float:
    """Typical distance between neighbouring points."""
    whole = points[np.isfinite(points).all(axis=1)]
    if len(whole) < 2:
        return 0.1
    distance, _ = cKDTree(whole).query(whole[:: max(1, len(whole) // 500)], k=2)
    return float(np.median(distance[:, 1])) or 0.1
