"""Kernels of a transfer that remembers: motion the grid does not resolve stays with the particles for a time T.

APIC makes a particle's motion anew from the grid in each substep, and forgets what the grid cannot hold: the loss is one of each
transfer, so that a smaller substep loses more. Here a share alpha = exp(-dt / T) of the difference is put back,

    v_i = sum_p w_ip m (v + C d_i) / sum_p w_ip m,   r = v - sum_i w_ip v_i,   R = skew(C - D^-1 sum_i w_ip v_i d_i^T)
    v' = v_grid + alpha r,   C' = C_grid + alpha R,   x' = x + dt v',   F' = (1 + dt C_grid) F

with v_i of the motion at the beginning of the substep, before forces and contact. What is forgotten in a second no longer depends
on dt; T = 0 is APIC, T = infinity FLIP. Linear and angular momentum stay exact: r carries none of the first, r and R
together none of the second, because the spin R is kept too and x moves with all of v'. Of a solid the symmetric part of C is
not kept: measured, it takes 40 % of a turning block's energy in five seconds. Of a fluid all of C is: water at rest is three times as calm.

Source: Fei et al., Revisiting Integration in the Material Point Method (2021), for r; the rate and R are ours.
"""

import functools
from typing import NamedTuple

import warp as wp

from pliant.sim.mpm.grid import node_copies
from pliant.sim.mpm.stencil import stencil_loops
from pliant.sim.mpm.transfers import CFL, READ, STEP, WRITE, grid_struct, moment_matrix, report, stencil
from pliant.sim.precision import Precision


class MemoryKernels(NamedTuple):
    """Kernels of one precision: particles to nodes, their mean, what a particle keeps, and the adjoints.

    `carry_vjp` also takes what was kept out of the new state, which the adjoint of grid to particles wants as the grid gave it;
    `restore` puts the stored state back to the bit.
    """

    spread: wp.Kernel
    spread_vjp: wp.Kernel
    mean: wp.Kernel
    mean_vjp: wp.Kernel
    carry: wp.Kernel
    carry_vjp: wp.Kernel
    restore_vjp: wp.Kernel


@functools.cache
def memory_kernels(p: Precision) -> MemoryKernels:
    """The kernels of one precision."""
    means = _mean(p), _mean_vjp(p)
    return MemoryKernels(_spread(p), _spread_vjp(p), *means, _carry(p), _carry_vjp(p), _restore(p))


@functools.cache
def skew_part(p: Precision) -> wp.Function:
    """Warp function: (A - A^T) / 2, with `whole` = 1 all of A; it is its own transpose."""
    real, mat33 = p.real, p.mat33

    @wp.func(inline=True)
    def skew(A: mat33, whole: real) -> mat33:
        return real(0.5) * ((real(1.0) + whole) * A - (real(1.0) - whole) * wp.transpose(A))

    return skew


@functools.cache
def _spread(p: Precision) -> wp.Kernel:
    real, vec3, vec4, mat33, Grid = p.real, p.vec3, p.vec4, p.mat33, grid_struct(p)
    nodes_at, scatter = stencil(p), stencil_loops(p).scatter

    @wp.kernel(enable_backward=False, module="unique")
    def spread(
        grid: Grid,
        first: int,
        particles: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        mass: wp.array(dtype=real),
        x: wp.array(dtype=vec3),
        v: wp.array(dtype=vec3),
        C: wp.array(dtype=mat33),
        nodes: wp.array(dtype=vec4),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        if not nodes_at.inside(X, grid):
            return
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        m = mass[i]
        u = m * v[s]
        q, a0, a1, a2 = nodes_at.field((m * grid.dx) * C[s], vec4(u[0], u[1], u[2], m), f)
        scatter(nodes, corner, grid.nz, grid.ny * grid.nz, wx, wy, wz, q, a0, a1, a2)

    return spread


@functools.cache
def _mean(p: Precision) -> wp.Kernel:
    """Velocity of the nodes before forces; clears the sums unless an adjoint follows."""
    real, vec4, Grid, (total, clear) = p.real, p.vec4, grid_struct(p), node_copies(p)

    @wp.kernel(enable_backward=False, module="unique")
    def mean(
        grid: Grid,
        first: int,
        lines: int,
        span: int,
        copies: int,
        keep: int,
        clock: wp.array(dtype=int),
        active: wp.array(dtype=int),
        slabs: wp.array(dtype=int),
        nodes: wp.array(dtype=vec4),
        out: wp.array(dtype=vec4),
    ):
        count = out.shape[0]
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
                if q[3] <= real(0.0):
                    continue
                if keep == 0:
                    clear(nodes, node, copies, count)
                m = q[3] + grid.mass_floor
                out[node] = vec4(q[0] / m, q[1] / m, q[2] / m, real(0.0))

    return mean


@functools.cache
def _mean_vjp(p: Precision) -> wp.Kernel:
    """Adjoint of `mean`: that of momentum is dv / m, that of mass -v . dv / m; clears both sums."""
    real, vec4, Grid, (total, clear) = p.real, p.vec4, grid_struct(p), node_copies(p)

    @wp.kernel(enable_backward=False, module="unique")
    def mean_vjp(
        grid: Grid,
        first: int,
        lines: int,
        span: int,
        copies: int,
        clock: wp.array(dtype=int),
        active: wp.array(dtype=int),
        slabs: wp.array(dtype=int),
        nodes: wp.array(dtype=vec4),
        means: wp.array(dtype=vec4),
        dmeans: wp.array(dtype=vec4),
        dnodes: wp.array(dtype=vec4),
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
                if q[3] <= real(0.0):
                    continue
                A = total(dmeans, node, copies, count) / (q[3] + grid.mass_floor)
                clear(nodes, node, copies, count)
                clear(dmeans, node, copies, count)
                dnodes[node] = vec4(A[0], A[1], A[2], -wp.dot(A, means[node]))

    return mean_vjp


@functools.cache
def kept_motion(p: Precision) -> wp.Function:
    """Warp function: r and R of a particle from its own motion and the sums of `gather` over the nodes' velocities."""
    real, vec3, mat33, mat44 = p.real, p.vec3, p.mat33, wp.types.matrix((4, 4), p.real)
    moment, skew = moment_matrix(p), skew_part(p)

    @wp.func(inline=True)
    def kept(v: vec3, C: mat33, whole: real, sums: mat44, inv_dx: real):
        return v - vec3(sums[0, 0], sums[1, 0], sums[2, 0]), skew(C - (real(4.0) * inv_dx) * moment(sums), whole)

    return kept


@functools.cache
def _carry(p: Precision) -> wp.Kernel:
    """Put back what a particle keeps, after grid to particles and the return maps."""
    real, vec3, vec4, mat33, Grid = p.real, p.vec3, p.vec4, p.mat33, grid_struct(p)
    nodes_at, gather, kept = stencil(p), stencil_loops(p).gather, kept_motion(p)

    @wp.kernel(enable_backward=False, module="unique")
    def carry(
        share: real,
        grid: Grid,
        first: int,
        particles: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        whole: wp.array(dtype=real),
        means: wp.array(dtype=vec4),
        x: wp.array(dtype=vec3),
        v: wp.array(dtype=vec3),
        C: wp.array(dtype=mat33),
        status: wp.array(dtype=int),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        t = clock[WRITE] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        if not nodes_at.inside(X, grid):
            return
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        near = gather(means, corner, grid.nz, grid.ny * grid.nz, wx, wy, wz, f)
        r, R = kept(v[s], C[s], whole[i], near, grid.inv_dx)
        x[t] = x[t] + (share * grid.dt) * r
        v[t] = v[t] + share * r
        C[t] = C[t] + share * R
        if wp.max(wp.abs(x[t] - x[s])) >= grid.dx:
            report(status, CFL, clock[STEP], i, base_of[i], grid.nx * grid.ny * grid.nz)

    return carry


@functools.cache
def _carry_vjp(p: Precision) -> wp.Kernel:
    """Adjoint of `carry`, of the nodes and of the old motion, which waits in `dr`, `dR` for `spread_vjp`."""
    real, vec3, vec4, mat33, Grid = p.real, p.vec3, p.vec4, p.mat33, grid_struct(p)
    nodes_at, scatter, gather = stencil(p), stencil_loops(p).scatter, stencil_loops(p).gather
    kept, skew = kept_motion(p), skew_part(p)

    @wp.kernel(enable_backward=False, module="unique")
    def carry_vjp(
        share: real,
        grid: Grid,
        first: int,
        particles: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        whole: wp.array(dtype=real),
        means: wp.array(dtype=vec4),
        x: wp.array(dtype=vec3),
        v: wp.array(dtype=vec3),
        C: wp.array(dtype=mat33),
        dx: wp.array(dtype=vec3),
        dv: wp.array(dtype=vec3),
        dC: wp.array(dtype=mat33),
        stored_v: wp.array(dtype=vec3),
        stored_C: wp.array(dtype=mat33),
        dr: wp.array(dtype=vec3),
        dR: wp.array(dtype=mat33),
        dmeans: wp.array(dtype=vec4),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        t = clock[WRITE] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        near = gather(means, corner, grid.nz, grid.ny * grid.nz, wx, wy, wz, f)
        r, R = kept(v[s], C[s], whole[i], near, grid.inv_dx)
        stored_v[i] = v[t]
        stored_C[i] = C[t]
        v[t] = v[t] - share * r
        C[t] = C[t] - share * R
        a = share * (dv[i] + grid.dt * dx[i])
        B = share * skew(dC[i], whole[i])
        dr[i] = a
        dR[i] = B
        q, b0, b1, b2 = nodes_at.field((real(-4.0) * grid.inv_dx) * B, vec4(-a[0], -a[1], -a[2], real(0.0)), f)
        scatter(dmeans, corner, grid.nz, grid.ny * grid.nz, wx, wy, wz, q, b0, b1, b2)

    return carry_vjp


@functools.cache
def _restore(p: Precision) -> wp.Kernel:
    vec3, mat33 = p.vec3, p.mat33

    @wp.kernel(enable_backward=False, module="unique")
    def restore_vjp(
        first: int,
        particles: int,
        clock: wp.array(dtype=int),
        stored_v: wp.array(dtype=vec3),
        stored_C: wp.array(dtype=mat33),
        v: wp.array(dtype=vec3),
        C: wp.array(dtype=mat33),
    ):
        i = wp.tid() + first
        t = clock[WRITE] * particles + i
        v[t] = stored_v[i]
        C[t] = stored_C[i]

    return restore_vjp


@functools.cache
def _spread_vjp(p: Precision) -> wp.Kernel:
    """Adjoint of `spread`, with that of the weights and the old motion which `carry` used; after that of p2g, to which it adds."""
    real, vec3, vec4, mat33, Grid = p.real, p.vec3, p.vec4, p.mat33, grid_struct(p)
    nodes_at, moment = stencil(p), moment_matrix(p)
    gather, pull = stencil_loops(p).gather, stencil_loops(p).pull

    @wp.kernel(enable_backward=False, module="unique")
    def spread_vjp(
        grid: Grid,
        first: int,
        particles: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        mass: wp.array(dtype=real),
        x: wp.array(dtype=vec3),
        v: wp.array(dtype=vec3),
        C: wp.array(dtype=mat33),
        means: wp.array(dtype=vec4),
        dr: wp.array(dtype=vec3),
        dR: wp.array(dtype=mat33),
        dnodes: wp.array(dtype=vec4),
        dx: wp.array(dtype=vec3),
        dv: wp.array(dtype=vec3),
        dC: wp.array(dtype=mat33),
        dmass: wp.array(dtype=real),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        hx, hy, hz = nodes_at.slopes(f, grid.inv_dx)
        line = grid.nz
        plane = grid.ny * grid.nz
        m = mass[i]
        u = m * v[s]
        A = (m * grid.dx) * C[s]
        q, a0, a1, a2 = nodes_at.field(A, vec4(u[0], u[1], u[2], m), f)
        sums = gather(dnodes, corner, line, plane, wx, wy, wz, f)
        S = vec3(sums[0, 0], sums[1, 0], sums[2, 0])
        S1 = moment(sums)
        dv[i] = dv[i] + m * S + dr[i]
        dC[i] = dC[i] + (m * grid.dx) * S1 + dR[i]
        dmass[i] = dmass[i] + sums[3, 0] + wp.dot(v[s], S) + grid.dx * wp.ddot(C[s], S1)
        dx[i] = dx[i] + pull(dnodes, corner, line, plane, wx, wy, wz, hx, hy, hz, q, a0, a1, a2)
        near = gather(means, corner, line, plane, wx, wy, wz, f)
        B = (real(-4.0) * grid.inv_dx) * dR[i]
        a = -dr[i]
        b, b0, b1, b2 = nodes_at.field(B, vec4(a[0], a[1], a[2], real(0.0)), f)
        dx[i] = dx[i] + pull(means, corner, line, plane, wx, wy, wz, hx, hy, hz, b, b0, b1, b2)
        shift = wp.transpose(A) * S + wp.transpose(B) * vec3(near[0, 0], near[1, 0], near[2, 0])
        dx[i] = dx[i] - grid.inv_dx * shift

    return spread_vjp
