"""Topological defects of a nematic in the plane: where the director turns by half a turn around a point."""

import numpy as np


def defects(order: np.ndarray) -> np.ndarray:
    """Charge of every cell of a periodic lattice [..., ny, nx]: +1/2, -1/2, or 0 where there is none.

    psi_2 = order[..., 0] + i order[..., 1] has twice the director's angle; a cell between points (j, i) and (j + 1, i + 1) holds the
    turns its phase makes around the corners, counter-clockwise. Their sum over a periodic box is zero.
    """
    phase = np.arctan2(order[..., 1], order[..., 0])
    corners = [phase, np.roll(phase, -1, -1), np.roll(phase, (-1, -1), (-2, -1)), np.roll(phase, -1, -2)]
    turns = sum(_wrapped(after - before) for before, after in zip(corners, corners[1:] + corners[:1], strict=True))
    return 0.5 * np.rint(turns / (2.0 * np.pi))


def _wrapped(angle: np.ndarray) -> np.ndarray:
    """The angle in [-pi, pi]."""
    return angle - 2.0 * np.pi * np.rint(angle / (2.0 * np.pi))
