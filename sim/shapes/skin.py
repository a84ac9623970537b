"""The skin of a solid: what is left of its surface without the pieces that lie inside another part of it.

Parts pushed into each other, or a surface that crosses itself, have faces within the solid. They bound nothing: distance,
volume and centre of mass are those of the skin. A face is cut into smaller triangles where it crosses the skin.
"""

import dataclasses

import numpy as np

from pliant.sim.shapes.closest import inside

COARSE, LEVELS = 32, 4  # pieces of a length of the extent, and how often a piece that crosses the skin is quartered
SAMPLES = 3_000  # pieces of a mesh of one part that are looked at
BESIDE = 5e-6  # of the extent: how far from a face its two sides are looked at
SHRUNK = 0.96  # the corners of a piece are looked at a little within it
FAINT = 0.1  # pieces of which less counts are left out
SEEN = 1e-5  # of the area: less within the solid is an error of rounding


def is_cavity(vertices: np.ndarray, faces: np.ndarray, part: np.ndarray) -> bool:
    """Whether all faces of a part [f], which point inwards, have solid behind them."""
    pieces = _pieces(vertices[faces[part]], 1.0 / COARSE * _extent(vertices), 20 * SAMPLES)[0]
    behind, _ = _sides(pieces, pieces.mean(axis=1), vertices, faces)
    return bool(inside(behind, vertices, faces).mean() > 0.99)


@dataclasses.dataclass(frozen=True)
class Skin:
    """Vertices [v, 3] and faces [f, 3] that bound a solid, and which share [f] of each counts where several lie in one place."""

    vertices: np.ndarray
    faces: np.ndarray
    weights: np.ndarray


def skin(vertices: np.ndarray, faces: np.ndarray, *, parts: int) -> Skin:
    """What bounds the solid; the mesh itself where none of its faces lies within, or on another."""
    extent = _extent(vertices)
    if parts == 1 and len(faces) > 4 * SAMPLES:  # enough to meet a fold wider than a few faces
        pieces, _ = _pieces(vertices[faces[:: len(faces) // (4 * SAMPLES) + 1]], extent, 0)
    else:
        pieces, _ = _pieces(vertices[faces], extent / COARSE, SAMPLES if parts == 1 else 40 * SAMPLES)
    counts = _counts(pieces, pieces.mean(axis=1), vertices, faces)
    area = _area(pieces)
    if area[counts != 1.0].sum() <= SEEN * area.sum():
        return Skin(vertices, faces, np.ones(len(faces)))
    return _cut(vertices, faces, extent)


def _cut(vertices: np.ndarray, faces: np.ndarray, extent: float) -> Skin:
    """The pieces of faces that bound the solid; faces that do so everywhere stay whole."""
    pieces, owner = _pieces(vertices[faces], extent / COARSE, 80 * SAMPLES)
    counts = _corner_counts(pieces, vertices, faces)
    whole = np.bincount(owner, (counts != 1.0).any(axis=1), len(faces)) == 0
    pieces, counts = pieces[~whole[owner]], counts[~whole[owner]]
    kept, weights = [vertices[faces[whole]]], [np.ones(int(whole.sum()))]
    for level in range(LEVELS + 1):
        done = (counts == counts[:, :1]).all(axis=1) | (level == LEVELS)
        weight = counts[done].mean(axis=1)
        kept.append(pieces[done][weight > FAINT])
        weights.append(weight[weight > FAINT])
        pieces = _quartered(pieces[~done])
        counts = _corner_counts(pieces, vertices, faces)
    corners = np.concatenate(kept).reshape(-1, 3)
    return Skin(corners, np.arange(len(corners)).reshape(-1, 3), np.concatenate(weights))


def _corner_counts(pieces: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The counts [p, 4] of four places on each piece: its middle and near its corners."""
    middle = pieces.mean(axis=1, keepdims=True)
    places = np.concatenate([middle, middle + SHRUNK * (pieces - middle)], axis=1)
    return _counts(np.repeat(pieces, 4, axis=0), places.reshape(-1, 3), vertices, faces).reshape(-1, 4)


def _counts(pieces: np.ndarray, places: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """How much [p] of a piece counts at a place: 1 on the skin, 1/m where m faces lie there, 0 within the solid."""
    behind, front = _sides(pieces, places, vertices, faces)
    bounds = inside(behind, vertices, faces)
    bounds[bounds] = ~inside(front[bounds], vertices, faces)
    counts = bounds.astype(float)
    many, sheets = np.flatnonzero(bounds), 1
    while len(many):  # the winding number falls by as much as there are faces
        many = many[inside(behind[many], vertices, faces, number=sheets)]
        sheets += 1
        counts[many] = 1.0 / sheets
    return counts


def _sides(
    pieces: np.ndarray, places: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points [p, 3] a little behind a place of each piece, and in front of it."""
    normal = np.cross(pieces[:, 1] - pieces[:, 0], pieces[:, 2] - pieces[:, 0])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    step = np.minimum(BESIDE * _extent(vertices), 0.05 * np.sqrt(length)) * normal / np.where(length > 0.0, length, 1.0)
    return places - step, places + step


def _pieces(triangles: np.ndarray, side: float, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangles [p, 3, 3] no longer than `side` (or about `limit` of them), and the number [p] of the one they are cut from."""
    longest = np.linalg.norm(np.roll(triangles, -1, axis=1) - triangles, axis=2).max(axis=1)
    cuts = np.ceil(longest / side).astype(int)
    if limit and (total := int((cuts**2).sum())) > limit:
        cuts = np.ceil(cuts * np.sqrt(limit / total)).astype(int)
    cuts = np.maximum(cuts, 1) if limit else np.ones(len(triangles), int)
    made, owner = [], []
    for cut in np.unique(cuts):
        chosen = np.flatnonzero(cuts == cut)
        corners = _barycentric(int(cut))  # [cut^2, 3, 3]
        made.append(np.einsum("kcb,tbi->tkci", corners, triangles[chosen]).reshape(-1, 3, 3))
        owner.append(np.repeat(chosen, len(corners)))
    return np.concatenate(made), np.concatenate(owner)


def _barycentric(cut: int) -> np.ndarray:
    """Corners, in barycentric coordinates [cut^2, 3, 3], of the pieces of a triangle whose sides are cut so often."""
    i, j = (x.ravel() for x in np.meshgrid(range(cut), range(cut), indexing="ij"))
    up = i + j < cut
    down = i + j < cut - 1
    low = np.stack([[i, j], [i + 1, j], [i, j + 1]])[:, :, up]
    high = np.stack([[i + 1, j], [i + 1, j + 1], [i, j + 1]])[:, :, down]
    plane = np.concatenate([low, high], axis=2).transpose(2, 0, 1) / cut
    return np.concatenate([1.0 - plane.sum(axis=2, keepdims=True), plane], axis=2)


def _quartered(triangles: np.ndarray) -> np.ndarray:
    return np.einsum("kcb,tbi->tkci", _barycentric(2), triangles).reshape(-1, 3, 3)


def _area(triangles: np.ndarray) -> np.ndarray:
    return 0.5 * np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1)


def _extent(vertices: np.ndarray) -> float:
    return float(np.ptp(vertices, axis=0).max())
