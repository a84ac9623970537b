"""What there is to draw of fields in a periodic box: a space-time plot, an image or a volume, by the number of axes."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.trajectory import Trajectory, host_array
from pliant.sim.view import palette
from pliant.sim.view.camera import framing
from pliant.sim.view.options import ViewOptions
from pliant.sim.view.overlay import annotate
from pliant.sim.view.pictures import digits
from pliant.sim.view.raycaster import Style
from pliant.sim.view.volume import render_volume

SAMPLED_FRAMES = 60  # of a long trajectory, for the range of the colours
FAMILIES = ("spectral", "finite_volume")
UNITS = {"vorticity": "1/s", "velocity": "m/s"}
SIGNED, UNSIGNED = "RdBu_r", "viridis"  # colour maps


def is_of_fields(trajectory: Trajectory) -> bool:
    """Whether a trajectory holds fields on points or cells instead of particles."""
    return (trajectory.metadata.get("scene") or {}).get("family") in FAMILIES


class FieldStage:
    """One recorded field to draw: a scalar, or the length of a vector.

    Args:
        trajectory: of a periodic box, or an interval of cells.
        options: `color_by` chooses the field; default: the first recorded.

    Errors: `InputError` for an unknown field or environment, or an option that fields do not have.
    """

    def __init__(self, trajectory: Trajectory, options: ViewOptions):
        if not 0 <= options.batch < trajectory.batch:
            raise InputError(
                f"view: expected batch from 0 to {trajectory.batch - 1}, got {options.batch!r}; correct it."
            )
        self.trajectory, self.options, self.times = trajectory, options, trajectory.times
        self.lengths = tuple(trajectory.metadata["scene"]["lengths"])
        self.name = self._chosen()
        self._array = trajectory[self.name]
        self.is_vector = np.ndim(self._array) == 3 + len(self.lengths)

    @property
    def frame_count(self) -> int:
        return len(self.times)

    def values(self, frame: int) -> np.ndarray:
        """The field on the points at a frame, [nz, ny, nx]."""
        values = host_array(self._array[frame])[self.options.batch].astype(np.float32)
        return np.linalg.norm(values, axis=-1) if self.is_vector else values

    @cached_property
    def bar(self) -> palette.ScalarBar:
        """The colours: symmetric about zero where the field has both signs."""
        low, high = self._range()
        signed = self.options.color_range is None and low < 0.0 < high
        if signed:
            low, high = -max(-low, high), max(-low, high)
        field = self.name.rpartition(".")[2]
        label = field.replace("_", " ") + (f" [{UNITS[field]}]" if field in UNITS else "")
        return palette.ScalarBar(
            label, low, high, palette.colormap(self.options.colormap or (SIGNED if signed else UNSIGNED))
        )

    def painter(self, size: tuple[int, int]) -> Callable[[int], np.ndarray]:
        """A function frame -> picture [h, w, 3] with its text."""
        draw = {1: self._space_time, 2: self._image, 3: self._volume}[len(self.lengths)]
        return lambda frame: annotate(draw(frame, size), *self._captions(frame), self.bar)

    def _captions(self, frame: int) -> tuple[str, str]:
        if not self.options.time_stamp:
            return "", ""
        sides = " x ".join(f"{length:.3g}" for length in self.lengths)
        across = f"{sides} m across, {self.trajectory.duration:.3g} s up" if len(self.lengths) == 1 else f"{sides} m"
        return f"t = {self.times[frame]:.{digits(self)}f} s", across

    def _chosen(self) -> str:
        """The name of the array to show."""
        wanted, names = (
            self.options.color_by,
            [n for n, a in self.trajectory.items() if np.ndim(a) >= 2 + len(self.lengths)],
        )
        if not names:
            raise InputError("view: expected a recorded field, found none; record one.")
        if wanted is None:
            return names[0]
        found = [name for name in names if wanted in (name, name.rpartition(".")[2])]
        if not found:
            raise InputError(f"view: expected color_by as a recorded field among {names}, got {wanted!r}; record it.")
        return found[0]

    def _range(self) -> tuple[float, float]:
        if self.options.color_range is not None:
            return tuple(map(float, self.options.color_range))  # type: ignore[return-value]
        frames = np.unique(np.linspace(0, self.frame_count - 1, min(self.frame_count, SAMPLED_FRAMES)).astype(int))
        values = np.concatenate(
            [self.values(frame).ravel()[:: max(1, self.values(0).size // 20_000)] for frame in frames]
        )
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, [0.5, 99.5]) if values.size else (0.0, 1.0)
        low = 0.0 if 0.0 <= low < 0.1 * high else float(low)
        return low, float(high) if high > low else low + 1.0

    def _image(self, frame: int, size: tuple[int, int]) -> np.ndarray:
        """The field with y upwards."""
        return self._framed(self.values(frame)[::-1], self.lengths[0] / self.lengths[1], size)

    def _space_time(self, frame: int, size: tuple[int, int]) -> np.ndarray:
        """The field over x, with time upwards; what is yet to come is blank."""
        rows = np.stack(
            [self.values(f) if f <= frame else np.full_like(self.values(0), np.nan) for f in range(self.frame_count)]
        )
        return self._framed(rows[::-1], 1.6, size)

    def _framed(self, values: np.ndarray, aspect: float, size: tuple[int, int]) -> np.ndarray:
        """An image of an aspect (width over height) between the text above and the colours at the right."""
        width, height = size
        unit = max(8.0, min(size) / 36.0)
        room = max(1.0, width - 9.0 * unit), max(1.0, height - 5.0 * unit)
        tall = max(1, int(min(room[1], room[0] / aspect)))
        wide = min(max(1, int(tall * aspect)), width)
        picture = np.empty((height, width, 3), np.uint8)
        picture[:] = _background()
        left, top = int(0.5 * (room[0] - wide) + unit), int(3.5 * unit + 0.5 * (room[1] - tall))
        left, top = min(left, width - wide), min(top, height - tall)
        picture[top : top + tall, left : left + wide] = self._colored(values, (wide, tall))
        return picture

    def _colored(self, values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Colours of values [rows, columns] brought to another size, the background where they are not finite."""
        from PIL import Image

        whole = np.isfinite(values)
        filled = np.where(whole, values, 0.0).astype(np.float32)
        fine = np.asarray(Image.fromarray(filled).resize(size, Image.Resampling.BICUBIC))
        seen = np.asarray(Image.fromarray(whole.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)) > 0
        colors = (255.0 * self.bar.colors[self.bar.level(fine)] + 0.5).astype(np.uint8)
        return np.where(seen[..., None], colors, _background())

    def _volume(self, frame: int, size: tuple[int, int]) -> np.ndarray:
        """The field as a cloud, the denser the further it is from zero (or from its least)."""
        upper = np.asarray(self.lengths)
        aside = 10.0 * max(8.0, min(size) / 36.0)  # for the colours
        camera = self.options.camera or framing(np.zeros(3), upper, max(0.3 * size[0], size[0] - aside) / size[1])
        return render_volume(self.values(frame), self.lengths, self.bar, camera, size)


def _background() -> np.ndarray:
    return (255.0 * np.asarray(Style().sky_bottom) + 0.5).astype(np.uint8)


def stage_of(trajectory: Trajectory, options: ViewOptions) -> Any:
    """What draws a trajectory: a `FieldStage` of fields, a `Stage` of bodies."""
    if is_of_fields(trajectory):
        return FieldStage(trajectory, options)
    from pliant.sim.view.stage import Stage

    return Stage(trajectory, options)
