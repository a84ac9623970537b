"""The grid part of an MPM step: velocity from momentum, contact with every collider, walls; and its adjoint.

Each CPU thread scatters into its own copy of the nodes; the copies are summed here and cleared for the next scatter.
A launch item takes `lines` times `span` nodes in a row, on a CPU a whole plane across x, and planes and lines along z
that no particle touched are skipped: most of the grid of a small scene is empty (measured, 12 ns a node without this, and
9 ns a line when each was an item of the adjoint, more than the particles cost).
"""

import functools
from typing import NamedTuple

import warp as wp

from pliant.sim.colliders.kinematics import FRAME
from pliant.sim.mpm.contact import (
    MESH_KIND,
    SEPARATING,
    contact_contraction,
    contact_velocity,
    local_point,
    solid_struct,
)
from pliant.sim.mpm.transfers import STEP, grid_struct
from pliant.sim.precision import Precision

OPEN, SEPARATING_WALL, SLIP_WALL, STICK_WALL = 0, 1, 2, 3
WALL_CELLS = 3  # cells beyond a face of `extent`; their nodes, and the one on the face, belong to the wall


class GridUpdate(NamedTuple):
    """Kernels: velocity of the nodes after contact, and the adjoint of the scattered momentum and mass."""

    update: wp.Kernel
    update_vjp: wp.Kernel


@functools.cache
def wall_filter(p: Precision) -> wp.Function:
    """Warp function: what the walls let through of a velocity, 1 or 0 an axis (also the adjoint, being diagonal)."""
    real, vec3 = p.real, p.vec3
    modes6 = wp.types.vector(6, int)

    @wp.func
    def face(v: real, index: int, count: int, low: int, high: int) -> int:
        """0 pass, 1 blocks this axis, 2 blocks every axis."""
        mode = int(0)
        inward = v
        if index <= wp.static(WALL_CELLS):
            mode = low
        elif index >= count - 1 - wp.static(WALL_CELLS):
            mode = high
            inward = -v
        if mode == wp.static(STICK_WALL):
            return 2
        if mode == wp.static(SLIP_WALL) or (mode == wp.static(SEPARATING_WALL) and inward < real(0.0)):
            return 1
        return 0

    @wp.func
    def passes(v: vec3, i: int, j: int, k: int, nx: int, ny: int, nz: int, modes: modes6) -> vec3:
        a = face(v[0], i, nx, modes[0], modes[1])
        b = face(v[1], j, ny, modes[2], modes[3])
        c = face(v[2], k, nz, modes[4], modes[5])
        if a == 2 or b == 2 or c == 2:
            return vec3(real(0.0))
        return vec3(real(1 - a), real(1 - b), real(1 - c))

    return passes


@functools.cache
def distance_cell(p: Precision) -> wp.Function:
    """Warp function: the eight values of a mesh collider's distance volume around a point, and the cell's corner.

    Zeros where the collider is no mesh.
    """
    real, vec3, frame13, vec8, Solid = p.real, p.vec3, p.vector(FRAME), p.vector(8), solid_struct(p)
    local = local_point(p)

    @wp.func
    def around(x: vec3, frame: frame13, solid: Solid, volume: wp.array(dtype=real)):
        corners = vec8(real(0.0))
        cell = vec3(real(0.0))
        if solid.kind == wp.static(MESH_KIND):
            g = (local(x, frame) - solid.origin) / solid.spacing
            inside = (
                g[0] >= real(0.0) and g[1] >= real(0.0) and g[2] >= real(0.0)
                and g[0] < real(solid.nx - 1) and g[1] < real(solid.ny - 1) and g[2] < real(solid.nz - 1)
            )  # fmt: skip
            if inside:
                i = int(g[0])
                j = int(g[1])
                k = int(g[2])
                for c in range(8):
                    node = ((i + (c // 4)) * solid.ny + j + (c // 2) % 2) * solid.nz + k + c % 2
                    corners[c] = volume[solid.offset + node]
                cell = solid.origin + solid.spacing * vec3(real(i), real(j), real(k))
            else:
                corners = vec8(solid.spacing)
        return corners, cell

    return around


@functools.cache
def node_contact(p: Precision) -> wp.Function:
    """Warp function: velocity of a node after contact with collider c."""
    real, vec3, frame13, Solid = p.real, p.vec3, p.vector(FRAME), solid_struct(p)
    velocity_after, around = contact_velocity(p), distance_cell(p)

    @wp.func
    def after(
        v: vec3, x: vec3, dx: real, solid: Solid, frame: frame13, friction: real, volume: wp.array(dtype=real)
    ) -> vec3:
        corners, cell = around(x, frame, solid, volume)
        return velocity_after(
            v, frame, friction, x, solid.kind, solid.surface, solid.size, corners, cell, solid.spacing, dx
        )

    return after


@functools.cache
def node_place(p: Precision) -> wp.Function:
    """Warp function: environment of a node, its indices along x, y and z, and its position."""
    real, vec3, Grid = p.real, p.vec3, grid_struct(p)

    @wp.func(inline=True)
    def place(node: int, grid: Grid):
        plane = node // (grid.ny * grid.nz)
        environment = plane // grid.nx
        i = plane - environment * grid.nx
        j = (node // grid.nz) % grid.ny
        k = node % grid.nz
        return environment, i, j, k, grid.lower + grid.dx * vec3(real(i), real(j), real(k))

    return place


@functools.cache
def node_copies(p: Precision) -> tuple[wp.Function, wp.Function]:
    """Warp functions: the sum of the threads' copies of a node, and the clearing of them."""
    real, vec4 = p.real, p.vec4

    @wp.func
    def total(nodes: wp.array(dtype=vec4), node: int, copies: int, count: int) -> vec4:
        q = nodes[node]
        for copy in range(1, copies):
            q = q + nodes[copy * count + node]
        return q

    @wp.func
    def clear(nodes: wp.array(dtype=vec4), node: int, copies: int, count: int):
        for copy in range(copies):
            nodes[copy * count + node] = vec4(real(0.0))

    return total, clear


@functools.cache
def ruled_share(p: Precision) -> wp.Function:
    """Warp function: how much of a node's mass the grid's rule serves; 1 where all of it does and nothing is kept of it."""
    real, vec4 = p.real, p.vec4
    total, _ = node_copies(p)

    @wp.func
    def share(flowing: wp.array(dtype=vec4), node: int, copies: int, count: int, m: real) -> real:
        served = real(1.0)
        if flowing.shape[0] > 0:
            q = total(flowing, node, copies, count)
            served = q[3] / m
        return served

    return share


@functools.cache
def _share_vjp(p: Precision) -> wp.Function:
    """Warp function: write the adjoint of the mass that flows, and return what that of the share adds to that of all mass."""
    real, vec4 = p.real, p.vec4

    @wp.func
    def share_vjp(dflowing: wp.array(dtype=vec4), node: int, dshare: real, share: real, m: real) -> real:
        added = real(0.0)
        if dflowing.shape[0] > 0:
            dflowing[node] = vec4(real(0.0), real(0.0), real(0.0), dshare / m)
            added = -dshare * share / m
        return added

    return share_vjp


@functools.cache
def shared_contact(p: Precision) -> wp.Function:
    """Warp function: velocity of a node after contact, of whose mass only a share is served where the surface lets go."""
    real, vec3, frame13, Solid, after = p.real, p.vec3, p.vector(FRAME), solid_struct(p), node_contact(p)

    @wp.func
    def met(
        v: vec3,
        x: vec3,
        dx: real,
        solid: Solid,
        frame: frame13,
        friction: real,
        volume: wp.array(dtype=real),
        share: real,
    ) -> vec3:
        if solid.surface != wp.static(SEPARATING) or share == real(1.0):
            return after(v, x, dx, solid, frame, friction, volume)
        if share == real(0.0):
            return v
        return v + share * (after(v, x, dx, solid, frame, friction, volume) - v)

    return met


@functools.cache
def contact_chain(p: Precision) -> wp.Function:
    """Warp function: velocity of a node after contact with the first `count` colliders, one after the other."""
    real, vec3, frame13, Solid, after = p.real, p.vec3, p.vector(FRAME), solid_struct(p), shared_contact(p)

    @wp.func
    def chain(
        v0: vec3,
        count: int,
        x: vec3,
        dx: real,
        environment: int,
        batch: int,
        solids: wp.array(dtype=Solid),
        frames: wp.array(dtype=frame13),
        friction: wp.array(dtype=real),
        distances: wp.array(dtype=real),
        share: real,
    ) -> vec3:
        v = v0
        for c in range(count):
            e = c * batch + environment
            v = after(v, x, dx, solids[c], frames[e], friction[e], distances, share)
        return v

    return chain


@functools.cache
def grid_update(p: Precision) -> GridUpdate:
    """The grid kernels of one precision."""
    return GridUpdate(_update(p), _update_vjp(p))


@functools.cache
def _update(p: Precision) -> wp.Kernel:
    real, vec3, vec4, vec6, frame13 = p.real, p.vec3, p.vec4, p.vector(6), p.vector(FRAME)
    Grid, Solid, modes6 = grid_struct(p), solid_struct(p), wp.types.vector(6, int)
    after, passes, place = shared_contact(p), wall_filter(p), node_place(p)
    (total, clear), share_of = node_copies(p), ruled_share(p)

    @wp.kernel(enable_backward=False, module="unique")
    def update(
        grid: Grid,
        first: int,
        lines: int,
        span: int,
        copies: int,
        keep: int,
        batch: int,
        thread: int,
        walls: modes6,
        clock: wp.array(dtype=int),
        active: wp.array(dtype=int),
        slabs: wp.array(dtype=int),
        flowing: wp.array(dtype=vec4),
        solids: wp.array(dtype=Solid),
        frames: wp.array(dtype=frame13),
        friction: wp.array(dtype=real),
        distances: wp.array(dtype=real),
        nodes: wp.array(dtype=vec4),
        velocity: wp.array(dtype=vec4),
        wrench: wp.array(dtype=vec6),
    ):
        count = velocity.shape[0]
        item = wp.tid() + first
        step = clock[STEP]
        if slabs[item * lines * span // (grid.ny * grid.nz)] != step:
            return
        for line in range(lines):
            start = (item * lines + line) * span
            if active[start // grid.nz] != step:
                continue
            for node in range(start, start + span):
                q = total(nodes, node, copies, count)
                m = q[3]
                if m <= real(0.0):
                    continue
                share = share_of(flowing, node, copies, count, m)
                if keep == 0:
                    clear(nodes, node, copies, count)
                    clear(flowing, node, wp.min(copies, flowing.shape[0]), count)
                v = vec3(q[0], q[1], q[2]) / (m + grid.mass_floor)
                environment, i, j, k, x = place(node, grid)
                for c in range(solids.shape[0]):
                    e = c * batch + environment
                    before = v
                    v = after(before, x, grid.dx, solids[c], frames[e], friction[e], distances, share)
                    if wp.max(wp.abs(before - v)) > real(0.0):
                        force = (before - v) * (m / grid.dt)
                        torque = wp.cross(x - vec3(frames[e][0], frames[e][1], frames[e][2]), force)
                        wp.atomic_add(
                            wrench,
                            thread * wrench.shape[0] // copies + e,
                            vec6(force[0], force[1], force[2], torque[0], torque[1], torque[2]),
                        )
                v = wp.cw_mul(v, passes(v, i, j, k, grid.nx, grid.ny, grid.nz, walls))
                velocity[node] = vec4(v[0], v[1], v[2], m)

    return update


@functools.cache
def _update_vjp(p: Precision) -> wp.Kernel:
    """Adjoint of `update`; reads and clears the scattered adjoint of the velocity, writes that of (momentum, mass)."""
    real, vec3, vec4, vec6, frame13 = p.real, p.vec3, p.vec4, p.vector(6), p.vector(FRAME)
    Grid, Solid, modes6 = grid_struct(p), solid_struct(p), wp.types.vector(6, int)
    after, chain, passes, place = shared_contact(p), contact_chain(p), wall_filter(p), node_place(p)
    contracted, around = contact_contraction(p), distance_cell(p)
    (total, clear), share_of, share_vjp = node_copies(p), ruled_share(p), _share_vjp(p)

    @wp.kernel(enable_backward=False, module="unique")
    def update_vjp(
        grid: Grid,
        first: int,
        lines: int,
        span: int,
        copies: int,
        batch: int,
        thread: int,
        walls: modes6,
        clock: wp.array(dtype=int),
        active: wp.array(dtype=int),
        slabs: wp.array(dtype=int),
        flowing: wp.array(dtype=vec4),
        solids: wp.array(dtype=Solid),
        frames: wp.array(dtype=frame13),
        friction: wp.array(dtype=real),
        distances: wp.array(dtype=real),
        nodes: wp.array(dtype=vec4),
        dvelocity: wp.array(dtype=vec4),
        dwrench: wp.array(dtype=vec6),
        dnodes: wp.array(dtype=vec4),
        dflowing: wp.array(dtype=vec4),
        dframes: wp.array(dtype=frame13),
        dfriction: wp.array(dtype=real),
    ):
        count = dnodes.shape[0]
        item = wp.tid() + first
        step = clock[STEP]
        if slabs[item * lines * span // (grid.ny * grid.nz)] != step:
            return
        for line in range(lines):
            start = (item * lines + line) * span
            if active[start // grid.nz] != step:
                continue
            for node in range(start, start + span):
                q = total(nodes, node, copies, count)
                m = q[3]
                if m <= real(0.0):
                    continue
                share = share_of(flowing, node, copies, count, m)
                dshare = real(0.0)
                adjoint = total(dvelocity, node, copies, count)
                clear(nodes, node, copies, count)
                clear(flowing, node, wp.min(copies, flowing.shape[0]), count)
                clear(dvelocity, node, copies, count)
                A = vec3(adjoint[0], adjoint[1], adjoint[2])
                v0 = vec3(q[0], q[1], q[2]) / (m + grid.mass_floor)
                dm = adjoint[3]
                environment, i, j, k, x = place(node, grid)
                colliders = solids.shape[0]
                v = chain(v0, colliders, x, grid.dx, environment, batch, solids, frames, friction, distances, share)
                A = wp.cw_mul(A, passes(v, i, j, k, grid.nx, grid.ny, grid.nz, walls))
                for back in range(colliders):
                    last = colliders - 1 - back
                    v = chain(v0, last, x, grid.dx, environment, batch, solids, frames, friction, distances, share)
                    e = last * batch + environment
                    frame = frames[e]
                    solid = solids[last]
                    change = after(v, x, grid.dx, solid, frame, friction[e], distances, share) - v
                    if wp.max(wp.abs(change)) > real(0.0):
                        corners, cell = around(x, frame, solid, distances)
                        gv, gm, gframe, gfriction, g4, g5, g6, g7, g8, g9, g10, g11, g12, g13, g14 = wp.grad(contracted)(
                            v, m, frame, friction[e], x, solid.kind, solid.surface, solid.size, corners, cell,
                            solid.spacing, grid.dx, real(1.0) / grid.dt, A, dwrench[e],
                        )  # fmt: skip
                        part = real(1.0)
                        if solid.surface == wp.static(SEPARATING) and flowing.shape[0] > 0:
                            part = share
                            served = contracted(
                                v, m, frame, friction[e], x, solid.kind, solid.surface, solid.size, corners, cell,
                                solid.spacing, grid.dx, real(1.0) / grid.dt, A, dwrench[e],
                            )  # fmt: skip
                            dshare += served - wp.dot(v, A)
                        A = (real(1.0) - part) * A + part * gv
                        dm += part * gm
                        wp.atomic_add(dframes, thread * batch * colliders + e, part * gframe)
                        wp.atomic_add(dfriction, thread * batch * colliders + e, part * gfriction)
                dm += share_vjp(dflowing, node, dshare, share, m)
                A = A / (m + grid.mass_floor)
                dnodes[node] = vec4(A[0], A[1], A[2], dm - wp.dot(A, v0))

    return update_vjp
