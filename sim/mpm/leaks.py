"""Where material would creep through or past a collider, because the grid does not resolve it: sentences for the status.

Contact acts on a layer of nodes about the surface of a collider, along the normal of the nearest face. Measured, of water
8 cells deep behind a separating wall for .8 s: where the wall's middle plane lies on nodes 70 % crosses a wall half a
cell thick, 27 % one of a cell, 8 % one of 1.25 cells, none one of 1.5 or more; where it lies between them, or the wall is
turned by 25 or 45 degrees, none crosses one of a cell. Under the lower face of a wall that ends on the floor .4 to 1.4 %
creep past, .4 % if it reaches a quarter of a cell into the floor, none from half a cell on.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.transform import Rotation

from pliant.sim.mpm.contact import SEPARATING
from pliant.sim.mpm.grid import OPEN, WALL_CELLS
from pliant.sim.precision import Precision
from pliant.sim.shapes import Box, Mesh, Plane, Shape
from pliant.sim.shapes.volume import DistanceVolume

if TYPE_CHECKING:
    from pliant.sim.model import Collider, GridSpec

THIN = 1.5  # cells: from this thickness on nothing creeps through, wherever the nodes lie
REACH = 0.5  # cells that a wall has to reach into a floor
PROBES, MARCH, HALVINGS = 300, 24, 8  # points on a mesh, steps inwards from each, halvings of the last
PARALLEL = 0.85  # of half a wall's thickness: how deep its middle lies, at least
TOUCHING = -0.1  # cells: how far from each other two colliders may be that are meant to touch
SIDES = ("x", "y", "z")


def can_flow(material: Any, p: Precision) -> bool:
    """Whether the law of a body has a return map, so that it may go on creeping where a solid would be held."""
    external = getattr(material, "is_external_law", False)
    return (material.return_map if external else material.return_map(p)) is not None


def leaks(
    colliders: Sequence["Collider"],
    volumes: Mapping[int, DistanceVolume],
    grid: "GridSpec",
    *,
    flows: bool,
    pushed: bool = False,
) -> tuple[str, ...]:
    """A sentence for every collider that is too thin, and, where something `flows`, for every box that ends at another surface.

    Args:
        colliders: where they are at the start.
        volumes: those of the meshes among them, by number.
        pushed: colliders that let go push every particle (`touch`), which the grid has no part in.
    """
    sentences = []
    for index, collider in enumerate(colliders):
        if pushed and collider.surface == SEPARATING:
            continue
        sentences += _thin(collider, volumes.get(index), grid.spacing)
        if flows and isinstance(collider.shape, Box):
            others = [other for other in colliders if other is not collider]
            sentences += _ends(collider.name, collider.shape, others, grid)
    return tuple(sentences)


def depth_of(shape: Shape, volume: DistanceVolume | None = None) -> float:
    """Of the deepest point [m], which is the centre of all shapes but meshes."""
    if volume is not None:
        return -float(volume.values.min())
    return (
        np.inf if isinstance(shape, Plane) else -float(shape.signed_distance(np.asarray(shape.center, float)[None])[0])
    )


def _thin(collider: "Collider", volume: DistanceVolume | None, cell: float) -> list[str]:
    """What to say of a collider that is too thin somewhere; `volume` is a mesh's."""
    where = ""
    if isinstance(collider.shape, Mesh) and volume is not None:
        thickness = volume.spacing - 2.0 * float(volume.values.min())  # at least that of the thickest place
        thickness, where = min(thickness, thinnest_wall(collider.shape, THIN * cell)), " at its thinnest place"
    else:
        thickness = 2.0 * depth_of(collider.shape)
    cells = thickness / cell
    if cells >= THIN * (1.0 - 1e-6):
        return []
    return [
        f"collider '{collider.name}' is thin: {cells:.2g} cells of {cell:.3g} m{where}, so that material creeps through; "
        f"make it {THIN:g} cells thick, {THIN * cell:.3g} m, or the cells smaller."
    ]


def thinnest_wall(mesh: Mesh, limit: float) -> float:
    """Thickness [m] of the thinnest wall of a mesh that is thinner than `limit` [m]; infinity if none is.

    From points spread over the surface it goes inwards until it is outside again. Two faces that are not nearly
    parallel, as at an edge, are no wall: half way there, the surface would be nearer than half the way.
    """
    vertices, faces = mesh.surface()
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    share = np.cumsum(area) / area.sum()
    chosen = np.searchsorted(share, (np.arange(PROBES) + 0.5) / PROBES)
    chosen = np.union1d(chosen, np.linspace(0, len(faces) - 1, PROBES).astype(int))  # small parts too
    weights = np.random.default_rng(0).dirichlet((1.0, 1.0, 1.0), len(chosen))
    start, inward = np.einsum("pk,pki->pi", weights, corners[chosen]), -(normal / area[:, None])[chosen]
    ways = limit * (np.arange(MARCH) + 0.5) / MARCH
    along = start[:, None] + ways[:, None] * inward[:, None]
    outside = mesh.signed_distance(along.reshape(-1, 3)).reshape(along.shape[:2]) > 0.0
    found = outside.any(axis=1)
    if not found.any():
        return np.inf
    start, inward, high = start[found], inward[found], ways[outside.argmax(axis=1)][found][:, None]
    low = np.maximum(high - limit / MARCH, 0.0)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        out = mesh.signed_distance(start + middle * inward)[:, None] > 0.0
        low, high = np.where(out, low, middle), np.where(out, middle, high)
    depth = -mesh.signed_distance(start + 0.5 * high * inward)
    walls = high[:, 0][depth >= PARALLEL * 0.5 * high[:, 0]]
    return float(walls.min()) if len(walls) else np.inf


def _ends(name: str, box: Box, others: Sequence["Collider"], grid: "GridSpec") -> list[str]:
    """A sentence for every surface at which a face of a box ends instead of reaching into it."""
    faces, normals = _faces(box)
    both = np.stack([faces, faces - grid.spacing * normals[:, None]])  # on the face, and a cell within the box
    surfaces = [(f"'{other.name}'", other.shape.signed_distance) for other in others]
    sentences = []
    for where, distance in [*surfaces, *_walls(grid)]:
        found = -np.asarray(distance(both.reshape(-1, 3))).reshape(both.shape[:-1]) / grid.spacing
        deep, within = np.median(found, axis=2)
        ends = (deep >= TOUCHING) & (deep < REACH * (1.0 - 1e-6)) & (within < deep)
        if ends.any():
            sentences.append(
                f"collider '{name}' ends at {where}: it reaches {max(float(deep[ends][0]), 0.0):.2g} cells into it, so that what "
                f"flows creeps past; let it reach {REACH:g} cells, {REACH * grid.spacing:.3g} m."
            )
    return sentences


def _faces(box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Nine points of each face [6, 9, 3], and its outward normal [6, 3]."""
    turn, half = Rotation.from_quat(box.rotation).as_matrix(), 0.5 * np.asarray(box.sides, float)
    plane = np.stack(np.meshgrid(*[(-0.6, 0.0, 0.6)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    sides = [(axis, sign) for axis in range(3) for sign in (-1.0, 1.0)]
    local = np.stack([np.insert(plane, axis, sign, axis=1) for axis, sign in sides]) * half
    return local @ turn.T + np.asarray(box.center), np.stack([sign * turn[:, axis] for axis, sign in sides])


def _walls(grid: "GridSpec") -> list[tuple[str, Any]]:
    """The closed walls of the grid: what to call them, and their signed distance."""
    made: list[tuple[str, Any]] = []
    lower = grid.lower + WALL_CELLS * grid.spacing
    upper = grid.lower + grid.spacing * (np.asarray(grid.counts) - 1 - WALL_CELLS)
    for index, mode in enumerate(grid.walls):
        axis, high = divmod(index, 2)
        if mode == OPEN:
            continue
        place, sign = (upper[axis], -1.0) if high else (lower[axis], 1.0)
        made.append(
            (
                f"the grid's {'upper' if high else 'lower'} wall along {SIDES[axis]}",
                lambda x, axis=axis, place=place, sign=sign: sign * (x[:, axis] - place),
            )
        )
    return made
