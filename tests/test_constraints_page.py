"""The code of docs/constraints.md runs as it stands, and what it finds is true."""

import numpy as np
import pytest
import torch

from benchmarks.constraints_pictures import run_page
from pliant.learn.constrain import ConvergenceError
from pliant.sim.spectral import equations
from pliant.sim.spectral.active.flow import flow_of


@pytest.fixture(scope="module")
def session():
    made = run_page()
    yield made
    torch.set_default_dtype(torch.float32)


def slope(function, at: float, step: float) -> torch.Tensor:
    """By central differences."""
    return (function(torch.tensor(at + step)) - function(torch.tensor(at - step))) / (2 * step)


def test_ridge_has_its_closed_form(session):
    assert session["ridge_gap"] < 1e-12 and session["slope"].abs().max() > 1e-3


def test_penalties_lower_the_held_out_loss_and_rise_where_nothing_is_to_be_learned(session):
    losses, penalties = session["held_out"], session["log_penalty"].detach()
    assert losses[-1] < 0.8 * losses[0]
    assert penalties[8:].mean() > penalties[:8].mean() + 1.0


def test_a_dictionary_is_learned_through_its_codes(session):
    assert session["dictionary_losses"][-1] < 0.1 * session["dictionary_losses"][0]
    assert (session["codes"] == 0.0).double().mean() > 0.2  # sparse


def test_the_ground_state_moves_as_finite_differences_say(session):
    state, movement = session["state"], session["movement"]
    assert torch.func.grad(session["energy"])(state, session["growth"]).abs().max() < 1e-9
    expected = slope(lambda g: session["ground"](state, g), 0.1, 1e-5)
    assert movement.abs().max() > 0.1
    assert torch.allclose(movement, expected, rtol=0, atol=1e-5 * float(movement.abs().max()))


def test_projection_and_mirror_descent_give_one_solution_and_one_derivative(session):
    (one, other), (slope_one, slope_other) = session["portfolios"], session["sensitivities"]
    assert torch.allclose(one, other, atol=1e-7) and float(one.sum()) == pytest.approx(1.0)
    assert slope_one.abs().max() > 0.1 and torch.allclose(slope_one, slope_other, atol=1e-6)
    assert slope_one.sum(0).abs().max() < 1e-9  # the sum stays one


def test_the_equilibrium_model_tells_the_spirals_apart(session):
    assert session["accuracy"] > 0.97


def test_the_stokes_flow_is_that_of_sim_and_so_are_its_derivatives(session):
    assert session["stokes_gap"] < 1e-10

    def power(**changed) -> float:
        values = {"activity": -1.5, "alignment": 0.5, "constraint": 0.8} | changed
        given = {f"rods.{name}": value for name, value in values.items()}
        return float(np.square(flow_of(session["model"], session["frames"], given).velocity[0]).mean())

    for name, gradient in zip(("activity", "alignment", "constraint"), session["stokes_gradient"], strict=True):
        at = float(getattr(session["nematic"], name))
        difference = (power(**{name: at + 1e-3}) - power(**{name: at - 1e-3})) / 2e-3
        assert float(gradient) == pytest.approx(difference, rel=1e-5), name
    assert isinstance(session["nematic"], equations.ActiveFluid)


def test_the_strength_of_a_steady_state_has_a_derivative_and_the_value_at_a_point_has_none(session):
    steady, roll = session["steady"], session["roll"]
    strength = lambda driving: steady(roll.detach(), driving.reshape(1)).square().mean()  # noqa: E731
    assert float(session["strength_slope"]) == pytest.approx(float(slope(strength, 0.3, 1e-4)), rel=1e-6)
    assert float(session["strength_slope"]) == pytest.approx(2 / 3, rel=0.01)
    with pytest.raises(ConvergenceError, match="GMRES"):
        torch.autograd.grad(roll[0, 3], session["driving"])


def test_conditioning_conserves_and_is_nearer_than_the_projection(session):
    raw, projected, conditioned = session["errors"]
    assert conditioned < projected < raw
    for u in (session["projected_mean"], session["conserving"].mean):
        assert session["constraint"].residual(u).abs().max() < 1e-12


def test_melting_conserves_to_round_off_and_grows_with_the_square_root_of_time(session):
    """The exact mass is 2 c sqrt(t / pi) = 0.1859 at t = 0.05 with a threshold of 0.6."""
    assert session["lost"] < 1e-14
    assert float(session["melted"][-1, 0]) == pytest.approx(0.18595 * np.sqrt(1666 * 3e-5 / 0.05), rel=1e-3)
