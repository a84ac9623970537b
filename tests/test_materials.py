"""Every constitutive law, found by discovery: a new law is tested by giving it a sample and a NumPy reference."""

import functools
import json
from collections.abc import Callable

import numpy as np
import pytest
import warp as wp

from pliant.sim import materials
from pliant.sim.errors import InputError
from pliant.sim.materials import Material
from pliant.sim.parameter import ParameterSpec
from pliant.sim.precision import Precision
from tests import reference_laws as reference
from tests.evaluate_laws import (
    DOUBLE,
    SAMPLES,
    SINGLE,
    assert_close,
    central_difference,
    deformations,
    evaluate,
    rotations,
    smooth,
    stretched,
)

every_law = pytest.mark.parametrize(("name", "values"), SAMPLES, ids=lambda v: v if isinstance(v, str) else "")
plastic_laws = pytest.mark.parametrize(
    ("name", "values"), [s for s in SAMPLES if s[0] in reference.YIELD], ids=lambda v: v if isinstance(v, str) else ""
)


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


class Spring(Material, abstract=True):
    """A law without any derivative of its own: tau = k (F + F^T - 2 I), F <- F F^T / k."""

    PARAMETERS = (ParameterSpec("stiffness", "Pa", lower=0.0),)

    @classmethod
    @functools.cache
    def kirchhoff(cls, p: Precision) -> Callable:
        real, mat33, vec = p.real, p.mat33, p.vector(1)

        @wp.func
        def kirchhoff_of(F: mat33, C: mat33, c: vec) -> mat33:
            return c[0] * (F + wp.transpose(F) - real(2.0) * wp.identity(n=3, dtype=real))

        return kirchhoff_of

    @classmethod
    @functools.cache
    def return_map(cls, p: Precision) -> Callable:
        mat33, vec = p.mat33, p.vector(1)

        @wp.func
        def return_map_of(F: mat33, c: vec) -> mat33:
            return F * wp.transpose(F) / c[0]

        return return_map_of


@functools.cache
def spring_kernel(p: Precision) -> wp.Kernel:
    mat33, vec = p.mat33, p.vector(1)
    kirchhoff_vjp, return_map_vjp = Spring.kirchhoff_vjp(p), Spring.return_map_vjp(p)

    @wp.kernel(enable_backward=False, module="unique")
    def pull(F: mat33, A: mat33, c: vec, out: wp.array(dtype=mat33), slopes: wp.array(dtype=vec)):
        gF, gC, gc = kirchhoff_vjp(F, mat33(), c, A)
        mF, mc = return_map_vjp(F, c, A)
        out[0] = gF
        out[1] = mF
        slopes[0] = gc
        slopes[1] = mc

    return pull


def test_a_law_without_derivatives_gets_exact_ones():
    F, A = np.random.default_rng(13).standard_normal((2, 3, 3))
    out, slopes = wp.zeros(2, dtype=DOUBLE.mat33, device="cpu"), wp.zeros(2, dtype=DOUBLE.vector(1), device="cpu")
    inputs = [DOUBLE.mat33(F), DOUBLE.mat33(A), DOUBLE.vector(1)(2.0)]
    wp.launch(spring_kernel(DOUBLE), 1, [*inputs, out, slopes], device="cpu")
    np.testing.assert_allclose(out.numpy()[0], 2 * (A + A.T), rtol=1e-14)
    np.testing.assert_allclose(out.numpy()[1], (A + A.T) @ F / 2, rtol=1e-14)
    expected = [(A * (F + F.T - 2 * np.eye(3))).sum(), -(A * (F @ F.T)).sum() / 4]
    np.testing.assert_allclose(slopes.numpy()[:, 0], expected, rtol=1e-13)


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
