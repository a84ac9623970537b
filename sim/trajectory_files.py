"""Trajectories on the disk: one `.npz` file, or a `.traj` folder for runs longer than the memory.

A `.traj` folder holds one `.npy` file an array and `trajectory.json`, which names them. A save writes new files beside
the old ones and then replaces `trajectory.json`, so that a reader always meets a whole trajectory.
"""

import contextlib
import itertools
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sim.atomic import write_atomically
from sim.errors import InputError
from sim.status import Status
from sim.trajectory import Trajectory, host_array

FORMAT = 1
TIMES, HEADER = "times", "pliant"
MANIFEST = "trajectory.json"
_DAMAGE = (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, NotImplementedError)


def save(trajectory: Trajectory, path: Path) -> None:
    """Write a trajectory to a .npz file or a .traj folder, whichever the suffix says."""
    if path.suffix.lower() == ".traj":
        _save_folder(trajectory, path)
    else:
        _save_file(trajectory, path)


def load(path: Path, *, mmap: bool) -> Trajectory:
    """Read a .npz file or a .traj folder."""
    if not path.exists():
        raise InputError(f"trajectory: expected a file or a folder, found nothing at {path}; check the path.")
    if path.is_dir():
        return _load_folder(path, mmap=mmap)
    if mmap:
        raise InputError(f"trajectory: expected a .traj folder for mmap, got the file {path}; save it as .traj first.")
    return _load_file(path)


class TrajectoryWriter:
    """A trajectory under construction, in memory or memory-mapped in a .traj folder.

    Args:
        path: the .traj folder, or None for memory.
        times: of all frames [s], [frame].
        shapes: name -> shape of one frame [batch, ...].
        dtype: of every array.

    Errors: `InputError` for another suffix, or when the disk has no room for all frames.
    """

    def __init__(
        self,
        path: str | os.PathLike | None,
        times: np.ndarray,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        dtype: str = "float32",
    ):
        self.path = None if path is None else Path(path)
        self.times = np.asarray(times, dtype=np.float64)
        whole = {name: (len(self.times), *shape) for name, shape in shapes.items()}
        self._folder = None if self.path is None else _Generation(self.path, whole)
        if self._folder is None:
            self.arrays: dict[str, np.ndarray] = {name: np.zeros(shape, dtype) for name, shape in whole.items()}
        else:
            self.arrays = {name: self._folder.allocate(name, shape, np.dtype(dtype)) for name, shape in whole.items()}

    def write(self, frame: int, name: str, array: Any) -> None:
        """Set one frame [batch, ...] of an array.

        Errors: `InputError` for an unknown name, a frame outside, or another shape.
        """
        if name not in self.arrays:
            raise InputError(f"write: expected one of {sorted(self.arrays)}, got {name!r}; correct the name.")
        values, target = host_array(array), self.arrays[name]
        if not 0 <= frame < len(target) or values.shape != target.shape[1:]:
            raise InputError(
                f"write: expected {name!r} of shape {list(target.shape[1:])} at a frame below {len(target)}, got "
                f"{list(values.shape)} at {frame}; correct it."
            )
        target[frame] = values

    def finish(
        self, status: Status | None = None, metadata: dict[str, Any] | None = None, *, frame_count: int | None = None
    ) -> Trajectory:
        """The trajectory, complete on the disk if it has a path; a failed run keeps its first `frame_count` frames."""
        count = len(self.times) if frame_count is None else frame_count
        arrays = {name: array[:count] for name, array in self.arrays.items()}
        done = Trajectory(times=self.times[:count], arrays=arrays, metadata=metadata or {}, status=status or Status())
        if self._folder is not None:
            for array in self.arrays.values():
                array.flush()  # type: ignore[attr-defined]
            self._folder.commit(done)
        return done


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside the target, with its suffix, that takes the target's place when the block ends well.

    Errors: `InputError` when writing fails; the old file stays.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _write_error(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot write {path}: {error.strerror or error}; the old one, if any, is untouched.")


def _header(trajectory: Trajectory) -> dict[str, Any]:
    return {"format": FORMAT, "metadata": trajectory.metadata, "status": trajectory.status.to_dict()}


def _encoded(header: dict[str, Any]) -> str:
    """JSON; NumPy numbers and arrays become lists, anything else that JSON lacks gets its sentence."""
    try:
        return json.dumps(header, default=lambda value: value.tolist())
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"metadata: expected what JSON can hold, got something else ({error}); remove it.") from None


def _rebuilt(times: np.ndarray, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> Trajectory:
    if header["format"] != FORMAT:
        raise InputError(f"trajectory: expected format {FORMAT}, got {header['format']!r}; save it with this version.")
    status = Status.from_dict(header["status"])
    return Trajectory(times=times, arrays=arrays, metadata=header["metadata"], status=status)


@contextlib.contextmanager
def _reading(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a damaged or foreign file causes into one sentence."""
    try:
        yield
    except InputError:
        raise
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"trajectory: {path} is not {kind}, or it is truncated ({reason}); save it anew.") from None


def _save_file(trajectory: Trajectory, path: Path) -> None:
    reserved = {TIMES, HEADER, "file", "allow_pickle"} & set(trajectory)
    if reserved:
        raise InputError(f"save: the names {sorted(reserved)} are reserved; rename these arrays.")
    header = np.frombuffer(_encoded(_header(trajectory)).encode(), np.uint8)
    arrays = {name: host_array(array) for name, array in trajectory.items()}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **{HEADER: header, TIMES: trajectory.times}, **arrays)


def _load_file(path: Path) -> Trajectory:
    with _reading(path, "a trajectory"), np.load(path, allow_pickle=False) as archive:
        header = json.loads(bytes(archive[HEADER]))
        arrays = {name: archive[name] for name in archive.files if name not in (TIMES, HEADER)}
        return _rebuilt(archive[TIMES], arrays, header)


class _Generation:
    """One save into a .traj folder: new files beside the old ones, in force once the manifest names them."""

    def __init__(self, folder: Path, names: Mapping[str, Any]):
        if folder.suffix.lower() != ".traj":
            raise InputError(f"trajectory: expected a folder that ends in .traj, got {folder}; rename it.")
        if folder.is_file():
            raise InputError(f"trajectory: expected a folder, got the file {folder}; choose another name.")
        self.folder = folder
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
        taken = {file.name.partition("-")[0] for file in folder.glob("*.npy")}
        number = next(str(n) for n in itertools.count() if str(n) not in taken)
        plain = [re.sub(r"[^\w.]", "_", name) for name in names]
        self.files = {name: f"{number}-{i}-{plain[i]}.npy" for i, name in enumerate(names)}

    def allocate(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """A memory-mapped array of zeros, with its room on the disk reserved: a full disk must not become a SIGBUS."""
        with self._writing():
            path = self.folder / self.files[name]
            array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
            if hasattr(os, "posix_fallocate"):
                with open(path, "r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, max(1, path.stat().st_size))
            return array

    def commit(self, trajectory: Trajectory) -> None:
        """Replace the manifest, then remove the files it no longer names."""
        manifest = _header(trajectory) | {TIMES: trajectory.times.tolist(), "arrays": self.files}
        try:
            write_atomically(self.folder / MANIFEST, _encoded(manifest).encode())
        except InputError:
            self._discard()
            raise
        for file in self.folder.glob("*.npy"):
            if file.name not in self.files.values():
                file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._discard()
            raise _write_error(self.folder, error) from error

    def _discard(self) -> None:
        for name in getattr(self, "files", {}).values():
            (self.folder / name).unlink(missing_ok=True)


def _save_folder(trajectory: Trajectory, folder: Path) -> None:
    generation = _Generation(folder, trajectory)
    for name, array in trajectory.items():
        values = host_array(array)
        target = generation.allocate(name, values.shape, values.dtype)
        target[...] = values
        target.flush()  # type: ignore[attr-defined]
    generation.commit(trajectory)


def _load_folder(folder: Path, *, mmap: bool) -> Trajectory:
    with _reading(folder, "a .traj folder"):
        manifest = json.loads((folder / MANIFEST).read_text())
        times = np.asarray(manifest[TIMES], dtype=np.float64)
        arrays = {}
        for name, file in manifest["arrays"].items():
            if Path(file).name != file:
                raise ValueError(f"it names the file {file!r} outside the folder")
            arrays[name] = np.load(folder / file, mmap_mode="r" if mmap else None, allow_pickle=False)[: len(times)]
        return _rebuilt(times, arrays, manifest)
