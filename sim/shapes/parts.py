"""The closed parts of a triangle mesh: which faces belong together, which way they face, and what lies within what.

A point belongs to the solid where the winding number of all parts together is above 1/2: overlapping parts count once, and
a part whose faces point inwards cuts a cavity out of the part around it.
"""

from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from pliant.sim.errors import InputError
from pliant.sim.shapes.base import Triangles, check_points
from pliant.sim.shapes.skin import is_cavity

SAME = 1e-8  # of the extent: vertices nearer to each other are one
NEARLY = 1e-4  # of the extent: vertices that `repair` joins, if that closes the mesh
FLAT = 1e-9  # of the cube of its extent: a part of less volume faces nowhere


def check_triangles(owner: str, vertices: Any, faces: Any, *, repair: list[str] | None = None) -> Triangles:
    """Vertices [v, 3] and faces [f, 3] of a closed surface: equal vertices merged, unused ones dropped, double faces removed.

    Args:
        repair: where to tell what was mended; without it nothing is.

    Errors: `InputError` for what is not finite or out of range, and for a surface that is not watertight.
    """
    points = check_points(f"{owner}.vertices", vertices)
    index = _indices(faces)
    if index.ndim != 2 or index.shape[1] != 3 or index.dtype.kind not in "iu" or not len(index):
        raise InputError(
            f"{owner}.faces: expected whole numbers of shape [f, 3], got {index.dtype} {list(index.shape)}; "
            "correct them."
        )
    if index.min() < 0 or index.max() >= len(points):
        raise InputError(
            f"{owner}.faces: expected numbers from 0 to {len(points) - 1}, got {index.min()} to {index.max()}; "
            "correct them."
        )
    made = _compact(points, index)
    for share in (SAME, *([] if repair is None else [NEARLY])):
        if not _open_edges(made[1]).any():
            break
        made = _joined(*made, share, repair if share > SAME else None)
    if repair is not None:
        made = _mended(*made, repair)
    _check_closed(owner, *made)
    return made


def part_numbers(faces: np.ndarray) -> np.ndarray:
    """The part [f] that each face belongs to, in the order in which parts first appear.

    Faces that share an edge with no others are of one part. Where more meet in an edge, as of two cubes that touch, parts
    stay apart if each is closed without the others.
    """
    owner, edge, sign, uses = _edges(faces)
    order = np.argsort(edge, kind="stable")
    pairs = order[uses[edge[order]] == 2].reshape(-1, 2)
    label = _components(len(faces), owner[pairs])
    crowded = np.flatnonzero(uses[edge] > 2)
    if len(crowded):
        key = edge[crowded] * len(faces) + label[owner[crowded]]
        _, group = np.unique(key, return_inverse=True)
        unbalanced = np.bincount(group, sign[crowded])[group] != 0
        joint = np.unique(edge[crowded][unbalanced])
        touched = order[np.isin(edge[order], joint)]
        links = np.stack([owner[touched][:-1], owner[touched][1:]], axis=1)[np.diff(edge[touched]) == 0]
        label = _components(len(faces), np.concatenate([owner[pairs], links]))
    _, first, label = np.unique(label, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[label]


def oriented(owner: str, vertices: np.ndarray, faces: np.ndarray, *, repair: list[str] | None = None) -> np.ndarray:
    """The faces [f, 3], every part counter-clockwise seen from outside, cavities seen from within them.

    Errors: `InputError` that names the first part which is inside out; with `repair` such parts are turned.
    """
    number = part_numbers(faces)
    count = int(number.max()) + 1
    if repair is not None and _volumes(vertices, faces, number).sum() < 0.0:
        faces = faces[:, ::-1]
        repair.append("turned all faces over: they were clockwise seen from outside")
    if count == 1:
        return faces
    sizes = _volumes(vertices, faces, number)
    for part in range(count):
        chosen = number == part
        extent = float(np.ptp(vertices[faces[chosen]].reshape(-1, 3), axis=0).max())
        if sizes[part] >= -FLAT * extent**3 or is_cavity(vertices, faces, chosen):
            continue
        where = _described(vertices, faces, number, part)
        if repair is None:
            raise InputError(
                f"{owner}: expected every part to be counter-clockwise seen from outside, or a cavity within another, got {where} "
                "inside out; reverse its faces, or give repair=True."
            )
        faces = np.where(chosen[:, None], faces[:, ::-1], faces)
        repair.append(f"turned {where}, which was inside out")
    return faces


def _described(vertices: np.ndarray, faces: np.ndarray, number: np.ndarray, part: int) -> str:
    corners = vertices[faces[number == part]].reshape(-1, 3)
    low, high = (", ".join(f"{x:.3g}" for x in side) for side in (corners.min(axis=0), corners.max(axis=0)))
    return f"part {part + 1} of {number.max() + 1} ({(number == part).sum()} faces from ({low}) to ({high}))"


def _volumes(vertices: np.ndarray, faces: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Signed volume of every part, in the cube of the vertices' unit."""
    a, b, c = (vertices - vertices.mean(axis=0))[faces].swapaxes(0, 1)
    return np.bincount(number, np.einsum("fi,fi->f", a, np.cross(b, c)) / 6.0)


def _edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each of the 3 f sides of faces: face, number of the undirected edge, direction along it; and the uses of each edge."""
    directed = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    low, high = directed.min(axis=1), directed.max(axis=1)
    _, edge, uses = np.unique(low * (int(faces.max(initial=0)) + 1) + high, return_inverse=True, return_counts=True)
    return np.repeat(np.arange(len(faces)), 3), edge, np.where(directed[:, 0] < directed[:, 1], 1, -1), uses


def _components(count: int, links: np.ndarray) -> np.ndarray:
    graph = coo_matrix((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def _compact(points: np.ndarray, index: np.ndarray) -> Triangles:
    """Equal vertices merged, unused ones, faces without area and double faces dropped.

    Of faces with the same three vertices, two that face each other (the wall between parts that were joined) vanish, and
    those that face alike count once.
    """
    merged, number = np.unique(points[index].reshape(-1, 3) + 0.0, axis=0, return_inverse=True)
    faces = number.reshape(-1, 3)
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    _, group = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True)
    if not len(faces) or group.max() + 1 == len(faces):
        return merged, faces
    turn = np.argmin(faces, axis=1)
    even = faces[np.arange(len(faces)), (turn + 1) % 3] < faces[np.arange(len(faces)), (turn + 2) % 3]
    net = np.bincount(group, np.where(even, 1, -1))
    key = 2 * group + even
    first = np.zeros(len(faces), bool)
    first[np.unique(key, return_index=True)[1]] = True
    kept = faces[first & (np.where(even, 1, -1) * net[group] > 0)]
    used, again = np.unique(kept, return_inverse=True)
    return merged[used], again.reshape(-1, 3)


def _joined(vertices: np.ndarray, faces: np.ndarray, share: float, told: list[str] | None) -> Triangles:
    """Vertices within a share of the extent of each other made one, where that leaves fewer open edges."""
    if not len(faces):
        return vertices, faces
    pairs = cKDTree(vertices).query_pairs(share * float(np.ptp(vertices, axis=0).max()), output_type="ndarray")
    label = _components(len(vertices), pairs.reshape(-1, 2))
    first = np.unique(label, return_index=True)[1]
    made = _compact(vertices[first], label[faces])
    if _open_edges(made[1]).sum() >= _open_edges(faces).sum():
        return vertices, faces
    if told is not None:
        told.append(f"merged {len(vertices) - len(made[0])} of {len(vertices)} vertices within {share:g} of the extent")
    return made


def _mended(vertices: np.ndarray, faces: np.ndarray, told: list[str]) -> Triangles:
    """Faces ordered alike and holes closed, as trimesh does both, what is left of them by a fan about their middle."""
    import trimesh

    mesh = trimesh.Trimesh(vertices, faces, process=False)
    if not mesh.is_winding_consistent:
        trimesh.repair.fix_winding(mesh)
        told.append("ordered the faces of every part alike")
    faces = np.asarray(mesh.faces)
    hole = _open_edges(faces)
    if not hole.any():
        return vertices, faces
    patch, middles = _patches(vertices, faces)
    if len(patch):
        told.append(f"closed {len(middles)} holes with {len(patch)} faces")
    return _compact(np.concatenate([vertices, middles]), np.concatenate([faces, patch]))


def _patches(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces of a fan over every loop of open edges, and the middles [holes, 3] of the fans, numbered after the vertices."""
    _, edge, _, uses = _edges(faces)
    directed = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)[uses[edge] == 1]
    used, local = np.unique(directed, return_inverse=True)
    local = local.reshape(-1, 2)
    loop = _components(len(used), local)[local[:, 0]] if len(local) else np.zeros(0, int)
    middles, patch = [], []
    for number in range(int(loop.max(initial=-1)) + 1):
        rim = directed[loop == number]
        apex = len(vertices) + len(middles)
        middles.append(vertices[rim[:, 0]].mean(axis=0))
        patch.append(np.stack([rim[:, 1], rim[:, 0], np.full(len(rim), apex)], axis=1))
    return np.concatenate([np.zeros((0, 3), int), *patch]), np.reshape(middles, (-1, 3))


def _indices(faces: Any) -> np.ndarray:
    try:
        return np.asarray(faces)
    except ValueError:
        return np.zeros((0, 0))


def _open_edges(faces: np.ndarray) -> np.ndarray:
    """Which edges [e] an odd number of faces meets in."""
    return _edges(faces)[3] % 2 == 1 if len(faces) else np.ones(1, bool)


def _check_closed(owner: str, vertices: np.ndarray, faces: np.ndarray) -> None:
    """Along every edge as many faces run in one direction as in the other."""
    lacking = _open_edges(faces)
    if lacking.any():
        near = _joined(vertices, faces, NEARLY, [])[1]
        closes = len(faces) and not _open_edges(near).any()
        hint = f"merge its vertices within {NEARLY:g} of its extent" if closes else "close its holes"
        raise InputError(
            f"{owner}: expected a watertight mesh, got {int(lacking.sum())} of {len(lacking)} edges that do not join "
            f"exactly two faces; {hint}, or give repair=True."
        )
    _, edge, sign, _ = _edges(faces)
    unequal = np.bincount(edge, sign) != 0
    if unequal.any():
        raise InputError(
            f"{owner}: expected neighbouring faces to be ordered alike, got {int(unequal.sum())} edges where they "
            "disagree; recompute its normals, or give repair=True."
        )
