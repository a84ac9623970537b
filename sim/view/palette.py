"""Colours: of bodies by their order, of fields by a colour map."""

import dataclasses

import numpy as np

from pliant.sim.errors import InputError

BODIES = np.array(
    [
        (0.878, 0.392, 0.286),  # coral
        (0.267, 0.525, 0.737),  # blue
        (0.914, 0.690, 0.235),  # amber
        (0.310, 0.631, 0.498),  # green
        (0.557, 0.408, 0.667),  # violet
        (0.851, 0.502, 0.624),  # rose
        (0.400, 0.660, 0.700),  # teal
        (0.660, 0.490, 0.350),  # clay
    ]
)
COLLIDER = np.array((0.545, 0.584, 0.643))
ARROW = np.array((0.855, 0.220, 0.196))
INK = np.array((0.20, 0.23, 0.28))
LEVELS = 256


@dataclasses.dataclass(frozen=True)
class ScalarBar:
    """A colour map over a range, with the label of what it shows."""

    label: str
    lower: float
    upper: float
    colors: np.ndarray
    """[256, 3] in [0, 1]."""

    def level(self, values: np.ndarray) -> np.ndarray:
        """Which of the 256 colours each value has; values beyond the range take its end, NaN the lower one."""
        share = (values - self.lower) / (self.upper - self.lower)
        return np.where(share > 0.0, np.minimum(share, 1.0) * (LEVELS - 1) + 0.5, 0.0).astype(np.uint8)


def body_color(color: list[float] | None, order: int) -> np.ndarray:
    """A body's own colour, or the palette's by its order."""
    return BODIES[order % len(BODIES)] if color is None else np.clip(np.asarray(color, dtype=float), 0.0, 1.0)


def colormap(name: str) -> np.ndarray:
    """The 256 colours [256, 3] of a matplotlib colour map; `InputError` for an unknown name."""
    from matplotlib import colormaps

    if name not in colormaps:
        raise InputError(f"view: expected a colour map of matplotlib such as 'viridis', got {name!r}; correct it.")
    return np.asarray(colormaps[name](np.linspace(0.0, 1.0, LEVELS)))[:, :3]
