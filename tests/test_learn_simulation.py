"""Training through a real rollout: gradients of weights and parameters together, identification, failed runs."""

import math

import pytest
import torch

from pliant import sim
from pliant.learn import CEM, Budget, Pathwise, RandomSearch, SimulationProblem, Simulator, Unknown, solve
from pliant.learn.models import Controller, MLPPolicy
from pliant.learn.objectives import ControlEffort, TargetPosition, TrajectoryMatching
from pliant.sim import materials, shapes


def thrown_down(muscle: bool) -> sim.Model:
    """A jelly cube of 125 particles thrown onto the floor, in two environments."""
    scene = sim.Scene(gravity=(0, 0, -9.81))
    law = materials.NeoHookean(youngs_modulus=2e4, poissons_ratio=0.3)
    cube = shapes.Box(0.2, center=(0, 0, 0.11))
    jelly = scene.add_mpm(cube, law, density=1000.0, spacing=0.04, name="jelly", velocity=(0, 0, -2))
    if muscle:
        scene.add_muscle(jelly, fibre=(0, 0, 1), group=lambda points: (points[:, 0] > 0).astype(int), strength=1e4)
    scene.add_collider(shapes.Plane(), friction=0.4, name="floor")
    return scene.build(dt=1e-3, dtype="float64", batch=2, threads=1)


def stiffness(initial: float) -> Unknown:
    return Unknown(name="jelly.youngs_modulus", initial=torch.tensor(initial, dtype=torch.float64), scale="log")


@pytest.fixture(scope="module")
def rollout() -> sim.Rollout:
    return thrown_down(muscle=False).rollout(steps=60, record_every=20)


def identification(rollout: sim.Rollout, initial: float, **options) -> SimulationProblem:
    """Find the stiffness, 1e4 Pa, from a trajectory."""
    reference = rollout.forward({"jelly.youngs_modulus": 1e4})
    objective = TrajectoryMatching(reference, scales={"jelly.position": 0.01})
    return SimulationProblem(Simulator(rollout), objective, unknowns=[stiffness(initial)], **options)


def test_the_gradient_of_policy_and_stiffness_together_agrees_with_finite_differences():
    rollout = thrown_down(muscle=True).rollout(steps=60, control_every=20, record_every=20)
    policy = MLPPolicy(6, 2, hidden=(8,), dtype=torch.float64, output_gain=1.0)

    def centre_and_velocity(seen):
        return torch.cat([seen["jelly.position"].mean(1), seen["jelly.velocity"].mean(1)], dim=1)

    controller = Controller(policy, "jelly.activation", observe=centre_and_velocity)
    objective = TargetPosition("jelly.position", [0.1, 0.0, 0.2]) + 0.01 * ControlEffort(controller)
    problem = SimulationProblem(Simulator(rollout, controller), objective, unknowns=[stiffness(2e4)])
    rng, start = torch.Generator().manual_seed(0), problem.space.initial
    estimate, direction = Pathwise()(problem, start[None], rng)[0], problem.space.noise(1, rng)[0]
    size = 1e-5
    plus, minus = (problem.evaluate(start + sign * size * direction).value for sign in (1, -1))
    # Truncation is of order size^2 = 1e-10 and round-off of order 1e-16 / size = 1e-11, relative to slopes of 1e-2.
    assert float(estimate.gradient @ direction) == pytest.approx((plus - minus) / (2 * size), rel=1e-6)
    assert estimate.simulator_calls == 4


@pytest.mark.parametrize("parallel", [True, False])
def test_stiffness_is_identified_and_the_rollout_counts_the_same_calls(rollout, parallel):
    problem = identification(rollout, 2e4, parallel=parallel)
    before = rollout.simulator_calls
    result = solve(problem, CEM(population=8, initial_std=0.7), Budget(simulator_calls=128), 0)
    assert float(result.unknowns["jelly.youngs_modulus"]) == pytest.approx(1e4, rel=0.02)
    assert result.simulator_calls == rollout.simulator_calls - before == 128


def test_a_rollout_that_fails_is_a_candidate_of_infinite_loss_with_its_sentence(rollout):
    problem = identification(rollout, 2e4)
    result = solve(problem, RandomSearch(samples=6, std=15.0), Budget(iterations=1), 0)
    assert math.isfinite(result.loss)
    assert "failed; the first: particle" in result.report[1] and "lower `dt`" in result.report[1]
