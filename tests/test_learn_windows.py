"""Training window by window: the windows make up the episode, each has its own exact gradient, and a resume loses nothing."""

import pytest
import torch

from pliant import sim
from pliant.learn import Adam, Budget, Pathwise, SimulationProblem, Simulator, solve
from pliant.learn.control import WindowedProblem
from pliant.learn.models import Controller, MLPPolicy
from pliant.learn.objectives import DistanceTravelled
from pliant.sim import materials, shapes
from pliant.sim.mpm.state import FIELDS

WINDOWS, STEPS, EVERY = 3, 20, 10


@pytest.fixture(scope="module")
def model() -> sim.Model:
    """A cube of muscle dropped onto the floor, in float64."""
    scene = sim.Scene()
    law = materials.NeoHookean(youngs_modulus=2e4, poissons_ratio=0.3)
    cube = shapes.Box(0.2, center=(0, 0, 0.11))
    jelly = scene.add_mpm(cube, law, density=1000.0, spacing=0.04, name="jelly", velocity=(0, 0, -2))
    scene.add_muscle(jelly, fibre=(0, 0, 1), group=lambda points: (points[:, 0] > 0).astype(int), strength=1e4)
    scene.add_collider(shapes.Plane(), friction=0.4, name="floor")
    return scene.build(dt=1e-3, dtype="float64", threads=1)


def simulator(model: sim.Model, steps: int, **options) -> Simulator:
    """A policy that sees the time and the velocity."""
    policy = MLPPolicy(4, 2, hidden=(6,), dtype=torch.float64, bounds="symmetric", output_gain=1.0)

    def senses(seen):
        time = torch.full((1, 1), 20.0 * seen.time, dtype=torch.float64)
        return torch.cat([time, seen["jelly.velocity"].mean(1)], dim=1)

    rollout = model.rollout(steps, control_every=EVERY, record_every=EVERY, **options)
    return Simulator(rollout, Controller(policy, "jelly.activation", observe=senses))


def windowed(model: sim.Model, **options) -> WindowedProblem:
    objective = DistanceTravelled("jelly.position")
    window = simulator(model, STEPS, record=FIELDS)
    return WindowedProblem(window, objective, windows=WINDOWS, totals=("distance",), **options)


def test_the_windows_of_an_episode_make_up_the_episode(model):
    problem, whole = windowed(model), simulator(model, WINDOWS * STEPS)
    theta = problem.space.initial
    losses = [problem.evaluate(theta).value for _ in range(2 * WINDOWS)]
    with torch.no_grad():
        distance = float(DistanceTravelled("jelly.position").distance(whole()))
    # From the third window on the sum holds each window once, whichever is the newest.
    assert losses[WINDOWS - 1 :] == pytest.approx([-distance] * (WINDOWS + 1), abs=1e-15)
    assert losses[0] != pytest.approx(-distance, rel=1e-3)
    assert problem.evaluate(theta).metrics["distance"] == pytest.approx(distance, abs=1e-15)


def test_the_gradient_of_a_later_window_agrees_with_finite_differences_from_the_same_start(model):
    problem = windowed(model)
    theta, rng = problem.space.initial, torch.Generator().manual_seed(0)
    for _ in range(WINDOWS + 1):
        problem.evaluate(theta)
    second = problem.state_dict()
    estimate, direction = Pathwise()(problem, theta[None], rng)[0], problem.space.noise(1, rng)[0]
    sides = []
    for size in (1e-5, -1e-5):
        problem.load_state_dict(second)
        sides.append(problem.evaluate(theta + size * direction).value)
    # Truncation is of order size^2 = 1e-10 and round-off of order 1e-16 / size = 1e-11, relative to slopes of 1e-3.
    assert float(estimate.gradient @ direction) == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-6)


def test_the_best_of_the_judged_episodes_is_the_result(model):
    """Weights are worth what a whole episode with them shows, not what the windows add up to while they change."""
    judge = SimulationProblem(simulator(model, WINDOWS * STEPS), DistanceTravelled("jelly.position"))
    problem = windowed(model, judge=judge, judged_from=1)
    result = solve(problem, Adam(learning_rate=0.1), Budget(iterations=4 * WINDOWS), 0)
    # The value is summed in another order than in the window: round-off of 1e-16 m.
    assert result.loss == pytest.approx(judge.evaluate(result.theta).value, abs=1e-15)
    judged = [record["loss"] for record in result.history[2 * WINDOWS - 1 :: WINDOWS]]
    assert len(judged) == 3 and result.loss == min(judged)
    assert result.simulator_calls == 2 * 4 * WINDOWS + 3 * WINDOWS


def test_a_training_stopped_within_an_episode_continues_bit_for_bit(model):
    def train(steps, snapshot=None):
        kept = []
        method = Adam(learning_rate=1e-2, decay_iterations=5)
        budget = Budget(iterations=steps)
        result = solve(windowed(model), method, budget, 0, callbacks=[lambda i: kept.append(i.snapshot())], snapshot=snapshot)
        return result, kept[-1]

    straight, _ = train(5)
    _, stopped = train(2)
    resumed, _ = train(5, stopped)
    assert torch.equal(resumed.theta, straight.theta)
    assert not torch.equal(straight.theta, stopped["method"]["theta"])


def test_a_rollout_that_does_not_record_every_field_gets_its_sentence(model):
    with pytest.raises(sim.InputError, match="deformation_gradient"):
        WindowedProblem(simulator(model, STEPS), DistanceTravelled("jelly.position"), windows=2)
