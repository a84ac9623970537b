"""Mirror images at slipping walls: nodes one cell behind a face of `extent` are those one cell before it, seen in the wall.

Material against a wall reaches a node behind it. A slipping wall is a plane of symmetry, so that what is scattered there
belongs to the node before the wall, and the velocity there is the mirrored one,

    q(+1) <- q(+1) + M q(-1),   q(-1) <- 0;   v(-1) <- M v(+1),   M = diag(-1, 1, 1) for a face across x

of momentum and mass, of every sum that goes with them, and of the mean pressure of fluids, a number that M leaves as it is. At
edges and corners every product of the faces' M has its image, and on a face itself M keeps what runs along it. Then
the normal velocity is exactly 0 on the face, and stress reaches the first node from both sides: with only the normal
component blocked behind the wall, a vortex in a box of 16 cells lost nearly twice as much to the grid.

Both steps are linear and each is the other's transpose, so that they are also their adjoint and, row by row, their tangent.
Material that has come half a cell behind a wall touches nodes further out, which have no images.
"""

import functools
import weakref
from typing import TYPE_CHECKING, NamedTuple

import warp as wp

from pliant.sim.mpm.grid import SLIP_WALL, WALL_CELLS
from pliant.sim.mpm.transfers import STEP, grid_struct
from pliant.sim.precision import Precision
from pliant.sim.program import Program

if TYPE_CHECKING:
    from pliant.sim.mpm.solver import MPMSolver

VECTOR, NUMBER = -1.0, 1.0  # what mirroring does to the component of a node's numbers across the wall


class ImageKernels(NamedTuple):
    """Kernels of one precision: images to the nodes they mirror, and back; each is the other's adjoint."""

    fold: wp.Kernel
    mirror: wp.Kernel


@functools.cache
def image_kernels(p: Precision) -> ImageKernels:
    """The kernels of one precision."""
    return ImageKernels(_over_images(p, mirror=False), _over_images(p, mirror=True))


class WallImages:
    """Launches of the images of a solver's nodes; of none at all where no wall slips."""

    def __init__(self, solver: "MPMSolver"):
        self.solver = weakref.proxy(solver)  # which owns this
        self.used = SLIP_WALL in solver.model.grid_spec.walls

    @property
    def kernels(self) -> ImageKernels:
        return image_kernels(self.solver.model.precision)

    def fold(self, program: Program, vectors: list[wp.array], numbers: list[wp.array]) -> None:
        """Move what the images of nodes have to the nodes, in a phase of its own; arrays hold rows of all nodes."""
        self._over(program, self.kernels.fold, vectors, numbers)

    def mirror(self, program: Program, vectors: list[wp.array], numbers: list[wp.array]) -> None:
        """Give the images of nodes what the nodes have, in a phase of its own."""
        self._over(program, self.kernels.mirror, vectors, numbers)

    def _over(self, program: Program, kernel: wp.Kernel, vectors: list[wp.array], numbers: list[wp.array]) -> None:
        if not self.used:
            return
        m, w = self.solver.model, self.solver.work
        nx, ny, nz = m.grid_spec.counts
        lines = 1 if m.device.is_cuda else ny
        items = m.node_count // (nz * lines)
        program.phase()
        for thread, (first, count) in enumerate(self.solver.shares(0, items, items)):
            for sign, arrays in ((VECTOR, vectors), (NUMBER, numbers)):
                for array in arrays:
                    if rows := array.shape[0] // m.node_count:
                        program.launch(
                            thread, kernel, count,
                            [m.grid, first, lines, rows, sign, m.walls, w.clock, w.active, w.slabs, array],
                        )  # fmt: skip


class AlongAxis(NamedTuple):
    """Warp functions about the index of a node along one axis of `count` nodes, between walls `low` and `high`.

    image(..., which): index of its image in the lower (1) or the upper wall (2), -1 where there is none; 0 is the node itself.
    is_image: whether the node is an image.
    on_face: whether it lies on a slipping face.
    matters: whether it has an image or lies on a face.
    """

    image: wp.Function
    is_image: wp.Function
    on_face: wp.Function
    matters: wp.Function


@functools.cache
def along_axis() -> AlongAxis:
    """The functions, the same for every precision."""
    slip, wall = SLIP_WALL, WALL_CELLS

    @wp.func
    def image(index: int, count: int, low: int, high: int, which: int) -> int:
        found = int(-1)
        if which == 0:
            found = index
        elif which == 1:
            if low == wp.static(slip) and index == wp.static(wall + 1):
                found = wp.static(wall - 1)
        elif high == wp.static(slip) and index == count - wp.static(wall + 2):
            found = count - wp.static(wall)
        return found

    @wp.func
    def is_image(index: int, count: int, low: int, high: int) -> bool:
        below = low == wp.static(slip) and index == wp.static(wall - 1)
        return below or (high == wp.static(slip) and index == count - wp.static(wall))

    @wp.func
    def on_face(index: int, count: int, low: int, high: int) -> bool:
        below = low == wp.static(slip) and index == wp.static(wall)
        return below or (high == wp.static(slip) and index == count - wp.static(wall + 1))

    @wp.func
    def matters(index: int, count: int, low: int, high: int) -> bool:
        imaged = image(index, count, low, high, 1) >= 0 or image(index, count, low, high, 2) >= 0
        return imaged or on_face(index, count, low, high)

    return AlongAxis(image, is_image, on_face, matters)


@functools.cache
def _factors(p: Precision) -> tuple[wp.Function, wp.Function]:
    """Warp functions: M of an image in the walls a, b and c across x, y and z, and what is left of a node's numbers on faces."""
    real, vec4, modes6, on_face = p.real, p.vec4, wp.types.vector(6, int), along_axis().on_face

    @wp.func
    def turned(a: int, sign: real) -> real:
        if a > 0:
            return sign
        return real(1.0)

    @wp.func
    def mirrored(a: int, b: int, c: int, sign: real) -> vec4:
        return vec4(turned(a, sign), turned(b, sign), turned(c, sign), real(1.0))

    @wp.func
    def left(on: bool, sign: real) -> real:
        if on:
            return real(0.5) * (real(1.0) + sign)
        return real(1.0)

    @wp.func
    def kept(i: int, j: int, k: int, grid: grid_struct(p), sign: real, modes: modes6) -> vec4:
        x = left(on_face(i, grid.nx, modes[0], modes[1]), sign)
        y = left(on_face(j, grid.ny, modes[2], modes[3]), sign)
        return vec4(x, y, left(on_face(k, grid.nz, modes[4], modes[5]), sign), real(1.0))

    return mirrored, kept


@functools.cache
def _row_moves(p: Precision, mirror: bool) -> tuple[wp.Function, wp.Function]:
    """Warp functions over the rows of an array: multiply a node's numbers, and move those of its image, or to it."""
    real, vec4 = p.real, p.vec4

    @wp.func
    def keep(nodes: wp.array(dtype=vec4), node: int, rows: int, count: int, P: vec4):
        for row in range(rows):
            nodes[row * count + node] = wp.cw_mul(P, nodes[row * count + node])

    @wp.func
    def move(nodes: wp.array(dtype=vec4), node: int, behind: int, rows: int, count: int, M: vec4):
        for row in range(rows):
            a = row * count + node
            b = row * count + behind
            if wp.static(mirror):
                nodes[b] = wp.cw_mul(M, nodes[a])
            else:
                nodes[a] = nodes[a] + wp.cw_mul(M, nodes[b])
                nodes[b] = vec4(real(0.0))

    return keep, move


@functools.cache
def _node_images(p: Precision, mirror: bool) -> wp.Function:
    """Warp function: fold, or mirror, all images of node (i, j, k) of an environment in every row."""
    real, vec4, modes6, Grid = p.real, p.vec4, wp.types.vector(6, int), grid_struct(p)
    image, (mirrored, kept), (keep, move) = along_axis().image, _factors(p), _row_moves(p, mirror)

    @wp.func
    def images(
        i: int, j: int, k: int, environment: int, grid: Grid, rows: int, sign: real, modes: modes6,
        nodes: wp.array(dtype=vec4),
    ):  # fmt: skip
        count = nodes.shape[0] // rows
        node = ((environment * grid.nx + i) * grid.ny + j) * grid.nz + k
        P = kept(i, j, k, grid, sign, modes)
        if wp.static(mirror):
            keep(nodes, node, rows, count, P)
        for a in range(3):
            x = image(i, grid.nx, modes[0], modes[1], a)
            for b in range(3):
                y = image(j, grid.ny, modes[2], modes[3], b)
                for c in range(3):
                    z = image(k, grid.nz, modes[4], modes[5], c)
                    if a + b + c > 0 and wp.min(x, wp.min(y, z)) >= 0:
                        behind = ((environment * grid.nx + x) * grid.ny + y) * grid.nz + z
                        move(nodes, node, behind, rows, count, mirrored(a, b, c, sign))
        if not wp.static(mirror):
            keep(nodes, node, rows, count, P)

    return images


@functools.cache
def _line_images(p: Precision, mirror: bool) -> wp.Function:
    """Warp function: the images of the nodes (i, j, k) of all k; `across` says whether a wall across x or y matters to them."""
    real, vec4, modes6, Grid, wall = p.real, p.vec4, wp.types.vector(6, int), grid_struct(p), WALL_CELLS
    (_, is_image, _, matters), images = along_axis(), _node_images(p, mirror)

    @wp.func
    def line_images(
        i: int, j: int, environment: int, across: bool, grid: Grid, rows: int, sign: real, modes: modes6,
        nodes: wp.array(dtype=vec4),
    ):  # fmt: skip
        if across:
            for k in range(grid.nz):
                if not is_image(k, grid.nz, modes[4], modes[5]):
                    images(i, j, k, environment, grid, rows, sign, modes, nodes)
        else:
            for end in range(4):  # the nodes on the faces across z and before them
                k = wp.static(wall) + end
                if end > 1:
                    k = grid.nz - wp.static(wall) + 1 - end
                if matters(k, grid.nz, modes[4], modes[5]) and not is_image(k, grid.nz, modes[4], modes[5]):
                    images(i, j, k, environment, grid, rows, sign, modes, nodes)

    return line_images


@functools.cache
def _over_images(p: Precision, mirror: bool) -> wp.Kernel:
    real, vec4, modes6, Grid = p.real, p.vec4, wp.types.vector(6, int), grid_struct(p)
    (_, is_image, _, matters), line_images = along_axis(), _line_images(p, mirror)

    def over_images(
        grid: Grid,
        first: int,
        lines: int,
        rows: int,
        sign: real,
        walls: modes6,
        clock: wp.array(dtype=int),
        active: wp.array(dtype=int),
        slabs: wp.array(dtype=int),
        nodes: wp.array(dtype=vec4),
    ):
        item = wp.tid() + first
        step = clock[STEP]
        plane = item * lines // grid.ny
        if slabs[plane] != step:
            return
        environment = plane // grid.nx
        i = plane - environment * grid.nx
        if is_image(i, grid.nx, walls[0], walls[1]):
            return
        across_x = matters(i, grid.nx, walls[0], walls[1])
        for line in range(item * lines, item * lines + lines):
            j = line - plane * grid.ny
            if active[line] == step and not is_image(j, grid.ny, walls[2], walls[3]):
                across = across_x or matters(j, grid.ny, walls[2], walls[3])
                line_images(i, j, environment, across, grid, rows, sign, walls, nodes)

    over_images.__name__ = over_images.__qualname__ = "mirror_images" if mirror else "fold_images"
    return wp.kernel(over_images, enable_backward=False, module="unique")
