"""Tangents of the grid's part of a step: motion of the colliders, velocity from momentum, contact, walls, wrench."""

import functools
from typing import NamedTuple

import warp as wp

from pliant.sim.colliders.kinematics import FRAME, POSE, interpolate
from pliant.sim.mpm.contact import SEPARATING, contact_contraction, solid_struct
from pliant.sim.mpm.grid import (
    distance_cell,
    node_copies,
    node_place,
    ruled_share,
    shared_contact,
    wall_filter,
)
from pliant.sim.mpm.transfers import STEP, grid_struct
from pliant.sim.precision import Precision


class GridTangents(NamedTuple):
    """Kernels of one precision: velocity of the nodes, and frames of the colliders."""

    update: wp.Kernel
    frames: wp.Kernel


@functools.cache
def grid_tangents(p: Precision) -> GridTangents:
    """The tangents of the grid kernels in one precision."""
    return GridTangents(_update(p), _frames(p))


@functools.cache
def _contact(p: Precision) -> wp.Function:
    """Warp function: tangent of a node's velocity after contact, the product of three rows of the contact's Jacobian.

    `change` is what the contact does to the velocity and `share_` the tangent of the share of the node that it serves.
    """
    real, vec3, vec6, frame13, Solid = p.real, p.vec3, p.vector(6), p.vector(FRAME), solid_struct(p)
    contracted, around = contact_contraction(p), distance_cell(p)

    @wp.func
    def after_tangent(
        v: vec3,
        x: vec3,
        dx: real,
        solid: Solid,
        frame: frame13,
        friction: real,
        volume: wp.array(dtype=real),
        v_: vec3,
        frame_: frame13,
        friction_: real,
        change: vec3,
        share: real,
        share_: real,
    ) -> vec3:
        corners, cell = around(x, frame, solid, volume)
        out = vec3(real(0.0))
        side = int(3)
        for k in range(side):
            unit = vec3(real(0.0))
            unit[k] = real(1.0)
            gv, gm, gframe, gfriction, g4, g5, g6, g7, g8, g9, g10, g11, g12, g13, g14 = wp.grad(contracted)(
                v, real(0.0), frame, friction, x, solid.kind, solid.surface, solid.size, corners, cell,
                solid.spacing, dx, real(0.0), unit, vec6(real(0.0)),
            )  # fmt: skip
            out[k] = wp.dot(gv, v_) + wp.dot(gframe, frame_) + gfriction * friction_
        if solid.surface == wp.static(SEPARATING) and share > real(0.0):
            out = v_ + share * (out - v_) + (share_ / share) * change
        return out

    return after_tangent


@functools.cache
def _impulse(p: Precision) -> wp.Function:
    """Warp function: force and torque of what a collider takes from a node, times the substep."""
    real, vec3, vec6 = p.real, p.vec3, p.vector(6)

    @wp.func
    def impulse(v: vec3, a: vec3, m: real, arm: vec3) -> vec6:
        force = m * (v - a)
        torque = wp.cross(arm, force)
        return vec6(force[0], force[1], force[2], torque[0], torque[1], torque[2])

    return impulse


@functools.cache
def _before_contact(p: Precision) -> wp.Function:
    """Warp function: write the tangents of a node's velocity and, beside them, of its mass m; v is p / (m + floor)."""
    real, vec3, vec4 = p.real, p.vec3, p.vec4
    total, clear = node_copies(p)

    @wp.func
    def write(
        node: int, count: int, copies: int, directions: int, v: vec3, mass: real,
        nodes_dot: wp.array(dtype=vec4), velocity_dot: wp.array(dtype=vec4),
    ):  # fmt: skip
        for d in range(directions):
            r = total(nodes_dot, d * count + node, copies, directions * count)
            clear(nodes_dot, d * count + node, copies, directions * count)
            v_ = (vec3(r[0], r[1], r[2]) - r[3] * v) / mass
            velocity_dot[d * count + node] = vec4(v_[0], v_[1], v_[2], r[3])

    return write


@functools.cache
def _share_tangents(p: Precision) -> tuple[wp.Function, wp.Function]:
    """Warp functions: the tangent of the share of a node that the grid's rule serves, and the clearing of what it is made of."""
    real, vec4, (total, clear) = p.real, p.vec4, node_copies(p)

    @wp.func
    def tangent(
        flowing_dot: wp.array(dtype=vec4), row: int, copies: int, rows: int, share: real, mass_dot: real, mass: real
    ) -> real:
        made = real(0.0)
        if flowing_dot.shape[0] > 0:
            served = total(flowing_dot, row, copies, rows)
            made = (served[3] - share * mass_dot) / mass
        return made

    @wp.func
    def clear_all(flowing_dot: wp.array(dtype=vec4), node: int, count: int, copies: int, directions: int):
        if flowing_dot.shape[0] > 0:
            for d in range(directions):
                clear(flowing_dot, d * count + node, copies, directions * count)

    return tangent, clear_all


@functools.cache
def after_walls(p: Precision) -> wp.Function:
    """Warp function: keep of the tangents of a node's velocity what the walls let through, and that of its mass beside it."""
    vec3, vec4 = p.vec3, p.vec4

    @wp.func
    def write(node: int, count: int, directions: int, kept: vec3, velocity_dot: wp.array(dtype=vec4)):
        for d in range(directions):
            r = velocity_dot[d * count + node]
            velocity_dot[d * count + node] = vec4(r[0] * kept[0], r[1] * kept[1], r[2] * kept[2], r[3])

    return write


@functools.cache
def _update(p: Precision) -> wp.Kernel:
    """Tangent of `update`; clears the scattered momentum and mass, and their tangents, for the next substep.

    While a node's contacts are taken in turn, the fourth number of its velocity's tangent is that of its mass.
    """
    real, vec3, vec4, vec6, frame13 = p.real, p.vec3, p.vec4, p.vector(6), p.vector(FRAME)
    Grid, Solid, modes6 = grid_struct(p), solid_struct(p), wp.types.vector(6, int)
    after, after_tangent, passes, place = shared_contact(p), _contact(p), wall_filter(p), node_place(p)
    (total, clear), impulse, share_of = node_copies(p), _impulse(p), ruled_share(p)
    before_contact, keep_walls = _before_contact(p), after_walls(p)
    share_tangent, clear_all = _share_tangents(p)

    @wp.kernel(enable_backward=False, module="unique")
    def update_tangent(
        grid: Grid,
        first: int,
        lines: int,
        span: int,
        copies: int,
        batch: int,
        thread: int,
        directions: int,
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
        frames_dot: wp.array(dtype=frame13),
        friction_dot: wp.array(dtype=real),
        nodes_dot: wp.array(dtype=vec4),
        flowing_dot: wp.array(dtype=vec4),
        velocity_dot: wp.array(dtype=vec4),
        wrench_dot: wp.array(dtype=vec6),
    ):
        count = nodes.shape[0] // copies
        bodies = frames.shape[0]
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
                clear(nodes, node, copies, count)
                clear(flowing, node, wp.min(copies, flowing.shape[0]), count)
                v = vec3(q[0], q[1], q[2]) / (m + grid.mass_floor)
                before_contact(node, count, copies, directions, v, m + grid.mass_floor, nodes_dot, velocity_dot)
                environment, i, j, k, x = place(node, grid)
                for c in range(solids.shape[0]):
                    e = c * batch + environment
                    before = v
                    v = after(before, x, grid.dx, solids[c], frames[e], friction[e], distances, share)
                    change = before - v
                    if wp.max(wp.abs(change)) > real(0.0):
                        arm = x - vec3(frames[e][0], frames[e][1], frames[e][2])
                        for d in range(directions):
                            r = velocity_dot[d * count + node]
                            frame_ = frames_dot[d * bodies + e]
                            old = vec3(r[0], r[1], r[2])
                            share_ = share_tangent(
                                flowing_dot, d * count + node, copies, directions * count, share, r[3], m
                            )
                            new = after_tangent(
                                before, x, grid.dx, solids[c], frames[e], friction[e], distances, old, frame_,
                                friction_dot[d * bodies + e], -change, share, share_,
                            )  # fmt: skip
                            velocity_dot[d * count + node] = vec4(new[0], new[1], new[2], r[3])
                            turned = wp.cross(vec3(frame_[0], frame_[1], frame_[2]), m * change)
                            taken = impulse(before, v, r[3], arm) + impulse(old, new, m, arm)
                            taken = taken - vec6(real(0.0), real(0.0), real(0.0), turned[0], turned[1], turned[2])
                            wp.atomic_add(wrench_dot, (thread * directions + d) * bodies + e, taken / grid.dt)
                clear_all(flowing_dot, node, count, copies, directions)
                keep_walls(node, count, directions, passes(v, i, j, k, grid.nx, grid.ny, grid.nz, walls), velocity_dot)

    return update_tangent


@functools.cache
def _frames(p: Precision) -> wp.Kernel:
    """Tangent of the colliders' frames, thirteen rows of the Jacobian of the interpolation between two knots."""
    real, pose7, frame13 = p.real, p.vector(POSE), p.vector(FRAME)
    frame_between = interpolate(p)

    @wp.func
    def contracted(a: pose7, b: pose7, s: real, rate: real, adjoint: frame13) -> real:
        return wp.dot(frame_between(a, b, s, rate), adjoint)

    @wp.kernel(enable_backward=False, module="unique")
    def frames_tangent(
        every: int,
        knots: int,
        rate: real,
        directions: int,
        clock: wp.array(dtype=int),
        poses: wp.array(dtype=pose7),
        poses_dot: wp.array(dtype=pose7),
        out: wp.array(dtype=frame13),
    ):
        i = wp.tid()
        count = poses.shape[0]
        k = clock[STEP] // every
        s = real(clock[STEP] - k * every) / real(every)
        ka = i * knots + wp.min(k, knots - 1)
        kb = i * knots + wp.min(k + 1, knots - 1)
        rows = int(wp.static(FRAME))
        for row in range(rows):
            unit = frame13(real(0.0))
            unit[row] = real(1.0)
            da, db, ds, drate, dunit = wp.grad(contracted)(poses[ka], poses[kb], s, rate, unit)
            for d in range(directions):
                frame_ = out[d * (count // knots) + i]
                frame_[row] = wp.dot(da, poses_dot[d * count + ka]) + wp.dot(db, poses_dot[d * count + kb])
                out[d * (count // knots) + i] = frame_

    return frames_tangent
