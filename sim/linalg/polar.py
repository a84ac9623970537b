"""Rotation of the polar decomposition F = R S, with the closed form of its derivative."""

import functools
from collections.abc import Callable

import warp as wp

from pliant.sim.linalg.eigen import complement, symmetric_eigen
from pliant.sim.linalg.matrix import axial, axial_of_product, cofactor, cross_columns
from pliant.sim.precision import Precision


@functools.cache
def rotation_response(p: Precision) -> Callable:
    """Warp function (S, y) -> (tr(S) I - S)^-1 y, or zero where that matrix is singular to round-off."""
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
    """Warp function (F, R, x, D, A) -> gradient of R : A with respect to F; R, x and D are those of `polar_factors`.

    dR = [w]x R with (tr(V) I - V) w = axial(dF R^T), V = F R^T. That matrix has the inverse (F F^T + i2 I) / D with
    i2 = (x^2 - |F|^2) / 2. Where D vanishes to round-off (F collapsed to a line, or inverted with two opposite
    stretches) R has no derivative and zero is returned.
    """
    real, mat33, product, cross = p.real, p.mat33, axial_of_product(p), cross_columns(p)

    @wp.func(inline=True)
    def vjp(F: mat33, R: mat33, x: real, D: real, A: mat33) -> mat33:
        i2 = real(0.5) * (x * x - wp.ddot(F, F))
        exists = D > real(wp.static(p.epsilon)) * x * x * x
        factor = wp.where(exists, real(1.0) / D, real(0.0))
        a = factor * product(A, R)
        return cross(F * (wp.transpose(F) * a) + i2 * a, R)

    return vjp


@functools.cache
def quartic_step(p: Precision) -> Callable:
    """Warp function (x, I1, I2, J) -> (Newton step, D) for the largest root of (x^2 - I1)^2 = 4 I2 + 8 J x."""
    real, vec2 = p.real, p.vector(2)

    @wp.func(inline=True)
    def step_of(x: real, I1: real, I2: real, J: real) -> vec2:
        y = x * x - I1
        D = real(0.5) * x * y - J
        return vec2((y * y - real(4.0) * I2 - real(8.0) * J * x) / (real(8.0) * D), D)

    return step_of


@functools.cache
def rotation_from_stretch_sum(p: Precision) -> Callable:
    """Warp function (F, K, x, D) -> ((x^2 + |F|^2) / 2 F + x K - F F^T F) / D with K = cof F."""
    real, mat33 = p.real, p.mat33

    @wp.func(inline=True)
    def rotation(F: mat33, K: mat33, x: real, D: real) -> mat33:
        factor = real(1.0) / D
        half = real(0.5) * (x * x + wp.ddot(F, F)) * factor
        return half * F + (x * factor) * K - factor * (F * (wp.transpose(F) * F))

    return rotation


@functools.cache
def large_strain_rotation(p: Precision) -> Callable:
    """Warp function F -> rotation closest to F, for large or inverting strains: the quartic's root from above.

    sqrt(3 I1) bounds the roots, all real, so Newton's iteration descends monotonically to the largest one. Where
    D / x^3 (8 / 27 at rest) is small the closed form cancels: one cofactor Newton step restores orthogonality, and
    below that `robust_rotation` takes over; the error stays a few units of round-off times s1 / (s2 + s3).
    """
    real, mat33 = p.real, p.mat33
    cof, robust, step_of, rotation_of = cofactor(p), robust_rotation(p), quartic_step(p), rotation_from_stretch_sum(p)
    close = 0.1 * p.epsilon**0.5

    @wp.func(inline=False)
    def rotation(F: mat33) -> mat33:
        K, J, I1 = cof(F), wp.determinant(F), wp.ddot(F, F)
        I2 = wp.ddot(K, K)
        x = wp.sqrt(real(3.0) * I1)
        change = x
        count = int(0)  # noqa: UP018  (a Warp variable, not a literal: the loop changes it)
        while change > real(wp.static(close)) * x and count < 16:
            step = step_of(x, I1, I2, J)
            change = wp.where(step[1] > real(0.01) * x * x * x, step[0], real(0.0))
            x = x - change
            count += 1
        D = real(0.5) * x * (x * x - I1) - J
        if not D > real(0.01) * x * x * x:
            return robust(F)
        R = rotation_of(F, K, x, D)
        if D < real(0.15) * x * x * x:
            R = real(0.5) * (R + cof(R) / wp.determinant(R))
        return R

    return rotation


@functools.cache
def stretch_sum_series(p: Precision) -> Callable:
    """Warp function (I1, I2, J) -> x to fifth order in the eigenvalues q (1 + u_i) of F^T F, q = I1 / 3.

    With a = sum u_i^2 = 6 - 2 I2 / q^2 and b = sum u_i^3 = 3 (J^2 / q^3 - I2 / q^2 + 2):
    x = sqrt(q) (3 - a/8 + b/16 - 5/256 a^2 + 35/1536 a b).
    """
    real = p.real

    @wp.func(inline=True)
    def series(I1: real, I2: real, J: real) -> real:
        q = I1 / real(3.0)
        inverse = real(1.0) / q
        ratio = I2 * inverse * inverse
        a = real(6.0) - real(2.0) * ratio
        b = real(3.0) * (J * J * inverse * inverse * inverse - ratio + real(2.0))
        even = a * (real(0.125) + real(0.01953125) * a)
        return wp.sqrt(q) * (real(3.0) - even + b * (real(0.0625) + real(0.022786458333333332) * a))

    return series


@functools.cache
def polar_factors(p: Precision) -> Callable:
    """Warp function F -> (R, x, D): the rotation closest to F, the sum of the stretches, the product of their sums.

    The sum x = s1 + s2 + s3 of the stretches (s3 with the sign of J = det F) is the largest root of
    (x^2 - I1)^2 = 4 I2 + 8 J x, I1 = |F|^2, I2 = |cof F|^2. R is dx/dF:

        R = ((x^2 + I1) / 2 F + x cof F - F F^T F) / D,   D = x (x^2 - I1) / 2 - J = (s1 + s2)(s1 + s3)(s2 + s3)

    x starts from its series at equal stretches and takes a fixed number of Newton steps. If the last was not tiny,
    `large_strain_rotation` starts afresh. Not to be differentiated by `wp.grad`: see `polar_rotation`.
    """
    real, mat33, cof, general = p.real, p.mat33, cofactor(p), large_strain_rotation(p)
    series, step_of, rotation_of = stretch_sum_series(p), quartic_step(p), rotation_from_stretch_sum(p)
    close = 0.1 * p.epsilon**0.5
    steps = 2 if p.name == "float32" else 3

    @wp.func(inline=True)
    def factors(F: mat33):
        K = cof(F)
        J = F[0, 0] * K[0, 0] + F[0, 1] * K[0, 1] + F[0, 2] * K[0, 2]
        I1, I2 = wp.ddot(F, F), wp.ddot(K, K)
        x = series(I1, I2, J)
        last = x
        for _k in range(wp.static(steps)):
            last = step_of(x, I1, I2, J)[0]
            x = x - last
        D = real(0.5) * x * (x * x - I1) - J
        R = rotation_of(F, K, x, D)
        if not (J > real(0.0) and wp.abs(last) < real(wp.static(close)) * x and D > real(0.15) * x * x * x):
            R = general(F)
            x = wp.ddot(R, F)
            D = real(0.5) * x * (x * x - I1) - J
        return R, x, D

    return factors


@functools.cache
def polar_rotation(p: Precision) -> Callable:
    """Warp function F -> rotation R closest to F (det R = 1 even for inverted F), with its exact adjoint.

    Source: Higham and Noferini, An Algorithm to Compute the Polar Decomposition of a 3 x 3 Matrix (2016), for the
    quartic; Higham, Computing the Polar Decomposition with Applications (1986), for the Newton step.
    """
    mat33, factors, pullback = p.mat33, polar_factors(p), polar_vjp(p)

    @wp.func(inline=True)
    def rotation(F: mat33) -> mat33:
        R, x, D = factors(F)
        return R

    @wp.func_grad(rotation)
    def adjoint(F: mat33, A: mat33):
        R, x, D = factors(F)
        wp.adjoint[F] += pullback(F, R, x, D, A)

    return rotation
