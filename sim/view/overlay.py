"""Text laid over a picture: the time, the size of the ground's squares, the scalar bar."""

import functools

import numpy as np

from pliant.sim.view.palette import INK, LEVELS, ScalarBar

INK_BYTES = tuple(int(255 * part) for part in INK)


def annotate(picture: np.ndarray, text: str, note: str, bar: ScalarBar | None) -> np.ndarray:
    """The picture [h, w, 3] (0 to 255) with a line of text, a smaller note below it, and a scalar bar."""
    from PIL import Image, ImageDraw

    height, width = picture.shape[:2]
    unit = max(8.0, min(width, height) / 36.0)
    image = Image.fromarray(np.ascontiguousarray(picture))
    draw = ImageDraw.Draw(image, "RGBA")
    if text:
        draw.text((unit, 0.8 * unit), text, font=_font(unit), fill=(*INK_BYTES, 255))
    if note:
        draw.text((unit, 2.1 * unit), note, font=_font(0.62 * unit), fill=(*INK_BYTES, 150))
    if bar is not None:
        _draw_bar(image, draw, bar, unit)
    return np.asarray(image)


def _draw_bar(image, draw, bar: ScalarBar, unit: float) -> None:
    """The colours from low to high at the right edge, with three values and the label above."""
    from PIL import Image

    width, height = image.size
    thick, tall = int(0.7 * unit), max(2, int(0.42 * height))
    font, small = _font(0.72 * unit), _font(0.64 * unit)
    values = [f"{value:.3g}" for value in (bar.upper, 0.5 * (bar.lower + bar.upper), bar.lower)]
    label_width = max(draw.textlength(value, font=small) for value in values)
    left, top = int(width - unit - thick - label_width - 0.4 * unit), int(0.5 * (height - tall))
    rows = np.linspace(LEVELS - 1, 0, tall).astype(int)
    strip = np.repeat((255 * bar.colors[rows] + 0.5).astype(np.uint8)[:, None], max(1, thick), axis=1)
    image.paste(Image.fromarray(strip), (left, top))
    for value, y in zip(values, (top, top + 0.5 * tall, top + tall), strict=True):
        draw.text((left + 1.4 * thick, y), value, font=small, fill=(*INK_BYTES, 255), anchor="lm")
    right = width - unit
    draw.text((right, top - unit), bar.label, font=font, fill=(*INK_BYTES, 255), anchor="rm")


@functools.lru_cache(maxsize=32)
def _font(size: float):
    """DejaVu Sans, which matplotlib brings along."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", max(6, round(size)))
