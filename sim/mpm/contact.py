"""Contact of the grid velocity with a moving rigid collider: no penetration, Coulomb friction, and the wrench it takes.

At a node x with signed distance phi < 0 and normal n, the velocity relative to the collider is u = v - (v_c + w x r).
If it approaches (u.n < 0, or always when
the surface does not let go) its normal part is removed and Coulomb's law bounds the tangential impulse by friction times
the normal one. The correction is weighted by s(phi), a smooth step from 0 at the surface to 1 one cell
inside: the velocity field then depends smoothly on the collider's pose, which is what gives it a usable gradient.
"""

import functools

import warp as wp

from pliant.sim.colliders.kinematics import FRAME
from pliant.sim.precision import Precision
from pliant.sim.shapes.dispatch import shape_distance
from pliant.sim.shapes.mesh import trilinear

SEPARATING, SLIP, STICK = 0, 1, 2  # what a collider's surface does
MESH_KIND = 5


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
        depth = wp.clamp(-hit[3] / dx, real(0.0), real(1.0))
        weight = depth * depth * (real(3.0) - real(2.0) * depth)
        q = quat(frame[3], frame[4], frame[5], frame[6])
        n = wp.quat_rotate(q, vec3(hit[0], hit[1], hit[2]))
        r = x - vec3(frame[0], frame[1], frame[2])
        base = vec3(frame[7], frame[8], frame[9]) + wp.cross(vec3(frame[10], frame[11], frame[12]), r)
        u = v - base
        return v + weight * (coulomb(u, n, friction, surface) - u)

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
