"""What the tests of the constitutive laws share: samples, deformations, one kernel a law, finite differences."""

import functools
from collections.abc import Callable

import numpy as np
import warp as wp

from pliant.sim import materials
from pliant.sim.precision import Precision, precision
from tests import reference_laws as reference

DOUBLE, SINGLE = precision("float64"), precision("float32")

SAMPLES = [
    ("NeoHookean", {"youngs_modulus": 1.7, "poissons_ratio": 0.3}),
    ("FixedCorotated", {"youngs_modulus": 1.7, "poissons_ratio": 0.3}),
    ("Fluid", {"bulk_modulus": 1.9, "viscosity": 0.4}),
    ("Hencky", {"youngs_modulus": 1.7, "poissons_ratio": 0.3}),
    ("VonMises", {"youngs_modulus": 1.7, "poissons_ratio": 0.3, "yield_stress": 0.2}),
    ("DruckerPrager", {"youngs_modulus": 1.7, "poissons_ratio": 0.2, "friction_angle": 0.5, "cohesion": 0.0}),
    ("DruckerPrager", {"youngs_modulus": 1.7, "poissons_ratio": 0.2, "friction_angle": 0.5, "cohesion": 0.1}),
]


def identity_map(p: Precision) -> Callable:
    mat33 = p.mat33

    @wp.func
    def same(F: mat33) -> mat33:
        return F

    return same


@functools.cache
def kernel_of(name: str, p: Precision) -> wp.Kernel:
    """One kernel that writes all a law has to say of (F, C, parameters, adjoint A)."""
    law = getattr(materials, name)
    real, mat33 = p.real, p.mat33
    vec, par = p.vector(law.coefficient_count()), p.vector(law.parameter_count())
    kirchhoff, kirchhoff_vjp, energy = law.kirchhoff(p), law.kirchhoff_vjp(p), law.energy(p)
    coefficients, plastic = law.coefficients(p), law.return_map(p) is not None
    return_map = law.return_map(p) if plastic else identity_map(p)
    return_map_vjp = law.return_map_vjp(p)

    @wp.func
    def stress(F: mat33, C: mat33, parameters: par, A: mat33) -> real:
        return wp.ddot(kirchhoff(F, C, coefficients(parameters)), A)

    @wp.func
    def pulled(parameters: par, gc: vec) -> real:
        return wp.dot(coefficients(parameters), gc)

    @wp.kernel(enable_backward=False, module="unique")
    def evaluate(
        F: wp.array(dtype=mat33),
        C: wp.array(dtype=mat33),
        parameters: wp.array(dtype=par),
        A: wp.array(dtype=mat33),
        tau: wp.array(dtype=mat33),
        stress_gradients: wp.array2d(dtype=mat33),
        stress_parameters: wp.array2d(dtype=par),
        stored: wp.array(dtype=real),
        stored_gradient: wp.array(dtype=mat33),
        mapped: wp.array(dtype=mat33),
        map_gradient: wp.array(dtype=mat33),
        map_parameters: wp.array(dtype=par),
    ):
        i = wp.tid()
        c = coefficients(parameters[i])
        tau[i] = kirchhoff(F[i], C[i], c)
        gF, gC, gc = kirchhoff_vjp(F[i], C[i], c, A[i])
        gp, unused = wp.grad(pulled)(parameters[i], gc)
        stress_gradients[0, i] = gF
        stress_gradients[1, i] = gC
        stress_parameters[0, i] = gp
        aF, aC, ap, aA = wp.grad(stress)(F[i], C[i], parameters[i], A[i])
        stress_gradients[2, i] = aF
        stress_gradients[3, i] = aC
        stress_parameters[1, i] = ap
        stored[i] = energy(F[i], c)
        eF, ec = wp.grad(energy)(F[i], c)
        stored_gradient[i] = eF
        if wp.static(plastic):
            mapped[i] = return_map(F[i], c)
            mF, mc = return_map_vjp(F[i], c, A[i])
            mp, unused = wp.grad(pulled)(parameters[i], mc)
            map_gradient[i] = mF
            map_parameters[i] = mp

    return evaluate


class Result(dict):
    """The arrays one launch wrote, by name, as float64."""

    __getattr__ = dict.__getitem__


def evaluate(name: str, p: Precision, F: np.ndarray, parameters: np.ndarray | dict, C=None, A=None) -> Result:
    """What the law says at each F; `parameters` is a dictionary or one row an F."""
    law = getattr(materials, name)
    n = len(F)
    if isinstance(parameters, dict):
        parameters = np.tile([parameters[s.name] for s in law.PARAMETERS], (n, 1))
    par = p.vector(law.parameter_count())
    zero = np.zeros((n, 3, 3))
    given = [(F, p.mat33), (zero if C is None else C, p.mat33), (parameters, par), (zero if A is None else A, p.mat33)]
    outputs = {
        "tau": (n, p.mat33),
        "stress_gradients": ((4, n), p.mat33),
        "stress_parameters": ((2, n), par),
        "stored": (n, p.real),
        "stored_gradient": (n, p.mat33),
        "mapped": (n, p.mat33),
        "map_gradient": (n, p.mat33),
        "map_parameters": (n, par),
    }
    arrays = {key: wp.zeros(shape, dtype=dtype, device="cpu") for key, (shape, dtype) in outputs.items()}
    inputs = [wp.array(np.asarray(x, dtype=p.numpy), dtype=dtype, device="cpu") for x, dtype in given]
    wp.launch(kernel_of(name, p), n, inputs, list(arrays.values()), device="cpu")
    return Result({key: array.numpy().astype(np.float64) for key, array in arrays.items()})


def rotations(rng: np.random.Generator, count: int) -> np.ndarray:
    Q = np.linalg.qr(rng.standard_normal((count, 3, 3)))[0]
    return Q * np.sign(np.linalg.det(Q))[:, None, None]


def stretched(rng: np.random.Generator, stretches: np.ndarray) -> np.ndarray:
    """Deformation gradients with the given stretches [n, 3] between random rotations."""
    U, V = rotations(rng, len(stretches)), rotations(rng, len(stretches))
    return (U * stretches[:, None, :]) @ V


@functools.cache
def deformations() -> np.ndarray:
    """Rest, a rotation, strains of 1e-8 and 1e-3, repeated stretches, dilation and generic large strains."""
    rng = np.random.default_rng(7)
    special = np.array([[1, 1, 1], [1.3, 1.3, 0.7], [0.8, 0.8, 1.1], [1.2, 1.2, 1.2], [0.9, 0.9, 0.9], [1.5, 1.0, 0.5]])
    near = 1 + np.array([[1e-8], [1e-6], [1e-3]]) * rng.standard_normal((3, 3))
    almost_equal = np.array([[1.3, 1.3 + 1e-9, 0.7], [0.8, 0.8 + 1e-5, 0.8 - 1e-5]])
    generic = np.exp(rng.uniform(-0.7, 0.7, (30, 3)))
    return np.concatenate([np.eye(3)[None], stretched(rng, np.concatenate([special, near, almost_equal, generic]))])


def smooth(name: str, values: dict, F: np.ndarray) -> np.ndarray:
    """The rows of F whose trial strain is farther than 0.05 from a kink of the return map."""
    distance = reference.KINK_DISTANCE.get(name)
    return F if distance is None else F[distance(F, **values) > 0.05]


def central_difference(function: Callable[[float], np.ndarray], h: float = 1e-3) -> np.ndarray:
    """Fourth-order derivative at 0; for smooth functions of order one its error is about 1e-12."""
    return (8 * (function(h) - function(-h)) - (function(2 * h) - function(-2 * h))) / (12 * h)


def assert_close(value: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Every row within `tolerance` of the row's size, or of one where the row is small."""
    value, expected = value.reshape(len(value), -1), expected.reshape(len(expected), -1)
    error = np.abs(value - expected).max(axis=1)
    assert (error <= tolerance * np.maximum(1.0, np.abs(expected).max(axis=1))).all(), error.max()
