"""Stills and strips as PNG, films as MP4 and GIF: whatever is made of drawn frames."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pliant.sim.atomic import write_atomically
from pliant.sim.trajectory import frame_index
from pliant.sim.trajectory_files import replacing
from pliant.sim.view.opengl import chosen_renderer
from pliant.sim.view.overlay import annotate
from pliant.sim.view.raycaster import raycast
from pliant.sim.view.stage import Stage

Draw = Callable[[int], np.ndarray]


def painter(stage: Any, size: tuple[int, int]) -> Draw:
    """A function frame -> picture [h, w, 3] with its text, by the renderer that works here, or the stage's own."""
    if hasattr(stage, "painter"):
        return stage.painter(size)
    camera = stage.camera(size)
    if chosen_renderer(stage.options.renderer) == "vtk":
        from pliant.sim.view.pyvista_view import VtkPainter

        bare: Draw = VtkPainter(stage, camera, size).draw
    else:

        def bare(frame: int) -> np.ndarray:
            drawing = stage.drawing(frame)
            return raycast(
                camera, size, spheres=drawing.spheres, triangles=drawing.triangles, grounds=drawing.grounds
            ).color

    return lambda frame: annotate(bare(frame), *captions(stage, frame), stage.bar)


def captions(stage: Stage, frame: int) -> tuple[str, str]:
    """The time stamp, and what a square of the ground measures."""
    if not stage.options.time_stamp:
        return "", ""
    note = f"squares of {1000 * stage.cell:g} mm" if stage.cell < 0.1 else f"squares of {stage.cell:g} m"
    return f"t = {stage.times[frame]:.{digits(stage)}f} s", note if stage.planes else ""


def digits(stage: Any) -> int:
    """Decimals of a second that tell neighbouring frames apart."""
    step = float(np.diff(stage.times).min()) if stage.frame_count > 1 else 1e-3
    return int(np.clip(np.ceil(-np.log10(step)), 1, 6))


def write_still(stage: Stage, path: Path) -> None:
    """A PNG of one frame, or of several moments side by side."""
    options = stage.options
    if options.strip is None:
        frame = frame_index(stage.trajectory, -1 if options.frame is None else options.frame)
        picture = painter(stage, options.size)(frame)
    else:
        frames = np.linspace(0, stage.frame_count - 1, options.strip).round().astype(int)
        width = max(1, options.size[0] // options.strip)
        draw = painter(stage, (width, min(options.size[1], max(1, round(1.1 * width)))))
        picture = np.concatenate([draw(int(frame)) for frame in frames], axis=1)
    write_atomically(path, encode_png(picture))


def encode_png(picture: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def write_film(stage: Stage, path: Path) -> None:
    """An MP4 (H.264) or GIF of all frames."""
    import imageio.v2 as imageio

    options = stage.options
    draw = painter(stage, options.film_size)
    if path.suffix.lower() == ".gif":
        settings = {"format": "GIF", "duration": 1000.0 / options.fps, "loop": 0}
    else:
        settings = {"format": "FFMPEG", "fps": options.fps, "codec": "libx264", "quality": 8, "macro_block_size": 16}
    with replacing(path) as temporary, imageio.get_writer(temporary, mode="I", **settings) as film:
        for picture in _pictures(stage, draw):
            film.append_data(picture)


def _pictures(stage: Stage, draw: Draw) -> Iterator[np.ndarray]:
    from tqdm import tqdm

    hidden = not stage.options.progress
    frames = tqdm(range(stage.frame_count), desc="film", unit=" frames", leave=False, delay=2.0, disable=hidden)
    return (draw(frame) for frame in frames)
