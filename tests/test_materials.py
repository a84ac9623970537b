"""Every constitutive law, found by discovery: a new law is tested by giving it a sample and a NumPy reference."""

import functools
import json
from collections.abc import Callable

import numpy as np
import pytest
import warp as wp

from sim import materials
from sim.errors import InputError
from sim.materials import Material
from sim.precision import Precision, precision
from tests import reference_laws as reference

SAMPLES = [
    ("NeoHookean", {"youngs_modulus": 1.7, "poissons_ratio": 0.3}),
    ("FixedCorotated", {"youngs_modulus": 1.7, "poissons_ratio": 0.3}),
    ("Fluid", {"bulk_modulus": 1.9, "viscosity": 0.4}),
    ("Hencky", {"youngs_modulus": 1.7, "poissons_ratio": 0.3}),
    ("VonMises", {"youngs_modulus": 1.7, "poissons_ratio": 0.3, "yield_stress": 0.2}),
    ("DruckerPrager", {"youngs_modulus": 1.7, "poissons_ratio": 0.2, "friction_angle": 0.5, "cohesion": 0.0}),
    ("DruckerPrager", {"youngs_modulus": 1.7, "poissons_ratio": 0.2, "friction_angle": 0.5, "cohesion": 0.1}),
]
every_law = pytest.mark.parametrize(("name", "values"), SAMPLES, ids=lambda v: v if isinstance(v, str) else "")
plastic_laws = pytest.mark.parametrize(
    ("name", "values"), [s for s in SAMPLES if s[0] in reference.YIELD], ids=lambda v: v if isinstance(v, str) else ""
)


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


DOUBLE, SINGLE = precision("float64"), precision("float32")


def test_every_exported_law_has_a_sample_and_a_reference():
    laws = {name for name in materials.__all__ if name != "Material"}
    assert laws == {name for name, _ in SAMPLES} == set(reference.KIRCHHOFF)


@every_law
def test_stress_is_zero_at_rest_and_after_a_rotation(name, values):
    F = np.concatenate([np.eye(3)[None], rotations(np.random.default_rng(0), 20)])
    assert np.abs(evaluate(name, DOUBLE, F, values).tau).max() < 1e-12  # round-off times a modulus of order one


@every_law
def test_stress_is_symmetric(name, values):
    C = np.random.default_rng(1).standard_normal(deformations().shape)
    tau = evaluate(name, DOUBLE, deformations(), values, C=C).tau
    assert_close(tau, np.swapaxes(tau, 1, 2), 1e-14)


@every_law
def test_stress_turns_with_the_observer(name, values):
    F = deformations()
    rng = np.random.default_rng(2)
    C, Q = rng.standard_normal(F.shape), rotations(rng, len(F))
    Qt = np.swapaxes(Q, 1, 2)
    turned = evaluate(name, DOUBLE, Q @ F, values, C=Q @ C @ Qt).tau
    assert_close(turned, Q @ evaluate(name, DOUBLE, F, values, C=C).tau @ Qt, 1e-12)


@every_law
def test_stress_is_the_derivative_of_the_energy(name, values):
    F = deformations()
    result = evaluate(name, DOUBLE, F, values)
    assert_close(result.stored_gradient @ np.swapaxes(F, 1, 2), result.tau, 1e-12)
    D = np.random.default_rng(3).standard_normal(F.shape)
    slope = central_difference(lambda h: evaluate(name, DOUBLE, F + h * D, values).stored)
    assert_close((result.stored_gradient * D).sum((1, 2)), slope, 1e-8)


@every_law
def test_stress_agrees_with_the_reference(name, values):
    F = deformations()
    C = np.random.default_rng(4).standard_normal(F.shape)
    expected = reference.KIRCHHOFF[name](F, C, **values)
    assert_close(evaluate(name, DOUBLE, F, values, C=C).tau, expected, 1e-13)


@every_law
def test_single_precision_stress_agrees_with_the_reference(name, values):
    F = deformations().astype(np.float32).astype(np.float64)
    C = np.random.default_rng(4).standard_normal(F.shape).astype(np.float32).astype(np.float64)
    rounded = {key: float(np.float32(value)) for key, value in values.items()}
    expected = reference.KIRCHHOFF[name](F, C, **rounded)
    assert_close(evaluate(name, SINGLE, F, rounded, C=C).tau, expected, 3e-6)  # 25 units of round-off


@pytest.mark.parametrize("strain", [1e-6, 1e-4, 1e-2])
@pytest.mark.parametrize(
    ("name", "values"), [s for s in SAMPLES if issubclass(getattr(materials, s[0]), materials.Hencky)]
)
def test_small_strain_keeps_relative_accuracy_in_single_precision(name, values, strain):
    """F - I is exact and the strain is formed from it, so the error is relative to the stress, not to the modulus."""
    rng = np.random.default_rng(5)
    F = (np.eye(3) + strain * rng.uniform(-1, 1, (200, 3, 3))).astype(np.float32).astype(np.float64)
    expected = evaluate(name, DOUBLE, F, values).tau
    error = np.abs(evaluate(name, SINGLE, F, values).tau - expected).max((1, 2))
    assert (error < 3e-6 * np.abs(expected).max((1, 2))).all()


@every_law
def test_stress_gradients_agree_with_finite_differences(name, values):
    F = deformations()
    rng = np.random.default_rng(6)
    C, A, D, dC = rng.standard_normal((4, *F.shape))
    law = getattr(materials, name)
    parameters = np.tile([values[s.name] for s in law.PARAMETERS], (len(F), 1))
    direction = rng.standard_normal(parameters.shape) * 0.1

    def contracted(dF: float = 0.0, dc: float = 0.0, dp: float = 0.0) -> np.ndarray:
        result = evaluate(name, DOUBLE, F + dF * D, parameters + dp * direction, C=C + dc * dC)
        return (result.tau * A).sum((1, 2))

    result = evaluate(name, DOUBLE, F, parameters, C=C, A=A)
    for gF, gC, gp in zip(
        (0, 2), (1, 3), (0, 1), strict=True
    ):  # the law's own, and wp.grad of a function that calls it
        by_F = (result.stress_gradients[gF] * D).sum((1, 2))
        assert_close(by_F, central_difference(lambda h: contracted(dF=h)), 1e-8)
        by_C = (result.stress_gradients[gC] * dC).sum((1, 2))
        assert_close(by_C, central_difference(lambda h: contracted(dc=h)), 1e-8)
        by_p = (result.stress_parameters[gp] * direction).sum(1)
        if name != "DruckerPrager" or values["cohesion"] > 0:
            assert_close(by_p, central_difference(lambda h: contracted(dp=h)), 1e-8)


@every_law
def test_single_precision_gradients_agree_with_double(name, values):
    F = smooth(name, values, deformations()).astype(np.float32).astype(np.float64)
    A = np.random.default_rng(8).standard_normal(F.shape).astype(np.float32).astype(np.float64)
    single, double = (evaluate(name, p, F, values, A=A) for p in (SINGLE, DOUBLE))
    assert_close(single.stress_gradients[0], double.stress_gradients[0], 1e-5)
    assert_close(single.map_gradient, double.map_gradient, 2e-5)


@pytest.mark.parametrize(("name", "values"), [s for s in SAMPLES if s[0] in reference.RETURN_MAP])
def test_return_map_agrees_with_the_reference(name, values):
    F = deformations()
    expected = reference.RETURN_MAP[name](F, **values)
    assert_close(evaluate(name, DOUBLE, F, values).mapped, expected, 1e-13)
    assert_close(evaluate(name, SINGLE, F, values).mapped, expected, 3e-6)


@pytest.mark.parametrize(("name", "values"), [s for s in SAMPLES if s[0] in reference.RETURN_MAP])
def test_return_map_gradients_agree_with_finite_differences(name, values):
    F = smooth(name, values, deformations())
    rng = np.random.default_rng(9)
    A, D = rng.standard_normal((2, *F.shape))
    law = getattr(materials, name)
    parameters = np.tile([values[s.name] for s in law.PARAMETERS], (len(F), 1))
    direction = rng.standard_normal(parameters.shape) * np.where(parameters > 0, 0.1, 0.0)
    result = evaluate(name, DOUBLE, F, parameters, A=A)

    def contracted(dF: float = 0.0, dp: float = 0.0) -> np.ndarray:
        return (evaluate(name, DOUBLE, F + dF * D, parameters + dp * direction).mapped * A).sum((1, 2))

    by_F = (result.map_gradient * D).sum((1, 2))
    assert_close(by_F, central_difference(lambda h: contracted(dF=h)), 1e-7)
    by_p = (result.map_parameters * direction).sum(1)
    assert_close(by_p, central_difference(lambda h: contracted(dp=h)), 1e-7)


@pytest.mark.parametrize(("name", "values"), [s for s in SAMPLES if s[0] in reference.RETURN_MAP])
def test_return_map_twice_is_once(name, values):
    once = evaluate(name, DOUBLE, deformations(), values).mapped
    assert_close(evaluate(name, DOUBLE, once, values).mapped, once, 1e-14)


@plastic_laws
def test_returned_strain_is_admissible_and_elastic_trials_are_untouched(name, values):
    F = deformations()
    A = np.random.default_rng(10).standard_normal(F.shape)
    result = evaluate(name, DOUBLE, F, values, A=A)
    excess = reference.YIELD[name](F, **values)
    assert reference.YIELD[name](result.mapped, **values).max() < 1e-14
    elastic = excess < -1e-12
    assert 2 < elastic.sum() < len(F) - 2
    np.testing.assert_array_equal(result.mapped[elastic], F[elastic])
    np.testing.assert_array_equal(result.map_gradient[elastic], A[elastic])
    assert (result.map_parameters[elastic] == 0).all()


@plastic_laws
def test_plastic_flow_dissipates(name, values):
    """The trial and returned strains share their axes, so the work is the sum over the principal directions."""
    F = deformations()
    mapped = evaluate(name, DOUBLE, F, values).mapped
    flow = reference.log_stretches(F) - reference.log_stretches(mapped)
    mu, lam = reference.lame(values["youngs_modulus"], values["poissons_ratio"])
    e = reference.log_stretches(mapped)
    work = ((2 * mu * e + lam * e.sum(-1, keepdims=True)) * flow).sum(-1)
    assert work.min() > -1e-14


@plastic_laws
def test_von_mises_and_shear_flow_keep_the_volume(name, values):
    F = deformations()
    if name == "DruckerPrager":
        F = F[reference.drucker_prager_excess(F, **values)[1] < 0]
    mapped = evaluate(name, DOUBLE, F, values).mapped
    np.testing.assert_allclose(np.linalg.det(mapped), np.linalg.det(F), rtol=1e-13)


@pytest.mark.parametrize("p", [SINGLE, DOUBLE], ids=lambda p: p.name)
@pytest.mark.parametrize(("name", "values"), [s for s in SAMPLES if s[0] not in ("NeoHookean", "Fluid")])
def test_inverted_and_collapsed_states_stay_finite(name, values, p):
    """Only a solver can refuse such a state; the law must not poison the particles around it with NaN."""
    rng = np.random.default_rng(11)
    stretches = np.array([[1, 1, -1], [2, 1, -0.5], [1, 1, 0], [1, 0, 0], [0, 0, 0], [20, 18, 0.05], [1, 1, 1e-9]])
    F = np.concatenate([stretched(rng, stretches), [np.diag(s) for s in stretches], [-np.eye(3)]])
    result = evaluate(name, p, F, values, A=rng.standard_normal(F.shape))
    for key, array in result.items():
        assert np.isfinite(array).all(), key


@pytest.mark.parametrize("p", [SINGLE, DOUBLE], ids=lambda p: p.name)
def test_fixed_corotated_stress_is_right_for_inverted_and_large_strain(p):
    rng = np.random.default_rng(12)
    values = dict(SAMPLES[1][1])
    stretches = np.exp(rng.uniform(-3, 3, (200, 3))) * np.where(np.arange(200) % 2 == 0, 1.0, -1.0)[:, None]
    stretches[:, :2] = np.abs(stretches[:, :2])
    stretches[1::2, 2] *= 0.5 * np.abs(stretches[1::2, :2]).min(1) / np.abs(stretches[1::2, 2])  # a definite rotation
    F = stretched(rng, stretches).astype(p.numpy).astype(np.float64)
    expected = reference.fixed_corotated(F, None, **values)
    scale = np.abs(F).max((1, 2)) ** 2 + np.abs(np.linalg.det(F)) ** 2 + 1
    error = np.abs(evaluate("FixedCorotated", p, F, values).tau - expected).max((1, 2)) / scale
    condition = np.abs(F).max((1, 2)) / (np.sort(np.abs(stretches), axis=1)[:, 1])
    assert (error < 50 * p.epsilon * (1 + condition)).all()


@every_law
def test_wave_speed_is_that_of_small_strains(name, values):
    law = getattr(materials, name)(**values)
    strain = np.diag([1e-6, 0, 0])
    stress = evaluate(name, DOUBLE, (np.eye(3) + strain)[None], values).tau[0, 0, 0]
    assert law.wave_speed(1000.0) == pytest.approx(np.sqrt(stress / 1e-6 / 1000.0), rel=1e-5)
    first = law.PARAMETERS[0].name
    stiffer = type(law)(**{**values, first: [values[first], 4 * values[first]]})
    assert stiffer.wave_speed([1000.0, 1000.0]) == pytest.approx(2 * law.wave_speed(1000.0))


@every_law
def test_a_law_survives_json(name, values):
    law = getattr(materials, name)(**values)
    first = law.PARAMETERS[0].name
    for original in (law, type(law)(**{**values, first: np.array([1.0, 2.0])})):
        copy = Material.from_dict(json.loads(json.dumps(original.to_dict())))
        assert type(copy) is type(law)
        assert copy.to_dict() == original.to_dict()


@every_law
def test_bad_parameters_are_refused_with_a_sentence(name, values):
    law = getattr(materials, name)
    for spec in law.PARAMETERS:
        outside = [spec.lower - 1.0, spec.upper] + ([] if spec.lower_closed else [spec.lower])
        for bad in [np.nan, np.inf, [values[spec.name], np.nan], *outside]:
            with pytest.raises(InputError, match=rf"{name}\.{spec.name}: expected .*; correct the value"):
                law(**{**values, spec.name: bad})
        with pytest.raises(InputError, match=rf"{name}\.{spec.name}: expected a number or an array in"):
            law(**{**values, spec.name: "soft"})


def test_unknown_laws_and_names_are_refused_with_a_sentence():
    with pytest.raises(InputError, match="material: expected one of .*'NeoHookean'.* got 'Rubber'"):
        Material.from_dict({"kind": "Rubber"})
    with pytest.raises(InputError, match="material NeoHookean: expected the parameters .*got .'stiffness'"):
        Material.from_dict({"kind": "NeoHookean", "stiffness": 1.0})
