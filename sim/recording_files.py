"""Recordings on the disk: trajectories, .npz files of any origin, collections of VTK files, numbered VTK and PLY files."""

import glob
import json
import os
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.file_access import read_archive
from pliant.sim.point_files import POINT_SUFFIXES, PointFrame, read_points
from pliant.sim.recording import Recording
from pliant.sim.trajectory import Trajectory
from pliant.sim.trajectory_files import HEADER

SUFFIXES = (".npz", ".traj", ".pvd", ".series")
POSITIONS, TIMES, STEPS = ("x", "positions", "position", "points"), ("t", "times", "time"), ("step", "steps")
VELOCITIES, DEFORMATIONS = ("v0", "velocity", "velocities", "v"), ("F0", "deformation_gradient", "F")
_DAMAGE = (OSError, ValueError, EOFError, KeyError, TypeError)


def read(path: str | os.PathLike, *, interval: float | None, body: str | None) -> Recording:
    """The recording at a path, in the source's own unit of length."""
    text, place = os.fspath(path), Path(path)
    if interval is not None and not 0.0 < interval < np.inf:
        raise InputError(f"interval: expected a positive time in s, got {interval!r}; correct it.")
    if glob.has_magic(text) and not place.exists():
        return _numbered(text, [Path(p) for p in glob.glob(text)], interval)
    if not place.exists():
        raise InputError(f"recording: expected a file, a folder or a pattern, found nothing at {path}; check the path.")
    suffix = place.suffix.lower()
    if suffix == ".traj":
        return Recording.of(Trajectory.load(place), body)
    if place.is_dir():
        return _folder(place, interval)
    if suffix == ".npz":
        return _npz(place, interval, body)
    if suffix in (".pvd", ".series"):
        return _collection(place)
    if suffix in POINT_SUFFIXES:
        return _numbered(text, [place], interval)
    known = ", ".join((*SUFFIXES, *POINT_SUFFIXES))
    raise InputError(f"recording: expected a file ending in {known}, got {path}; convert it.")


def is_trajectory(path: Path) -> bool:
    """Whether a file or folder is a trajectory that Pliant saved."""
    if path.suffix.lower() == ".traj":
        return True
    if not path.is_file():  # of a device the search for its end has none
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{HEADER}.npy" in archive.namelist()
    except Exception:  # damaged archives and files of another kind raise a dozen kinds
        return False


def _npz(path: Path, interval: float | None, body: str | None) -> Recording:
    try:
        if is_trajectory(path):
            return Recording.of(Trajectory.load(path), body)
        return _plain(path, read_archive(path), interval)
    except InputError:
        raise
    except Exception as error:  # a damaged archive raises a dozen kinds
        raise InputError(f"recording: {path} is damaged or no .npz file ({error}); save it anew.") from None


def _plain(path: Path, arrays: dict[str, np.ndarray], interval: float | None) -> Recording:
    """A .npz file of another program."""
    points = _first(arrays, POSITIONS)
    if points is None:
        raise InputError(
            f"recording: expected positions as one of {POSITIONS} in {path}, got {list(arrays)}; rename them."
        )
    clouds = _clouds(path, points, arrays.get("counts"))
    return Recording(
        times=_times(path, arrays, interval, len(clouds)),
        points=clouds,
        velocity=_at_start(_first(arrays, VELOCITIES), (3,)),
        deformation_gradient=_at_start(_first(arrays, DEFORMATIONS), (3, 3)),
        source=str(path),
    )


def _clouds(path: Path, points: np.ndarray, counts: np.ndarray | None) -> list[np.ndarray]:
    """[frame, item, 3] (or with one environment [frame, 1, item, 3]), or all clouds one after the other with their counts."""
    if counts is not None and points.ndim == 2 and counts.sum() == len(points):
        return np.split(points, np.cumsum(counts)[:-1])
    if points.ndim == 4 and points.shape[1] == 1:
        points = points[:, 0]
    if points.ndim != 3 or points.shape[2] != 3 or points.dtype.kind not in "fiu":
        raise InputError(
            f"recording: expected positions [frame, item, 3], or [point, 3] with `counts` [frame], in {path}, got "
            f"{points.dtype} {list(points.shape)}; reshape them."
        )
    return list(points)


def _times(path: Path, arrays: dict[str, np.ndarray], interval: float | None, frames: int) -> np.ndarray:
    times, steps = _first(arrays, TIMES), _first(arrays, STEPS)
    if times is not None:
        return times
    step = interval if interval is not None else arrays.get("dt")
    if step is None:
        raise InputError(
            f"recording: expected times as one of {TIMES}, or `step` and `dt`, in {path}, got {list(arrays)}; add them or "
            "give the interval."
        )
    return (np.arange(frames) if steps is None else steps) * float(step)


def _first(arrays: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    return next((arrays[name] for name in names if name in arrays), None)


def _at_start(array: np.ndarray | None, tail: tuple[int, ...]) -> np.ndarray | None:
    """The field of the first frame, of an array [item, *tail] or [frame, item, *tail]; of another shape it is another field."""
    if array is None or array.ndim <= len(tail) or array.shape[-len(tail) :] != tail:
        return None
    return array[0] if array.ndim > len(tail) + 1 else array


def _folder(folder: Path, interval: float | None) -> Recording:
    lists = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in (".pvd", ".series")]
    files = [p for p in folder.iterdir() if p.suffix.lower() in POINT_SUFFIXES]
    if len(lists) == 1:
        return _collection(lists[0])
    kinds = sorted({p.suffix.lower() for p in files})
    if len(kinds) != 1 or len(lists) > 1:
        found = [p.name for p in lists] or kinds or "none"
        raise InputError(
            f"recording: expected numbered files of one kind of {', '.join(POINT_SUFFIXES)} in {folder}, got {found}; give a "
            "pattern or one file."
        )
    return _numbered(str(folder), files, interval)


def _numbered(source: str, files: list[Path], interval: float | None) -> Recording:
    """Files in the order of the last number in their names."""
    if not files:
        raise InputError(f"recording: expected files that match {source}, found none; check the pattern.")
    numbers = [re.findall(r"\d+", path.stem) for path in files]
    nameless = [path.name for path, found in zip(files, numbers, strict=True) if not found]
    if nameless:
        raise InputError(f"recording: expected a number in the name of every frame, got {nameless[0]}; rename it.")
    order = sorted(range(len(files)), key=lambda i: int(numbers[i][-1]))
    frames = [read_points(files[i]) for i in order]
    times = [frame.time for frame in frames]
    known = [time for time in times if time is not None]
    if interval is None and len(known) == len(times):
        return _recording(source, known, frames)
    if interval is None:
        raise InputError(
            f"recording: expected times in the files of {source}, got {len(known)} in {len(times)} files; give the interval "
            "between frames, or a .pvd file."
        )
    _check_gaps(source, [int(numbers[i][-1]) for i in order])
    return _recording(source, [interval * i for i in range(len(frames))], frames)


def _check_gaps(source: str, numbers: list[int]) -> None:
    """Raise `InputError` when a number is missing, or there twice: the interval would not hold."""
    gaps = np.diff(numbers)
    wrong = gaps != np.min(gaps, where=gaps > 0, initial=np.iinfo(np.int64).max)
    if wrong.any():
        where = int(np.argmax(wrong))
        raise InputError(
            f"recording: expected frames at equal intervals in {source}, got number {numbers[where + 1]} after "
            f"{numbers[where]}; restore what is missing, or give the times in a .pvd file."
        )


def _collection(path: Path) -> Recording:
    """The files a ParaView collection names, at the times it gives them."""
    try:
        entries = _series(path) if path.suffix.lower() == ".series" else _pvd(path)
    except (*_DAMAGE, ElementTree.ParseError) as error:
        raise InputError(f"recording: {path} is no complete collection ({error}); export it anew.") from None
    if not entries:
        raise InputError(f"recording: {path} names no files; export it anew.")
    frames = [read_points(path.parent / name) for name, _ in entries]
    return _recording(str(path), [time for _, time in entries], frames)


def _pvd(path: Path) -> list[tuple[str, float]]:
    root = ElementTree.fromstring(path.read_bytes())
    return [(entry.attrib["file"], float(entry.attrib["timestep"])) for entry in root.iter("DataSet")]


def _series(path: Path) -> list[tuple[str, float]]:
    return [(str(entry["name"]), float(entry["time"])) for entry in json.loads(path.read_text())["files"]]


def _recording(source: str, times: list[float], frames: list[PointFrame]) -> Recording:
    first = frames[0]
    return Recording(
        times=np.asarray(times),
        points=[frame.points for frame in frames],
        velocity=first.velocity,
        deformation_gradient=first.deformation_gradient,
        source=source,
    )
