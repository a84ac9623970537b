"""Motion of a collider between given poses: interpolated pose and twist, and their vector-Jacobian product.

Poses (x, q) are given at knots one interval T apart. With r = log(q1 q0^-1) and s in [0, 1):

    x(s) = x0 + s (x1 - x0),  q(s) = exp(s r) q0,  linear velocity (x1 - x0) / T,  angular velocity r / T  (world frame)
"""

import functools
from typing import NamedTuple

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation

from pliant.sim.precision import Precision

POSE, FRAME = 7, 13  # (x, q xyzw) and (x, q, linear velocity, angular velocity)


def between_poses(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Poses [n, 7] a share of the way from the first to the second; what the kernel computes, on the host."""
    start = Rotation.from_quat(first[:, 3:])
    turn = (Rotation.from_quat(second[:, 3:]) * start.inv()).as_rotvec()
    rotation = Rotation.from_rotvec(share * turn) * start
    return np.concatenate([first[:, :3] + share * (second[:, :3] - first[:, :3]), rotation.as_quat()], axis=1)


@functools.cache
def interpolate(p: Precision) -> wp.Function:
    """Warp function (pose0, pose1, s, 1 / T) -> frame [13]; differentiable also where the poses are equal."""
    real, vec3, quat = p.real, p.vec3, p.quat
    pose7, frame13 = p.vector(POSE), p.vector(FRAME)

    @wp.func
    def rotation_vector(q: quat) -> vec3:
        """r with exp(r) = q, for a unit q with q.w >= 0; by series near the identity, relative error below 1e-15."""
        v = vec3(q[0], q[1], q[2])
        squared = wp.dot(v, v)
        factor = real(0.0)
        if squared < real(1.0e-5):
            ratio = squared / (q[3] * q[3])
            factor = real(2.0) / q[3] * (real(1.0) - ratio / real(3.0) + ratio * ratio / real(5.0))
        else:
            length = wp.sqrt(squared)
            factor = real(2.0) * wp.atan2(length, q[3]) / length
        return factor * v

    @wp.func
    def rotation(r: vec3) -> quat:
        """exp(r) as a unit quaternion."""
        h = real(0.25) * wp.dot(r, r)
        sinc = real(0.0)
        cosine = real(0.0)
        if h < real(1.0e-4):
            sinc = real(1.0) - h / real(6.0) * (real(1.0) - h / real(20.0) * (real(1.0) - h / real(42.0)))
            cosine = real(1.0) - h / real(2.0) * (real(1.0) - h / real(12.0) * (real(1.0) - h / real(30.0)))
        else:
            half = wp.sqrt(h)
            sinc = wp.sin(half) / half
            cosine = wp.cos(half)
        v = (real(0.5) * sinc) * r
        return quat(v[0], v[1], v[2], cosine)

    @wp.func
    def frame_between(a: pose7, b: pose7, s: real, rate: real) -> frame13:
        x0 = vec3(a[0], a[1], a[2])
        x1 = vec3(b[0], b[1], b[2])
        q0 = wp.normalize(quat(a[3], a[4], a[5], a[6]))
        q1 = wp.normalize(quat(b[3], b[4], b[5], b[6]))
        turn = q1 * wp.quat_inverse(q0)
        sign = real(1.0)
        if turn[3] < real(0.0):
            sign = real(-1.0)
        r = rotation_vector(quat(sign * turn[0], sign * turn[1], sign * turn[2], sign * turn[3]))
        q = rotation(s * r) * q0
        x = x0 + s * (x1 - x0)
        v = rate * (x1 - x0)
        w = rate * r
        return frame13(x[0], x[1], x[2], q[0], q[1], q[2], q[3], v[0], v[1], v[2], w[0], w[1], w[2])

    return frame_between


class Kinematics(NamedTuple):
    """Kernels: frames of all colliders at the current substep, and the adjoint of the knots."""

    frames: wp.Kernel
    frames_vjp: wp.Kernel


@functools.cache
def kinematics(p: Precision) -> Kinematics:
    """The two kernels; `clock[0]` is the substep, knots are `every` substeps apart, [collider, batch, knot]."""
    real, pose7, frame13 = p.real, p.vector(POSE), p.vector(FRAME)
    frame_between = interpolate(p)

    @wp.func
    def contracted(a: pose7, b: pose7, s: real, rate: real, adjoint: frame13) -> real:
        return wp.dot(frame_between(a, b, s, rate), adjoint)

    @wp.kernel(enable_backward=False, module="unique")
    def frames(
        every: int,
        knots: int,
        rate: real,
        clock: wp.array(dtype=int),
        poses: wp.array(dtype=pose7),
        out: wp.array(dtype=frame13),
    ):
        i = wp.tid()
        k = clock[0] // every
        s = real(clock[0] - k * every) / real(every)
        a = poses[i * knots + wp.min(k, knots - 1)]
        b = poses[i * knots + wp.min(k + 1, knots - 1)]
        out[i] = frame_between(a, b, s, rate)

    @wp.kernel(enable_backward=False, module="unique")
    def frames_vjp(
        every: int,
        knots: int,
        copies: int,
        rate: real,
        clock: wp.array(dtype=int),
        poses: wp.array(dtype=pose7),
        dframes: wp.array(dtype=frame13),
        dposes: wp.array(dtype=pose7),
    ):
        i = wp.tid()
        count = dframes.shape[0] // copies
        adjoint = dframes[i]
        dframes[i] = frame13(real(0.0))
        for copy in range(1, copies):
            adjoint = adjoint + dframes[copy * count + i]
            dframes[copy * count + i] = frame13(real(0.0))
        k = clock[0] // every
        s = real(clock[0] - k * every) / real(every)
        ka = i * knots + wp.min(k, knots - 1)
        kb = i * knots + wp.min(k + 1, knots - 1)
        da, db, ds, drate, dadjoint = wp.grad(contracted)(poses[ka], poses[kb], s, rate, adjoint)
        dposes[ka] += da
        dposes[kb] += db

    return Kinematics(frames, frames_vjp)
