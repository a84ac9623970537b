"""Signed distance on a regular grid, exact near the surface and interpolated where only its sign and size matter."""

import dataclasses
import itertools
import math
from collections.abc import Callable

import numpy as np

MARGIN = 2  # cells around the solid on every side
COARSEST = 8  # cells of the grid in a step of the first, coarse sampling


@dataclasses.dataclass(frozen=True)
class DistanceVolume:
    """Signed distance values[i, j, k] at origin + spacing * (i, j, k), all in m, in the mesh's own frame."""

    origin: np.ndarray
    spacing: float
    values: np.ndarray


def node_counts(lower: np.ndarray, upper: np.ndarray, h: float, step: int = 1) -> np.ndarray:
    """Nodes [3] along each axis of a grid of spacing h that reaches the margin beyond the corners, in whole steps of cells."""
    return np.ceil((np.ceil((upper - lower) / h - 1e-9) + 2 * MARGIN) / step) * step + 1


def sampled(
    distance: Callable[[np.ndarray], np.ndarray],
    lower: np.ndarray,
    upper: np.ndarray,
    h: float,
    reach: float = math.inf,
) -> DistanceVolume:
    """The distance volume of a solid between two corners [3].

    A grid of eight cells a step is sampled first; a cell of it is halved, again and again, where a point may lie within
    `reach` [m] of the surface: no further from a corner than half a diagonal, and distance changes by at most as much as
    the point moves. Nodes in other cells are interpolated, which keeps their sign and leaves them beyond `reach`.

    Args:
        distance: signed distance [n] in m of points [n, 3].
    """
    step = COARSEST if reach < math.inf else 1
    counts = node_counts(lower, upper, h, step)
    origin = 0.5 * (lower + upper) - 0.5 * h * (counts - 1)
    shape = tuple(((counts.astype(int) - 1) // step + 1).tolist())
    nodes = np.indices(shape).reshape(3, -1).T
    values = distance(origin + h * step * nodes).reshape(shape)
    while step > 1:
        near = _least(np.abs(values)) <= reach + 0.5 * math.sqrt(3.0) * step * h
        values, step = _doubled(values), step // 2
        wanted = _nodes_of(near, values.shape)
        values[wanted] = distance(origin + h * step * np.argwhere(wanted))
    return DistanceVolume(origin, h, values)


def _least(values: np.ndarray) -> np.ndarray:
    """The smallest corner of every cell."""
    for axis in range(3):
        low, high = _halves(values, axis)
        values = np.minimum(low, high)
    return values


def _doubled(values: np.ndarray) -> np.ndarray:
    """The same grid with a node between every two, linearly interpolated."""
    for axis in range(3):
        low, high = _halves(values, axis)
        shape = [2 * n - 1 if a == axis else n for a, n in enumerate(values.shape)]
        made = np.moveaxis(np.empty(shape), axis, 0)
        made[0::2] = np.moveaxis(values, axis, 0)
        made[1::2] = np.moveaxis(0.5 * (low + high), axis, 0)
        values = np.moveaxis(made, 0, axis)
    return np.ascontiguousarray(values)


def _halves(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The lower and the upper neighbour of every edge along an axis."""
    last = values.shape[axis] - 1
    return np.take(values, range(last), axis), np.take(values, range(1, last + 1), axis)


def _nodes_of(cells: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Which nodes of the finer grid lie in the chosen cells of the coarser one and are not its nodes too."""
    wanted = np.zeros(shape, bool)
    for corner in itertools.product(range(3), repeat=3):
        part = tuple(slice(c, c + 2 * n - 1, 2) for c, n in zip(corner, cells.shape, strict=True))
        wanted[part] |= cells
    wanted[::2, ::2, ::2] = False
    return wanted
