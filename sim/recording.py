"""What a camera, a marker system or another code saw of a moving body: points over time, in metres and seconds."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.trajectory import Trajectory, host_array

UNITS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
TURNS = {  # rows: where the source has our x, y and z
    "z": np.eye(3),
    "y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
    "x": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
}
LARGEST, SMALLEST = 2.0, 0.15  # of the body's size: what a recording of it, or of a part of it, can extend over


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """Points [item, 3] of a body at times; their number may change from frame to frame, and so may their order.

    Args:
        times: of the frames [s], increasing; counted from the first frame, whatever it is called in the source.
        points: for every frame its points [item, 3] in m; an array [frame, item, 3] or a list of clouds.
        velocity: of the points of the first frame [item, 3] in m/s, where it is known.
        deformation_gradient: of the points of the first frame [item, 3, 3], where it is known.
        correspondence: whether point i of every frame is the same point of the body; `positions` asks for it.
        scale: metres in the source's unit of length, by which its numbers were multiplied.
        source: where it is from, for messages.

    Errors: `InputError` for fewer than two frames, times that do not increase, clouds that are empty or not finite.
    """

    times: np.ndarray
    points: Sequence[np.ndarray]
    velocity: np.ndarray | None = None
    deformation_gradient: np.ndarray | None = None
    correspondence: bool = True
    scale: float = 1.0
    source: str = "recording"

    def __post_init__(self) -> None:
        times = np.asarray(self.times, np.float64).reshape(-1)
        clouds = tuple(np.ascontiguousarray(host_array(cloud), np.float64) for cloud in self.points)
        self._check_times(times, len(clouds))
        for frame, cloud in enumerate(clouds):
            self._check_cloud(frame, cloud)
        items = len(clouds[0])
        object.__setattr__(self, "times", times - times[0])
        object.__setattr__(self, "points", clouds)
        object.__setattr__(self, "velocity", self._first("velocity", (items, 3)))
        object.__setattr__(self, "deformation_gradient", self._first("deformation_gradient", (items, 3, 3)))

    @staticmethod
    def read(
        path: str | os.PathLike, *, interval: float | None = None, body: str | None = None, **place: Any
    ) -> "Recording":
        """The recording in files.

        Trajectories of Pliant (.npz, .traj); other .npz files with positions `x`, `positions` or `points` and `t`, `times`
        or `step` with `dt`; .pvd and .series collections; numbered .vtk, .vtu, .vtp or .ply files, as a folder or a
        pattern such as "run/frame_*.ply".

        Args:
            interval: time between neighbouring frames [s] of numbered files that hold no times, and length of a step of
                a .npz file that holds `step` without `dt`.
            body: whose positions are meant in a trajectory of several bodies.
            place: `unit`, `up` and `offset` of `placed`.

        Errors: `InputError` for files that are missing, damaged, empty or of an unknown kind, for gaps in their numbers,
            and for what `Recording` refuses.
        """
        from pliant.sim import recording_files

        return recording_files.read(path, interval=interval, body=body).placed(**place)

    @staticmethod
    def of(trajectory: Trajectory, body: str | None = None, *, environment: int = 0) -> "Recording":
        """The positions of one body of a trajectory, with what is known of its first frame."""
        names = [n.rpartition(".")[0] for n in trajectory if n.endswith(".position")]
        chosen = body or (names[0] if len(names) == 1 else "")
        if chosen not in names:
            raise InputError(f"body: expected one of {names}, got {body!r}; name the one that was seen.")

        def first(field: str) -> np.ndarray | None:
            name = f"{chosen}.{field}"
            return host_array(trajectory[name])[0, environment] if name in trajectory else None

        return Recording(
            times=trajectory.times,
            points=list(host_array(trajectory[f"{chosen}.position"])[:, environment]),
            velocity=first("velocity"),
            deformation_gradient=first("deformation_gradient"),
            source=chosen,
        )

    @property
    def frame_count(self) -> int:
        return len(self.times)

    @property
    def duration(self) -> float:
        """Time from the first frame to the last [s]."""
        return float(self.times[-1])

    @property
    def counts(self) -> list[int]:
        """Number of points in every frame."""
        return [len(cloud) for cloud in self.points]

    @property
    def positions(self) -> np.ndarray:
        """[frame, item, 3], for points that keep their row; `InputError` when they do not, or their number changes."""
        if not self.correspondence:
            raise InputError(f"{self.source}: expected points that keep their row, got clouds; compare clouds.")
        counts = self.counts
        changed = next((frame for frame, count in enumerate(counts) if count != counts[0]), None)
        if changed is not None:
            raise InputError(
                f"{self.source}: expected the same points in every frame, got {counts[0]} in frame 0 and {counts[changed]} in "
                f"frame {changed}; without correspondence compare clouds."
            )
        return np.stack(self.points)

    def bounds(self, frame: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest coordinates [3] of a frame."""
        return self.points[frame].min(axis=0), self.points[frame].max(axis=0)

    def until(self, time: float) -> "Recording":
        """The frames up to a time [s]; `InputError` when fewer than two are left."""
        count = int(np.searchsorted(self.times, time * (1.0 + 1e-9), side="right"))
        if count < 2:
            raise InputError(
                f"{self.source}: expected frames up to {time:g} s, got the second at {self.times[1]:g} s; look at a longer time."
            )
        return dataclasses.replace(self, times=self.times[:count], points=self.points[:count])

    def thinned(self, interval: float) -> "Recording":
        """The first frame in every interval [s] since the start; of a recording shorter than one, the first and the last."""
        slots = np.floor(self.times / interval + 1e-6)
        kept = np.flatnonzero(np.diff(slots, prepend=-1.0) > 0.0)
        kept = kept if len(kept) > 1 else np.array([0, self.frame_count - 1])
        return dataclasses.replace(self, times=self.times[kept], points=[self.points[frame] for frame in kept.tolist()])

    def items(self, chosen: Sequence[int] | np.ndarray) -> "Recording":
        """Some of the points, by row; `InputError` when the points have no correspondence."""
        index, part = np.asarray(chosen), lambda array: None if array is None else array[np.asarray(chosen)]
        return dataclasses.replace(
            self,
            points=list(self.positions[:, index]),
            velocity=part(self.velocity),
            deformation_gradient=part(self.deformation_gradient),
        )

    def placed(
        self, *, unit: str | float = "m", up: str = "z", offset: Sequence[float] = (0.0, 0.0, 0.0)
    ) -> "Recording":
        """The recording in metres, z up, at its place in the scene: Q (scale x) + offset.

        Args:
            unit: of the source's lengths, "m", "cm", "mm" or metres in one of them.
            up: the source's axis that points up: "x", "y" or "z".
            offset: added to all points after scale and turn [m].
        """
        factor, shift = scale_of(unit), np.asarray(offset, np.float64)
        if up not in TURNS or shift.shape != (3,) or not np.isfinite(shift).all():
            raise InputError(
                f"placed: expected up of {list(TURNS)} and an offset of three numbers, got {up!r} and {offset!r}; correct them."
            )
        Q, F = TURNS[up], self.deformation_gradient
        return dataclasses.replace(
            self,
            points=[factor * cloud @ Q.T + shift for cloud in self.points],
            velocity=None if self.velocity is None else factor * self.velocity @ Q.T,
            deformation_gradient=None if F is None else Q @ F @ Q.T,
            scale=self.scale * factor,
        )

    def check_fits(self, body: str, particles: np.ndarray) -> None:
        """Raise `InputError` when the first frame cannot be of a body with particles there [n, 3]: its unit or place is wrong."""
        low, high = particles.min(axis=0), particles.max(axis=0)
        seen_low, seen_high = self.bounds()
        size, seen = float((high - low).max()), float((seen_high - seen_low).max())
        fitting = [u for u, s in UNITS.items() if 0.5 <= seen / size * s / self.scale <= 2.0 and s != self.scale]
        if seen > LARGEST * size or (seen < SMALLEST * size and fitting):
            hint = f"are they in {fitting[0]}? then name that unit" if fitting else "correct the unit or the scene"
            raise InputError(
                f"{self.source}: expected points as wide as {body!r}, {size:.3g} m, got {seen:.3g} m, "
                f"{seen / size:.3g} times as much; {hint}."
            )
        middle = (seen_low + seen_high) / 2
        if ((middle < low) | (middle > high)).any():
            gap = ", ".join(f"{g:.3g}" for g in (low + high) / 2 - middle)
            raise InputError(
                f"{self.source}: expected the first frame where {body!r} is, got one outside of it; "
                f"an offset of ({gap}) m would centre it, or another axis points up."
            )

    def _check_times(self, times: np.ndarray, frames: int) -> None:
        if len(times) != frames or frames < 2:
            raise InputError(
                f"{self.source}: expected a time for each of two or more frames, got {len(times)} times and {frames} frames; "
                "give the folder or the pattern of all files."
            )
        if not np.isfinite(times).all():
            raise InputError(
                f"{self.source}: expected finite times, got {times[~np.isfinite(times)][0]}; correct them."
            )
        back = np.flatnonzero(np.diff(times) <= 0.0)
        if len(back):
            first = int(back[0])
            raise InputError(
                f"{self.source}: expected increasing times, got {times[first]:g} s in frame {first} and {times[first + 1]:g} s "
                f"in frame {first + 1}; sort or correct them."
            )

    def _check_cloud(self, frame: int, cloud: np.ndarray) -> None:
        if cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud):
            raise InputError(
                f"{self.source}: expected points [item, 3] in frame {frame}, got {list(cloud.shape)}; export it anew."
            )
        bad = ~np.isfinite(cloud).all(axis=1)
        if bad.any():
            raise InputError(
                f"{self.source}: {int(bad.sum())} of {len(cloud)} points in frame {frame} are not finite, the first is number "
                f"{int(np.argmax(bad))}; leave out these points or this frame."
            )

    def _first(self, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """A field of the first frame."""
        given = getattr(self, name)
        if given is None:
            return None
        array = np.asarray(host_array(given), np.float64)
        if array.shape != shape or not np.isfinite(array).all():
            raise InputError(
                f"{self.source}: expected a finite {name} {list(shape)} of the first frame, got {list(array.shape)}; correct it."
            )
        return array


def scale_of(unit: str | float) -> float:
    """Metres in a unit of length: a name, a number, or a number in words.

    Errors: `InputError` for what is neither, or not positive.
    """
    if isinstance(unit, str) and unit in UNITS:
        return UNITS[unit]
    try:
        scale = float(unit)
    except (TypeError, ValueError):
        scale = 0.0
    if not 0.0 < scale < np.inf:
        raise InputError(f"unit: expected one of {list(UNITS)} or the metres in one, got {unit!r}; correct it.")
    return scale
