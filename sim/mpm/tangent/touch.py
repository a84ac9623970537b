"""Tangents of the contact of particles with colliders: the push and what it scatters, and the friction on the nodes."""

import functools
from typing import NamedTuple

import warp as wp

from pliant.sim.colliders.kinematics import FRAME
from pliant.sim.mpm.contact import solid_struct
from pliant.sim.mpm.grid import node_copies, node_place, wall_filter
from pliant.sim.mpm.rubbing import pressing, rubbed_velocity, rubbing_contraction
from pliant.sim.mpm.tangent.grid import after_walls
from pliant.sim.mpm.tangent.transfers import moving_scatter
from pliant.sim.mpm.touch import push_contraction, push_of, slip_field, touches
from pliant.sim.mpm.transfers import READ, STEP, grid_struct, stencil
from pliant.sim.precision import Precision


class TouchTangents(NamedTuple):
    """Kernels of one precision."""

    push: wp.Kernel
    rub: wp.Kernel
    weigh: wp.Kernel


@functools.cache
def touch_tangents(p: Precision) -> TouchTangents:
    """The tangents of these kernels in one precision."""
    return TouchTangents(_push(p), _rub(p), _weigh(p))


@functools.cache
def _push(p: Precision) -> wp.Kernel:
    real, vec3, vec4, vec6, frame13 = p.real, p.vec3, p.vec4, p.vector(6), p.vector(FRAME)
    Grid, Solid = grid_struct(p), solid_struct(p)
    nodes_at, scatter, touching = stencil(p), moving_scatter(p), touches(p)
    pushed, contracted, (field, _) = push_of(p), push_contraction(p), slip_field(p)
    mat33, vec7 = p.mat33, p.vector(7)

    @wp.kernel(enable_backward=False, module="unique")
    def push_tangent(
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
        frames: wp.array(dtype=frame13),
        distances: wp.array(dtype=real),
        directions: int,
        x_dot: wp.array(dtype=vec3),
        v_dot: wp.array(dtype=vec3),
        C_dot: wp.array(dtype=mat33),
        modulus_dot: wp.array(dtype=real),
        damping_dot: wp.array(dtype=real),
        frames_dot: wp.array(dtype=frame13),
        nodes_dot: wp.array(dtype=vec4),
        press_dot: wp.array(dtype=vec4),
        lever_dot: wp.array(dtype=vec4),
        wrench_dot: wp.array(dtype=vec6),
    ):
        zero = vec4(real(0.0))
        bodies = frames.shape[0]
        own = modulus.shape[0]
        colliders = solids.shape[0]
        begin = first + wp.tid() * block
        for entry in range(begin, begin + number[begin]):
            i = listed[entry]
            local = i - start
            s = clock[READ] * particles + i
            xp = x[s]
            X = (xp - grid.lower) * grid.inv_dx
            if not nodes_at.inside(X, grid):
                continue
            for c in range(colliders):
                e = c * batch + local // items
                touching_c, corners, cell, phi = touching(xp, radius, roundings[c], solids[c], frames[e], distances)
                if touching_c:
                    push_c = pushed(
                        xp, v[s], frames[e], modulus[local], damping[local], solids[c].kind, solids[c].size, corners, cell,
                        solids[c].spacing, radius, roundings[c],
                    )  # fmt: skip
                    n = vec3(push_c[0], push_c[1], push_c[2])
                    F = push_c[3] * n
                    corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
                    hx, hy, hz = nodes_at.slopes(f, real(1.0))
                    plane = grid.ny * grid.nz
                    J = vec4(grid.dt * F[0], grid.dt * F[1], grid.dt * F[2], real(0.0))
                    J1 = grid.dt * push_c[3]
                    lift = push_c[4] * n
                    D, q, a0, a1, a2 = field(C[s], frames[e], J1, lift, f, grid.dx)
                    arm = xp - vec3(frames[e][0], frames[e][1], frames[e][2])
                    for d in range(directions):
                        x_ = x_dot[d * particles + i]
                        frame_ = frames_dot[d * bodies + e]
                        moved = vec7(real(0.0))
                        side = int(7)
                        for k in range(side):
                            unit = vec7(real(0.0))
                            unit[k] = real(1.0)
                            gx, gv, gframe, gmodulus, gdamping, g5, g6, g7, g8, g9, g10, g11, g12, g13 = wp.grad(contracted)(
                                xp, v[s], frames[e], modulus[local], damping[local], solids[c].kind, solids[c].size, corners,
                                cell, solids[c].spacing, radius, roundings[c], unit, vec6(real(0.0)),
                            )  # fmt: skip
                            change = wp.dot(gx, x_) + wp.dot(gv, v_dot[d * particles + i]) + wp.dot(gframe, frame_)
                            moved[k] = (
                                change
                                + gmodulus * modulus_dot[d * own + local]
                                + gdamping * damping_dot[d * own + local]
                            )
                        F_ = vec3(moved[0], moved[1], moved[2])
                        J1_ = grid.dt * moved[3]
                        D_ = C_dot[d * particles + i] - wp.skew(vec3(frame_[10], frame_[11], frame_[12]))
                        B = grid.dx * (J1_ * D + J1 * D_)
                        g_ = J1_ * (D * lift) + J1 * (D_ * lift + D * (vec3(moved[4], moved[5], moved[6]) - x_))
                        q_, b0, b1, b2 = nodes_at.field(B, vec4(g_[0], g_[1], g_[2], J1_), f)
                        J_ = vec4(grid.dt * F_[0], grid.dt * F_[1], grid.dt * F_[2], real(0.0))
                        shift = x_ * grid.inv_dx
                        there = d * count + corner
                        scatter(
                            nodes_dot, there, grid.nz, plane, wx, wy, wz, hx, hy, hz, shift, J, zero, zero, zero,
                            J_, zero, zero, zero,
                        )  # fmt: skip
                        there = (d * colliders + c) * count + corner
                        scatter(
                            press_dot, there, grid.nz, plane, wx, wy, wz, hx, hy, hz, shift, J, zero, zero, zero,
                            J_, zero, zero, zero,
                        )  # fmt: skip
                        scatter(
                            lever_dot,
                            there,
                            grid.nz,
                            plane,
                            wx,
                            wy,
                            wz,
                            hx,
                            hy,
                            hz,
                            shift,
                            q,
                            a0,
                            a1,
                            a2,
                            q_,
                            b0,
                            b1,
                            b2,
                        )
                        T_ = wp.cross(arm, F_) + wp.cross(x_ - vec3(frame_[0], frame_[1], frame_[2]), F)
                        row = (thread * directions + d) * bodies + e
                        wp.atomic_add(wrench_dot, row, -vec6(F_[0], F_[1], F_[2], T_[0], T_[1], T_[2]))

    return push_tangent


@functools.cache
def _rubbed_tangent(p: Precision) -> wp.Function:
    """Warp function: tangent of a node's velocity after friction."""
    real, vec3, vec4, vec6, frame13 = p.real, p.vec3, p.vec4, p.vector(6), p.vector(FRAME)
    contracted = rubbing_contraction(p)

    @wp.func
    def tangent(
        v: vec3, m: real, P: vec3, L: vec4, frame: frame13, friction: real, x: vec3,
        v_: vec3, m_: real, P_: vec3, L_: vec4, frame_: frame13, friction_: real,
    ) -> vec3:  # fmt: skip
        out = vec3(real(0.0))
        side = int(3)
        for k in range(side):
            unit = vec3(real(0.0))
            unit[k] = real(1.0)
            gv, gm, gP, gL, gframe, gfriction, g6, g7, g8, g9 = wp.grad(contracted)(
                v, m, P, L, frame, friction, x, real(0.0), unit, vec6(real(0.0))
            )
            out[k] = (
                wp.dot(gv, v_)
                + gm * m_
                + wp.dot(gP, P_)
                + wp.dot(gL, L_)
                + wp.dot(gframe, frame_)
                + gfriction * friction_
            )
        return out

    return tangent


@functools.cache
def _rub(p: Precision) -> wp.Kernel:
    """Tangent of `rub`; clears the press and its tangent."""
    real, vec3, vec4, vec6, frame13 = p.real, p.vec3, p.vec4, p.vector(6), p.vector(FRAME)
    Grid, modes6 = grid_struct(p), wp.types.vector(6, int)
    rubbed, tangent, passes, place = rubbed_velocity(p), _rubbed_tangent(p), wall_filter(p), node_place(p)
    (total, clear), pressed_by, keep_walls = node_copies(p), pressing(p), after_walls(p)

    @wp.kernel(enable_backward=False, module="unique")
    def rub_tangent(
        grid: Grid,
        first: int,
        lines: int,
        span: int,
        copies: int,
        batch: int,
        colliders: int,
        thread: int,
        directions: int,
        walls: modes6,
        clock: wp.array(dtype=int),
        touched: wp.array(dtype=int),
        slabs: wp.array(dtype=int),
        frames: wp.array(dtype=frame13),
        friction: wp.array(dtype=real),
        press: wp.array(dtype=vec4),
        lever: wp.array(dtype=vec4),
        before: wp.array(dtype=vec4),
        frames_dot: wp.array(dtype=frame13),
        friction_dot: wp.array(dtype=real),
        press_dot: wp.array(dtype=vec4),
        lever_dot: wp.array(dtype=vec4),
        velocity_dot: wp.array(dtype=vec4),
        wrench_dot: wp.array(dtype=vec6),
    ):
        count = before.shape[0]
        bodies = frames.shape[0]
        item = wp.tid() + first
        step = clock[STEP]
        if slabs[item * lines * span // (grid.ny * grid.nz)] != step:
            return
        for line in range(lines):
            start = (item * lines + line) * span
            if touched[start // grid.nz] != step:
                continue
            for node in range(start, start + span):
                q = before[node]
                m = q[3]
                v = vec3(q[0], q[1], q[2])
                pressed = int(0)
                environment, i, j, k, x = place(node, grid)
                for c in range(colliders):
                    P, touches = pressed_by(press, c, node, count, copies, colliders)
                    L = total(lever, c * count + node, copies, colliders * count)
                    clear(press, c * count + node, copies, colliders * count)
                    clear(lever, c * count + node, copies, colliders * count)
                    if touches:
                        pressed = 1
                        e = c * batch + environment
                        after = rubbed(v, m, P, L, frames[e], friction[e], x)
                        arm = x - vec3(frames[e][0], frames[e][1], frames[e][2])
                        for d in range(directions):
                            r = velocity_dot[d * count + node]
                            frame_ = frames_dot[d * bodies + e]
                            row = (d * colliders + c) * count + node
                            P_ = total(press_dot, row, copies, directions * colliders * count)
                            L_ = total(lever_dot, row, copies, directions * colliders * count)
                            clear(press_dot, row, copies, directions * colliders * count)
                            clear(lever_dot, row, copies, directions * colliders * count)
                            old = vec3(r[0], r[1], r[2])
                            new = tangent(
                                v, m, P, L, frames[e], friction[e], x, old, r[3], vec3(P_[0], P_[1], P_[2]), L_, frame_,
                                friction_dot[d * bodies + e],
                            )  # fmt: skip
                            velocity_dot[d * count + node] = vec4(new[0], new[1], new[2], r[3])
                            force = (r[3] * (v - after) + m * (old - new)) / grid.dt
                            moved = vec3(frame_[0], frame_[1], frame_[2])
                            torque = wp.cross(arm, force) - wp.cross(moved, (m / grid.dt) * (v - after))
                            taken = vec6(force[0], force[1], force[2], torque[0], torque[1], torque[2])
                            wp.atomic_add(wrench_dot, (thread * directions + d) * bodies + e, taken)
                        v = after
                if pressed == 1:
                    kept = passes(v, i, j, k, grid.nx, grid.ny, grid.nz, walls)
                    keep_walls(node, count, directions, kept, velocity_dot)

    return rub_tangent


@functools.cache
def _weigh(p: Precision) -> wp.Kernel:
    real, vec3, vec4, Grid = p.real, p.vec3, p.vec4, grid_struct(p)
    nodes_at, scatter = stencil(p), moving_scatter(p)

    @wp.kernel(enable_backward=False, module="unique")
    def weigh_tangent(
        grid: Grid,
        first: int,
        particles: int,
        directions: int,
        count: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        mass: wp.array(dtype=real),
        x: wp.array(dtype=vec3),
        mass_dot: wp.array(dtype=real),
        x_dot: wp.array(dtype=vec3),
        flowing_dot: wp.array(dtype=vec4),
    ):
        i = wp.tid() + first
        X = (x[clock[READ] * particles + i] - grid.lower) * grid.inv_dx
        if not nodes_at.inside(X, grid):
            return
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        hx, hy, hz = nodes_at.slopes(f, real(1.0))
        zero = vec4(real(0.0))
        m = vec4(real(0.0), real(0.0), real(0.0), mass[i])
        for d in range(directions):
            e = d * particles + i
            m_ = vec4(real(0.0), real(0.0), real(0.0), mass_dot[e])
            scatter(
                flowing_dot, corner + d * count, grid.nz, grid.ny * grid.nz, wx, wy, wz, hx, hy, hz, x_dot[e] * grid.inv_dx,
                m, zero, zero, zero, m_, zero, zero, zero,
            )  # fmt: skip

    return weigh_tangent
