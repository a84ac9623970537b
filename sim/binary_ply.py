"""Binary PLY files: vertices, and faces of any number of corners, as Blender and MeshLab write them.

Source: G. Turk, The PLY polygon file format, 1994.
"""

import dataclasses
import struct

import numpy as np

TYPES = {
    "char": "b", "uchar": "B", "short": "h", "ushort": "H", "int": "i", "uint": "I", "float": "f", "double": "d",
    "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "float32": "f", "float64": "d",
}  # fmt: skip
CORNERS = ("vertex_indices", "vertex_index")
LONGEST_HEADER = 2**16


@dataclasses.dataclass(frozen=True)
class _Element:
    """A table of the file: its name, rows, and columns (name, type, type of the length of a list or None)."""

    name: str
    rows: int
    columns: list[tuple[str, str, str | None]]


def is_binary_ply(content: bytes) -> bool:
    """Whether a file's bytes begin as those of a binary PLY file do."""
    return (
        content[:4] in (b"ply\n", b"ply\r")
        and b"format binary_" in content[:LONGEST_HEADER].partition(b"end_header")[0]
    )


def read_binary_ply(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [v, 3] and triangles [f, 3]; polygons are cut into fans about their first corner.

    Errors: `ValueError`, `KeyError`, `struct.error` for a damaged file.
    """
    order, elements, place = _header(content)
    vertices, triangles = np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    for element in elements:
        if any(length for _, _, length in element.columns):
            polygons, place = _lists(content, place, order, element)
            triangles = _fans(polygons) if element.name == "face" else triangles
        else:
            kinds = [(name, order + TYPES[kind]) for name, kind, _ in element.columns]
            table = np.frombuffer(content, np.dtype(kinds), element.rows, place)
            place += table.nbytes
            if element.name == "vertex":
                vertices = np.stack([table[axis] for axis in "xyz"], axis=1).astype(np.float64)
    return vertices, triangles


def _header(content: bytes) -> tuple[str, list[_Element], int]:
    """Byte order, tables, and where the first begins."""
    end = content.index(b"end_header", 0, LONGEST_HEADER)
    start = content.index(b"\n", end) + 1
    order, elements = "<", []
    for line in content[:end].decode("latin-1").splitlines():
        words = line.split()
        if words[:1] == ["format"]:
            order = ">" if words[1] == "binary_big_endian" else "<"
        elif words[:1] == ["element"]:
            elements.append(_Element(words[1], _rows(words[2], content), []))
        elif words[:2] == ["property", "list"]:
            elements[-1].columns.append((words[4], words[3], words[2]))
        elif words[:1] == ["property"]:
            elements[-1].columns.append((words[2], words[1], None))
    return order, elements, start


def _rows(word: str, content: bytes) -> int:
    """The number of rows, which the file must be long enough for."""
    rows = int(word)
    if not 0 <= rows <= len(content):
        raise ValueError(f"it claims {rows} rows in {len(content)} bytes")
    return rows


def _lists(content: bytes, place: int, order: str, element: _Element) -> tuple[list[tuple], int]:
    """The corners of every face, and where the next table begins."""
    polygons: list[tuple] = []
    for _ in range(element.rows):
        corners: tuple = ()
        for name, kind, length in element.columns:
            count = 1
            if length is not None:
                (count,) = struct.unpack_from(order + TYPES[length], content, place)
                place += struct.calcsize(TYPES[length])
            size = count * struct.calcsize(TYPES[kind])
            if not 0 <= size <= len(content) - place:
                raise ValueError("a face reaches beyond its end")
            if name in CORNERS:
                corners = struct.unpack_from(f"{order}{count}{TYPES[kind]}", content, place)
            place += size
        polygons.append(corners)
    return polygons, place


def _fans(polygons: list[tuple]) -> np.ndarray:
    """Triangles [f, 3] of polygons of three or more corners."""
    counts = np.array([len(polygon) for polygon in polygons], int)
    made = [np.zeros((0, 3), np.int64)]
    for count in np.unique(counts[counts > 2]):
        rows = np.array([polygons[i] for i in np.flatnonzero(counts == count)], np.int64)
        made += [rows[:, [0, i, i + 1]] for i in range(1, int(count) - 1)]
    return np.concatenate(made)
