"""Eigen-decomposition, polar rotation and their companions against NumPy, in both precisions."""

import functools
from collections.abc import Callable

import numpy as np
import pytest
import warp as wp

from pliant.sim.linalg.eigen import symmetric_eigen
from pliant.sim.linalg.matrix import axial, axial_of_product, cofactor, cross_columns
from pliant.sim.linalg.polar import large_strain_rotation, polar_rotation, robust_rotation
from pliant.sim.linalg.spectral import exponential_quotients, log1p, strain_quotients
from pliant.sim.precision import Precision
from tests import reference_laws as reference
from tests.evaluate_laws import DOUBLE, SINGLE, assert_close, central_difference, rotations, stretched

both = pytest.mark.parametrize("p", [SINGLE, DOUBLE], ids=lambda p: p.name)


@functools.cache
def eigen_kernel(p: Precision) -> wp.Kernel:
    mat33, vec3, eigen = p.mat33, p.vec3, symmetric_eigen(p)

    @wp.kernel(enable_backward=False, module="unique")
    def decompose(S: wp.array(dtype=mat33), Q: wp.array(dtype=mat33), w: wp.array(dtype=vec3)):
        i = wp.tid()
        vectors, values = eigen(S[i])
        Q[i] = vectors
        w[i] = values

    return decompose


@functools.cache
def polar_kernel(p: Precision) -> wp.Kernel:
    """Rows 0 to 2: `polar_rotation` and the two routes it falls back to; row 3: adjoint of <R, A>."""
    real, mat33 = p.real, p.mat33
    polar, general, robust = polar_rotation(p), large_strain_rotation(p), robust_rotation(p)

    @wp.func
    def contracted(F: mat33, A: mat33) -> real:
        return wp.ddot(polar(F), A)

    @wp.kernel(enable_backward=False, module="unique")
    def rotate(F: wp.array(dtype=mat33), A: wp.array(dtype=mat33), R: wp.array2d(dtype=mat33)):
        i = wp.tid()
        gF, gA = wp.grad(contracted)(F[i], A[i])
        R[0, i] = polar(F[i])
        R[1, i] = general(F[i])
        R[2, i] = robust(F[i])
        R[3, i] = gF

    return rotate


@functools.cache
def pair_kernel(p: Precision, function: Callable) -> wp.Kernel:
    """A kernel of one (vec3, vec3) -> vec3; `wp.map` would take two such functions of one name for the same."""
    vec3 = p.vec3

    @wp.kernel(enable_backward=False, module="unique")
    def apply(u: wp.array(dtype=vec3), v: wp.array(dtype=vec3), out: wp.array(dtype=vec3)):
        i = wp.tid()
        out[i] = function(u[i], v[i])

    return apply


def run_eigen(S: np.ndarray, p: Precision) -> tuple[np.ndarray, np.ndarray]:
    Q, w = wp.zeros(len(S), dtype=p.mat33, device="cpu"), wp.zeros(len(S), dtype=p.vec3, device="cpu")
    wp.launch(eigen_kernel(p), len(S), [wp.array(S.astype(p.numpy), dtype=p.mat33, device="cpu"), Q, w], device="cpu")
    return Q.numpy().astype(np.float64), w.numpy().astype(np.float64)


def run_polar(F: np.ndarray, A: np.ndarray, p: Precision) -> np.ndarray:
    R = wp.zeros((4, len(F)), dtype=p.mat33, device="cpu")
    inputs = [wp.array(x.astype(p.numpy), dtype=p.mat33, device="cpu") for x in (F, A)]
    wp.launch(polar_kernel(p), len(F), [*inputs, R], device="cpu")
    return R.numpy().astype(np.float64)


def mapped(function: Callable, p: Precision, *columns: np.ndarray) -> np.ndarray:
    """A Warp function of scalars over arrays."""
    arrays = [wp.array(np.asarray(c, dtype=p.numpy), dtype=p.real, device="cpu") for c in columns]
    return wp.map(function, *arrays).numpy().astype(np.float64)


def symmetric(rng: np.random.Generator, eigenvalues: np.ndarray) -> np.ndarray:
    Q = rotations(rng, len(eigenvalues))
    return (Q * eigenvalues[:, None, :]) @ np.swapaxes(Q, 1, 2)


EIGENVALUES = {
    "generic": lambda rng: rng.standard_normal((500, 3)),
    "two equal": lambda rng: np.stack([a := rng.standard_normal(200), a, rng.standard_normal(200)], 1),
    "almost equal": lambda rng: np.stack([a := rng.standard_normal(200), a * (1 + 1e-6), rng.standard_normal(200)], 1),
    "three equal": lambda rng: np.repeat(rng.standard_normal((50, 1)), 3, axis=1),
    "zero": lambda rng: np.zeros((1, 3)),
    "tiny": lambda rng: 1e-12 * rng.standard_normal((100, 3)),
    "wide": lambda rng: np.exp(rng.uniform(-12, 6, (500, 3))),
    "traceless": lambda rng: np.stack([a := rng.standard_normal(100), -a, 0 * a], 1),
}


@both
@pytest.mark.parametrize("kind", EIGENVALUES)
def test_eigenvectors_diagonalise_to_round_off_of_the_matrix(kind, p):
    rng = np.random.default_rng(0)
    S = symmetric(rng, EIGENVALUES[kind](rng))
    S = (0.5 * (S + np.swapaxes(S, 1, 2))).astype(p.numpy).astype(np.float64)
    Q, w = run_eigen(S, p)
    scale = np.abs(S).max((1, 2))
    residual = np.abs(np.swapaxes(Q, 1, 2) @ S @ Q - w[:, None, :] * np.eye(3)).max((1, 2))
    assert (residual <= 12 * p.epsilon * scale).all(), (residual / (scale * p.epsilon)).max()
    assert np.abs(np.swapaxes(Q, 1, 2) @ Q - np.eye(3)).max() < 8 * p.epsilon
    assert (np.diff(w, axis=1) >= -4 * p.epsilon * scale[:, None]).all()


@both
def test_eigenvectors_of_a_nearly_spherical_matrix_are_accurate_to_its_deviator(p):
    """A diagonal shift must not cost accuracy: S = 1 + 1e-3 D is resolved to round-off of one, not to 1e3 times it."""
    rng = np.random.default_rng(1)
    D = symmetric(rng, 1e-3 * rng.standard_normal((300, 3)))
    S = (np.eye(3) + 0.5 * (D + np.swapaxes(D, 1, 2))).astype(p.numpy).astype(np.float64)
    Q, _ = run_eigen(S, p)
    rotated = np.swapaxes(Q, 1, 2) @ (S - np.eye(3)) @ Q
    off = np.abs(rotated - rotated * np.eye(3)).max()
    assert off < 4 * p.epsilon


STRETCHES = {
    "rest": lambda rng: np.ones((50, 3)),
    "1e-8 from rest": lambda rng: 1 + 1e-8 * rng.standard_normal((100, 3)),
    "moderate": lambda rng: np.exp(rng.uniform(-0.5, 0.5, (300, 3))),
    "two equal": lambda rng: np.stack([a := np.exp(rng.uniform(-1, 1, 200)), a, np.exp(rng.uniform(-1, 1, 200))], 1),
    "0.05 to 20": lambda rng: np.exp(rng.uniform(-3, 3, (1000, 3))),
    "20, 0.06, 0.05": lambda rng: np.tile([20, 0.06, 0.05], (100, 1)),
    "inverted": lambda rng: np.exp(rng.uniform(-3, 3, (1000, 3))) * [1, 1, -1],
    "flat": lambda rng: np.stack([a := np.exp(rng.uniform(-1, 1, 100)), a + 1, 0 * a], 1),
}


@both
@pytest.mark.parametrize("kind", STRETCHES)
def test_polar_rotation_is_the_closest_rotation(kind, p):
    """The error is bounded by round-off times the condition s1 / (s2 + s3) of the rotation, s3 signed."""
    rng = np.random.default_rng(2)
    F = stretched(rng, STRETCHES[kind](rng)).astype(p.numpy).astype(np.float64)
    R = run_polar(F, np.zeros_like(F), p)
    signed = np.linalg.svd(F, compute_uv=False)
    signed[:, 2] *= np.sign(np.linalg.det(F))
    condition = signed[:, 0] / np.maximum(signed[:, 1] + signed[:, 2], 1e-300)
    for route in R[[0, 1, 2]]:
        assert np.abs(np.swapaxes(route, 1, 2) @ route - np.eye(3)).max() < 40 * p.epsilon
        assert np.linalg.det(route).min() > 0.99
        error = np.abs(route - reference.rotation(F)).max((1, 2))
        assert (error <= 60 * p.epsilon * (1 + condition)).all(), (error / (p.epsilon * (1 + condition))).max()


@both
@pytest.mark.parametrize("stretches", [[1, 0, 0], [0, 0, 0], [1, 1, -1], [3, 1e-9, 1e-9]])
def test_polar_rotation_of_a_collapsed_matrix_is_still_a_rotation(stretches, p):
    rng = np.random.default_rng(3)
    F = np.concatenate([stretched(rng, np.tile(np.array(stretches, dtype=float), (50, 1))), np.diag(stretches)[None]])
    R, _, _, gradient = run_polar(F, rng.standard_normal(F.shape), p)
    assert np.abs(np.swapaxes(R, 1, 2) @ R - np.eye(3)).max() < 40 * p.epsilon
    assert np.linalg.det(R).min() > 0.99
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("kind", ["rest", "1e-8 from rest", "moderate", "two equal"])
def test_polar_gradient_agrees_with_finite_differences(kind):
    rng = np.random.default_rng(4)
    F = stretched(rng, STRETCHES[kind](rng))
    A, D = rng.standard_normal((2, *F.shape))
    slope = central_difference(lambda h: (run_polar(F + h * D, A, DOUBLE)[0] * A).sum((1, 2)), h=3e-4)
    assert_close((run_polar(F, A, DOUBLE)[3] * D).sum((1, 2)), slope, 1e-8)


def test_polar_gradient_is_right_for_inverted_matrices():
    rng = np.random.default_rng(5)
    F = stretched(rng, np.tile([1.3, 0.9, -0.4], (100, 1)))
    A, D = rng.standard_normal((2, *F.shape))
    slope = central_difference(lambda h: (run_polar(F + h * D, A, DOUBLE)[0] * A).sum((1, 2)), h=1e-4)
    assert_close((run_polar(F, A, DOUBLE)[3] * D).sum((1, 2)), slope, 1e-8)


@both
def test_log1p_keeps_relative_accuracy(p):
    x = np.concatenate([10.0 ** np.arange(-30, 0), -(10.0 ** np.arange(-30, 0)), [0.5, -0.5]]).astype(p.numpy)
    np.testing.assert_allclose(mapped(log1p(p), p, x), np.log1p(x.astype(np.float64)), rtol=4 * p.epsilon)


@both
def test_divided_differences_are_accurate_from_equal_to_distant_arguments(p):
    """Half an ulp in the exponent times the ratio at which the series takes over (10 to 20) bounds the error."""
    rng = np.random.default_rng(6)
    gaps = np.concatenate([[0.0], 10.0 ** np.linspace(-16, 0, 200)])
    a = rng.uniform(-0.5, 0.5, len(gaps)).astype(p.numpy).astype(np.float64)
    b = (a + gaps).astype(p.numpy).astype(np.float64)
    columns = np.stack([a, b, b], 1)
    strain, exponential = strain_quotients(p), exponential_quotients(p)

    def run(function: Callable, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        out = wp.zeros(len(u), dtype=p.vec3, device="cpu")
        arrays = [wp.array(x.astype(p.numpy), dtype=p.vec3, device="cpu") for x in (u, v)]
        wp.launch(pair_kernel(p, function), len(u), [*arrays, out], device="cpu")
        return out.numpy().astype(np.float64)[:, 1]

    squares = np.exp(2 * columns).astype(p.numpy).astype(np.float64)
    x, y = squares[:, 0].astype(np.longdouble), squares[:, 1].astype(np.longdouble)
    exact = np.where(x == y, 0.5 / x, 0.5 * np.log1p((y - x) / x) / np.where(x == y, 1, y - x)).astype(np.float64)
    np.testing.assert_allclose(run(strain, squares, 0.5 * np.log(squares)), exact, rtol=40 * p.epsilon)
    d = (b - a).astype(np.longdouble)
    exact = (np.exp(a.astype(np.longdouble)) * np.where(d == 0, 1, np.expm1(d) / np.where(d == 0, 1, d))).astype(float)
    np.testing.assert_allclose(run(exponential, np.exp(columns), columns), exact, rtol=60 * p.epsilon)


def test_small_matrix_functions_agree_with_numpy():
    rng = np.random.default_rng(7)
    A, B = rng.standard_normal((2, 20, 3, 3))
    w = rng.standard_normal((20, 3))
    product = A @ np.swapaxes(B, 1, 2)
    a, b, ab = (wp.array(x, dtype=DOUBLE.mat33, device="cpu") for x in (A, B, product))
    v = wp.array(w, dtype=DOUBLE.vec3, device="cpu")
    expected = np.linalg.det(A)[:, None, None] * np.swapaxes(np.linalg.inv(A), 1, 2)
    np.testing.assert_allclose(wp.map(cofactor(DOUBLE), a).numpy(), expected, atol=1e-12)
    vectors = wp.map(axial(DOUBLE), a).numpy()
    expected = np.einsum("nij,nj->ni", A - np.swapaxes(A, 1, 2), w)
    np.testing.assert_allclose(np.cross(vectors, w), expected, atol=1e-13)
    vectors = wp.map(axial_of_product(DOUBLE), a, b).numpy()
    np.testing.assert_allclose(vectors, wp.map(axial(DOUBLE), ab).numpy(), atol=1e-13)
    expected = np.cross(w[:, None, :], np.swapaxes(A, 1, 2)).swapaxes(1, 2)
    np.testing.assert_allclose(wp.map(cross_columns(DOUBLE), v, a).numpy(), expected, atol=1e-13)
