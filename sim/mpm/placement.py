"""Where the nodes of the grid lie: its spacing, and faces of `extent` on nodes, because a wall can stand only there."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import warp as wp

from pliant.sim.checks import number
from pliant.sim.errors import InputError
from pliant.sim.memory import device_memory
from pliant.sim.mpm.grid import OPEN, WALL_CELLS
from pliant.sim.mpm.step_limits import PARTICLE_BYTES

if TYPE_CHECKING:
    from pliant.sim.model import GridSpec

SMALLEST, LARGEST = 0.8, 1.25  # of the wanted spacing: what a cell may become so that it divides the extent
WHOLE = 1e-6  # cells: how far from a whole number of them a length may be that counts as a multiple
MOST_CELLS = 100_000  # along a side; more are refused for their memory
MAX_NODES = 2**29  # so that 32-bit indices reach two copies of them
NODE_BYTES = 64  # of a rollout with gradients in float32, kept states apart
SIDES = ("x", "y", "z")


def place_grid(
    points: list[np.ndarray],
    extent: tuple[np.ndarray, np.ndarray] | None,
    cell_size: float | None,
    wanted: float,
    walls: tuple[int, ...],
) -> tuple[np.ndarray, float, np.ndarray]:
    """The first node [3] m, the spacing [m] and the number of nodes along each axis, which may be too many.

    Args:
        points: of the bodies, [n, 3] each; the extent, where it is not given, is theirs.
        wanted: what the spacing should be near, where it is not given [m].
        walls: what each of the six does.
    """
    dx = grid_spacing(extent, cell_size, wanted, walls)
    lower, upper = bounds_of(points, dx) if extent is None else extent
    first, counts = place_nodes(lower, upper, walls, dx)
    return first, dx, counts


def grid_spacing(
    extent: tuple[np.ndarray, np.ndarray] | None, cell_size: float | None, wanted: float, walls: tuple[int, ...]
) -> float:
    """The spacing [m]: as given, or near the wanted one so that it divides the extent, or the wanted one."""
    if cell_size is not None or extent is None:
        return cell_size or wanted
    return fitting_spacing(*extent, walls, wanted)


def whole_counts(counts: np.ndarray, batch: int, particles: int, device: wp.Device) -> tuple[int, int, int]:
    """The counts as whole numbers; `InputError` when nodes and particles of all environments exceed the device."""
    total = math.prod(counts.tolist()) * batch
    needed = NODE_BYTES * total + PARTICLE_BYTES * float(particles)
    if total > MAX_NODES or needed > device_memory(device):
        nodes = ", ".join(f"{count:.3g}" for count in counts)
        raise InputError(
            f"grid: ({nodes}) nodes and {particles / batch:.3g} particles in each of {batch} environments need "
            f"{needed / 1e9:.2g} GB, which {device} does not have, or exceed {MAX_NODES} nodes; enlarge `cell_size`, "
            "or shrink `extent` or the batch."
        )
    return int(counts[0]), int(counts[1]), int(counts[2])


def checked_margin(margin: Any, extent: tuple[np.ndarray, np.ndarray] | None) -> float | None:
    """The distance within the faces of the extent that positions are kept at; `InputError` where it leaves no room."""
    if margin is None:
        return None
    made = number("keep_inside", margin)
    room = math.inf if extent is None else 0.5 * float((extent[1] - extent[0]).min())
    if extent is None or not -math.inf < made < room:
        expected = (
            "an `extent` to keep positions in"
            if extent is None
            else f"a distance [m] below {room:.3g}, half the extent"
        )
        raise InputError(f"keep_inside: expected {expected}, got {margin!r}; correct it.")
    return made


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
