"""Rotation of the polar decomposition F = R S, with the closed form of its derivative."""

import functools
from collections.abc import Callable

import warp as wp

from sim.linalg.eigen import complement, symmetric_eigen
from sim.linalg.matrix import axial, cofactor
from sim.precision import Precision


@functools.cache
def rotation_response(p: Precision) -> Callable:
    """Warp function (S, y) -> (tr(S) I - S)^-1 y for symmetric S = R^T F.

    The determinant of that matrix is the product of the three sums of two stretches. Where it vanishes to round-off (a
    collapsed F, or two opposite stretches of an inverted one) the rotation has no derivative, and zero is returned.
    """
    real, mat33, vec3, cof = p.real, p.mat33, p.vec3, cofactor(p)

    @wp.func
    def response(S: mat33, y: vec3) -> vec3:
        trace = wp.trace(S)
        M = wp.diag(vec3(trace, trace, trace)) - real(0.5) * (S + wp.transpose(S))
        K = cof(M)
        det = M[0, 0] * K[0, 0] + M[0, 1] * K[0, 1] + M[0, 2] * K[0, 2]
        if det <= real(wp.static(p.epsilon)) * trace * trace * trace:
            return vec3()
        return (K * y) / det

    return response


@functools.cache
def rotation_from_vector(p: Precision) -> Callable:
    """Warp function w -> the rotation I + 2 / (1 + h.h) ([h]x + [h]x [h]x), h = w / 2: exp([w]x) to order w^3."""
    real, vec3, mat33 = p.real, p.vec3, p.mat33

    @wp.func
    def rotation(w: vec3) -> mat33:
        H = wp.skew(real(0.5) * w)
        return wp.identity(n=3, dtype=real) + (real(2.0) / (real(1.0) + real(0.25) * wp.dot(w, w))) * (H + H * H)

    return rotation


@functools.cache
def robust_rotation(p: Precision) -> Callable:
    """Warp function F -> rotation R closest to F, for any finite F: inverted, collapsed, stretched a thousand times.

    The two long axes of F^T F and their images give a first R; Newton steps on the rotation group make R^T F symmetric.
    """
    real, vec3, mat33 = p.real, p.vec3, p.mat33
    eigen, basis, vector = symmetric_eigen(p), complement(p), axial(p)
    response, exponential = rotation_response(p), rotation_from_vector(p)

    @wp.func
    def frame(F: mat33, long: vec3, middle: vec3) -> mat33:
        image = F * long
        length = wp.length(image)
        if length == real(0.0):
            return wp.identity(n=3, dtype=real)
        first = image / length
        image = F * middle
        image = image - wp.dot(first, image) * first
        second, unused = basis(first)
        if wp.length(image) > real(wp.static(p.epsilon)) * length:
            second = wp.normalize(image - wp.dot(first, image) * first)
        third = wp.cross(first, second)
        return wp.outer(first, long) + wp.outer(second, middle) + wp.outer(third, wp.cross(long, middle))

    @wp.func
    def rotation(F: mat33) -> mat33:
        Q, w = eigen(wp.transpose(F) * F)
        R = frame(F, vec3(Q[0, 2], Q[1, 2], Q[2, 2]), vec3(Q[0, 1], Q[1, 1], Q[2, 1]))
        for _k in range(3):
            S = wp.transpose(R) * F
            R = R * exponential(response(S, vector(S)))
        return R

    return rotation


@functools.cache
def polar_vjp(p: Precision) -> Callable:
    """Warp function (F, R, A) -> gradient of R : A with respect to F, where R is the rotation of F.

    dR = R [w]x with (tr(S) I - S) w = axial(R^T dF), S = R^T F.
    """
    mat33, response, vector = p.mat33, rotation_response(p), axial(p)

    @wp.func
    def vjp(F: mat33, R: mat33, A: mat33) -> mat33:
        Rt = wp.transpose(R)
        return R * wp.skew(response(Rt * F, vector(Rt * A)))

    return vjp


@functools.cache
def polar_rotation(p: Precision) -> Callable:
    """Warp function F -> rotation R closest to F, with its exact adjoint.

    Newton's iteration R <- (R + cof R / det R) / 2 from F, unscaled; its last step tells the error left (the square of
    the step), and where that is above round-off, or det F <= 0, `robust_rotation` takes over.

    Source: Higham, Computing the Polar Decomposition with Applications (1986), eq. 3.1.
    """
    real, mat33 = p.real, p.mat33
    cof, robust, pullback = cofactor(p), robust_rotation(p), polar_vjp(p)
    steps = 5 if p.name == "float32" else 6  # enough for stretches from 0.27 to 3.6

    @wp.func
    def rotation(F: mat33) -> mat33:
        R = F
        last = F
        for _k in range(wp.static(steps)):
            last = R
            K = cof(R)
            half = real(0.5) / (R[0, 0] * K[0, 0] + R[0, 1] * K[0, 1] + R[0, 2] * K[0, 2])
            R = real(0.5) * R + half * K
        step = R - last
        if wp.determinant(R) > real(0.0) and wp.ddot(step, step) < real(wp.static(p.epsilon)):
            return R
        return robust(F)

    @wp.func_grad(rotation)
    def adjoint(F: mat33, A: mat33):
        wp.adjoint[F] += pullback(F, rotation(F), A)

    return rotation
