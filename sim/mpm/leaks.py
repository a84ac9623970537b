"""Where material would creep through or past a collider, because the grid does not resolve it: sentences for the status.

Contact acts on nodes inside a collider, along the normal of its nearest face, and in full only a cell deep. Measured, of
water 8 cells deep behind a wall for a second (tests/test_leaks.py has shorter runs): 15 to 74 % crosses a wall one cell
thick, by where the nodes lie, 71 % one of two cells whose middle plane lies on nodes and 0.2 % one whose middle lies
between them, none one of three. Under the lower face of a wall, however thick, 30 to 59 % crosses where that face lies on
the floor, 3 to 12 % where it lies a cell below, none at 1.5 cells.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.transform import Rotation

from pliant.sim.mpm.contact import SEPARATING
from pliant.sim.mpm.grid import OPEN, WALL_CELLS
from pliant.sim.precision import Precision
from pliant.sim.shapes import Box, Plane, Shape
from pliant.sim.shapes.volume import DistanceVolume

if TYPE_CHECKING:
    from pliant.sim.model import Collider, GridSpec

THIN, SURE = 2.0, 3.0  # cells: below the first material creeps through, from the second on wherever the nodes lie
ON_NODES = 0.125  # of a cell: how near a middle plane lies to nodes
REACH = 1.5  # cells that a wall has to reach into a floor
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
        depth = depth_of(collider.shape, volumes.get(index))
        thin = _thin(collider, 2.0 * depth / grid.spacing, grid)
        sentences += [thin] if thin else []
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


def _thin(collider: "Collider", cells: float, grid: "GridSpec") -> str:
    """What to say of a collider so many cells thick; empty if nothing."""
    if cells < THIN * (1.0 - 1e-6):
        return (
            f"collider '{collider.name}' is thin: {cells:.2g} cells of {grid.spacing:.3g} m, so that material creeps through; "
            f"make it {SURE:g} cells thick or the cells smaller."
        )
    shape, lets_go = collider.shape, collider.surface == SEPARATING
    if lets_go and cells < SURE * (1.0 - 1e-6) and isinstance(shape, Box) and _middle_on_nodes(shape, grid):
        return (
            f"collider '{collider.name}' is thin: {cells:.2g} cells, and its middle plane lies on nodes of the grid, so that "
            f"material creeps through; make it {SURE:g} cells thick or shift it by half a cell, {grid.spacing / 2:.3g} m."
        )
    return ""


def _middle_on_nodes(box: Box, grid: "GridSpec") -> bool:
    """Whether the plane halfway through the thinnest side of a box is one of nodes."""
    axis = int(np.argmin(box.sides))
    normal = Rotation.from_quat(box.rotation).as_matrix()[:, axis]
    along = int(np.abs(normal).argmax())
    if abs(normal[along]) < 0.999:
        return False
    node = (box.center[along] - grid.lower[along]) / grid.spacing
    return abs(node - round(node)) < ON_NODES


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
