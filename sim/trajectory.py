"""What a rollout leaves: recorded arrays over time, by name, with the scene they came from and how the run ended.

A trajectory is saved as one `.npz` file, or as a `.traj` folder of memory-mapped `.npy` files for long runs. Either is
replaced as a whole: a kill or a full disk in the middle of a save leaves the old one.
"""

import dataclasses
import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pliant.sim.colliders.kinematics import between_poses
from pliant.sim.errors import InputError, named
from pliant.sim.status import Status

Index = int | slice | Sequence[int] | np.ndarray
DATA_SUFFIXES = (".npz", ".traj")


@dataclasses.dataclass(eq=False)
class Trajectory(Mapping):
    """Recorded arrays by name: `trajectory["jelly.position"]` has shape [frame, batch, item, 3].

    As a mapping it iterates over the names of its arrays; `len` is their number, `frame_count` that of the frames.

    Args:
        times: of the frames [s], shape [frame], increasing.
        arrays: name -> [frame, batch, ...], NumPy or torch; "<collider>.pose" holds (x, y, z, qx, qy, qz, qw) and
            "<collider>.wrench" force [N] and torque [N m] about the collider's origin, in the world frame.
        metadata: what JSON can hold: "scene", "version", "seed", "dt", ...
        status: how the run ended.

    Errors: `InputError` for times that do not increase, or arrays whose frames or batches do not agree.
    """

    times: np.ndarray
    arrays: Mapping[str, Any]
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    status: Status = dataclasses.field(default_factory=Status)

    def __post_init__(self) -> None:
        self.times = host_array(self.times)
        if not _increases(self.times):
            raise InputError(f"Trajectory.times: expected increasing times, got {_brief(self.times)}; correct them.")
        batches = {name: _batch_of(name, array, len(self.times)) for name, array in self.arrays.items()}
        if len(set(batches.values())) > 1:
            raise InputError(f"Trajectory: expected one batch size, got {batches}; give all arrays the same.")

    def __getitem__(self, name: str) -> Any:
        return named(self.arrays, name, "trajectory")

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def __repr__(self) -> str:
        arrays = ", ".join(f"{name} {list(np.shape(array))}" for name, array in self.arrays.items())
        return f"Trajectory({self.frame_count} frames, {self.duration:.4g} s, {self.status.code.name}: {arrays})"

    @property
    def frame_count(self) -> int:
        return len(self.times)

    @property
    def batch(self) -> int:
        """Number of environments; 1 if nothing was recorded."""
        return next((int(array.shape[1]) for array in self.arrays.values()), 1)

    @property
    def duration(self) -> float:
        """Time from the first frame to the last [s]."""
        return float(self.times[-1] - self.times[0])

    def frame(self, index: int) -> dict[str, Any]:
        """Every array at one frame, name -> [batch, ...]; -1 is the last frame.

        Errors: `InputError` when there is no such frame.
        """
        frame = frame_index(self, index)
        return {name: array[frame] for name, array in self.arrays.items()}

    def select(
        self, *, names: str | Iterable[str] | None = None, times: Index | None = None, batch: Index | None = None
    ) -> "Trajectory":
        """Part of the trajectory.

        Args:
            names: arrays ("jelly.position") or owners ("jelly": all its arrays); default: all.
            times: frame number, slice, list of numbers or mask; default: all.
            batch: environment number, slice or list; default: all.

        Errors: `InputError` for an unknown name, or when nothing would be left.
        """
        chosen = self._names(names)
        frames = _indices("times", times, self.frame_count)
        environments = _indices("batch", batch, self.batch)
        arrays = {name: self.arrays[name][frames][:, environments] for name in chosen}
        return dataclasses.replace(self, times=self.times[frames], arrays=arrays, metadata=dict(self.metadata))

    def resample(self, times: Sequence[float] | np.ndarray) -> "Trajectory":
        """The trajectory at other times [s], interpolated linearly, rotations of poses along the shortest turn.

        Errors: `InputError` for times that do not increase or lie outside the recorded ones.
        """
        wanted = np.asarray(times, dtype=np.float64)
        first, last = float(self.times[0]), float(self.times[-1])
        if not (_increases(wanted) and first <= wanted[0] and wanted[-1] <= last):
            raise InputError(
                f"resample: expected increasing times from {first:g} to {last:g} s, got {_brief(wanted)}; correct them."
            )
        low = np.searchsorted(self.times, wanted, side="right") - 1
        high = np.minimum(low + (self.times[low] < wanted), self.frame_count - 1)
        span = np.where(high > low, self.times[high] - self.times[low], 1.0)
        share = (wanted - self.times[low]) / span
        arrays = {name: _interpolated(name, host_array(a), low, high, share) for name, a in self.arrays.items()}
        return dataclasses.replace(self, times=wanted, arrays=arrays, metadata=dict(self.metadata))

    def save(self, path: str | os.PathLike, **options: Any) -> None:
        """Write a trajectory (.npz file or .traj folder) or a picture (.png, .mp4, .gif, .html, .usd), by the suffix.

        Args:
            options: of `sim.view`, for pictures.

        Errors: `InputError` for an unknown suffix, or when the disk is full; the old file stays.
        """
        from pliant.sim import trajectory_files

        suffix = Path(path).suffix.lower()
        if suffix not in DATA_SUFFIXES:
            from pliant.sim.view import view

            view(self, output=path, **options)
            return
        if options:
            raise InputError(f"save: expected no options for {suffix}, got {sorted(options)}; they belong to pictures.")
        trajectory_files.save(self, Path(path))

    @staticmethod
    def load(path: str | os.PathLike, *, mmap: bool = False) -> "Trajectory":
        """Read a trajectory that `save` or a `TrajectoryWriter` wrote.

        Args:
            mmap: leave the arrays of a .traj folder on the disk and read only what is used.

        Errors: `InputError` for a missing, truncated or foreign file.
        """
        from pliant.sim import trajectory_files

        return trajectory_files.load(Path(path), mmap=mmap)

    def show(self, **options: Any) -> None:
        """Open a window with a time slider; the options are those of `sim.view`."""
        from pliant.sim.view import view

        view(self, **options)

    def _names(self, names: str | Iterable[str] | None) -> list[str]:
        if names is None:
            return list(self)
        wanted = [names] if isinstance(names, str) else list(names)
        owners = {name: name.rpartition(".")[0] for name in self}
        unknown = [name for name in wanted if name not in owners and name not in owners.values()]
        if unknown or not wanted:
            raise InputError(f"select: expected some of {sorted(self)} or their owners, got {unknown}; correct them.")
        return [name for name, owner in owners.items() if name in wanted or owner in wanted]


def host_array(array: Any) -> np.ndarray:
    """The array as NumPy; a torch tensor is detached and copied from its device, without importing torch."""
    if hasattr(array, "detach"):
        return array.detach().cpu().numpy()
    return np.asarray(array)


def frame_index(trajectory: Trajectory, index: Any) -> int:
    """A frame number that may count from the end as one from the start; `InputError` when there is no such frame."""
    try:
        return range(trajectory.frame_count)[operator.index(index)]
    except (IndexError, TypeError):
        count = trajectory.frame_count
        raise InputError(f"frame: expected a number from {-count} to {count - 1}, got {index!r}; correct it.") from None


def _increases(times: np.ndarray) -> bool:
    """Whether there are times, [frame], all finite and each after the one before."""
    return times.ndim == 1 and len(times) > 0 and bool(np.isfinite(times).all() and (np.diff(times) > 0).all())


def _brief(values: np.ndarray) -> str:
    return np.array2string(np.asarray(values), threshold=6, precision=4)


def _batch_of(name: str, array: Any, frames: int) -> int:
    shape = tuple(np.shape(array))
    if len(shape) < 2 or shape[0] != frames:
        raise InputError(f"Trajectory: expected {name!r} as [{frames}, batch, ...], got {list(shape)}; reshape it.")
    return int(shape[1])


def _indices(what: str, index: Index | None, size: int) -> np.ndarray | slice:
    """An index that keeps its dimension; `InputError` if it leaves nothing or reaches outside."""
    try:
        chosen = np.arange(size)[slice(None) if index is None else index]
    except (IndexError, TypeError):
        raise InputError(f"select: {what} = {index!r} reaches outside 0 to {size - 1}; correct it.") from None
    if not chosen.size:
        raise InputError(f"select: {what} = {index!r} leaves nothing of {size}; enlarge it.")
    if index is None:
        return slice(None)
    forward = isinstance(index, slice) and (index.step or 1) > 0  # torch slices forward only
    return index if forward else np.atleast_1d(chosen)  # type: ignore[return-value]


def _interpolated(name: str, array: np.ndarray, low: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(1 - s) a[low] + s a[high], so that recorded frames come back to the bit; whole numbers keep their last value."""
    if array.dtype.kind != "f":
        return array[low]
    weight = share.reshape(-1, *[1] * (array.ndim - 1))
    if name.rpartition(".")[2] != "pose":
        return ((1.0 - weight) * array[low] + weight * array[high]).astype(array.dtype)
    flat = np.broadcast_to(weight, (*array[low].shape[:-1], 1)).reshape(-1, 1)
    turned = between_poses(array[low].reshape(-1, 7), array[high].reshape(-1, 7), flat)  # type: ignore[arg-type]
    turned = turned.reshape(array[low].shape)
    return np.where(weight == 0.0, array[low], turned).astype(array.dtype)
