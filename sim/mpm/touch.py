"""Contact of particles with rigid colliders by a force from a position; its friction is in `rubbing`.

A particle is a ball of radius r = h / 2, half the spacing h of its body. Where the signed distance phi of a collider is less
than r it is pushed along the normal n by

    F = E_c h (r - phi) max(0, 1 - a u.n) n,     u: velocity relative to the collider

with the contact's modulus E_c [Pa] and the damping a [s/m] of Hunt and Crossley, and the collider takes -F. The spring stands
for the material at the face of a body, which the scatter of F over the nodes leaves unstrained: a third of a cell, E h^2 / (dx / 3),
so that E_c = 3 E h / dx. Measured, cubes of 6 to 12 particles a side with 1.5, 2 and 3 particles a cell then push back
with 1.00, 1.03 (1.01 at twice the number) and .985 of E A strain; with E_c = 2 E it would be 1.00, 1.10 (1.04) and 1.07.

The force depends on where things are and not on the grid's nodes, so that nothing creeps through however long it is pressed,
and a loss is a continuous function of a collider's pose as long as the normal is one of the particle's position. It is outside
of a convex shape, where a body at rest touches as long as it presses with less than E_c / 2. Inside a box it would flip
between faces: edges of boxes and cylinders are therefore round, with the radius of half a cell or, of a thinner one, half
its thickness, and so deep the normal stays smooth.

The impulse dt F is scattered to the nodes like momentum, and once more by itself, one array a collider, and a third time with
the velocity of the nodes relative to the surface: Coulomb's law then knows how hard each node is pressed and how the surface slips.

Source: Hunt and Crossley, Coefficient of restitution interpreted as damping in vibroimpact (1975).
"""

import functools
from typing import NamedTuple

import warp as wp

from pliant.sim.colliders.kinematics import FRAME
from pliant.sim.mpm.contact import MESH_KIND, SEPARATING, local_point, solid_struct
from pliant.sim.mpm.grid import distance_cell
from pliant.sim.mpm.nearby import HULL, SLACK, near_to
from pliant.sim.mpm.stencil import stencil_loops
from pliant.sim.mpm.transfers import READ, STEP, grid_struct, moment_matrix, stencil
from pliant.sim.precision import Precision
from pliant.sim.shapes.dispatch import shape_distance
from pliant.sim.shapes.mesh import trilinear

CROSSED = 0.5  # of the way from a collider's surface to its middle: who is deeper there may come out on the other side


class TouchKernels(NamedTuple):
    """Kernels: the push of colliders on particles and its adjoint; the mass that other particles give a node, and its adjoint."""

    push: wp.Kernel
    push_vjp: wp.Kernel
    weigh: wp.Kernel
    weigh_vjp: wp.Kernel


@functools.cache
def touch_kernels(p: Precision) -> TouchKernels:
    """The kernels of one precision."""
    return TouchKernels(_push(p), _push_vjp(p), _weigh(p), _weigh_vjp(p))


@functools.cache
def distance_at(p: Precision) -> wp.Function:
    """Warp function: outward normal in the world and signed distance of a collider, (nx, ny, nz, phi)."""
    vec3, vec4, quat, frame13, vec8, real = p.vec3, p.vec4, p.quat, p.vector(FRAME), p.vector(8), p.real
    distance, from_volume, local = shape_distance(p), trilinear(p), local_point(p)

    @wp.func
    def at(x: vec3, frame: frame13, kind: int, size: vec3, corners: vec8, cell: vec3, spacing: real) -> vec4:
        point = local(x, frame)
        hit = vec4(real(0.0))
        if kind == wp.static(MESH_KIND):
            hit = from_volume(corners, (point - cell) / spacing, spacing)
        else:
            hit = distance(kind, point, size)
        n = wp.quat_rotate(quat(frame[3], frame[4], frame[5], frame[6]), vec3(hit[0], hit[1], hit[2]))
        return vec4(n[0], n[1], n[2], hit[3])

    at.adj.force_adjoint_codegen = True  # as for `contact_velocity`
    return at


@functools.cache
def push_of(p: Precision) -> wp.Function:
    """Warp function: how a collider pushes a particle: (normal, force [N] along it, distance [m] from the surface)."""
    real, vec3, frame13, vec8, vec5 = p.real, p.vec3, p.vector(FRAME), p.vector(8), p.vector(5)
    at = distance_at(p)

    @wp.func
    def pushed(
        x: vec3,
        v: vec3,
        frame: frame13,
        modulus: real,
        damping: real,
        kind: int,
        size: vec3,
        corners: vec8,
        cell: vec3,
        spacing: real,
        radius: real,
        rounding: real,
    ) -> vec5:
        hit = at(x, frame, kind, size, corners, cell, spacing)
        n = vec3(hit[0], hit[1], hit[2])
        base = wp.cross(vec3(frame[10], frame[11], frame[12]), x - vec3(frame[0], frame[1], frame[2]))
        parting = wp.dot(v - vec3(frame[7], frame[8], frame[9]) - base, n)
        depth = wp.max(radius + rounding - hit[3], real(0.0))
        load = real(2.0) * radius * modulus * depth * wp.max(real(1.0) - damping * parting, real(0.0))
        return vec5(n[0], n[1], n[2], load, hit[3] - rounding)

    pushed.adj.force_adjoint_codegen = True
    return pushed


@functools.cache
def push_contraction(p: Precision) -> wp.Function:
    """Warp function: (force, its amount, arm) . A + wrench . B, whose gradient is the push's vector-Jacobian product.

    The arm leads from the point of the surface that touches to the particle. The collider takes the force -F and the torque
    about its origin.
    """
    real, vec3, frame13, vec8, vec6, vec7 = p.real, p.vec3, p.vector(FRAME), p.vector(8), p.vector(6), p.vector(7)
    pushed = push_of(p)

    @wp.func
    def contracted(
        x: vec3,
        v: vec3,
        frame: frame13,
        modulus: real,
        damping: real,
        kind: int,
        size: vec3,
        corners: vec8,
        cell: vec3,
        spacing: real,
        radius: real,
        rounding: real,
        A: vec7,
        B: vec6,
    ) -> real:
        push = pushed(x, v, frame, modulus, damping, kind, size, corners, cell, spacing, radius, rounding)
        n = vec3(push[0], push[1], push[2])
        F = push[3] * n
        torque = wp.cross(x - vec3(frame[0], frame[1], frame[2]), F)
        other = push[3] * A[3] + push[4] * wp.dot(n, vec3(A[4], A[5], A[6]))
        taken = wp.dot(F, vec3(B[0], B[1], B[2])) + wp.dot(torque, vec3(B[3], B[4], B[5]))
        return wp.dot(F, vec3(A[0], A[1], A[2])) - taken + other

    return contracted


@functools.cache
def slip_field(p: Precision) -> tuple[wp.Function, wp.Function]:
    """Warp functions: how fast nodes around a particle move relative to where it touches; and the adjoint of that field.

    With the velocity gradient C, the collider's spin w and the arm a it is D (node - X + a), D = C - [w]x; scattered times the
    impulse J, with J itself as the fourth number.
    """
    real, vec3, vec4, mat33, mat44, frame13 = (
        p.real,
        p.vec3,
        p.vec4,
        p.mat33,
        wp.types.matrix((4, 4), p.real),
        p.vector(FRAME),
    )
    nodes_at, moment = stencil(p), moment_matrix(p)

    @wp.func
    def field(C: mat33, frame: frame13, J: real, arm: vec3, f: vec3, dx: real):
        D = C - wp.skew(vec3(frame[10], frame[11], frame[12]))
        g = J * (D * arm)
        q, a0, a1, a2 = nodes_at.field((J * dx) * D, vec4(g[0], g[1], g[2], J), f)
        return D, q, a0, a1, a2

    @wp.func
    def field_vjp(D: mat33, J: real, arm: vec3, sums: mat44, dx: real):
        """Adjoints of C, J, the arm, the place of the particle among the nodes, and the spin."""
        y = vec3(sums[0, 0], sums[1, 0], sums[2, 0])
        M = moment(sums) * dx + wp.outer(y, arm)
        G = J * M
        back = J * (wp.transpose(D) * y)
        spin = vec3(G[1, 2] - G[2, 1], G[2, 0] - G[0, 2], G[0, 1] - G[1, 0])
        return G, wp.ddot(D, M) + sums[3, 0], back, -back, spin

    return field, field_vjp


@functools.cache
def touches(p: Precision) -> wp.Function:
    """Warp function: whether a collider pushes a particle at x; its distance volume around; and its distance."""
    real, vec3, frame13, Solid = p.real, p.vec3, p.vector(FRAME), solid_struct(p)
    at, around = distance_at(p), distance_cell(p)

    @wp.func
    def touching(x: vec3, radius: real, rounding: real, solid: Solid, frame: frame13, distances: wp.array(dtype=real)):
        corners, cell = around(x, frame, solid, distances)
        phi = radius
        if solid.surface == wp.static(SEPARATING):
            hit = at(x, frame, solid.kind, solid.size, corners, cell, solid.spacing)
            phi = hit[3] - rounding
        return phi < radius, corners, cell, phi

    return touching


@functools.cache
def _push(p: Precision) -> wp.Kernel:
    real, vec3, vec4, vec6, frame13 = p.real, p.vec3, p.vec4, p.vector(6), p.vector(FRAME)
    Grid, Solid = grid_struct(p), solid_struct(p)
    nodes_at, scatter, touching, pushed = stencil(p), stencil_loops(p).scatter, touches(p), push_of(p)
    near, hull18, mat33, (field, _) = near_to(p), p.vector(HULL), p.mat33, slip_field(p)

    @wp.kernel(enable_backward=False, module="unique")
    def push(
        grid: Grid,
        first: int,
        start: int,
        items: int,
        particles: int,
        count: int,
        batch: int,
        thread: int,
        radius: real,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        block: int,
        listed: wp.array(dtype=int),
        number: wp.array(dtype=int),
        x: wp.array(dtype=vec3),
        v: wp.array(dtype=vec3),
        C: wp.array(dtype=mat33),
        modulus: wp.array(dtype=real),
        damping: wp.array(dtype=real),
        solids: wp.array(dtype=Solid),
        roundings: wp.array(dtype=real),
        hulls: wp.array(dtype=hull18),
        middles: wp.array(dtype=real),
        frames: wp.array(dtype=frame13),
        distances: wp.array(dtype=real),
        nodes: wp.array(dtype=vec4),
        press: wp.array(dtype=vec4),
        lever: wp.array(dtype=vec4),
        touched: wp.array(dtype=int),
        slabs: wp.array(dtype=int),
        wrench: wp.array(dtype=vec6),
        crossed: wp.array2d(dtype=int),
    ):
        step = clock[STEP]
        begin = first + wp.tid() * block
        for entry in range(begin, begin + number[begin]):
            i = listed[entry]
            s = clock[READ] * particles + i
            xp = x[s]
            X = (xp - grid.lower) * grid.inv_dx
            if not nodes_at.inside(X, grid):
                continue
            zero = vec4(real(0.0))
            for c in range(solids.shape[0]):
                e = c * batch + (i - start) // items
                if not near(xp, real(wp.static(SLACK)) * radius, hulls[e]):
                    continue
                touching_c, corners, cell, phi = touching(xp, radius, roundings[c], solids[c], frames[e], distances)
                if touching_c:
                    push_c = pushed(
                        xp, v[s], frames[e], modulus[i - start], damping[i - start], solids[c].kind, solids[c].size, corners, cell,
                        solids[c].spacing, radius, roundings[c],
                    )  # fmt: skip
                    n = vec3(push_c[0], push_c[1], push_c[2])
                    F = push_c[3] * n
                    corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
                    J = vec4(grid.dt * F[0], grid.dt * F[1], grid.dt * F[2], real(0.0))
                    plane = grid.ny * grid.nz
                    scatter(nodes, corner, grid.nz, plane, wx, wy, wz, J, zero, zero, zero)
                    scatter(press, corner + c * count, grid.nz, plane, wx, wy, wz, J, zero, zero, zero)
                    D, q, a0, a1, a2 = field(C[s], frames[e], grid.dt * push_c[3], push_c[4] * n, f, grid.dx)
                    scatter(lever, corner + c * count, grid.nz, plane, wx, wy, wz, q, a0, a1, a2)
                    T = wp.cross(xp - vec3(frames[e][0], frames[e][1], frames[e][2]), F)
                    row = thread * batch * solids.shape[0] + e
                    wp.atomic_add(wrench, row, -vec6(F[0], F[1], F[2], T[0], T[1], T[2]))
                    line = corner // grid.nz
                    for ix in range(3):
                        slabs[line // grid.ny + ix] = step
                        for iy in range(3):
                            touched[line + ix * grid.ny + iy] = step
                    if phi < -real(wp.static(CROSSED)) * middles[c] and crossed[i, 0] == 0:
                        crossed[i, 0] = c + 1
                        crossed[i, 1] = step

    return push


@functools.cache
def _push_vjp(p: Precision) -> wp.Kernel:
    """Adjoint of `push`: adds to that of the particles, of the frames, and of modulus and damping."""
    real, vec3, vec4, vec6, frame13 = p.real, p.vec3, p.vec4, p.vector(6), p.vector(FRAME)
    Grid, Solid = grid_struct(p), solid_struct(p)
    nodes_at, loops, touching, near, hull18 = stencil(p), stencil_loops(p), touches(p), near_to(p), p.vector(HULL)
    gather, pull, pushed, contracted = loops.gather, loops.pull, push_of(p), push_contraction(p)
    mat33, vec7, (field, field_vjp) = p.mat33, p.vector(7), slip_field(p)

    @wp.kernel(enable_backward=False, module="unique")
    def push_vjp(
        grid: Grid,
        first: int,
        start: int,
        items: int,
        particles: int,
        count: int,
        batch: int,
        thread: int,
        radius: real,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        block: int,
        listed: wp.array(dtype=int),
        number: wp.array(dtype=int),
        x: wp.array(dtype=vec3),
        v: wp.array(dtype=vec3),
        C: wp.array(dtype=mat33),
        modulus: wp.array(dtype=real),
        damping: wp.array(dtype=real),
        solids: wp.array(dtype=Solid),
        roundings: wp.array(dtype=real),
        hulls: wp.array(dtype=hull18),
        frames: wp.array(dtype=frame13),
        distances: wp.array(dtype=real),
        dnodes: wp.array(dtype=vec4),
        dpress: wp.array(dtype=vec4),
        dlever: wp.array(dtype=vec4),
        dwrench: wp.array(dtype=vec6),
        dx: wp.array(dtype=vec3),
        dv: wp.array(dtype=vec3),
        dC: wp.array(dtype=mat33),
        dmodulus: wp.array(dtype=real),
        ddamping: wp.array(dtype=real),
        dframes: wp.array(dtype=frame13),
    ):
        begin = first + wp.tid() * block
        for entry in range(begin, begin + number[begin]):
            i = listed[entry]
            s = clock[READ] * particles + i
            xp = x[s]
            X = (xp - grid.lower) * grid.inv_dx
            zero = vec4(real(0.0))
            for c in range(solids.shape[0]):
                e = c * batch + (i - start) // items
                if not near(xp, real(wp.static(SLACK)) * radius, hulls[e]):
                    continue
                touching_c, corners, cell, phi = touching(xp, radius, roundings[c], solids[c], frames[e], distances)
                if touching_c:
                    push_c = pushed(
                        xp, v[s], frames[e], modulus[i - start], damping[i - start], solids[c].kind, solids[c].size, corners, cell,
                        solids[c].spacing, radius, roundings[c],
                    )  # fmt: skip
                    n = vec3(push_c[0], push_c[1], push_c[2])
                    F = push_c[3] * n
                    corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
                    hx, hy, hz = nodes_at.slopes(f, grid.inv_dx)
                    plane = grid.ny * grid.nz
                    there = corner + c * count
                    J = vec4(grid.dt * F[0], grid.dt * F[1], grid.dt * F[2], real(0.0))
                    sums = gather(dnodes, corner, grid.nz, plane, wx, wy, wz, f)
                    sums = sums + gather(dpress, there, grid.nz, plane, wx, wy, wz, f)
                    A = grid.dt * vec3(sums[0, 0], sums[1, 0], sums[2, 0])
                    pulled = pull(dnodes, corner, grid.nz, plane, wx, wy, wz, hx, hy, hz, J, zero, zero, zero)
                    pulled = pulled + pull(dpress, there, grid.nz, plane, wx, wy, wz, hx, hy, hz, J, zero, zero, zero)
                    J1 = grid.dt * push_c[3]
                    D, q, a0, a1, a2 = field(C[s], frames[e], J1, push_c[4] * n, f, grid.dx)
                    pulled = pulled + pull(dlever, there, grid.nz, plane, wx, wy, wz, hx, hy, hz, q, a0, a1, a2)
                    slips = gather(dlever, there, grid.nz, plane, wx, wy, wz, f)
                    gC, gJ, garm, gplace, gspin = field_vjp(D, J1, push_c[4] * n, slips, grid.dx)
                    dC[i] = dC[i] + gC
                    weights = vec7(A[0], A[1], A[2], grid.dt * gJ, garm[0], garm[1], garm[2])
                    gx, gv, gframe, gmodulus, gdamping, g5, g6, g7, g8, g9, g10, g11, g12, g13 = wp.grad(contracted)(
                        xp, v[s], frames[e], modulus[i - start], damping[i - start], solids[c].kind, solids[c].size, corners, cell,
                        solids[c].spacing, radius, roundings[c], weights, dwrench[e],
                    )  # fmt: skip
                    for k in range(3):
                        gframe[10 + k] += gspin[k]
                    dx[i] = dx[i] + pulled + gx + gplace
                    dv[i] = dv[i] + gv
                    dmodulus[i - start] = dmodulus[i - start] + gmodulus
                    ddamping[i - start] = ddamping[i - start] + gdamping
                    wp.atomic_add(dframes, thread * batch * solids.shape[0] + e, gframe)

    return push_vjp


@functools.cache
def _weigh(p: Precision) -> wp.Kernel:
    real, vec3, vec4, Grid = p.real, p.vec3, p.vec4, grid_struct(p)
    nodes_at, scatter = stencil(p), stencil_loops(p).scatter

    @wp.kernel(enable_backward=False, module="unique")
    def weigh(
        grid: Grid,
        first: int,
        particles: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        mass: wp.array(dtype=real),
        x: wp.array(dtype=vec3),
        flowing: wp.array(dtype=vec4),
    ):
        i = wp.tid() + first
        X = (x[clock[READ] * particles + i] - grid.lower) * grid.inv_dx
        if not nodes_at.inside(X, grid):
            return
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        zero = vec4(real(0.0))
        m = vec4(real(0.0), real(0.0), real(0.0), mass[i])
        scatter(flowing, corner, grid.nz, grid.ny * grid.nz, wx, wy, wz, m, zero, zero, zero)

    return weigh


@functools.cache
def _weigh_vjp(p: Precision) -> wp.Kernel:
    real, vec3, vec4, Grid = p.real, p.vec3, p.vec4, grid_struct(p)
    nodes_at, loops = stencil(p), stencil_loops(p)
    gather, pull = loops.gather, loops.pull

    @wp.kernel(enable_backward=False, module="unique")
    def weigh_vjp(
        grid: Grid,
        first: int,
        particles: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        mass: wp.array(dtype=real),
        x: wp.array(dtype=vec3),
        dflowing: wp.array(dtype=vec4),
        dx: wp.array(dtype=vec3),
        dmass: wp.array(dtype=real),
    ):
        i = wp.tid() + first
        X = (x[clock[READ] * particles + i] - grid.lower) * grid.inv_dx
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        hx, hy, hz = nodes_at.slopes(f, grid.inv_dx)
        zero = vec4(real(0.0))
        m = vec4(real(0.0), real(0.0), real(0.0), mass[i])
        plane = grid.ny * grid.nz
        sums = gather(dflowing, corner, grid.nz, plane, wx, wy, wz, f)
        dmass[i] = dmass[i] + sums[3, 0]
        dx[i] = dx[i] + pull(dflowing, corner, grid.nz, plane, wx, wy, wz, hx, hy, hz, m, zero, zero, zero)

    return weigh_vjp
