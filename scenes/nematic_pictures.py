"""Pictures of nematics: order as an image, the director as strokes, defects as marks; several side by side, and films of them."""

import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pliant.sim.atomic import write_atomically
from pliant.sim.spectral.active.defects import defects
from pliant.sim.trajectory_files import replacing

STROKES = 20  # along a side
FILM_FPS = 12
PLUS, MINUS, STROKE = "#ff5a4f", "#4fc3ff", "#303040"
GIF_EVERY, GIF_UNTIL, GIF_COLORS = 3, 18.0, 40  # a gif is short and small: which frames it shows, and until when [s]


def nematic_picture(panels: Mapping[str, np.ndarray], side: float, title: str = "") -> np.ndarray:
    """A picture [h, w, 3] of nematics side by side.

    Args:
        panels: name -> order (D11 - D22, 2 D12) at one instant, [ny, nx, 2].
        side: of the boxes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0 * len(panels) + 0.8, 4.4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axes, (name, order) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True):
        image = _draw(axes, order, side)
        axes.set(title=name, xticks=[], yticks=[])
    figure.colorbar(image, ax=figure.axes, label="scalar order", shrink=0.85)
    figure.suptitle(title)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw(axes: Any, order: np.ndarray, side: float) -> Any:
    """Order, director and defects of one nematic; returns the image."""
    ny, nx = order.shape[:2]
    s, phase = np.hypot(order[..., 0], order[..., 1]), 0.5 * np.arctan2(order[..., 1], order[..., 0])
    image = axes.imshow(
        s, origin="lower", extent=(0, side, 0, side), vmin=0.0, vmax=1.0, cmap="magma", interpolation="bicubic"
    )
    step = max(1, nx // STROKES)
    y, x = np.mgrid[0:ny:step, 0:nx:step] * (side / nx)
    angle = phase[::step, ::step]
    style = {"headwidth": 0, "headlength": 0, "headaxislength": 0, "pivot": "mid", "color": STROKE, "width": 0.004}
    axes.quiver(x, y, np.cos(angle), np.sin(angle), scale=1.3 * STROKES, **style)
    charges = defects(order)
    for sign, color, marker in ((1, PLUS, "o"), (-1, MINUS, "^")):
        rows, columns = np.nonzero(sign * charges > 0.0)
        axes.scatter(
            (columns + 0.5) * side / nx, (rows + 0.5) * side / ny, s=60, c=color, marker=marker, edgecolors="k"
        )
    axes.set(xlim=(0, side), ylim=(0, side))
    return image


def write_picture(path: str | os.PathLike, panels: Mapping[str, np.ndarray], side: float, title: str = "") -> None:
    """A PNG of `nematic_picture`."""
    import imageio.v2 as imageio

    buffer = io.BytesIO()
    imageio.imwrite(buffer, nematic_picture(panels, side, title), format="PNG")
    write_atomically(path, buffer.getvalue())


def write_film(path: str | os.PathLike, panels: Mapping[str, np.ndarray], times: np.ndarray, side: float) -> None:
    """An MP4, or a short and small GIF, of the frames [frame, ny, nx, 2] of nematics side by side, as far as all of them go."""
    count = min(len(order) for order in panels.values())

    def picture(frame: int) -> np.ndarray:
        return nematic_picture({name: order[frame] for name, order in panels.items()}, side, f"t = {times[frame]:.1f}")

    with replacing(Path(path)) as temporary:
        if Path(path).suffix == ".gif":
            until = int(np.searchsorted(times[:count], GIF_UNTIL))
            _write_gif(temporary, [picture(frame) for frame in range(0, until, GIF_EVERY)])
        else:
            _write_mp4(temporary, map(picture, range(count)))


def _write_mp4(path: Path, pictures: Iterable[np.ndarray]) -> None:
    import imageio.v2 as imageio

    settings: dict[str, Any] = {"format": "FFMPEG", "fps": FILM_FPS, "codec": "libx264", "quality": 8, "macro_block_size": 16}
    with imageio.get_writer(path, mode="I", **settings) as writer:
        film: Any = writer
        for picture in pictures:
            film.append_data(_padded(picture))


def _write_gif(path: Path, pictures: list[np.ndarray]) -> None:
    """At three fifths of the size, in colors that are not dithered, so that what rests takes no room."""
    from PIL import Image

    height, width = (3 * length // 5 for length in pictures[0].shape[:2])
    small = [Image.fromarray(p).resize((width, height), Image.Resampling.LANCZOS) for p in pictures]
    drawn = [image.quantize(GIF_COLORS, dither=Image.Dither.NONE) for image in small]
    options: dict[str, Any] = {"duration": 1000.0 / FILM_FPS, "loop": 0, "optimize": True}
    drawn[0].save(path, format="GIF", save_all=True, append_images=drawn[1:], **options)


def _padded(picture: np.ndarray) -> np.ndarray:
    """With white margins to multiples of 16, which the codec asks for."""
    bottom, right = (-picture.shape[0]) % 16, (-picture.shape[1]) % 16
    return np.pad(picture, ((0, bottom), (0, right), (0, 0)), constant_values=255)


def main() -> None:
    """Draw the last frame of a trajectory that `pliant run active_nematic` saved, or all of them as a film."""
    import sys

    from pliant.scenes.active_nematic import SIDE, moments
    from pliant.sim.trajectory import Trajectory

    source, target = sys.argv[1], Path(sys.argv[2])
    trajectory = Trajectory.load(source)
    order = moments(trajectory)[:, 0]
    if target.suffix == ".mp4":
        write_film(target, {"active nematic": order}, trajectory.times, SIDE)
    else:
        write_picture(target, {"active nematic": order[-1]}, SIDE, f"t = {trajectory.times[-1]:.1f}")


if __name__ == "__main__":
    main()
