"""Gradients through spectral fields: every equation and integrator against finite differences, and its adjoints exactly."""

import numpy as np
import pytest

from pliant import sim
from pliant.sim.spectral import INTEGRATORS, equations
from pliant.sim.spectral.equation import kinds
from tests.spectral_boxes import EQUATIONS, model_of, random_state, rate_of, weighted_loss

STEPS = 50
NO_POLYNOMIALS = {"ActiveFluid", "KineticActiveFluid"}  # their flow solves an equation


def test_every_equation_has_a_box_in_these_tests():
    assert set(kinds()) == set(EQUATIONS) == set(equations.__all__)


@pytest.mark.parametrize("name", EQUATIONS)
def test_gradients_agree_with_finite_differences_over_50_steps(name):
    rollout = model_of(name, batch=2).rollout(STEPS, record_every=STEPS // 2)
    report = sim.check_gradients(rollout, weighted_loss, probes=1, sweep=(1e-4, 1e-5))
    assert report.ok and max(p.error for p in report.parameters) <= 1e-6, f"{name}\n{report}"


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("name", ["NavierStokes2D", "KortewegDeVries", "GrayScott"])
def test_gradients_agree_for_every_integrator(name, integrator):
    rollout = model_of(name, integrator=integrator).rollout(12, record_every=5)
    report = sim.check_gradients(rollout, weighted_loss, probes=1, sweep=(1e-4, 1e-5))
    assert report.ok and max(p.error for p in report.parameters) <= 1e-6, f"{integrator}\n{report}"


def inner(model, a: np.ndarray, b: np.ndarray) -> float:
    """Mean over the points of a b, summed over components and environments."""
    return float((model.grid.weights * np.real(np.conj(a) * b)).sum())


@pytest.mark.parametrize("name", sorted(set(EQUATIONS) - {"AdvectionDiffusion"} - NO_POLYNOMIALS))
def test_the_adjoint_of_the_nonlinear_term_is_exact(name):
    """<J v, w> = <v, J^T w>: N is a polynomial of degree 3 at most, so five-point differences give J v without error."""
    rng = np.random.default_rng(1)
    model = model_of(name, batch=2)
    solver = model.rollout(1).solver
    solver.binding.set({})
    u, v, w = (random_state(model, rng) for _ in range(3))
    at = {s: rate_of(solver, u + s * v)[0] for s in (-2, -1, 1, 2)}
    forward = (8.0 * (at[1] - at[-1]) - (at[2] - at[-2])) / 12.0
    backward = np.empty_like(u)
    solver.rate.pull_back(rate_of(solver, u)[1], w.copy(), backward, add=False)
    left, right = inner(model, forward, w), inner(model, v, backward)
    scale = np.sqrt(inner(model, forward, forward) * inner(model, w, w))
    assert abs(left - right) < 1e-12 * scale


@pytest.mark.parametrize("name", EQUATIONS)
def test_the_derivatives_of_the_linear_operator_are_exact(name):
    """A symbol is a polynomial in each parameter of degree 4 at most, of which five-point differences are exact."""
    equation, grid = EQUATIONS[name][0], model_of(name).grid

    def values(changed=None, by: float = 0.0) -> dict:
        made = {}
        for spec in equation.PARAMETERS:
            value = np.atleast_1d(getattr(equation, spec.name))
            parts = [
                (part + by * (changed in (spec.name, (spec.name, axis)))).reshape((1,) * (1 + grid.dimension))
                for axis, part in enumerate(value)
            ]
            made[spec.name] = parts if spec.name in equation.VECTORS else parts[0]
        return made

    _, slopes = equation.linear(grid, values())
    assert slopes
    for parameter, known in slopes.items():
        at = {s: equation.linear(grid, values(parameter, 0.1 * s))[0] for s in (-2, -1, 1, 2)}
        for index, slope in enumerate(known):
            found = (8.0 * (at[1][index] - at[-1][index]) - (at[2][index] - at[-2][index])) / 1.2
            assert np.abs(found - slope).max() < 1e-10 * max(1.0, np.abs(at[1][index]).max())


@pytest.mark.parametrize("integrator", ["ETDRK4", "SBDF3"])
def test_the_gradient_is_the_same_for_every_choice_of_checkpoints(integrator):
    model, found = model_of("NavierStokes2D", integrator=integrator), []
    for every in ("auto", 7, 1):
        rollout = model.rollout(20, record_every=4, control_every=5, checkpoint_every=every)
        gradients = rollout.backward(weighted_loss(rollout.forward())[1])
        found.append(gradients.arrays)
    for other in found[1:]:
        for name, gradient in found[0].items():
            assert np.array_equal(gradient, other[name])


def test_environments_of_a_batch_are_the_runs_one_by_one():
    viscosities = np.array([0.01, 0.02, 0.05])
    together = model_of("NavierStokes2D", batch=3).rollout(10, record_every=5)
    trajectory = together.forward({"field.viscosity": viscosities})
    _, adjoints = weighted_loss(trajectory)
    gradients = together.backward(adjoints)
    alone = model_of("NavierStokes2D").rollout(10, record_every=5)
    for env, viscosity in enumerate(viscosities):
        start = together.parameters()["field.vorticity"].value[env]
        made = alone.forward({"field.viscosity": viscosity, "field.vorticity": start})
        one = alone.backward({name: a[:, env : env + 1] for name, a in adjoints.items()})
        size = np.abs(made["field.vorticity"]).max()
        assert np.abs(made["field.vorticity"][:, 0] - trajectory["field.vorticity"][:, env]).max() < 1e-13 * size
        for name in ("field.viscosity", "field.drag", "field.forcing"):
            assert np.allclose(np.ravel(one[name])[0], np.ravel(gradients[name])[env], rtol=1e-11)


def test_only_the_gradients_asked_for_are_returned_and_they_are_the_same():
    rollout = model_of("GrayScott").rollout(10)
    _, adjoints = weighted_loss(rollout.forward())
    every, some = rollout.backward(adjoints), rollout.backward(adjoints, names=["field.u", "field.feed"])
    assert set(some) == {"field.u", "field.feed"}
    assert np.array_equal(some["field.u"], every["field.u"])
    assert np.array_equal(some["field.feed"], every["field.feed"])


def test_a_force_that_changes_over_time_has_a_gradient_at_every_interval():
    rollout = model_of("NavierStokes2D").rollout(12, control_every=4, record_every=6)
    values = {"field.forcing": np.array([[0.3, -0.2, 0.5]])}
    report = sim.check_gradients(rollout, weighted_loss, values, names=["field.forcing"], probes=3, sweep=(1e-4, 1e-5))
    assert report.ok and max(p.error for p in report.parameters) <= 1e-6, f"{report}"
    rollout.forward(values)
    assert rollout.backward(weighted_loss(rollout.forward(values))[1])["field.forcing"].shape == (1, 3)


def test_single_precision_follows_double_precision():
    made = {}
    for dtype in ("float32", "float64"):
        rollout = model_of("NavierStokes2D", dtype=dtype, dt=0.01).rollout(20)
        trajectory = rollout.forward()
        assert trajectory["field.vorticity"].dtype == dtype
        adjoints = {"field.vorticity": trajectory["field.vorticity"]}
        made[dtype] = trajectory["field.vorticity"][-1], rollout.backward(adjoints)["field.viscosity"]
    for single, double in zip(made["float32"], made["float64"], strict=True):
        assert np.allclose(single, double, rtol=1e-4, atol=1e-5)
