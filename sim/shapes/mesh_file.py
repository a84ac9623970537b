"""Triangles from STL, OBJ and PLY files, checked to enclose a volume."""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from pliant.sim.errors import InputError
from pliant.sim.shapes.base import Triangles, check_points

FORMATS = (".stl", ".obj", ".ply")


def read_mesh(path: str | os.PathLike, sha256: str | None = None) -> tuple[Triangles, str]:
    """The vertices and faces a file holds, and its SHA-256 in hexadecimal digits.

    Errors: `InputError` for a missing, empty, unknown, damaged or (if `sha256` is given) changed file.
    """
    content = _content(path)
    digest = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, digest):
        raise InputError(
            f"mesh: {path} changed since the scene was saved (SHA-256 {digest[:12]}..., expected "
            f"{str(sha256)[:12]}...); restore the file or build the scene anew."
        )
    try:
        mesh: Any = trimesh.load_mesh(io.BytesIO(content), file_type=Path(path).suffix[1:].lower(), process=False)
        vertices, faces = np.array(mesh.vertices, float), np.array(mesh.faces, np.int64)
    except Exception as error:  # the readers raise whatever a damaged file leads them to
        raise InputError(f"mesh: {path} is not a complete mesh file ({error}); export it anew.") from None
    if not len(faces):
        raise InputError(
            f"mesh: expected triangles in {path}, found none; it is empty, truncated or of another format."
        )
    return (vertices, faces), digest


def _content(path: str | os.PathLike) -> bytes:
    if not isinstance(path, (str, os.PathLike)) or Path(path).suffix.lower() not in FORMATS:
        raise InputError(f"mesh: expected a file ending in {', '.join(FORMATS)}, got '{path}'; convert it.")
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"mesh: cannot read {Path(path).absolute()} ({error}); check the path.") from None
    if not content:
        raise InputError(f"mesh: {path} is empty; export it anew.")
    return content


def check_triangles(owner: str, vertices: Any, faces: Any) -> Triangles:
    """Vertices [v, 3] and faces [f, 3], equal vertices merged and unused ones dropped.

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
    merged, number = np.unique(points[index].reshape(-1, 3) + 0.0, axis=0, return_inverse=True)
    index = number.reshape(-1, 3)
    collapsed = (index == np.roll(index, 1, axis=1)).any(axis=1)
    _check_closed(owner, index[~collapsed])
    return merged, index[~collapsed]


def _indices(faces: Any) -> np.ndarray:
    try:
        return np.asarray(faces)
    except ValueError:
        return np.zeros((0, 0))


def _check_closed(owner: str, faces: np.ndarray) -> None:
    """Every edge belongs to two faces, which run along it in opposite directions."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, uses = np.unique(np.sort(directed, axis=1), axis=0, return_counts=True)
    if not len(uses) or (uses != 2).any():
        raise InputError(
            f"{owner}: expected a watertight mesh, got {int((uses != 2).sum())} of {len(uses)} edges that do not join "
            "exactly two faces; close its holes."
        )
    _, uses = np.unique(directed, axis=0, return_counts=True)
    if (uses != 1).any():
        raise InputError(
            f"{owner}: expected neighbouring faces to be ordered alike, got {int((uses != 1).sum())} edges where they "
            "disagree; recompute its normals."
        )
