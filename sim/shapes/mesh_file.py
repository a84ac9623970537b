"""Triangles from mesh files."""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from pliant.sim.binary_ply import is_binary_ply, read_binary_ply
from pliant.sim.errors import InputError
from pliant.sim.file_access import read_bytes
from pliant.sim.shapes.base import Triangles

FORMATS = (".stl", ".obj", ".ply", ".glb")
STL_HEADER, STL_FACE = 84, 50  # bytes
Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # rows: where the file's x, y and z lie


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
        vertices, faces = _triangles(content, Path(path).suffix[1:].lower())
    except Exception as error:  # the readers raise whatever a damaged file leads them to
        raise InputError(f"mesh: {path} is not a complete mesh file ({error}); export it anew.") from None
    if not len(faces):
        raise InputError(
            f"mesh: expected triangles in {path}, found none; it is empty, truncated or of another format."
        )
    return (vertices, faces), digest


def _triangles(content: bytes, kind: str) -> Triangles:
    """Vertices and faces of a file's bytes; of a .glb file, whose y axis points up by its standard, turned to z up."""
    if kind == "ply" and is_binary_ply(content):
        return read_binary_ply(content)
    if kind == "stl":
        content = content[: _stl_length(content)]
    mesh: Any = trimesh.load_mesh(io.BytesIO(content), file_type=kind, process=False)
    vertices, faces = np.array(mesh.vertices, float), np.array(mesh.faces, np.int64)
    return (vertices @ Y_UP if kind == "glb" else vertices), faces


def _stl_length(content: bytes) -> int:
    """Bytes of a binary STL file without what some programs append; all of any other."""
    length = STL_HEADER + STL_FACE * int.from_bytes(content[STL_HEADER - 4 : STL_HEADER], "little")
    return min(length, len(content)) if len(content) >= STL_HEADER else len(content)


def _content(path: str | os.PathLike) -> bytes:
    if not isinstance(path, (str, os.PathLike)) or Path(path).suffix.lower() not in FORMATS:
        raise InputError(f"mesh: expected a file ending in {', '.join(FORMATS)}, got '{path}'; convert it.")
    content = read_bytes(path, "mesh")
    if not content:
        raise InputError(f"mesh: {path} is empty; export it anew.")
    return content
