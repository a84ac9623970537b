"""Tangents of the particle-grid transfers: what a small change of the particles and of their parameters does.

A dot marks the directional derivative, one for each of several directions. The weights move with the particle, d w_i =
grad w_i . x', and so does d_i = x_i - x_p, whose tangent is -x':

    (mv, m)_i' = sum_p w_i (u' + A' d_i - A x', m') + w_i' (u + A d_i, m),   u = m (v + dt g),  A = m C - dt V D^-1 tau
    v_p' = sum_i w_i v_i' + w_i' v_i,   C' = D^-1 (sum_i (w_i v_i' + w_i' v_i) d_i^T - v_p x'^T)

w' is a sum of three products of one-dimensional weights and slopes, so the loops of `stencil` do all of it. Arrays of
tangents hold one direction after the other; the particles' are changed in place.
"""

import functools
from typing import NamedTuple

import warp as wp

from pliant.sim.mpm.stencil import stencil_loops
from pliant.sim.mpm.transfers import READ, WRITE, grid_struct, moment_matrix, stencil
from pliant.sim.precision import Precision


class TransferTangents(NamedTuple):
    """The two kernels of one precision."""

    p2g: wp.Kernel
    g2p: wp.Kernel


@functools.cache
def transfer_tangents(p: Precision) -> TransferTangents:
    """The tangents of both transfers in one precision."""
    return TransferTangents(_p2g(p), _g2p(p))


@functools.cache
def moving_scatter(p: Precision) -> wp.Function:
    """Warp function: nodes += w (field') + w' (field), field at node (i, j, k) = q + a0 i + a1 j + a2 k."""
    vec3, vec4, scatter = p.vec3, p.vec4, stencil_loops(p).scatter

    @wp.func(inline=True)
    def moving(
        nodes: wp.array(dtype=vec4), corner: int, line: int, plane: int, wx: vec3, wy: vec3, wz: vec3, hx: vec3,
        hy: vec3, hz: vec3, shift: vec3, q: vec4, a0: vec4, a1: vec4, a2: vec4, q_: vec4, b0: vec4, b1: vec4, b2: vec4,
    ):  # fmt: skip
        scatter(nodes, corner, line, plane, wx, wy, wz, q_, b0, b1, b2)
        scatter(nodes, corner, line, plane, hx * shift[0], wy, wz, q, a0, a1, a2)
        scatter(nodes, corner, line, plane, wx, hy * shift[1], wz, q, a0, a1, a2)
        scatter(nodes, corner, line, plane, wx, wy, hz * shift[2], q, a0, a1, a2)

    return moving


@functools.cache
def moving_gather(p: Precision) -> wp.Function:
    """Warp function: the sums of `gather` over w g' + w' g, with distances that do not move."""
    vec3, vec4, mat44, gather = p.vec3, p.vec4, wp.types.matrix((4, 4), p.real), stencil_loops(p).gather

    @wp.func(inline=True)
    def moving(
        nodes: wp.array(dtype=vec4), nodes_dot: wp.array(dtype=vec4), corner: int, corner_dot: int, line: int,
        plane: int, wx: vec3, wy: vec3, wz: vec3, hx: vec3, hy: vec3, hz: vec3, shift: vec3, f: vec3,
    ) -> mat44:  # fmt: skip
        sums = gather(nodes_dot, corner_dot, line, plane, wx, wy, wz, f)
        sums = sums + gather(nodes, corner, line, plane, hx * shift[0], wy, wz, f)
        sums = sums + gather(nodes, corner, line, plane, wx, hy * shift[1], wz, f)
        return sums + gather(nodes, corner, line, plane, wx, wy, hz * shift[2], f)

    return moving


@functools.cache
def _p2g(p: Precision) -> wp.Kernel:
    real, vec3, vec4, mat33, Grid = p.real, p.vec3, p.vec4, p.mat33, grid_struct(p)
    nodes_at, scatter = stencil(p), moving_scatter(p)

    @wp.kernel(enable_backward=False, module="unique")
    def p2g_tangent(
        grid: Grid,
        first: int,
        particles: int,
        directions: int,
        count: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        gravity: wp.array(dtype=vec3),
        mass: wp.array(dtype=real),
        volume: wp.array(dtype=real),
        x: wp.array(dtype=vec3),
        v: wp.array(dtype=vec3),
        C: wp.array(dtype=mat33),
        tau: wp.array(dtype=mat33),
        gravity_dot: wp.array(dtype=vec3),
        mass_dot: wp.array(dtype=real),
        x_dot: wp.array(dtype=vec3),
        v_dot: wp.array(dtype=vec3),
        C_dot: wp.array(dtype=mat33),
        tau_dot: wp.array(dtype=mat33),
        nodes_dot: wp.array(dtype=vec4),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        if not nodes_at.inside(X, grid):
            return
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        hx, hy, hz = nodes_at.slopes(f, real(1.0))
        m = mass[i]
        Cp = C[s]
        stress_scale = real(4.0) * grid.dt * volume[i] * grid.inv_dx
        A = Cp * (m * grid.dx) - tau[i] * stress_scale
        u = v[s] + grid.dt * gravity[i]
        q, a0, a1, a2 = nodes_at.field(A, vec4(m * u[0], m * u[1], m * u[2], m), f)
        for d in range(directions):
            e = d * particles + i
            shift = x_dot[e] * grid.inv_dx
            m_ = mass_dot[e]
            u_ = m_ * u + m * (v_dot[e] + grid.dt * gravity_dot[e])
            B = (C_dot[e] * m + Cp * m_) * grid.dx - tau_dot[e] * stress_scale
            q_, b0, b1, b2 = nodes_at.field(B, vec4(u_[0], u_[1], u_[2], m_), f)
            q_ = q_ - a0 * shift[0] - a1 * shift[1] - a2 * shift[2]
            scatter(
                nodes_dot, corner + d * count, grid.nz, grid.ny * grid.nz, wx, wy, wz, hx, hy, hz, shift,
                q, a0, a1, a2, q_, b0, b1, b2,
            )  # fmt: skip

    return p2g_tangent


@functools.cache
def _g2p(p: Precision) -> wp.Kernel:
    real, vec3, vec4, mat33, Grid = p.real, p.vec3, p.vec4, p.mat33, grid_struct(p)
    nodes_at, gather, moment = stencil(p), moving_gather(p), moment_matrix(p)

    @wp.kernel(enable_backward=False, module="unique")
    def g2p_tangent(
        grid: Grid,
        first: int,
        particles: int,
        directions: int,
        count: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        nodes: wp.array(dtype=vec4),
        x: wp.array(dtype=vec3),
        v: wp.array(dtype=vec3),
        C: wp.array(dtype=mat33),
        F: wp.array(dtype=mat33),
        nodes_dot: wp.array(dtype=vec4),
        x_dot: wp.array(dtype=vec3),
        v_dot: wp.array(dtype=vec3),
        C_dot: wp.array(dtype=mat33),
        F_dot: wp.array(dtype=mat33),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        t = clock[WRITE] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        if not nodes_at.inside(X, grid):
            return
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        hx, hy, hz = nodes_at.slopes(f, real(1.0))
        vp = v[t]
        Cp = C[t]
        Fp = F[s]
        for d in range(directions):
            e = d * particles + i
            shift = x_dot[e] * grid.inv_dx
            sums = gather(
                nodes, nodes_dot, corner, corner + d * count, grid.nz, grid.ny * grid.nz,
                wx, wy, wz, hx, hy, hz, shift, f,
            )  # fmt: skip
            v_ = vec3(sums[0, 0], sums[1, 0], sums[2, 0])
            C_ = (moment(sums) - wp.outer(vp, shift)) * (real(4.0) * grid.inv_dx)
            v_dot[e] = v_
            C_dot[e] = C_
            x_dot[e] = x_dot[e] + grid.dt * v_
            F_dot[e] = F_dot[e] + grid.dt * (C_ * Fp + Cp * F_dot[e])

    return g2p_tangent
