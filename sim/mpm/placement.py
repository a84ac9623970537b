"""Where the nodes of the grid lie: its spacing, and faces of `extent` on nodes, because a wall can stand only there."""

from typing import TYPE_CHECKING

import numpy as np

from pliant.sim.mpm.grid import OPEN, WALL_CELLS

if TYPE_CHECKING:
    from pliant.sim.model import GridSpec

SMALLEST, LARGEST = 0.8, 1.25  # of the wanted spacing: what a cell may become so that it divides the extent
WHOLE = 1e-6  # cells: how far from a whole number of them a length may be that counts as a multiple
MOST_CELLS = 100_000  # along a side; more are refused for their memory
SIDES = ("x", "y", "z")


def bounds_of(points: list[np.ndarray], dx: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the space around all points [n, 3] of the bodies, enlarged by their size, or four cells, on every side."""
    everything = np.concatenate(points)
    lower, upper = everything.min(axis=0), everything.max(axis=0)
    size = max(float((upper - lower).max()), 4 * dx)
    return lower - size, upper + size


def fitting_spacing(lower: np.ndarray, upper: np.ndarray, walls: tuple[int, ...], wanted: float) -> float:
    """The spacing nearest to the wanted one that divides every side with two walls; the wanted one if none near it does."""
    between = (np.reshape(walls, (3, 2)) != OPEN).all(axis=1)
    sides = (upper - lower)[between]
    if not len(sides) or sides.max() > MOST_CELLS * wanted:
        return wanted
    longest = float(sides.max())
    counts = np.arange(max(1, np.ceil(longest / (LARGEST * wanted))), np.floor(longest / (SMALLEST * wanted)) + 1)
    spacings = longest / counts
    cells = sides / spacings[:, None]
    fitting = spacings[(np.abs(cells - np.rint(cells)) <= WHOLE).all(axis=1)]
    return float(fitting[np.abs(np.log(fitting / wanted)).argmin()]) if len(fitting) else wanted


def place_nodes(
    lower: np.ndarray, upper: np.ndarray, walls: tuple[int, ...], dx: float
) -> tuple[np.ndarray, np.ndarray]:
    """The first node [3] m and the number of nodes [3] of a grid with the faces of an extent on nodes.

    A face that cannot lie on one beside its opposite lies on the next node outward: the upper one, or the lower one where
    only the upper is a wall.
    """
    cells = np.ceil((upper - lower) / dx - WHOLE)
    modes = np.reshape(walls, (3, 2))
    hung = (modes[:, 0] == OPEN) & (modes[:, 1] != OPEN)
    first = np.where(hung, upper - cells * dx, lower) - WALL_CELLS * dx
    return first, cells + 1 + 2 * WALL_CELLS


def walls_beside_extent(extent: list | None, grid: "GridSpec") -> tuple[str, ...]:
    """A sentence for every wall that does not stand on the face of the given extent, which is no multiple of the cell."""
    if extent is None:
        return ()
    lower, upper = (np.asarray(corner, float) for corner in extent)
    last = grid.lower + grid.spacing * (np.asarray(grid.counts) - 1 - WALL_CELLS)
    cells = (upper - lower) / grid.spacing
    return tuple(
        f"the grid's upper wall along {SIDES[axis]} stands at {last[axis]:.4g} m instead of {upper[axis]:.4g} m, because the "
        f"extent is {cells[axis]:.4g} cells of {grid.spacing:.4g} m long; make it a multiple of cell_size, or leave that out."
        for axis in range(3)
        if grid.walls[2 * axis + 1] != OPEN and last[axis] - upper[axis] > WHOLE * grid.spacing
    )
