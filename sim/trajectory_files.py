"""Trajectories on the disk: one `.npz` file, or a `.traj` folder for runs longer than the memory.

A `.traj` folder holds one `.npy` file an array and `trajectory.json`, which names them. A save writes new files beside
the old ones and then replaces `trajectory.json`, so that a reader always meets a whole trajectory.
"""

import contextlib
import itertools
import json
import math
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pliant.sim.atomic import write_atomically
from pliant.sim.errors import InputError
from pliant.sim.file_access import read_archive
from pliant.sim.status import Code, Status
from pliant.sim.trajectory import Trajectory, host_array

FORMAT = 1
TIMES, HEADER = "times", "pliant"
MANIFEST = "trajectory.json"
UNFINISHED = Status(
    Code.UNFINISHED, message="the recording was not finished: its run was killed, or is still under way."
)
_DAMAGE = (
    OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error, NotImplementedError,
    RecursionError, MemoryError, OverflowError, RuntimeError, SyntaxError,
)  # fmt: skip


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
    """A .traj folder under construction, written frame by frame; what is written takes no memory.

    A reader meets the old trajectory until the first `publish`, and from then on the frames published so far, whatever
    happens to the writing process.

    Args:
        path: the .traj folder.
        times: of all frames [s], [frame].
        shapes: name -> shape of one frame [batch, ...].
        dtype: of every array.
        metadata: of the trajectory.

    Errors: `InputError` for another suffix, or when the disk has no room for all frames.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        times: np.ndarray,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        dtype: str = "float32",
        metadata: dict[str, Any] | None = None,
    ):
        self.path, self.metadata = Path(path), metadata or {}
        self.times = np.asarray(times, dtype=np.float64)
        self._published = 0
        self._folder, count = _Generation(self.path, shapes), len(self.times)
        self._check_room(count * np.dtype(dtype).itemsize * sum(math.prod(shape) for shape in shapes.values()))
        with self._folder.writing():
            self._times = FrameFile(self._folder.times_file, (count,), np.dtype(np.float64))
            files = self._folder.files.items()
            self._files = {n: FrameFile(self.path / f, (count, *shapes[n]), np.dtype(dtype)) for n, f in files}

    def write(self, frame: int, name: str, array: Any) -> None:
        """Set one frame [batch, ...] of an array.

        Errors: `InputError` for an unknown name, a frame outside, another shape, or a full disk.
        """
        if name not in self._files:
            raise InputError(f"write: expected one of {sorted(self._files)}, got {name!r}; correct the name.")
        values, target = host_array(array), self._files[name]
        if not 0 <= frame < len(self.times) or values.shape != target.shape[1:]:
            raise InputError(
                f"write: expected {name!r} of shape {list(target.shape[1:])} at a frame below {len(self.times)}, got "
                f"{list(values.shape)} at {frame}; correct it."
            )
        with self._appending():
            target.write(frame, values)

    def publish(self, frame_count: int) -> None:
        """Let readers meet the first `frame_count` frames, which have been written."""
        with self._appending():
            if not self._published:
                self._times.fill(np.nan)
            for frame in range(self._published, frame_count):
                self._times.write(frame, self.times[frame])
        if not self._published:
            self._folder.announce(_header(self.metadata, UNFINISHED))
        self._published = max(self._published, frame_count)

    def finish(self, status: Status | None = None, *, frame_count: int | None = None) -> Trajectory:
        """The trajectory, read from the disk as it is used; a failed run keeps its first `frame_count` frames."""
        times = self.times[:frame_count]
        with self._appending():
            for file in (self._times, *self._files.values()):
                file.close()
        self._folder.commit(times, _header(self.metadata, status or Status()))
        return _load_folder(self.path, mmap=True)

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.path).free
        if needed > free:
            raise InputError(
                f"trajectory: {len(self.times)} frames need {needed / 1e9:.3g} GB in {self.path}, whose disk has "
                f"{free / 1e9:.3g} GB free; record fewer frames or fields, or elsewhere."
            )

    @contextlib.contextmanager
    def _appending(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"cannot write {self.path}: {error.strerror or error}; the {self._published} frames before stay readable."
            ) from error


class FrameFile:
    """A .npy file [frame, ...] written frame by frame; frames that are never written take no room on the disk."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype):
        self.shape, self.dtype = shape, dtype
        self._bytes = math.prod(shape[1:]) * dtype.itemsize
        self._file = open(path, "wb")  # noqa: SIM115
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._start = self._file.tell()
        self._file.truncate(self._start + shape[0] * self._bytes)

    def write(self, frame: int, values: Any) -> None:
        """Hand one frame to the operating system, which keeps it even if this process is killed."""
        self._file.seek(self._start + frame * self._bytes)
        self._file.write(np.ascontiguousarray(values, dtype=self.dtype).tobytes())
        self._file.flush()

    def fill(self, value: float) -> None:
        """Set every frame to one value."""
        self._file.seek(self._start)
        self._file.write(np.full(self.shape, value, self.dtype).tobytes())
        self._file.flush()

    def close(self) -> None:
        """Bring everything to the disk."""
        with contextlib.closing(self._file):
            self._file.flush()
            os.fsync(self._file.fileno())


def check_folder(path: str | os.PathLike) -> Path:
    """The path of a .traj folder, there already or not; `InputError` for another suffix or a file."""
    folder = Path(path) if isinstance(path, (str, os.PathLike)) else Path()
    if folder.suffix.lower() != ".traj":
        raise InputError(f"trajectory: expected a folder that ends in .traj, got {path!r}; rename it.")
    if folder.is_file():
        raise InputError(f"trajectory: expected a folder, got the file {folder}; choose another name.")
    return folder


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
        with contextlib.suppress(OSError):  # of a name too long even to look for
            temporary.unlink(missing_ok=True)


def _write_error(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot write {path}: {error.strerror or error}; the old one, if any, is untouched.")


def _header(metadata: dict[str, Any], status: Status) -> dict[str, Any]:
    return {"format": FORMAT, "metadata": metadata, "status": status.to_dict()}


def _encoded(header: dict[str, Any]) -> str:
    """JSON; NumPy numbers and arrays become lists, anything else that JSON lacks gets its sentence."""
    try:
        return json.dumps(header, default=lambda value: value.tolist())
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"metadata: expected what JSON can hold, got something else ({error}); remove it.") from None


def _rebuilt(times: np.ndarray, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> Trajectory:
    if header["format"] != FORMAT:
        raise InputError(f"trajectory: expected format {FORMAT}, got {header['format']!r}; save it with this version.")
    status, metadata = Status.from_dict(header["status"]), header["metadata"]
    if not isinstance(metadata, dict) or not isinstance(metadata.get("scene", {}), (dict, type(None))):
        raise ValueError("its metadata is no dictionary, or the scene in it is none")
    strange = next((name for name, array in arrays.items() if array.dtype.kind not in "fiub"), None)
    if strange is not None or times.dtype.kind not in "fiu":
        raise ValueError(f"{strange or TIMES} holds other than real numbers")
    return Trajectory(times=times, arrays=arrays, metadata=metadata, status=status)


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
    header = np.frombuffer(_encoded(_header(trajectory.metadata, trajectory.status)).encode(), np.uint8)
    arrays = {name: host_array(array) for name, array in trajectory.items()}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **{HEADER: header, TIMES: trajectory.times}, **arrays)


def _load_file(path: Path) -> Trajectory:
    with _reading(path, "a trajectory"):
        arrays = read_archive(path)
        header = json.loads(bytes(arrays.pop(HEADER)))
        return _rebuilt(arrays.pop(TIMES), arrays, header)


class _Generation:
    """One save into a .traj folder: new files beside the old ones, in force once the manifest names them."""

    def __init__(self, folder: Path, names: Iterable[str]):
        self.folder = check_folder(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _write_error(folder, error) from error
        taken = {file.name.partition("-")[0] for file in folder.glob("*.npy")}
        number = next(str(n) for n in itertools.count() if str(n) not in taken)
        plain = {name: re.sub(r"[^\w.]", "_", name) for name in names}
        self.files = {name: f"{number}-{i}-{plain[name]}.npy" for i, name in enumerate(plain)}
        self.times_file = folder / f"{number}-times.npy"  # of a recording under way

    def allocate(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """A memory-mapped array of zeros, with its room on the disk reserved: a full disk must not become a SIGBUS."""
        with self.writing():
            path = self.folder / self.files[name]
            array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
            if hasattr(os, "posix_fallocate"):
                with open(path, "r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, max(1, path.stat().st_size))
            return array

    def announce(self, header: dict[str, Any]) -> None:
        """Replace the manifest by that of an unfinished recording, whose times are a file as well."""
        self._replace(header | {TIMES: self.times_file.name, "arrays": self.files})

    def commit(self, times: np.ndarray, header: dict[str, Any]) -> None:
        """Replace the manifest by that of a whole trajectory."""
        self._replace(header | {TIMES: times.tolist(), "arrays": self.files})

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Remove the new files and raise `InputError` where the disk refuses."""
        try:
            yield
        except OSError as error:
            self._discard()
            raise _write_error(self.folder, error) from error

    def _replace(self, manifest: dict[str, Any]) -> None:
        """Put a manifest in force, then remove the files it does not name."""
        try:
            write_atomically(self.folder / MANIFEST, _encoded(manifest).encode())
        except InputError:
            self._discard()
            raise
        cut_short = self.folder.glob(f".{MANIFEST}.*.part")  # left by a process that was killed
        for file in (*self.folder.glob("*.npy"), *cut_short):
            if file.name not in (manifest[TIMES], *self.files.values()):
                file.unlink(missing_ok=True)

    def _discard(self) -> None:
        for name in (self.times_file.name, *self.files.values()):
            (self.folder / name).unlink(missing_ok=True)


def _save_folder(trajectory: Trajectory, folder: Path) -> None:
    generation = _Generation(folder, trajectory)
    for name, array in trajectory.items():
        values = host_array(array)
        target = generation.allocate(name, values.shape, values.dtype)
        target[...] = values
        target.flush()  # type: ignore[attr-defined]
    generation.commit(trajectory.times, _header(trajectory.metadata, trajectory.status))


def _load_folder(folder: Path, *, mmap: bool) -> Trajectory:
    with _reading(folder, "a .traj folder"):
        manifest = json.loads((folder / MANIFEST).read_text())
        mode = "c" if mmap else None  # writable as torch wants arrays, but not to the disk
        times = _recorded_times(_load_array(folder, manifest[TIMES], mode))
        arrays = {n: _load_array(folder, file, mode)[: len(times)] for n, file in manifest["arrays"].items()}
        return _rebuilt(times, arrays, manifest)


def _load_array(folder: Path, source: Any, mode: str | None) -> np.ndarray:
    """An array in a file of the folder, or the numbers of a list."""
    if not isinstance(source, str):
        return np.asarray(source, dtype=np.float64)
    if Path(source).name != source:
        raise ValueError(f"it names the file {source!r} outside the folder")
    return np.load(folder / source, mmap_mode=mode, allow_pickle=False)  # type: ignore[arg-type]


def _recorded_times(times: np.ndarray) -> np.ndarray:
    """The times up to the first that is not yet known."""
    unknown = np.flatnonzero(np.isnan(times))
    return np.array(times[: unknown[0]] if len(unknown) else times)
