"""Residuals and their Jacobians: finite differences and forward mode against closed forms and against the adjoint."""

import math

import numpy as np
import pytest
import torch

from pliant.learn import (
    Evaluation,
    FiniteDifference,
    ForwardMode,
    Pathwise,
    Problem,
    SimulationProblem,
    Simulator,
    TorchLaw,
    Unknown,
    simulate,
)
from pliant.learn.identify.motion import MotionProblem
from pliant.learn.models.laws import HyperelasticNetwork
from pliant.learn.objectives import TrajectoryMatching
from pliant.sim import InputError, Scene
from pliant.sim.materials import VonMises
from pliant.sim.mpm.state import FIELDS
from pliant.sim.shapes import Box, Plane
from tests.learning import failing_beyond, point_mass_problem, quadratic, rosenbrock


def product_problem(**options) -> Problem:
    """r = (x y, x - 3, y^2) for x in [0, 4] and y = exp(theta)."""
    unknowns = [
        Unknown(name="x", initial=torch.tensor(2.0, dtype=torch.float64), lower=0.0, upper=4.0),
        Unknown(name="y", initial=torch.tensor(0.5, dtype=torch.float64), scale="log", spread=0.5),
    ]

    def function(values):
        x, y = values["x"], values["y"]
        residuals = torch.stack([x * y, x - 3.0, y * y], dim=-1)
        return Evaluation(loss=residuals.square().sum(-1) / 2, residuals=residuals)

    return Problem.from_loss(function, unknowns, **options)


def exact_jacobian(theta: torch.Tensor) -> torch.Tensor:
    """Of `product_problem`, with dy / dtheta = y / 2."""
    x, y = theta[0], torch.exp(0.5 * theta[1])
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return torch.stack([torch.stack([y, x * y / 2]), torch.stack([one, zero]), torch.stack([zero, y * y])])


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("options", [{}, {"environments": 5, "parallel": 5}], ids=["one by one", "in parallel"])
def test_central_differences_give_the_jacobian_of_the_coordinates(options):
    problem = product_problem(**options)
    estimate = FiniteDifference(step=1e-5)(problem, problem.space.initial[None], generator())[0]
    exact = exact_jacobian(problem.space.initial)
    assert torch.allclose(estimate.jacobian, exact, rtol=1e-9, atol=1e-9)  # truncation 1e-10, round-off 1e-11
    assert torch.allclose(estimate.gradient, exact.T @ estimate.residuals, rtol=1e-9, atol=1e-9)
    assert estimate.value == pytest.approx(float(estimate.residuals.square().sum()) / 2, rel=1e-14)
    assert estimate.simulator_calls == FiniteDifference().cost(problem) == 5


@pytest.mark.parametrize("options", [{}, {"environments": 5, "parallel": 5}], ids=["alone", "in parallel"])
def test_forward_mode_is_exact(options):
    problem = product_problem(**options)
    estimate = ForwardMode()(problem, problem.space.initial[None], generator())[0]
    exact = exact_jacobian(problem.space.initial)
    if options:  # five equal environments, whose loss is their mean
        exact = exact.repeat(5, 1) / math.sqrt(5.0)
    assert torch.allclose(estimate.jacobian, exact, rtol=1e-14, atol=1e-15)
    assert torch.allclose(estimate.gradient, exact.T @ estimate.residuals, rtol=1e-14)
    assert estimate.value == pytest.approx(float(estimate.residuals.square().sum()) / 2, rel=1e-14)
    assert estimate.simulator_calls == ForwardMode().cost(problem)


def clay_scene(law=None) -> Scene:
    """A small block of plasticine thrown onto a rough floor."""
    law = law or VonMises(youngs_modulus=5e4, poissons_ratio=0.3, yield_stress=500.0)
    scene = Scene(extent=((-0.3, -0.3, -0.1), (0.3, 0.3, 0.5)), cell_size=0.08)
    scene.add_mpm(
        Box(0.16, center=(0, 0, 0.09)), law, density=1000.0, spacing=0.04, name="clay", velocity=(0.4, 0.1, -2.0)
    )
    scene.add_collider(Plane(), friction=0.4, name="floor")
    return scene


def clay_rollout(law=None, batch: int = 1, **options):
    return clay_scene(law).build(dt=5e-4, dtype="float64", threads=1, batch=batch).rollout(120, **options)


def unknown(name: str, initial: float, scale: str = "log") -> Unknown:
    return Unknown(name=name, initial=torch.tensor(initial, dtype=torch.float64), scale=scale)


UNKNOWNS = (
    ("clay.youngs_modulus", 4e4, "log"),
    ("clay.poissons_ratio", 0.25, "linear"),
    ("clay.yield_stress", 600.0, "log"),
    ("clay.density", 1100.0, "log"),
    ("floor.friction", 0.3, "linear"),
)


def clay_problem() -> MotionProblem:
    """Five parameters from the positions of some particles, and the initial velocity, a vector."""
    rollout = clay_rollout(record_every=20, record=FIELDS)
    recording = {n: a for n, a in rollout.forward().arrays.items() if n == "clay.position"}
    velocity = Unknown(name="clay.velocity", initial=torch.tensor([0.0, 0.0, -1.8], dtype=torch.float64))
    tracked = {"clay": range(0, 64, 3)}
    return MotionProblem(
        rollout, recording, tracked=tracked, length=0.16, unknowns=[*(unknown(*u) for u in UNKNOWNS), velocity]
    )


def test_the_jacobian_of_a_recorded_motion_agrees_with_differences_and_its_gradient_with_the_adjoint():
    problem = clay_problem()
    theta = problem.space.initial
    exact, differences, adjoint = (
        e(problem, theta[None], generator())[0] for e in (ForwardMode(), FiniteDifference(step=1e-6), Pathwise())
    )
    assert torch.equal(exact.residuals, differences.residuals) and exact.value == adjoint.value
    for column, name in enumerate(problem.space.entry_names()):
        J, D = exact.jacobian[:, column], differences.jacobian[:, column]
        # A step across the yield surface is of second order there; round-off is 1e-16 / 1e-6
        assert float((J - D).norm() / D.norm()) < 1e-6, name
    assert torch.allclose(exact.gradient, adjoint.gradient, rtol=1e-10)
    assert exact.simulator_calls == 1 + 8 == ForwardMode().cost(problem)
    assert exact.metrics["position_error"] == pytest.approx(adjoint.metrics["position_error"])


def test_windows_that_start_from_recorded_states_have_a_jacobian_of_their_mean_loss():
    truth = clay_rollout(record_every=20, record=FIELDS).forward()
    rollout = clay_scene().build(dt=5e-4, dtype="float64", threads=1, batch=2).rollout(60, record_every=20)
    problem = MotionProblem(rollout, truth, starts=[0, 3], unknowns=[unknown(*UNKNOWNS[0])], length=0.16)
    exact, adjoint = (e(problem, problem.space.initial[None], generator())[0] for e in (ForwardMode(), Pathwise()))
    assert exact.value == pytest.approx(float(exact.residuals.square().sum()) / 2, rel=1e-12)
    assert torch.allclose(exact.gradient, adjoint.gradient, rtol=1e-10)


def test_environments_with_their_own_candidates_have_a_jacobian_too():
    rollout = clay_rollout(batch=2, record_every=60)
    reference = rollout.forward()
    objective = TrajectoryMatching(reference, scales={"clay.position": 0.01})
    unknowns = [unknown(*u) for u in UNKNOWNS[:2]]
    together, alone = (
        SimulationProblem(Simulator(rollout), objective, unknowns=unknowns, parallel=p) for p in (True, False)
    )
    estimates = [ForwardMode()(problem, problem.space.initial[None], generator())[0] for problem in (together, alone)]
    assert torch.allclose(estimates[0].jacobian, estimates[1].jacobian, rtol=1e-12)


def test_a_failed_simulation_has_no_jacobian_but_a_sentence():
    problem = clay_problem()
    theta = problem.space.coordinates(
        {**problem.space.values(problem.space.initial), "clay.velocity": torch.full((3,), 500.0)}
    )
    estimate = ForwardMode()(problem, theta[None], generator())[0]
    assert not estimate.ok and "lower `dt`" in estimate.failure and estimate.jacobian is None
    assert not ForwardMode()(failing_beyond(-1.0), torch.zeros(1)[None], generator())[0].ok


def learned_law_problem() -> MotionProblem:
    law = TorchLaw(HyperelasticNetwork(stress_scale=1e4, dtype=torch.float64))
    rollout = clay_rollout(law, record_every=60, record=FIELDS)
    return MotionProblem(rollout, rollout.forward())


def frozen_law_problem() -> MotionProblem:
    law = TorchLaw(HyperelasticNetwork(stress_scale=1e4, dtype=torch.float64)).requires_grad_(False)
    rollout = clay_rollout(law, record_every=60, record=FIELDS)
    return MotionProblem(rollout, rollout.forward(), unknowns=[unknown("floor.friction", 0.3, "linear")])


def closure_problem() -> Problem:
    rollout = clay_rollout(record_every=60)

    def function(values):
        residuals = simulate(rollout, values)["clay.position"].flatten()
        return Evaluation(loss=residuals.square().sum() / 2, residuals=residuals)

    return Problem.from_loss(function, [unknown(*UNKNOWNS[0])])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (closure_problem, "`simulate` for example; use SimulationProblem, or FiniteDifference"),
        (learned_law_problem, "trainable weights; use FiniteDifference"),
        (frozen_law_problem, "torch module, whose tangent is not known; use finite differences"),
        (point_mass_problem, "trainable weights"),
        (quadratic, "expected residuals"),
    ],
    ids=["closure", "weights", "torch law", "policy", "no residuals"],
)
def test_what_has_no_jacobian_says_so(make, sentence):
    problem = make()
    with pytest.raises(InputError, match=sentence):
        ForwardMode()(problem, problem.space.initial[None], generator())[0]


def test_rosenbrock_has_its_jacobian_by_dual_numbers():
    problem = rosenbrock()
    J = ForwardMode()(problem, torch.tensor([-1.2, 1.0], dtype=torch.float64)[None], generator())[0].jacobian
    assert np.allclose(J, math.sqrt(2.0) * np.array([[-1.0, 0.0], [24.0, 10.0]]), rtol=1e-14)


def test_at_a_bound_the_difference_is_taken_inside():
    problem = product_problem()
    theta = torch.stack([problem.space.upper[0], problem.space.initial[1]])
    estimate = FiniteDifference(step=1e-5)(problem, theta[None], generator())[0]
    # one-sided: exact for the first residuals, which are linear in x
    assert torch.allclose(estimate.jacobian[:, 0], exact_jacobian(theta)[:, 0], rtol=1e-9, atol=1e-9)


def test_differences_across_a_failed_simulation_carry_its_sentence():
    problem = failing_beyond(1e-5)
    estimate = FiniteDifference()(problem, problem.space.initial[None], generator())[0]
    assert not estimate.ok and "left the grid" in estimate.failure and estimate.jacobian is None


def test_over_environments_the_residuals_stand_for_the_mean_loss():
    def function(values):
        residuals = torch.stack([values["x"] * torch.ones(3), 2.0 * values["x"] * torch.ones(3)])
        return Evaluation(loss=residuals.square().sum(1) / 2, residuals=residuals)

    problem = Problem.from_loss(function, [Unknown(name="x", initial=2.0)], environments=2)
    estimate = FiniteDifference(step=1e-2)(problem, problem.space.initial[None], generator())[0]
    assert estimate.value == pytest.approx(float(estimate.residuals.square().sum()) / 2)
    assert float(estimate.gradient) == pytest.approx(2.0 * 2.0 * 3.0 * (1.0 + 4.0) / 4.0, rel=1e-4)  # of the mean


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: FiniteDifference(step=0.0), "positive number"),
        (lambda: FiniteDifference()(quadratic(), torch.zeros(3)[None], generator())[0], "expected a problem with residuals"),
    ],
)
def test_wrong_use_gets_its_sentence(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()
