"""One frame of points from a VTK or PLY file."""

import contextlib
import dataclasses
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from pliant.sim.binary_ply import is_binary_ply, read_binary_ply
from pliant.sim.errors import InputError
from pliant.sim.file_access import check_size

VTK, PLY = (".vtk", ".vtu", ".vtp"), (".ply",)
POINT_SUFFIXES = (*VTK, *PLY)
TIME_NAMES = ("timevalue", "time")  # of VTK's field data, by whichever program wrote it
VELOCITY_NAMES = ("velocity", "velocities", "v")
DEFORMATION_NAMES = ("deformation_gradient", "deformationgradient", "f")


@dataclasses.dataclass(frozen=True)
class PointFrame:
    """Points [item, 3] in the file's unit of length, and the time [s] and fields that the file holds beside them."""

    points: np.ndarray
    time: float | None = None
    velocity: np.ndarray | None = None
    deformation_gradient: np.ndarray | None = None


def read_points(path: Path) -> PointFrame:
    """The points of a .vtk, .vtu, .vtp or .ply file.

    Errors: `InputError` for a missing, empty, damaged or unknown file.
    """
    if path.suffix.lower() not in POINT_SUFFIXES:
        raise InputError(f"recording: expected a file ending in {', '.join(POINT_SUFFIXES)}, got {path}; convert it.")
    if not path.is_file():
        raise InputError(f"recording: expected a file, found none at {path}; check the path.")
    check_size(path, path.stat().st_size, "recording")
    if not path.stat().st_size:
        raise InputError(f"recording: {path} is empty; export it anew.")
    frame = _read(path)
    if not len(frame.points):
        raise InputError(f"recording: {path} holds no points; export it anew.")
    return frame


def _read(path: Path) -> PointFrame:
    try:
        with _quiet():
            return _read_ply(path) if path.suffix.lower() in PLY else _read_vtk(path)
    except Exception as error:  # the readers raise whatever a damaged file leads them to
        raise InputError(f"recording: {path} is not a complete file of points ({error}); export it anew.") from None


def _read_ply(path: Path) -> PointFrame:
    content = path.read_bytes()
    if is_binary_ply(content):
        return PointFrame(read_binary_ply(content)[0])
    loaded: Any = trimesh.load(path, process=False)
    vertices = getattr(loaded, "vertices", np.zeros((0, 3)))  # a file without vertices becomes an empty scene
    return PointFrame(np.asarray(vertices, np.float64))


def _read_vtk(path: Path) -> PointFrame:
    import pyvista

    data: Any = pyvista.read(path)
    moment = _named(data.field_data, TIME_NAMES)
    return PointFrame(
        np.asarray(data.points, np.float64),
        None if moment is None else float(moment.reshape(-1)[0]),
        _named(data.point_data, VELOCITY_NAMES),
        _tensors(_named(data.point_data, DEFORMATION_NAMES)),
    )


def _named(arrays: Mapping[str, Any], names: tuple[str, ...]) -> np.ndarray | None:
    """The first array with one of these names, whatever its capitals."""
    found = {key.lower(): key for key in reversed(list(arrays.keys()))}
    key = next((found[name] for name in names if name in found), None)
    return None if key is None else np.asarray(arrays[key], np.float64)


def _tensors(rows: np.ndarray | None) -> np.ndarray | None:
    """[item, 3, 3] of VTK's [item, 9], row by row; an array of that name with other components is something else."""
    return None if rows is None or rows[0].size != 9 else rows.reshape(len(rows), 3, 3)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what VTK prints of a damaged file: the exception says it."""
    import pyvista

    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with pyvista.vtk_verbosity("off"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
