"""Colliders as they are drawn: surfaces carried by a pose, and planes as the ground."""

import dataclasses
import warnings

import numpy as np
from scipy.spatial.transform import Rotation

from pliant.sim.errors import InputError
from pliant.sim.shapes import Plane, Shape
from pliant.sim.trajectory import Trajectory, host_array
from pliant.sim.view import geometry, palette
from pliant.sim.view.raycaster import Ground, Triangles

WALL_CELLS = 3  # of the grid outside the space material can move in


@dataclasses.dataclass(frozen=True)
class Obstacle:
    """A rigid surface in its own frame (vertices [v, 3] m, faces [f, 3], normals [v, 3]) and its poses [frame, 7]."""

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    color: np.ndarray
    poses: np.ndarray

    def at(self, frame: int) -> np.ndarray:
        """World vertices [v, 3] at a frame."""
        return geometry.placed(self.poses[frame], self.vertices)

    def surface(self, frame: int) -> Triangles:
        turn = Rotation.from_quat(self.poses[frame, 3:]).as_matrix()
        colors = np.tile(self.color, (len(self.vertices), 1))
        return Triangles(self.at(frame), self.faces, self.normals @ turn.T, colors)


@dataclasses.dataclass(frozen=True)
class PlaneGround:
    """A plane z = 0 of the frame of its poses [frame, 7]."""

    name: str
    poses: np.ndarray

    def ground(self, frame: int, middle: np.ndarray, cell: float, reach: float) -> Ground:
        """The checkered ground around the middle [3] of the scene; its squares stay where they are when the middle moves."""
        pose = self.poses[frame]
        x, y, _ = 2.0 * cell * np.round(geometry.unplaced(pose, middle) / (2.0 * cell))
        point = geometry.placed(pose, np.array([x, y, 0.0]))
        return Ground(point, Rotation.from_quat(pose[3:]).as_matrix(), cell, reach)


@dataclasses.dataclass(frozen=True)
class Anchor:
    """What a force acts on: recorded poses [frame, 7] and wrenches [frame, 6] of a collider."""

    poses: np.ndarray
    wrenches: np.ndarray
    is_plane: bool

    @property
    def largest(self) -> float:
        length = np.linalg.norm(self.wrenches[:, :3], axis=1)
        return float(length[np.isfinite(length)].max(initial=0.0))

    def force(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """A point on the force's line of action and the force [N]; on a plane the point is its center of pressure.

        r = o + F x T / |F|^2 is the point of the line nearest to the origin o that the torque T is about.
        """
        origin, force, torque = self.poses[frame, :3], self.wrenches[frame, :3], self.wrenches[frame, 3:]
        squared = float(force @ force)
        if not 0.0 < squared < np.inf:
            return origin, np.zeros(3)
        point = origin + np.cross(force, torque) / squared
        normal = Rotation.from_quat(self.poses[frame, 3:]).as_matrix()[:, 2]
        if self.is_plane and force @ normal != 0.0:
            point = point + force * float((origin - point) @ normal / (force @ normal))
        return point, force


def build(trajectory: Trajectory, scene: dict, batch: int) -> tuple[list[Obstacle], list[PlaneGround]]:
    """Surfaces and planes of a scene's colliders; the floor of its grid stands in when there is no plane."""
    surfaces, planes = [], []
    for entry in scene.get("colliders", ()):
        try:
            shape = Shape.from_dict(entry["shape"])
        except InputError as error:
            warnings.warn(f"collider {entry['name']!r} is left out of the picture: {error}", stacklevel=2)
            continue
        rest = np.concatenate([shape.center, shape.rotation])
        poses = _poses(trajectory, entry["name"], rest, batch)
        if isinstance(shape, Plane):
            planes.append(PlaneGround(entry["name"], poses))
        else:
            surfaces.append(_obstacle(entry, shape, rest, poses))
    floor = _floor_of_grid(scene)
    if not planes and floor is not None:
        planes.append(PlaneGround("grid", np.tile([0.0, 0.0, floor, 0.0, 0.0, 0.0, 1.0], (trajectory.frame_count, 1))))
    return surfaces, planes


def anchors(trajectory: Trajectory, batch: int) -> list[Anchor]:
    """Colliders whose pose and wrench were recorded."""
    scene = trajectory.metadata.get("scene") or {}
    planes = {entry["name"] for entry in scene.get("colliders", ()) if entry["shape"].get("kind") == "Plane"}
    owners = [name.rpartition(".")[0] for name in trajectory if name.endswith(".wrench")]

    def recorded(owner: str, kind: str) -> np.ndarray:
        return host_array(trajectory[f"{owner}.{kind}"])[:, batch].astype(np.float64)

    owners = [owner for owner in owners if f"{owner}.pose" in trajectory]
    return [Anchor(recorded(owner, "pose"), recorded(owner, "wrench"), owner in planes) for owner in owners]


def _poses(trajectory: Trajectory, name: str, rest: np.ndarray, batch: int) -> np.ndarray:
    if f"{name}.pose" in trajectory:
        return host_array(trajectory[f"{name}.pose"])[:, batch].astype(np.float64)
    return np.tile(rest, (trajectory.frame_count, 1))


def _obstacle(entry: dict, shape: Shape, rest: np.ndarray, poses: np.ndarray) -> Obstacle:
    vertices, faces = shape.surface(64)
    source, faces = geometry.split_creases(vertices, faces)
    local = geometry.unplaced(rest, vertices[source])
    color = entry.get("color")
    tint = palette.COLLIDER if color is None else np.asarray(color, dtype=float)
    return Obstacle(entry["name"], local, faces, geometry.vertex_normals(local, faces), tint, poses)


def _floor_of_grid(scene: dict) -> float | None:
    """Height [m] of the wall that bodies fall on, if the scene has one."""
    grid, walls = scene.get("grid"), scene.get("walls")
    if isinstance(walls, dict) and walls.get("z-") == "open":
        return None
    if scene.get("extent"):
        return float(scene["extent"][0][2])
    if not grid:
        return None
    return float(grid["lower"][2]) + WALL_CELLS * float(grid["spacing"])
