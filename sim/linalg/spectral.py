"""Isotropic functions of F through the spectrum of b = F F^T = sum s_i^2 n_i n_i^T, with exact derivatives.

T(b) = sum h_i(l_1, l_2, l_3) n_i n_i^T has the derivative (Daleckii and Krein), in the basis of the n_i,

    dT_ii = sum_j dh_i/dl_j db_jj,     dT_ij = (h_i - h_j) / (l_i - l_j) db_ij

where the quotient tends to a derivative at equal eigenvalues. Nothing here divides by a small difference.
Source: Bhatia, Matrix Analysis, theorem V.3.3.
"""

import functools
from collections.abc import Callable

import warp as wp

from pliant.sim.linalg.eigen import symmetric_eigen
from pliant.sim.linalg.polynomial import polynomial
from pliant.sim.precision import Precision

SMALLEST_SQUARED_STRETCH = 1e-12


@functools.cache
def log1p(p: Precision) -> Callable:
    """Warp function x -> log(1 + x), accurate for small x.

    Source: Higham, Accuracy and Stability of Numerical Algorithms, problem 1.5.
    """
    real = p.real

    @wp.func(inline=True)
    def log1p_of(x: real) -> real:
        u = real(1.0) + x
        return wp.where(u == real(1.0), x, wp.log(u) * x / (u - real(1.0)))

    return log1p_of


@functools.cache
def logarithmic_strain(p: Precision) -> Callable:
    """Warp function F -> (Q, l, e): F F^T = Q diag(l) Q^T and the principal logarithmic strains e = log(l) / 2.

    The eigenproblem is that of F F^T - I formed from F - I, so that small strains keep their relative accuracy; for
    large ones l is |F^T n|^2, which keeps that of small stretches beside large ones. Only the squares of the stretches
    are seen: an inverted F counts by its magnitude, and a collapsed one as the stretch 1e-6, so that e is finite.
    """
    real, mat33, vec3, eigen, log1p_of = p.real, p.mat33, p.vec3, symmetric_eigen(p), log1p(p)

    @wp.func(inline=True)
    def square_of_row(P: mat33, i: int) -> real:
        square = P[i, 0] * P[i, 0] + P[i, 1] * P[i, 1] + P[i, 2] * P[i, 2]
        return wp.max(square, real(SMALLEST_SQUARED_STRETCH))

    @wp.func(inline=True)
    def strain(F: mat33):
        G = F - wp.identity(n=3, dtype=real)
        Gt = wp.transpose(G)
        Q, x = eigen(G + Gt + G * Gt)
        if wp.max(wp.abs(x[0]), wp.abs(x[2])) < real(0.5):
            squares = x + vec3(real(1.0), real(1.0), real(1.0))
            return Q, squares, real(0.5) * vec3(log1p_of(x[0]), log1p_of(x[1]), log1p_of(x[2]))
        P = wp.transpose(Q) * F
        squares = vec3(square_of_row(P, 0), square_of_row(P, 1), square_of_row(P, 2))
        return Q, squares, real(0.5) * vec3(wp.log(squares[0]), wp.log(squares[1]), wp.log(squares[2]))

    return strain


@functools.cache
def spectral_matrix(p: Precision) -> Callable:
    """Warp function (Q, h) -> Q diag(h) Q^T."""
    mat33, vec3 = p.mat33, p.vec3

    @wp.func(inline=True)
    def matrix(Q: mat33, h: vec3) -> mat33:
        return (Q * wp.diag(h)) * wp.transpose(Q)

    return matrix


@functools.cache
def in_eigenbasis(p: Precision) -> Callable:
    """Warp function (Q, A) -> Q^T sym(A) Q."""
    real, mat33 = p.real, p.mat33

    @wp.func(inline=True)
    def rotated(Q: mat33, A: mat33) -> mat33:
        return wp.transpose(Q) * (real(0.5) * (A + wp.transpose(A))) * Q

    return rotated


@functools.cache
def spectral_vjp(p: Precision) -> Callable:
    """Warp function (F, Q, A, g, theta) -> gradient of T(F F^T) : A with respect to F.

    Args:
        F, Q: the matrix and the eigenvectors of F F^T.
        A: adjoint of T in the eigenbasis, Q^T sym(A) Q.
        g: gradient of sum_i h_i A_ii with respect to the squared stretches l_j.
        theta: (h_i - h_j) / (l_i - l_j) for the pairs (1, 2), (0, 2), (0, 1).
    """
    real, mat33, vec3 = p.real, p.mat33, p.vec3

    @wp.func(inline=True)
    def vjp(F: mat33, Q: mat33, A: mat33, g: vec3, theta: vec3) -> mat33:
        a, b, d = theta[0] * A[1, 2], theta[1] * A[0, 2], theta[2] * A[0, 1]
        M = mat33(g[0], d, b, d, g[1], a, b, a, g[2])
        return real(2.0) * (Q * M) * (wp.transpose(Q) * F)

    return vjp


@functools.cache
def over_pairs(p: Precision, quotient: Callable) -> Callable:
    """Warp function (u, v) -> `quotient`(u_i, u_j, v_i, v_j) for the pairs (1, 2), (0, 2), (0, 1)."""
    vec3 = p.vec3

    @wp.func(inline=True)
    def pairs(u: vec3, v: vec3) -> vec3:
        return vec3(
            quotient(u[1], u[2], v[1], v[2]), quotient(u[0], u[2], v[0], v[2]), quotient(u[0], u[1], v[0], v[1])
        )

    return pairs


@functools.cache
def strain_quotients(p: Precision) -> Callable:
    """Warp function (l, e) -> (e_i - e_j) / (l_i - l_j) of the pairs, for e = log(l) / 2.

    With t = (l_i - l_j) / (l_i + l_j) the quotient is atanh(t) / t / (l_i + l_j), by its series below |t| = 0.1.
    """
    real = p.real
    terms = 4 if p.name == "float32" else 8
    series = polynomial(p, tuple(1.0 / (2 * k + 1) for k in range(terms)))

    @wp.func(inline=True)
    def quotient(li: real, lj: real, ei: real, ej: real) -> real:
        total, difference = li + lj, li - lj
        t = difference / total
        if wp.abs(t) < real(0.1):
            return series(t * t) / total
        return (ei - ej) / difference

    return over_pairs(p, quotient)


@functools.cache
def exponential_quotients(p: Precision) -> Callable:
    """Warp function (k, a) -> (k_i - k_j) / (a_i - a_j) of the pairs, for k = exp(a).

    With y = (a_i - a_j) / 2 the quotient is (k_i + k_j) / 2 tanh(y) / y, by its series below |y| = 0.05.
    """
    real = p.real
    terms = 3 if p.name == "float32" else 6
    taylor = (1.0, -1 / 3, 2 / 15, -17 / 315, 62 / 2835, -1382 / 155925)
    series = polynomial(p, taylor[:terms])

    @wp.func(inline=True)
    def quotient(ki: real, kj: real, ai: real, aj: real) -> real:
        y = real(0.5) * (ai - aj)
        if wp.abs(y) < real(0.05):
            return real(0.5) * (ki + kj) * series(y * y)
        return real(0.5) * (ki - kj) / y

    return over_pairs(p, quotient)
