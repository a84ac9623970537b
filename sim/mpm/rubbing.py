"""Coulomb's friction of particles that colliders push (see `touch`), on the nodes to which the push was scattered.

A node of mass m at x that a collider presses with the impulse P = sum w dt F has the slip u_t, the part normal to P of

    u = v - v_c(x) - o,    o = sum w J D (x - x_c) / sum w J,    D = C - [w_c]x

with the collider's velocity v_c and spin w_c, and of each particle the impulse J = dt |F|, the velocity gradient C and the point
x_c of the surface where it touches. The field o is the velocity that material moving with C has at x if it is still at x_c: it
is the surface that slips, and not the particles' centres half a spacing above, nor the nodes further up. Without it a ball of 20
(10) particles across rolled on a radius that was 5 (15) mm too short of 100, and was braked; with it omega height / v is .989 at both.
Friction takes from the slip what it may, and never more than all of it:

    u_t <- max(0, 1 - mu |P| / (m |u_t|)) u_t

The node's velocity is that after this substep's stress, weight and push, so that friction holds without a slip speed, at any
dt; and P, unlike a node's place, is a continuous function of where the particles and the collider are. Where all nodes slip
the friction of all is mu times the normal force. (A friction on each particle by its velocity at the start of the substep
would need a slip speed of mu F dt / m to be stable, .6 m/s under a gripper's pad, and creep with a share of it.)
"""

import functools
from typing import NamedTuple

import warp as wp

from pliant.sim.colliders.kinematics import FRAME
from pliant.sim.mpm.grid import node_copies, node_place, wall_filter
from pliant.sim.mpm.transfers import STEP, grid_struct
from pliant.sim.precision import Precision

FAINT = 1e-25  # N s; below, a node's mass may have been rounded to nothing


class RubbingKernels(NamedTuple):
    """Kernels: friction on the velocity of the nodes, and its adjoint."""

    rub: wp.Kernel
    rub_vjp: wp.Kernel


@functools.cache
def rubbing_kernels(p: Precision) -> RubbingKernels:
    """The kernels of one precision."""
    return RubbingKernels(_rub(p), _rub_vjp(p))


@functools.cache
def rubbed_velocity(p: Precision) -> wp.Function:
    """Warp function: velocity of a node after friction; L = (sum w J D (x - x_c), sum w J)."""
    real, vec3, vec4, frame13 = p.real, p.vec3, p.vec4, p.vector(FRAME)

    @wp.func
    def rubbed(v: vec3, m: real, P: vec3, L: vec4, frame: frame13, friction: real, x: vec3) -> vec3:
        pressed = wp.length(P)
        n = P / pressed
        r = x - vec3(frame[0], frame[1], frame[2])
        base = vec3(frame[7], frame[8], frame[9]) + wp.cross(vec3(frame[10], frame[11], frame[12]), r)
        u = v - base - vec3(L[0], L[1], L[2]) / L[3]
        tangent = u - wp.dot(u, n) * n
        slip = wp.length(tangent)
        limit = friction * pressed / m
        after = v - tangent
        if slip > limit:
            after = v - (limit / slip) * tangent
        elif friction == real(0.0):  # nothing slides yet, but nothing would hold it: the derivative is that of sliding
            after = v
        return after

    rubbed.adj.force_adjoint_codegen = True  # as for `contact_velocity`
    return rubbed


@functools.cache
def rubbing_contraction(p: Precision) -> wp.Function:
    """Warp function: (velocity after) . A + wrench . B, whose gradient is the friction's vector-Jacobian product."""
    real, vec3, vec4, frame13, vec6, rubbed = p.real, p.vec3, p.vec4, p.vector(FRAME), p.vector(6), rubbed_velocity(p)

    @wp.func
    def contracted(
        v: vec3, m: real, P: vec3, L: vec4, frame: frame13, friction: real, x: vec3, inv_dt: real, A: vec3, B: vec6
    ) -> real:
        after = rubbed(v, m, P, L, frame, friction, x)
        force = (m * inv_dt) * (v - after)
        torque = wp.cross(x - vec3(frame[0], frame[1], frame[2]), force)
        return wp.dot(after, A) + wp.dot(force, vec3(B[0], B[1], B[2])) + wp.dot(torque, vec3(B[3], B[4], B[5]))

    return contracted


@functools.cache
def pressing(p: Precision) -> wp.Function:
    """Warp function: the impulse with which a collider presses a node, and whether it is more than round-off."""
    real, vec3, vec4 = p.real, p.vec3, p.vec4
    total, _ = node_copies(p)

    @wp.func
    def pressed_by(press: wp.array(dtype=vec4), c: int, node: int, count: int, copies: int, colliders: int):
        P4 = total(press, c * count + node, copies, colliders * count)
        P = vec3(P4[0], P4[1], P4[2])
        return P, wp.length(P) > real(wp.static(FAINT))

    return pressed_by


_NEXT = """
    for (; node < end; ++node)
        for (int row = 0; row < rows; ++row) {
            const REAL* q = (const REAL*)press.data + 4 * (row * count + node);
            if (q[0] != 0 || q[1] != 0 || q[2] != 0) return node;
        }
    return end;
"""


@functools.cache
def next_pressed(p: Precision) -> wp.Function:
    """Warp function: the first node from `node` on, or `end`, of whose press any of the copies of all colliders is not zero.

    Few nodes of a line have any; the same search in Warp costs 5 ns a node.
    """
    press_array, name = wp.array(dtype=p.vec4), {"float32": "float", "float64": "double"}[p.name]

    @wp.func_native(_NEXT.replace("REAL", name))
    def following(press: press_array, node: int, end: int, count: int, rows: int) -> wp.int32: ...

    return following


@functools.cache
def _rub(p: Precision) -> wp.Kernel:
    real, vec3, vec4, vec6, frame13 = p.real, p.vec3, p.vec4, p.vector(6), p.vector(FRAME)
    Grid, modes6 = grid_struct(p), wp.types.vector(6, int)
    rubbed, passes, place, (total, clear) = rubbed_velocity(p), wall_filter(p), node_place(p), node_copies(p)
    pressed_by, following = pressing(p), next_pressed(p)

    @wp.kernel(enable_backward=False, module="unique")
    def rub(
        grid: Grid,
        first: int,
        lines: int,
        span: int,
        copies: int,
        keep: int,
        batch: int,
        colliders: int,
        thread: int,
        walls: modes6,
        clock: wp.array(dtype=int),
        touched: wp.array(dtype=int),
        slabs: wp.array(dtype=int),
        frames: wp.array(dtype=frame13),
        friction: wp.array(dtype=real),
        press: wp.array(dtype=vec4),
        lever: wp.array(dtype=vec4),
        velocity: wp.array(dtype=vec4),
        before: wp.array(dtype=vec4),
        wrench: wp.array(dtype=vec6),
    ):
        count = velocity.shape[0]
        item = wp.tid() + first
        step = clock[STEP]
        if slabs[item * lines * span // (grid.ny * grid.nz)] != step:
            return
        for line in range(lines):
            start = (item * lines + line) * span
            if touched[start // grid.nz] != step:
                continue
            node = following(press, start, start + span, count, colliders * copies)
            while node < start + span:
                q = velocity[node]
                v = vec3(q[0], q[1], q[2])
                pressed = int(0)
                environment, i, j, k, x = place(node, grid)
                for c in range(colliders):
                    P, touches = pressed_by(press, c, node, count, copies, colliders)
                    if touches:
                        pressed = 1
                        e = c * batch + environment
                        L = total(lever, c * count + node, copies, colliders * count)
                        after = rubbed(v, q[3], P, L, frames[e], friction[e], x)
                        force = (v - after) * (q[3] / grid.dt)
                        torque = wp.cross(x - vec3(frames[e][0], frames[e][1], frames[e][2]), force)
                        wp.atomic_add(
                            wrench,
                            thread * batch * colliders + e,
                            vec6(force[0], force[1], force[2], torque[0], torque[1], torque[2]),
                        )
                        v = after
                    if keep == 0:
                        clear(press, c * count + node, copies, colliders * count)
                        clear(lever, c * count + node, copies, colliders * count)
                if pressed == 1:
                    before[node] = q
                    v = wp.cw_mul(v, passes(v, i, j, k, grid.nx, grid.ny, grid.nz, walls))
                    velocity[node] = vec4(v[0], v[1], v[2], q[3])
                node = following(press, node + 1, start + span, count, colliders * copies)

    return rub


@functools.cache
def rubbing_chain(p: Precision) -> wp.Function:
    """Warp function: velocity of a node after friction with the first `number` colliders, one after the other."""
    real, vec3, vec4, frame13, rubbed = p.real, p.vec3, p.vec4, p.vector(FRAME), rubbed_velocity(p)
    pressed_by, (total, _) = pressing(p), node_copies(p)

    @wp.func
    def chain(
        v0: vec3,
        m: real,
        number: int,
        node: int,
        count: int,
        copies: int,
        colliders: int,
        x: vec3,
        environment: int,
        batch: int,
        frames: wp.array(dtype=frame13),
        friction: wp.array(dtype=real),
        press: wp.array(dtype=vec4),
        lever: wp.array(dtype=vec4),
    ) -> vec3:
        v = v0
        for c in range(number):
            P, touches = pressed_by(press, c, node, count, copies, colliders)
            if touches:
                e = c * batch + environment
                L = total(lever, c * count + node, copies, colliders * count)
                v = rubbed(v, m, P, L, frames[e], friction[e], x)
        return v

    return chain


@functools.cache
def _any_touches(p: Precision) -> tuple[wp.Function, wp.Function]:
    """Warp functions: whether any collider presses a node by more than round-off; and clearing the adjoints of a line's press."""
    real, vec4, pressed_by = p.real, p.vec4, pressing(p)

    @wp.func
    def any_touches(press: wp.array(dtype=vec4), node: int, count: int, copies: int, colliders: int) -> bool:
        found = int(0)
        for c in range(colliders):
            P, touches = pressed_by(press, c, node, count, copies, colliders)
            if touches:
                found = 1
        return found == 1

    @wp.func
    def wipe(dpress: wp.array(dtype=vec4), start: int, span: int, count: int, colliders: int):
        for c in range(colliders):
            for node in range(start, start + span):
                dpress[c * count + node] = vec4(real(0.0))

    return any_touches, wipe


@functools.cache
def _rub_vjp(p: Precision) -> wp.Kernel:
    """Adjoint of `rub`: from that of the velocity, in place, to that of velocity and mass before, and of the press; clears the press."""
    real, vec3, vec4, vec6, frame13 = p.real, p.vec3, p.vec4, p.vector(6), p.vector(FRAME)
    Grid, modes6 = grid_struct(p), wp.types.vector(6, int)
    passes, place, (total, clear) = wall_filter(p), node_place(p), node_copies(p)
    chain, contracted, pressed_by = rubbing_chain(p), rubbing_contraction(p), pressing(p)
    (any_touches, wipe), following = _any_touches(p), next_pressed(p)

    @wp.kernel(enable_backward=False, module="unique")
    def rub_vjp(
        grid: Grid,
        first: int,
        lines: int,
        span: int,
        copies: int,
        batch: int,
        colliders: int,
        thread: int,
        walls: modes6,
        clock: wp.array(dtype=int),
        touched: wp.array(dtype=int),
        slabs: wp.array(dtype=int),
        frames: wp.array(dtype=frame13),
        friction: wp.array(dtype=real),
        press: wp.array(dtype=vec4),
        lever: wp.array(dtype=vec4),
        before: wp.array(dtype=vec4),
        dwrench: wp.array(dtype=vec6),
        dvelocity: wp.array(dtype=vec4),
        dpress: wp.array(dtype=vec4),
        dlever: wp.array(dtype=vec4),
        dframes: wp.array(dtype=frame13),
        dfriction: wp.array(dtype=real),
    ):
        count = before.shape[0]
        item = wp.tid() + first
        step = clock[STEP]
        if slabs[item * lines * span // (grid.ny * grid.nz)] != step:
            return
        for line in range(lines):
            start = (item * lines + line) * span
            if touched[start // grid.nz] != step:
                continue
            wipe(dpress, start, span, count, colliders)
            wipe(dlever, start, span, count, colliders)
            node = following(press, start, start + span, count, colliders * copies)
            while node < start + span:
                if any_touches(press, node, count, copies, colliders):
                    q = before[node]
                    m = q[3]
                    v0 = vec3(q[0], q[1], q[2])
                    environment, i, j, k, x = place(node, grid)
                    v = chain(
                        v0,
                        m,
                        colliders,
                        node,
                        count,
                        copies,
                        colliders,
                        x,
                        environment,
                        batch,
                        frames,
                        friction,
                        press,
                        lever,
                    )
                    adjoint = total(dvelocity, node, copies, count)
                    clear(dvelocity, node, copies, count)
                    A = vec3(adjoint[0], adjoint[1], adjoint[2])
                    A = wp.cw_mul(A, passes(v, i, j, k, grid.nx, grid.ny, grid.nz, walls))
                    dm = real(0.0)
                    for back in range(colliders):
                        c = colliders - 1 - back
                        P, touches = pressed_by(press, c, node, count, copies, colliders)
                        if touches:
                            e = c * batch + environment
                            v = chain(
                                v0,
                                m,
                                c,
                                node,
                                count,
                                copies,
                                colliders,
                                x,
                                environment,
                                batch,
                                frames,
                                friction,
                                press,
                                lever,
                            )
                            L = total(lever, c * count + node, copies, colliders * count)
                            gv, gm, gP, gL, gframe, gfriction, g6, g7, g8, g9 = wp.grad(contracted)(
                                v, m, P, L, frames[e], friction[e], x, real(1.0) / grid.dt, A, dwrench[e]
                            )
                            A = gv
                            dm += gm
                            dpress[c * count + node] = vec4(gP[0], gP[1], gP[2], real(0.0))
                            dlever[c * count + node] = gL
                            wp.atomic_add(dframes, thread * batch * colliders + e, gframe)
                            wp.atomic_add(dfriction, thread * batch * colliders + e, gfriction)
                    dvelocity[node] = vec4(A[0], A[1], A[2], dm)
                clear(press, node, colliders * copies, count)
                clear(lever, node, colliders * copies, count)
                node = following(press, node + 1, start + span, count, colliders * copies)

    return rub_vjp
