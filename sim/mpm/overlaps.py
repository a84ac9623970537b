"""What stands where something else already stands when a scene begins: sentences for the status.

Material inside a collider or beyond a wall stays there, because contact only ever stops what approaches; two bodies in the
same place share the nodes and weigh twice. Particles within a sticking collider or wall are held by it, which is how a
body is clamped, and no mistake.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from pliant.sim.mpm.contact import STICK
from pliant.sim.mpm.grid import OPEN, STICK_WALL, WALL_CELLS
from pliant.sim.shapes import DistanceVolume, Mesh, Points, Shape

if TYPE_CHECKING:
    from pliant.sim.model import Collider, GridSpec

DEEP = 1e-3  # of the particle spacing: how far within a surface a particle has to lie to be inside
CLOSE = 0.5  # of the particle spacing: nearer to each other, particles of two clouds are in the same place
MEASURED = 20_000  # particles of one body whose distance to the mesh of another is measured
FILLED = (0.75, 1.0 / 0.75)  # share of a shape's volume that its particles may fill at their spacing
FACES = ("x-", "x+", "y-", "y+", "z-", "z+")


def overlaps(
    bodies: Sequence[Mapping[str, Any]],
    points: Sequence[np.ndarray],
    colliders: Sequence["Collider"],
    volumes: Mapping[int, DistanceVolume],
    grid: "GridSpec",
) -> tuple[str, ...]:
    """A sentence for every body that starts inside a collider, a wall or another body, or does not fill its shape.

    Args:
        bodies: the entries of the scene, with `points` [items, 3] for each.
        volumes: of the colliders that are meshes, by number.
    """
    sentences = [*_coarse(colliders, volumes, grid.spacing)]
    for entry, x in zip(bodies, points, strict=True):
        sentences += _in_colliders(entry, x, colliders, volumes)
        sentences += _in_walls(entry, x, grid)
        sentences += _filling(entry, len(x))
    for first, second in itertools.combinations(range(len(bodies)), 2):
        sentences += _in_each_other(bodies[first], points[first], bodies[second], points[second])
    return tuple(sentences)


def _coarse(colliders: Sequence["Collider"], volumes: Mapping[int, DistanceVolume], cell: float) -> list[str]:
    """Meshes so large that the memory allows them no distance volume as fine as the grid."""
    return [
        f"collider '{colliders[index].name}' is met through a distance volume of spacing {volume.spacing:.3g} m, coarser than the "
        f"grid's {cell:.3g} m, so that what is thinner than {3.0 * volume.spacing:.3g} m leaks; split the mesh into several "
        "colliders, cut off what nothing touches, or enlarge the cells."
        for index, volume in volumes.items()
        if volume.spacing > cell * (1.0 + 1e-6)
    ]


def _in_colliders(
    entry: Mapping[str, Any], x: np.ndarray, colliders: Sequence["Collider"], volumes: Mapping[int, DistanceVolume]
) -> list[str]:
    sentences = []
    for index, collider in enumerate(colliders):
        if collider.surface == STICK:
            continue
        near = _within_bounds(x, collider.shape)
        if not near.any():
            continue
        depth = -_distance(collider.shape, volumes.get(index), x[near])
        inside = depth > DEEP * entry["spacing"]
        if inside.any():
            sentences.append(
                f"{_count(inside, x)} of {entry['name']!r} start inside {collider.name!r}, up to {depth.max():.3g} m deep, and "
                "will not come out of it; move one of the two."
            )
    return sentences


def _in_walls(entry: Mapping[str, Any], x: np.ndarray, grid: "GridSpec") -> list[str]:
    lower = grid.lower + WALL_CELLS * grid.spacing
    upper = grid.lower + grid.spacing * (np.asarray(grid.counts) - 1 - WALL_CELLS)
    sentences = []
    for face, (name, mode) in enumerate(zip(FACES, grid.walls, strict=True)):
        axis, high = divmod(face, 2)
        if mode in (OPEN, STICK_WALL):
            continue
        depth = x[:, axis] - upper[axis] if high else lower[axis] - x[:, axis]
        inside = depth > DEEP * entry["spacing"]
        if inside.any():
            sentences.append(
                f"{_count(inside, x)} of {entry['name']!r} start beyond the wall {name!r} of `extent`, up to {depth.max():.3g} m; "
                "enlarge `extent` or move the shape."
            )
    return sentences


def _in_each_other(one: Mapping[str, Any], x: np.ndarray, other: Mapping[str, Any], y: np.ndarray) -> list[str]:
    """A sentence if particles of one body lie within the other, or those of the other within it."""
    lower, upper = np.maximum(x.min(axis=0), y.min(axis=0)), np.minimum(x.max(axis=0), y.max(axis=0))
    slack = CLOSE * max(one["spacing"], other["spacing"])
    if (lower - slack > upper + slack).any():
        return []
    found = [(one, other, _share_within(one, x, other, y)), (other, one, _share_within(other, y, one, x))]
    inner, outer, share = max(found, key=lambda pair: pair[2])
    if share == 0.0:
        return []
    total = len(x) if inner is one else len(y)
    return [
        f"{max(round(share * total), 1):,} of {total:,} particles of {inner['name']!r} start inside {outer['name']!r}, where the "
        "material of both counts; move one of the two."
    ]


def _share_within(inner: Mapping[str, Any], x: np.ndarray, outer: Mapping[str, Any], y: np.ndarray) -> float:
    """Which share of the particles x of a body lies within the shape of another, whose particles are y."""
    shape, spacing = outer["shape"], min(inner["spacing"], outer["spacing"])
    if isinstance(shape, Points):
        near = _within(x, y.min(axis=0) - spacing, y.max(axis=0) + spacing)
        distance, _ = cKDTree(y).query(x[near], distance_upper_bound=CLOSE * spacing)
        return float(np.isfinite(distance).sum()) / len(x)
    near = _within_bounds(x, shape)
    chosen = x[near]
    step = max(1, len(chosen) // MEASURED) if isinstance(shape, Mesh) else 1
    inside = shape.signed_distance(chosen[::step]) < -DEEP * spacing if len(chosen) else np.zeros(0, bool)
    return float(inside.mean()) * len(chosen) / len(x) if inside.any() else 0.0


def _filling(entry: Mapping[str, Any], items: int) -> list[str]:
    """What to say where each particle stands for much more, or less, than the cube of its spacing."""
    shape = entry["shape"]
    share = items * entry["spacing"] ** 3 / shape.volume
    if isinstance(shape, Points) or FILLED[0] <= share <= FILLED[1]:
        return []
    return [
        f"the {items:,} particles of {entry['name']!r} fill {share:.2g} of its volume at a spacing of {entry['spacing']:.3g} m, so "
        f"that each stands for {1.0 / share:.2g} of its cube; lower the spacing."
    ]


def _distance(shape: Shape, volume: DistanceVolume | None, x: np.ndarray) -> np.ndarray:
    """Signed distance [n], of a mesh as its distance volume tells."""
    if volume is None:
        return shape.signed_distance(x)
    place = (shape._to_local(x) - volume.origin) / volume.spacing
    return map_coordinates(volume.values, place.T, order=1, mode="nearest")


def _within_bounds(x: np.ndarray, shape: Shape) -> np.ndarray:
    return _within(x, *shape.bounds())


def _within(x: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    return np.asarray(((x >= lower) & (x <= upper)).all(axis=1))


def _count(inside: np.ndarray, x: np.ndarray) -> str:
    return f"{int(inside.sum()):,} of {len(x):,} particles"
