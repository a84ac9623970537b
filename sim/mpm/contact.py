"""Contact of the grid velocity with a moving rigid collider: no penetration, Coulomb friction, and the wrench it takes.

At a node x with signed distance phi and normal n, the velocity relative to the collider is u = v - (v_c + w x r).
If it approaches (u.n < 0, or always when the surface does not let go) its normal part is removed and Coulomb's law
bounds the tangential impulse by friction times the normal one. The correction is weighted twice:

    s(phi)     1 up to .45 cells above the surface, falling smoothly to 0 at .8; where it sticks, 1 on and below the surface and
               0 at .65; of the whole correction
    hold(phi)  1 down to half a cell below the surface, 0 from 1 to 1.5 cells, 1 from 2 cells on; of the tangential part of
               a surface that sticks

What every node below the surface does in full, no time step can soften: nothing drifts through. A weight between makes
the velocity depend smoothly on the collider's pose, which is what gives it a usable gradient; it blocks a fraction a
substep, so that it soon is as good as 1, or 0 where it is a few hundredths. The surface is thus felt at a layer of nodes from
half a cell above it to half a cell below, by where it lies: what flows between two sticking plates ten cells
apart sees their distance within a cell. Fluid at rest presses on for ever, and drifts through a layer blocked in part by
(1 - s) / s of what its pressure gives a node in a substep; hence s is 1 over that half cell where a surface slides.
Where viscous fluid sticks, its velocity is linear across the surface, and nodes behind it continue that line: to stop
these too would bend it and brake the fluid at every transfer, the more the smaller the substep. They are left alone, and
what is deeper than any fluid that keeps outside can reach is stopped again.

What it costs: where no layer of nodes lies where s falls, over two thirds of all poses (a third where the surface sticks),
the motion does not depend on the pose at all, and changes the faster over the rest; the mean of the gradient is right. A
body that falls onto a collider is first met 1.5 cells above the topmost layer of blocked nodes, as far as a particle
reaches, and an elastic one may stay up to a cell above; what is laid on it stays. An elastic block that friction ought
to hold on a slope oblique to the nodes can creep, some cm/s at 20 mm a cell.
"""

import functools

import warp as wp

from pliant.sim.colliders.kinematics import FRAME
from pliant.sim.precision import Precision
from pliant.sim.shapes.dispatch import shape_distance
from pliant.sim.shapes.mesh import trilinear

SEPARATING, SLIP, STICK = 0, 1, 2  # what a collider's surface does
MESH_KIND = 5
REACH, FALL = 0.8, 0.35  # cells above the surface where s is 0, and over which it falls: a layer is always held
STICKING = 0.65  # both of them where the surface sticks


@functools.cache
def solid_struct(p: Precision) -> type:
    """The Warp struct of a collider's constant part: shape, surface, and where its distance volume lies."""
    real, vec3 = p.real, p.vec3

    @wp.struct
    class Solid:
        kind: int
        surface: int
        size: vec3
        origin: vec3
        spacing: real
        offset: int
        nx: int
        ny: int
        nz: int

    return Solid


@functools.cache
def local_point(p: Precision) -> wp.Function:
    """Warp function (x, frame) -> x in the collider's own frame."""
    vec3, quat, frame13 = p.vec3, p.quat, p.vector(FRAME)

    @wp.func
    def local(x: vec3, frame: frame13) -> vec3:
        q = quat(frame[3], frame[4], frame[5], frame[6])
        return wp.quat_rotate_inv(q, x - vec3(frame[0], frame[1], frame[2]))

    return local


@functools.cache
def contact_velocity(p: Precision) -> wp.Function:
    """Warp function: velocity of a node after contact (unchanged where it is outside)."""
    real, vec3, vec4, quat, frame13, vec8 = p.real, p.vec3, p.vec4, p.quat, p.vector(FRAME), p.vector(8)
    distance, from_volume, local = shape_distance(p), trilinear(p), local_point(p)

    @wp.func
    def rise(t: real) -> real:
        """From 0 at t <= 0 to 1 at t >= 1; two derivatives vanish at both, since nodes often lie exactly there."""
        s = wp.clamp(t, real(0.0), real(1.0))
        return s * s * s * (real(10.0) - s * (real(15.0) - real(6.0) * s))

    @wp.func
    def coulomb(u: vec3, n: vec3, friction: real, surface: int) -> vec3:
        """Relative velocity after contact."""
        approach = wp.dot(u, n)
        tangent = u - approach * n
        slip = wp.length(tangent)
        limit = friction * wp.abs(approach)
        after = vec3(real(0.0))
        if slip > limit:
            after = tangent - (limit / slip) * tangent
        elif friction == real(0.0):  # nothing slides yet, but nothing would hold it: the derivative is that of sliding
            after = tangent
        if surface == wp.static(STICK):
            after = vec3(real(0.0))
        if surface == wp.static(SEPARATING) and approach >= real(0.0):
            after = u
        return after

    @wp.func
    def velocity_after(
        v: vec3,
        frame: frame13,
        friction: real,
        x: vec3,
        kind: int,
        surface: int,
        size: vec3,
        corners: vec8,
        cell: vec3,
        spacing: real,
        dx: real,
    ) -> vec3:
        point = local(x, frame)
        hit = vec4(real(0.0))
        if kind == wp.static(MESH_KIND):
            hit = from_volume(corners, (point - cell) / spacing, spacing)
        else:
            hit = distance(kind, point, size)
        phi = hit[3] / dx
        q = quat(frame[3], frame[4], frame[5], frame[6])
        n = wp.quat_rotate(q, vec3(hit[0], hit[1], hit[2]))
        r = x - vec3(frame[0], frame[1], frame[2])
        base = vec3(frame[7], frame[8], frame[9]) + wp.cross(vec3(frame[10], frame[11], frame[12]), r)
        u = v - base
        change = coulomb(u, n, friction, surface) - u
        s = rise((real(wp.static(REACH)) - phi) / real(wp.static(FALL)))
        if surface == wp.static(STICK):
            normal = wp.dot(change, n) * n
            hold = rise(real(2.0) * phi + real(2.0)) + rise(real(-2.0) * phi - real(3.0))
            change = normal + hold * (change - normal)
            s = rise(real(1.0) - phi / real(wp.static(STICKING)))
        return v + s * change

    # Warp 1.19 leaves out the adjoints of nested functions when a kernel calls the function before wp.grad does.
    velocity_after.adj.force_adjoint_codegen = True
    return velocity_after


@functools.cache
def contact_contraction(p: Precision) -> wp.Function:
    """Warp function: (velocity after) . A + wrench . B, whose gradient is the contact's vector-Jacobian product.

    The material of mass m loses the impulse m (v - v_after) to the collider in a substep dt: force m (v - v_after) / dt
    and torque about the collider's origin.
    """
    real, vec3, frame13, vec8, vec6 = p.real, p.vec3, p.vector(FRAME), p.vector(8), p.vector(6)
    velocity_after = contact_velocity(p)

    @wp.func
    def contracted(
        v: vec3,
        m: real,
        frame: frame13,
        friction: real,
        x: vec3,
        kind: int,
        surface: int,
        size: vec3,
        corners: vec8,
        cell: vec3,
        spacing: real,
        dx: real,
        inv_dt: real,
        A: vec3,
        B: vec6,
    ) -> real:
        after = velocity_after(v, frame, friction, x, kind, surface, size, corners, cell, spacing, dx)
        force = (m * inv_dt) * (v - after)
        torque = wp.cross(x - vec3(frame[0], frame[1], frame[2]), force)
        return wp.dot(after, A) + wp.dot(force, vec3(B[0], B[1], B[2])) + wp.dot(torque, vec3(B[3], B[4], B[5]))

    return contracted
