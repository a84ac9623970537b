"""Kernels of the pressure filter of fluids: a relaxation of every particle's pressure to its neighbourhood's.

A fluid of eight particles a cell has more volume ratios than the grid has forces: patterns of J that push no node stay
for ever, drift, and turn into forces as the particles move on. Measured, they resist a vortex like an elastic solid. So each
substep a particle's pressure p = K (1 - J) moves towards the mean of the particles around it, within the time that sound
takes to cross a cell:

    b = V / K,   P_i = sum_q w_iq b_q (p_q + rho_q g . (x_i - x_q)) / sum_q w_iq b_q,   P_p = sum_i w_ip P_i
    O_i = max(0, sum_q w_iq V_q J_q / V_i - 1.1),   O_p = sum_i w_ip O_i
    J' = J_trial + dt c / dx (1 - P_p / K - J - 0.03 O_p),   c = sqrt(K V / m)

The term in gravity makes a fluid at rest a fixed point, at walls and surfaces too: there p is linear in x with the
gradient rho g. The weights b keep the total volume sum V J where g is uniform; particles of several fluids share one pressure.
J and the weights are those at the beginning of the substep, J_trial is what grid to particles made of J.

What the mean forgets, the room remembers: where particles crowd, O > 0 is what their volumes exceed the room V_i of a
node by (dx^3, less behind the walls of `extent`), and J gives way slowly. Without it a tank that sloshes lost 20 % of its
height in 3 s. The tenth of slack is the scatter of disordered particles, whose one-sided correction would blow a tank up by
4 %; a stronger pull brings that scatter back into the pressure.

Source: the diffusive term of density in Antuono et al., Free-surface flows solved by means of SPH schemes with
numerical diffusive terms (2010), of the same strength, without the hydrostatic part as in Fourtakas et al. (2019).
"""

import functools
from typing import NamedTuple

import warp as wp

from pliant.sim.linalg.matrix import cofactor, spherical
from pliant.sim.mpm.grid import OPEN, SLIP_WALL, WALL_CELLS, node_copies, node_place
from pliant.sim.mpm.stencil import stencil_loops
from pliant.sim.mpm.transfers import READ, STEP, WRITE, grid_struct, stencil
from pliant.sim.precision import Precision

FLUID_COEFFICIENTS = 2  # bulk modulus first
WEIGHTLESS = 1e-30  # mass [kg] of a particle that has been set aside, which 0 / 0 would make NaN
SLACK, PULL = 0.1, 0.03  # of the room of a node, and of the relaxation


class PressureKernels(NamedTuple):
    """Kernels of one precision: particles to nodes, mean of the nodes, relaxation of the particles, and their adjoints."""

    spread: wp.Kernel
    spread_vjp: wp.Kernel
    mean: wp.Kernel
    mean_vjp: wp.Kernel
    relax: wp.Kernel
    relax_vjp: wp.Kernel


@functools.cache
def pressure_kernels(p: Precision) -> PressureKernels:
    """The kernels of one precision."""
    return PressureKernels(_spread(p), _spread_vjp(p), _mean(p), _mean_vjp(p), _relax(p), _relax_vjp(p))


@functools.cache
def compression(p: Precision) -> wp.Function:
    """Warp function: what a particle gives to its nodes, (b p, b, V J, 0) + A (node - X), as that vector and A."""
    real, vec3, vec4, mat33 = p.real, p.vec3, p.vec4, p.mat33

    @wp.func(inline=True)
    def given(J: real, K: real, m: real, V: real, g: vec3, dx: real):
        h = (m / K * dx) * g
        o = real(0.0)
        A = mat33(h[0], h[1], h[2], o, o, o, o, o, o)
        return vec4(V * (real(1.0) - J), V / K, V * J, o), A

    return given


@functools.cache
def node_room(p: Precision) -> wp.Function:
    """Warp function: part of a node's volume that lies within the walls of `extent`, 0 for a node behind one."""
    real, modes6 = p.real, wp.types.vector(6, int)

    @wp.func
    def along(depth: int, mode: int) -> real:
        """Of a node so many cells inside a face: its B-spline's integral there."""
        if mode == wp.static(OPEN) or depth > 1:
            return real(1.0)
        if depth == 1:
            if mode == wp.static(SLIP_WALL):
                return real(1.0)
            return real(wp.static(47.0 / 48.0))
        if depth == 0:
            return real(0.5)
        return real(0.0)

    @wp.func
    def room(i: int, j: int, k: int, nx: int, ny: int, nz: int, modes: modes6) -> real:
        w = int(wp.static(WALL_CELLS))
        x = along(i - w, modes[0]) * along(nx - 1 - w - i, modes[1])
        y = along(j - w, modes[2]) * along(ny - 1 - w - j, modes[3])
        return x * y * along(k - w, modes[4]) * along(nz - 1 - w - k, modes[5])

    return room


@functools.cache
def _spread(p: Precision) -> wp.Kernel:
    real, vec2, vec3, vec4, mat33 = p.real, p.vector(FLUID_COEFFICIENTS), p.vec3, p.vec4, p.mat33
    Grid, nodes_at, scatter, given = grid_struct(p), stencil(p), stencil_loops(p).scatter, compression(p)

    @wp.kernel(enable_backward=False, module="unique")
    def spread(
        grid: Grid,
        first: int,
        start: int,
        particles: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        gravity: wp.array(dtype=vec3),
        mass: wp.array(dtype=real),
        volume: wp.array(dtype=real),
        c: wp.array(dtype=vec2),
        x: wp.array(dtype=vec3),
        F: wp.array(dtype=mat33),
        nodes: wp.array(dtype=vec4),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        if not nodes_at.inside(X, grid):
            return
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        u, A = given(wp.determinant(F[s]), c[i - start][0], mass[i], volume[i], gravity[i], grid.dx)
        q, a0, a1, a2 = nodes_at.field(A, u, f)
        scatter(nodes, corner, grid.nz, grid.ny * grid.nz, wx, wy, wz, q, a0, a1, a2)

    return spread


@functools.cache
def _mean(p: Precision) -> wp.Kernel:
    """(P, sum of b, O, dO by the sum of V J) of every node that a fluid touches; clears the sums unless an adjoint follows."""
    real, vec4, Grid, (total, clear) = p.real, p.vec4, grid_struct(p), node_copies(p)
    modes6, room_of, place = wp.types.vector(6, int), node_room(p), node_place(p)

    @wp.kernel(enable_backward=False, module="unique")
    def mean(
        grid: Grid,
        first: int,
        lines: int,
        span: int,
        copies: int,
        keep: int,
        walls: modes6,
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
                if q[1] <= real(0.0):
                    continue
                if keep == 0:
                    clear(nodes, node, copies, count)
                environment, i, j, k, x = place(node, grid)
                room = room_of(i, j, k, grid.nx, grid.ny, grid.nz, walls) * grid.dx * grid.dx * grid.dx
                over = real(0.0)
                slope = real(0.0)
                if q[2] > real(1.0 + SLACK) * room and room > real(0.0):
                    over = q[2] / room - real(1.0 + SLACK)
                    slope = real(1.0) / room
                out[node] = vec4(q[0] / q[1], q[1], over, slope)

    return mean


@functools.cache
def _mean_vjp(p: Precision) -> wp.Kernel:
    """Adjoint of `mean`: d(sum b p) = dP / sum b, d(sum b) = -P dP / sum b, d(sum V J) = dO slope; clears the sums."""
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
                if q[1] <= real(0.0):
                    continue
                adjoint = total(dmeans, node, copies, count)
                d = adjoint[0] / q[1]
                clear(nodes, node, copies, count)
                clear(dmeans, node, copies, count)
                dnodes[node] = vec4(d, -d * means[node][0], adjoint[2] * means[node][3], real(0.0))

    return mean_vjp


@functools.cache
def gap_to_mean(p: Precision) -> wp.Function:
    """Warp function: what a particle's volume ratio J lacks of its neighbourhood's, with pressure P and excess there."""
    real = p.real

    @wp.func(inline=True)
    def gap_of(J: real, K: real, P: real, excess: real) -> real:
        return real(1.0) - P / K - J - real(PULL) * excess

    return gap_of


@functools.cache
def _relax(p: Precision) -> wp.Kernel:
    """F <- cbrt(J') I, after the return map."""
    real, vec2, vec3, vec4, mat33 = p.real, p.vector(FLUID_COEFFICIENTS), p.vec3, p.vec4, p.mat33
    Grid, nodes_at, gather, diagonal = grid_struct(p), stencil(p), stencil_loops(p).gather, spherical(p)
    gap_of = gap_to_mean(p)

    @wp.kernel(enable_backward=False, module="unique")
    def relax(
        grid: Grid,
        first: int,
        start: int,
        particles: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        mass: wp.array(dtype=real),
        volume: wp.array(dtype=real),
        c: wp.array(dtype=vec2),
        x: wp.array(dtype=vec3),
        F: wp.array(dtype=mat33),
        means: wp.array(dtype=vec4),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        t = clock[WRITE] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        if not nodes_at.inside(X, grid):
            return
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        sums = gather(means, corner, grid.nz, grid.ny * grid.nz, wx, wy, wz, f)
        K = c[i - start][0]
        share = grid.dt * grid.inv_dx * wp.sqrt(K * volume[i] / wp.max(mass[i], real(WEIGHTLESS)))
        J = wp.determinant(F[t]) + share * gap_of(wp.determinant(F[s]), K, sums[0, 0], sums[2, 0])
        F[t] = diagonal(wp.cbrt(J))

    return relax


@functools.cache
def _relax_vjp(p: Precision) -> wp.Kernel:
    """Adjoint of `relax`, before that of the return map: of the trial, of the means, and of J at the beginning.

    The last cannot join the adjoint of F before grid to particles has passed; it waits in `dJ` for `spread_vjp`.
    """
    real, vec2, vec3, vec4, mat33 = p.real, p.vector(FLUID_COEFFICIENTS), p.vec3, p.vec4, p.mat33
    Grid, nodes_at, gather, scatter = grid_struct(p), stencil(p), stencil_loops(p).gather, stencil_loops(p).scatter
    diagonal, gap_of = spherical(p), gap_to_mean(p)

    @wp.kernel(enable_backward=False, module="unique")
    def relax_vjp(
        grid: Grid,
        first: int,
        start: int,
        particles: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        mass: wp.array(dtype=real),
        volume: wp.array(dtype=real),
        c: wp.array(dtype=vec2),
        x: wp.array(dtype=vec3),
        C: wp.array(dtype=mat33),
        F: wp.array(dtype=mat33),
        means: wp.array(dtype=vec4),
        dF: wp.array(dtype=mat33),
        dmass: wp.array(dtype=real),
        dc: wp.array(dtype=vec2),
        dJ: wp.array(dtype=real),
        dmeans: wp.array(dtype=vec4),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        sums = gather(means, corner, grid.nz, grid.ny * grid.nz, wx, wy, wz, f)
        K = c[i - start][0]
        m = wp.max(mass[i], real(WEIGHTLESS))
        share = grid.dt * grid.inv_dx * wp.sqrt(K * volume[i] / m)
        trial = wp.determinant(F[s] + (grid.dt * C[clock[WRITE] * particles + i]) * F[s])
        gap = gap_of(wp.determinant(F[s]), K, sums[0, 0], sums[2, 0])
        root = wp.cbrt(trial + share * gap)
        A = wp.trace(dF[i]) / (real(3.0) * root * root)
        side = wp.cbrt(trial)
        dF[i] = diagonal(A * side * side)
        dJ[i] = -share * A
        dmass[i] = dmass[i] - real(0.5) * A * share * gap / m
        dc[i - start] = dc[i - start] + vec2(A * share * (sums[0, 0] / K + real(0.5) * gap) / K, real(0.0))
        zero = vec4(real(0.0))
        q = vec4(-share * A / K, real(0.0), real(-PULL) * share * A, real(0.0))
        scatter(dmeans, corner, grid.nz, grid.ny * grid.nz, wx, wy, wz, q, zero, zero, zero)

    return relax_vjp


@functools.cache
def _spread_vjp(p: Precision) -> wp.Kernel:
    """Adjoint of `spread`, with that of the weights and of J which `relax` used; adds to the adjoints of the particles."""
    real, vec2, vec3, vec4, mat33 = p.real, p.vector(FLUID_COEFFICIENTS), p.vec3, p.vec4, p.mat33
    Grid, nodes_at, given, cof = grid_struct(p), stencil(p), compression(p), cofactor(p)
    gather, pull = stencil_loops(p).gather, stencil_loops(p).pull

    @wp.kernel(enable_backward=False, module="unique")
    def spread_vjp(
        grid: Grid,
        first: int,
        start: int,
        particles: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        gravity: wp.array(dtype=vec3),
        mass: wp.array(dtype=real),
        volume: wp.array(dtype=real),
        c: wp.array(dtype=vec2),
        x: wp.array(dtype=vec3),
        F: wp.array(dtype=mat33),
        means: wp.array(dtype=vec4),
        dJ: wp.array(dtype=real),
        dnodes: wp.array(dtype=vec4),
        dx: wp.array(dtype=vec3),
        dF: wp.array(dtype=mat33),
        dmass: wp.array(dtype=real),
        dgravity: wp.array(dtype=vec3),
        dc: wp.array(dtype=vec2),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        hx, hy, hz = nodes_at.slopes(f, grid.inv_dx)
        line = grid.nz
        plane = grid.ny * grid.nz
        K = c[i - start][0]
        m = mass[i]
        g = gravity[i]
        u, A = given(wp.determinant(F[s]), K, m, volume[i], g, grid.dx)
        q, a0, a1, a2 = nodes_at.field(A, u, f)
        sums = gather(dnodes, corner, line, plane, wx, wy, wz, f)
        arm = grid.dx * vec3(sums[0, 1], sums[0, 2], sums[0, 3])
        moved = dJ[i]
        dF[i] = dF[i] + (moved + volume[i] * (sums[2, 0] - sums[0, 0])) * cof(F[s])
        dmass[i] = dmass[i] + wp.dot(g, arm) / K
        dgravity[i] = dgravity[i] + (m / K) * arm
        dc[i - start] = dc[i - start] - vec2((m * wp.dot(g, arm) + volume[i] * sums[1, 0]) / (K * K), real(0.0))
        zero = vec4(real(0.0))
        weight = vec4(moved / K, real(0.0), real(PULL) * moved, real(0.0))
        from_means = pull(means, corner, line, plane, wx, wy, wz, hx, hy, hz, weight, zero, zero, zero)
        from_nodes = pull(dnodes, corner, line, plane, wx, wy, wz, hx, hy, hz, q, a0, a1, a2)
        shift = wp.transpose(A) * vec3(sums[0, 0], real(0.0), real(0.0))
        dx[i] = dx[i] + from_means + from_nodes - shift * grid.inv_dx

    return spread_vjp
