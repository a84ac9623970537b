"""Unknowns, coordinates, objectives, policies and arguments: the small parts every training is made of."""

import dataclasses
import itertools
import math
import pathlib
from typing import Literal

import numpy as np
import pytest
import torch

from pliant.learn import Space, Unknown
from pliant.learn.arguments import option, parse
from pliant.learn.models import Controller, Deterministic, MLPPolicy, OpenLoopPolicy, OscillatorPolicy
from pliant.learn.objectives import (
    ControlEffort,
    DistanceTravelled,
    KeepOrientation,
    TargetPosition,
    TrajectoryMatching,
)
from pliant.sim import InputError
from tests.learning import Seen, point_mass_problem


def example_space(dtype=torch.float64) -> Space:
    return Space(
        [
            Unknown(
                name="stiffness",
                initial=torch.tensor([1e4, 1e5], dtype=dtype),
                lower=1e3,
                upper=1e6,
                scale="log",
                spread=0.5,
            ),
            Unknown(name="ratio", initial=torch.tensor(0.3, dtype=dtype), lower=0.0, upper=0.45, spread=0.1),
            Unknown(name="push", initial=torch.zeros(2, 3, dtype=dtype)),
        ]
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_coordinates_are_inverse(dtype):
    space = example_space(dtype)
    theta, _ = space.project(space.initial + 0.1 * space.noise(1, torch.Generator().manual_seed(0))[0])
    values = space.values(theta)
    assert {name: tuple(v.shape) for name, v in values.items()} == {"stiffness": (2,), "ratio": (), "push": (2, 3)}
    assert torch.allclose(space.coordinates(values), theta, rtol=20 * torch.finfo(dtype).eps)
    assert space.values(theta.expand(5, -1))["push"].shape == (5, 2, 3)


def test_one_step_of_a_coordinate_is_one_spread():
    space = example_space()
    moved = space.values(space.initial + 1.0)
    assert moved["stiffness"].tolist() == pytest.approx([1e4 * math.exp(0.5), 1e5 * math.exp(0.5)])
    assert float(moved["ratio"]) == pytest.approx(0.4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_projected_coordinates_never_leave_the_bounds_of_the_values(dtype, direction):
    space = example_space(dtype)
    theta, moved = space.project(torch.full_like(space.initial, 1e6 * direction))
    values = space.values(theta)
    assert moved == 3
    assert ((values["stiffness"] >= 1e3) & (values["stiffness"] <= 1e6)).all()
    assert 0.0 <= values["ratio"] <= 0.45


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Unknown(name="E", initial=-1.0, scale="log"), "E: expected finite initial values from 0"),
        (lambda: Unknown(name="E", initial=0.0, scale="log"), "got 0"),
        (lambda: Unknown(name="E", initial=[1.0, math.nan]), "got nan"),
        (lambda: Unknown(name="E", initial=2.0, upper=1.0), "to 1, got 2"),
        (lambda: Unknown(name="E", initial=2.0, lower=3.0, upper=1.0), "lower < upper"),
        (lambda: Unknown(name="E", initial=2.0, spread=0.0), "positive spread"),
        (lambda: Unknown(name="E", initial=2.0, scale="cubic"), "'cubic'"),
        (lambda: Space([]), "at least one"),
        (lambda: Space([Unknown(name="E", initial=1.0)] * 2), "different names"),
    ],
)
def test_impossible_unknowns_are_refused_with_a_sentence(make, sentence):
    with pytest.raises(InputError) as caught:
        make()
    assert sentence in str(caught.value) and "expected" in str(caught.value)


def trajectory(batch: int = 2) -> dict[str, torch.Tensor]:
    """Five frames of three items that move by (1, 2, 0) m in environment 0 and by twice that in environment 1."""
    items = torch.randn(1, batch, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    travelled = torch.linspace(0, 1, 5, dtype=torch.float64).reshape(5, 1, 1, 1)
    step = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64) * torch.arange(1, batch + 1).reshape(1, batch, 1, 1)
    return {"ball.position": items + travelled * step, "ball.action": torch.full((4, batch, 2), 0.5)}


def test_distance_is_measured_along_the_direction_for_each_environment():
    objective = DistanceTravelled("ball.position", direction=(0, 3, 0))
    assert objective(trajectory()).tolist() == pytest.approx([-2.0, -4.0])
    assert objective.metrics(trajectory())["distance"].tolist() == pytest.approx([2.0, 4.0])


def test_target_and_matching_losses_are_half_their_squared_residuals():
    other = {name: array + 0.1 for name, array in trajectory().items()}
    for objective in (
        TargetPosition("ball.position", [1.0, 0.0, 0.0]),
        TrajectoryMatching(other, scales={"ball.position": 0.5}),
        ControlEffort("ball.action"),
        0.3 * TargetPosition("ball.position", [0.0, 0.0, 0.0]) + 2.0 * ControlEffort("ball.action"),
    ):
        loss, residuals = objective(trajectory()), objective.residuals(trajectory())
        assert residuals.shape[0] == 2
        assert torch.allclose(residuals.square().sum(1) / 2, loss.to(residuals.dtype))


def test_matching_is_the_mean_squared_distance_in_units_of_its_scale():
    reference = {name: np.asarray(array) + 0.1 for name, array in trajectory().items()}
    objective = TrajectoryMatching(reference, scales={"ball.position": 0.5})
    assert objective(trajectory()).tolist() == pytest.approx([3 * 0.1**2 / 0.5**2] * 2)


def test_a_turned_body_costs_one_minus_the_cosine_of_its_angle_however_it_is_stretched():
    corners = torch.tensor(list(itertools.product((-1.0, 1.0), (-2.0, 2.0), (0.0, 1.0))), dtype=torch.float64)
    pitch, stretch = 0.3, torch.diag(torch.tensor([1.2, 0.9, 0.7], dtype=torch.float64))
    c, s = math.cos(pitch), math.sin(pitch)
    turn = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float64)
    still, turned = corners + 5.0, corners @ stretch @ turn.T - 1.0
    moved = {"ball.position": torch.stack([still, still, turned])[:, None].expand(3, 2, 8, 3)}
    for axes, expected in (((2,), (1 - c) / 2), ((0, 2), 1 - c), ((1,), 0.0)):
        loss = KeepOrientation("ball.position", corners, axes=axes)(moved)
        assert loss.tolist() == pytest.approx([expected] * 2, abs=1e-15)


def test_objectives_add_up_with_weights():
    far, near = DistanceTravelled("ball.position"), TargetPosition("ball.position", [0, 0, 0])
    total = -2 * far + near - 0.5 * near
    assert torch.allclose(total(trajectory()), -2 * far(trajectory()) + 0.5 * near(trajectory()))
    assert set(total.metrics(trajectory())) == {"distance", "target_distance"}
    assert total.residuals(trajectory()) is None


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: DistanceTravelled("ball.position", direction=(0, 0, 0)), "not all zero"),
        (lambda: DistanceTravelled("jelly.position")(trajectory()), "got 'jelly.position'"),
        (lambda: DistanceTravelled("ball.action")(trajectory()), "[frame, batch, item, 3]"),
        (lambda: KeepOrientation("ball.position", torch.zeros(4, 3), axes=(3,)), "axes among 0, 1, 2"),
        (lambda: TrajectoryMatching(trajectory(), scales={"x": 1.0}), "got ['x']"),
        (lambda: TrajectoryMatching(trajectory(3), scales={"ball.position": 1.0})(trajectory()), "got [5, 3, 3, 3]"),
        (lambda: ControlEffort(Controller(OpenLoopPolicy(2, 1, interval=1.0), "a"))({}), "simulate first"),
    ],
)
def test_an_objective_that_does_not_fit_is_refused_with_a_sentence(make, sentence):
    with pytest.raises(InputError) as caught:
        make()
    assert sentence in str(caught.value) and "expected" in str(caught.value)


def policies(**options):
    return [
        MLPPolicy(4, 2, hidden=(8,), output_gain=3.0, **options),
        OpenLoopPolicy(10, 2, interval=0.1, std=3.0, **options),
        OscillatorPolicy(2, frequency=2.0, amplitude=3.0, feedback_size=4, **options),
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("bounds", "lowest"), [("unit", 0.0), ("symmetric", -1.0)])
def test_policies_answer_a_batch_within_their_bounds(dtype, bounds, lowest):
    observation = torch.randn(5, 4, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for policy in policies(bounds=bounds, dtype=dtype):
        action = policy(observation, 0.3).rsample()
        assert action.shape == (5, 2) and action.dtype == dtype
        assert ((action > lowest) & (action < 1.0)).all()


def test_a_policy_made_twice_from_the_same_seed_is_the_same_and_leaves_global_randomness_alone():
    torch.manual_seed(5)
    expected = torch.rand(())
    torch.manual_seed(5)
    first = [dict(p.named_parameters()) for p in policies(generator=torch.Generator().manual_seed(1))]
    second = [dict(p.named_parameters()) for p in policies(generator=torch.Generator().manual_seed(1))]
    assert all(torch.equal(a[name], b[name]) for a, b in zip(first, second, strict=True) for name in a)
    assert torch.equal(torch.rand(()), expected)


def test_an_oscillator_repeats_after_its_period():
    policy = OscillatorPolicy(3, frequency=2.0, dtype=torch.float64)
    nothing = torch.zeros(1, 0, dtype=torch.float64)
    assert torch.allclose(policy(nothing, 0.2).mean, policy(nothing, 0.7).mean)
    assert not torch.allclose(policy(nothing, 0.2).mean, policy(nothing, 0.3).mean)


def test_an_open_loop_table_reads_its_row_and_refuses_a_time_beyond_it():
    policy = OpenLoopPolicy(10, 2, interval=0.1, bounds="symmetric")
    nothing = torch.zeros(3, 0)
    assert torch.equal(policy(nothing, 0.7).mean[1], torch.tanh(policy.table[7]))
    with pytest.raises(InputError, match="expected a time in"):
        policy(nothing, 1.0)


def test_a_deterministic_distribution_has_all_its_probability_at_one_value():
    value = torch.tensor([[0.1, 0.2], [0.3, 0.4]], requires_grad=True)
    distribution = Deterministic(value)
    assert torch.equal(distribution.mean, value) and torch.equal(distribution.mode, value)
    assert distribution.rsample().requires_grad
    assert distribution.log_prob(torch.tensor([[0.1, 0.2], [0.3, 0.5]])).tolist() == [0.0, -math.inf]


@pytest.mark.parametrize("bounds", ["unit", "symmetric"])
def test_a_stochastic_policy_gives_a_score_and_a_pathwise_gradient(bounds):
    policy = MLPPolicy(4, 2, hidden=(8,), std=0.3, bounds=bounds, dtype=torch.float64)
    controller = Controller(policy, "ball.force", observe=lambda seen: seen["ball.features"], explore=True)
    seen = Seen(time=0.0)
    seen["ball.features"] = torch.zeros(3, 4, dtype=torch.float64)
    torch.manual_seed(0)
    first = controller(seen)["ball.force"]
    seen.time = 0.1
    second = controller(seen)["ball.force"]
    assert first.requires_grad and not torch.equal(first, second)
    assert controller.recorded_actions().shape == (2, 3, 2)
    expected = sum(policy(seen["ball.features"], 0.0).log_prob(a) for a in (first, second))
    assert torch.allclose(controller.log_probability, expected)
    seen.time = 0.0
    controller(seen)
    assert controller.recorded_actions().shape == (1, 3, 2)


def test_a_simulation_problem_finds_weights_and_given_unknowns_together():
    problem = point_mass_problem(effort=0.1)
    assert problem.space.names == ("policy.policy.table",)
    evaluation = problem.evaluate(problem.space.initial, gradient=True)
    assert evaluation.loss.shape == (2,) and evaluation.residuals.shape == (2, 3 + 20)
    assert set(evaluation.numbers()) == {"target_distance", "effort"}
    assert torch.allclose(evaluation.residuals.square().sum(1) / 2, evaluation.loss)


def test_a_simulation_problem_without_unknowns_is_refused():
    problem = point_mass_problem()
    simulator = problem.simulator.requires_grad_(False)
    with pytest.raises(InputError, match="at least one"):
        type(problem)(simulator, problem.objective)
    drag = Unknown(name="drag", initial=0.5, lower=0.0)
    assert type(problem)(simulator, problem.objective, unknowns=[drag]).space.names == ("drag",)


@dataclasses.dataclass(kw_only=True)
class Arguments:
    """Train something."""

    iterations: int = option(10, "how long to train")
    rate: float = 0.5
    method: Literal["adam", "cem"] = option("adam", "which method")
    hidden: tuple[int, ...] = option((64, 64), "sizes of the layers")
    target: tuple[float, float] = (0.0, 1.0)
    folder: pathlib.Path | None = option(None, "where the run is kept", may_change=True)
    feedback: bool = option(True, "whether the policy sees anything")


def test_arguments_come_from_the_command_line_with_their_types():
    assert parse(Arguments, []) == Arguments()
    words = "--iterations 3 --rate 1e-3 --method cem --hidden 8 --target 1 2 --folder runs/x --no-feedback".split()
    expected = Arguments(
        iterations=3,
        rate=1e-3,
        method="cem",
        hidden=(8,),
        target=(1.0, 2.0),
        folder=pathlib.Path("runs/x"),
        feedback=False,
    )
    assert parse(Arguments, words) == expected


def test_help_says_what_each_argument_is(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(Arguments, ["--help"], prog="pliant train something")
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert "Train something." in text and "how long to train (default: 10)" in text and "{adam,cem}" in text


@pytest.mark.parametrize(
    "words", [["--iterations", "many"], ["--method", "newton"], ["--size", "3"], ["--target", "1"]]
)
def test_a_wrong_option_is_one_sentence(words):
    with pytest.raises(InputError, match="options: .*--help"):
        parse(Arguments, words)
