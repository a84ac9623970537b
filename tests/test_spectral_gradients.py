"""Gradients through spectral fields: every equation and integrator against finite differences, and its adjoints exactly."""

import pytest

import sim
from sim.spectral import INTEGRATORS, equations
from sim.spectral.equation import kinds
from tests.spectral_boxes import EQUATIONS, model_of, weighted_loss

STEPS = 50


def test_every_equation_has_a_box_in_these_tests():
    assert set(kinds()) == set(EQUATIONS) == set(equations.__all__)


@pytest.mark.parametrize("name", EQUATIONS)
def test_gradients_agree_with_finite_differences_over_50_steps(name):
    rollout = model_of(name, batch=2).rollout(STEPS, record_every=STEPS // 2)
    report = sim.check_gradients(rollout, weighted_loss, probes=1, sweep=(1e-4, 1e-5))
    assert report.ok, f"{name}\n{report}"


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("name", ["NavierStokes2D", "KortewegDeVries", "GrayScott"])
def test_gradients_agree_for_every_integrator(name, integrator):
    rollout = model_of(name, integrator=integrator).rollout(12, record_every=5)
    report = sim.check_gradients(rollout, weighted_loss, probes=1, sweep=(1e-4, 1e-5))
    assert report.ok, f"{integrator}\n{report}"
