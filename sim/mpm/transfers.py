"""Particle-grid transfers of MLS-MPM (quadratic B-splines, APIC) and their hand-written vector-Jacobian products.

One particle touches 3 x 3 x 3 nodes with weights w_i = N(x_i - x_p), a product of one quadratic B-spline an axis, and
d_i = x_i - x_p. With mass m, rest volume V and D^-1 = 4 / dx^2:

    A = m C - dt V D^-1 tau,     (mv, m)_i = sum_p w_i (m (v + dt g) + A d_i, m)        particles to grid
    v' = sum_i w_i v_i,   C' = D^-1 sum_i w_i v_i d_i^T,   x' = x + dt v',   F' = (I + dt C') F    grid to particles

Source: Hu et al., A Moving Least Squares Material Point Method (2018), eqs. 17 and 29; Jiang et al., APIC (2015).
State arrays hold several time slots one after the other; `clock` says which slot is read and which is written. The
scatter marks the planes of nodes across x and the lines of nodes along z that it touches with the number of the substep, so
that the grid skips the others.
"""

import functools
from typing import NamedTuple

import warp as wp

from pliant.sim.mpm.stencil import stencil_loops
from pliant.sim.precision import Precision
from pliant.sim.status import Code

REPORT = 4  # integers of a report: code, substep, particle, and one that fills it
STEP, READ, WRITE = 0, 1, 2  # entries of the clock: substep, slot read, slot written
LEFT_GRID, CFL, NOT_FINITE, INVERTED = (int(c) for c in (Code.LEFT_GRID, Code.CFL, Code.NOT_FINITE, Code.INVERTED))


class Transfers(NamedTuple):
    """The four kernels of one precision."""

    p2g: wp.Kernel
    p2g_vjp: wp.Kernel
    g2p: wp.Kernel
    g2p_vjp: wp.Kernel


@functools.cache
def grid_struct(p: Precision) -> type:
    """The Warp struct that places the nodes: first node, spacing, counts, the time step, and the mass added to a node."""
    real, vec3 = p.real, p.vec3

    @wp.struct
    class Grid:
        lower: vec3
        dx: real
        inv_dx: real
        dt: real
        mass_floor: real
        nx: int
        ny: int
        nz: int

    return Grid


class Stencil(NamedTuple):
    """Warp functions of one precision about the 3 x 3 x 3 nodes around a point, X in cells from the first node.

    inside(X, grid): whether all of them exist; false for NaN.
    around(X, first, grid): index of the corner node of a grid that begins at `first`, distance f of X from it in cells (each in
        [0.5, 1.5)), and the weights of the three nodes along each axis.
    slopes(f, inv_dx): derivatives of these weights by the point.
    field(A, u, f): q, a0, a1, a2 with u + A (node - X) = q + a0 i + a1 j + a2 k at node (i, j, k).
    """

    inside: wp.Function
    around: wp.Function
    slopes: wp.Function
    field: wp.Function


@functools.cache
def stencil(p: Precision) -> Stencil:
    """The functions of one precision."""
    real, vec3, vec4, mat33, Grid = p.real, p.vec3, p.vec4, p.mat33, grid_struct(p)

    @wp.func(inline=True)
    def weights(f: real) -> vec3:
        """N at the three nodes along an axis."""
        a = real(1.5) - f
        b = f - real(1.0)
        c = f - real(0.5)
        return vec3(real(0.5) * a * a, real(0.75) - b * b, real(0.5) * c * c)

    @wp.func(inline=True)
    def slope(f: real, inv_dx: real) -> vec3:
        """dN/dx_p at the three nodes along an axis."""
        return vec3((f - real(1.5)) * inv_dx, (real(2.0) - real(2.0) * f) * inv_dx, (f - real(0.5)) * inv_dx)

    @wp.func(inline=True)
    def inside(X: vec3, grid: Grid) -> bool:
        lo = real(0.5)
        low = X[0] >= lo and X[1] >= lo and X[2] >= lo
        high = (
            X[0] < real(grid.nx) - real(1.5) and X[1] < real(grid.ny) - real(1.5) and X[2] < real(grid.nz) - real(1.5)
        )
        return low and high

    @wp.func(inline=True)
    def around(X: vec3, first: int, grid: Grid):
        i = int(X[0] - real(0.5))
        j = int(X[1] - real(0.5))
        k = int(X[2] - real(0.5))
        f = X - vec3(real(i), real(j), real(k))
        return first + (i * grid.ny + j) * grid.nz + k, f, weights(f[0]), weights(f[1]), weights(f[2])

    @wp.func(inline=True)
    def slopes(f: vec3, inv_dx: real):
        return slope(f[0], inv_dx), slope(f[1], inv_dx), slope(f[2], inv_dx)

    @wp.func(inline=True)
    def field(A: mat33, u: vec4, f: vec3):
        a0 = vec4(A[0, 0], A[1, 0], A[2, 0], real(0.0))
        a1 = vec4(A[0, 1], A[1, 1], A[2, 1], real(0.0))
        a2 = vec4(A[0, 2], A[1, 2], A[2, 2], real(0.0))
        return u - a0 * f[0] - a1 * f[1] - a2 * f[2], a0, a1, a2

    return Stencil(inside, around, slopes, field)


@functools.cache
def moment_matrix(p: Precision) -> wp.Function:
    """Warp function: the first moment sum w g d^T [3, 3] out of the sums of `gather`."""
    mat33, mat44 = p.mat33, wp.types.matrix((4, 4), p.real)

    @wp.func(inline=True)
    def moment(s: mat44) -> mat33:
        return mat33(s[0, 1], s[0, 2], s[0, 3], s[1, 1], s[1, 2], s[1, 3], s[2, 1], s[2, 2], s[2, 3])

    return moment


@wp.func
def report(status: wp.array(dtype=int), code: int, step: int, index: int, base: int, nodes_each: int):
    """Keep the first thing that went wrong in the environment whose nodes begin at `base`, of `nodes_each`."""
    entry = wp.static(REPORT) * (base // nodes_each)
    if wp.atomic_cas(status, entry, 0, code) == 0:
        status[entry + 1] = step
        status[entry + 2] = index


def _register_cap(p: Precision) -> int | None:
    """Registers a thread on a GPU: 128 keep half the threads of an sm_90 resident; float64 would spill, so it is free."""
    return 128 if p.name == "float32" else None


@functools.cache
def transfers(p: Precision) -> Transfers:
    """The transfer kernels of one precision."""
    return Transfers(_p2g(p), _p2g_vjp(p), _g2p(p), _g2p_vjp(p))


@functools.cache
def _p2g(p: Precision) -> wp.Kernel:
    real, vec3, vec4, mat33, Grid = p.real, p.vec3, p.vec4, p.mat33, grid_struct(p)
    nodes_at, scatter = stencil(p), stencil_loops(p).scatter

    @wp.kernel(enable_backward=False, module="unique")
    def p2g(
        grid: Grid,
        first: int,
        particles: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        gravity: wp.array(dtype=vec3),
        mass: wp.array(dtype=real),
        volume: wp.array(dtype=real),
        x: wp.array(dtype=vec3),
        v: wp.array(dtype=vec3),
        C: wp.array(dtype=mat33),
        tau: wp.array(dtype=mat33),
        nodes: wp.array(dtype=vec4),
        active: wp.array(dtype=int),
        slabs: wp.array(dtype=int),
        status: wp.array(dtype=int),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        if not nodes_at.inside(X, grid):
            report(status, LEFT_GRID, clock[STEP], i, base_of[i], grid.nx * grid.ny * grid.nz)
            return
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        m = mass[i]
        A = C[s] * (m * grid.dx) - tau[i] * (real(4.0) * grid.dt * volume[i] * grid.inv_dx)
        u = (v[s] + grid.dt * gravity[i]) * m
        q, a0, a1, a2 = nodes_at.field(A, vec4(u[0], u[1], u[2], m), f)
        scatter(nodes, corner, grid.nz, grid.ny * grid.nz, wx, wy, wz, q, a0, a1, a2)
        line = corner // grid.nz
        for ix in range(3):
            slabs[line // grid.ny + ix] = clock[STEP]
            for iy in range(3):
                active[line + ix * grid.ny + iy] = clock[STEP]

    return p2g


@functools.cache
def _g2p(p: Precision) -> wp.Kernel:
    real, vec3, vec4, mat33, Grid = p.real, p.vec3, p.vec4, p.mat33, grid_struct(p)
    nodes_at, gather, moment = stencil(p), stencil_loops(p).gather, moment_matrix(p)

    @wp.kernel(enable_backward=False, module="unique")
    def g2p(
        grid: Grid,
        first: int,
        particles: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        nodes: wp.array(dtype=vec4),
        x: wp.array(dtype=vec3),
        v: wp.array(dtype=vec3),
        C: wp.array(dtype=mat33),
        F: wp.array(dtype=mat33),
        status: wp.array(dtype=int),
    ):
        i = wp.tid() + first
        step = clock[STEP]  # here: Warp 1.19 loses a constant that two branches name, and would read beyond the clock
        s = clock[READ] * particles + i
        t = clock[WRITE] * particles + i
        xp = x[s]
        X = (xp - grid.lower) * grid.inv_dx
        if not nodes_at.inside(X, grid):
            return
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        sums = gather(nodes, corner, grid.nz, grid.ny * grid.nz, wx, wy, wz, f)
        vp = vec3(sums[0, 0], sums[1, 0], sums[2, 0])
        Cp = moment(sums) * (real(4.0) * grid.inv_dx)
        Fp = F[s]
        dX = grid.dt * vp
        v[t] = vp
        C[t] = Cp
        x[t] = xp + dX
        Fp = Fp + (grid.dt * Cp) * Fp
        F[t] = Fp
        volume_ratio = wp.determinant(Fp)
        if not (volume_ratio > real(0.0)):
            if volume_ratio <= real(0.0):
                report(status, INVERTED, step, i, base_of[i], grid.nx * grid.ny * grid.nz)
            else:
                report(status, NOT_FINITE, step, i, base_of[i], grid.nx * grid.ny * grid.nz)
        speed = wp.max(wp.abs(dX[0]), wp.max(wp.abs(dX[1]), wp.abs(dX[2])))
        if not (speed < grid.dx):
            if speed >= grid.dx:
                report(status, CFL, step, i, base_of[i], grid.nx * grid.ny * grid.nz)
            else:
                report(status, NOT_FINITE, step, i, base_of[i], grid.nx * grid.ny * grid.nz)

    return g2p


@functools.cache
def _g2p_vjp(p: Precision) -> wp.Kernel:
    """Adjoint of g2p, in place on the particle adjoints.

    With a = dv + dt dx and B = dC + dt dF F^T (d: adjoint of the new state), one pass over the nodes scatters
    dv_i += w_i (a + D^-1 B d_i) and gathers dx += sum_i grad w_i (v_i . (a + D^-1 B d_i)) - D^-1 B^T v', where
    sum_i w_i v_i = v' is the stored new velocity.
    """
    real, vec3, vec4, mat33, Grid = p.real, p.vec3, p.vec4, p.mat33, grid_struct(p)
    nodes_at, scatter, pull = stencil(p), stencil_loops(p).scatter, stencil_loops(p).pull

    @wp.kernel(enable_backward=False, module="unique", cuda_max_registers=_register_cap(p))
    def g2p_vjp(
        grid: Grid,
        first: int,
        particles: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        nodes: wp.array(dtype=vec4),
        x: wp.array(dtype=vec3),
        v: wp.array(dtype=vec3),
        C: wp.array(dtype=mat33),
        F: wp.array(dtype=mat33),
        dx: wp.array(dtype=vec3),
        dv: wp.array(dtype=vec3),
        dC: wp.array(dtype=mat33),
        dF: wp.array(dtype=mat33),
        dnodes: wp.array(dtype=vec4),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        t = clock[WRITE] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        hx, hy, hz = nodes_at.slopes(f, grid.inv_dx)
        dFp = dF[i]
        dxp = dx[i]
        B = (dC[i] + (grid.dt * dFp) * wp.transpose(F[s])) * (real(4.0) * grid.inv_dx)
        a = dv[i] + grid.dt * dxp
        dF[i] = dFp + wp.transpose(C[t]) * (grid.dt * dFp)
        dx[i] = dxp - (wp.transpose(B) * v[t]) * grid.inv_dx
        q, b0, b1, b2 = nodes_at.field(B, vec4(a[0], a[1], a[2], real(0.0)), f)
        line = grid.nz
        plane = grid.ny * grid.nz
        scatter(dnodes, corner, line, plane, wx, wy, wz, q, b0, b1, b2)
        dx[i] = dx[i] + pull(nodes, corner, line, plane, wx, wy, wz, hx, hy, hz, q, b0, b1, b2)

    return g2p_vjp


@functools.cache
def _p2g_vjp(p: Precision) -> wp.Kernel:
    """Adjoint of p2g: a gather, no scatter.

    With g_i = d(mv)_i, S0 = sum w_i g_i, S1 = sum w_i g_i d_i^T:
    dv = m S0, dC = m S1, dtau = -dt V D^-1 S1, dm = sum w_i dm_i + (v + dt g) . S0 + C : S1,
    dx += sum_i grad w_i (g_i . (m (v + dt g) + A d_i) + m dm_i) - A^T S0.
    """
    real, vec3, vec4, mat33, Grid = p.real, p.vec3, p.vec4, p.mat33, grid_struct(p)
    nodes_at, moment = stencil(p), moment_matrix(p)
    gather, pull = stencil_loops(p).gather, stencil_loops(p).pull

    @wp.kernel(enable_backward=False, module="unique", cuda_max_registers=_register_cap(p))
    def p2g_vjp(
        grid: Grid,
        first: int,
        particles: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        gravity: wp.array(dtype=vec3),
        mass: wp.array(dtype=real),
        volume: wp.array(dtype=real),
        x: wp.array(dtype=vec3),
        v: wp.array(dtype=vec3),
        C: wp.array(dtype=mat33),
        tau: wp.array(dtype=mat33),
        dnodes: wp.array(dtype=vec4),
        dx: wp.array(dtype=vec3),
        dv: wp.array(dtype=vec3),
        dC: wp.array(dtype=mat33),
        dtau: wp.array(dtype=mat33),
        dmass: wp.array(dtype=real),
        dgravity: wp.array(dtype=vec3),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        hx, hy, hz = nodes_at.slopes(f, grid.inv_dx)
        m = mass[i]
        Cp = C[s]
        stress_scale = real(4.0) * grid.dt * volume[i] * grid.inv_dx
        A = Cp * (m * grid.dx) - tau[i] * stress_scale
        vp = v[s] + grid.dt * gravity[i]
        q, a0, a1, a2 = nodes_at.field(A, vec4(m * vp[0], m * vp[1], m * vp[2], m), f)
        line = grid.nz
        plane = grid.ny * grid.nz
        sums = gather(dnodes, corner, line, plane, wx, wy, wz, f)
        S = vec3(sums[0, 0], sums[1, 0], sums[2, 0])
        S1 = moment(sums)
        dv[i] = m * S
        dC[i] = (m * grid.dx) * S1
        dtau[i] = -stress_scale * S1
        dmass[i] += sums[3, 0] + wp.dot(vp, S) + grid.dx * wp.ddot(Cp, S1)
        dgravity[i] += (grid.dt * m) * S
        pulled = pull(dnodes, corner, line, plane, wx, wy, wz, hx, hy, hz, q, a0, a1, a2)
        dx[i] = dx[i] + pulled - (wp.transpose(A) * S) * grid.inv_dx

    return p2g_vjp
