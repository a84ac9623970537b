"""Unknowns that are integers or choices, and what is known of unknowns before any data."""

import math

import pytest
import torch

from pliant import sim
from pliant.learn import (
    CEM,
    Adam,
    Budget,
    MaximumAPosteriori,
    Pathwise,
    Problem,
    RandomSearch,
    SimulationProblem,
    Simulator,
    Space,
    Unknown,
    solve,
)
from pliant.learn.objectives import TargetPosition
from pliant.sim import InputError, materials, shapes

LIQUIDS = ("water", "honey", "oil")


def mixed() -> Space:
    return Space(
        [
            Unknown(name="height", initial=torch.tensor(0.5, dtype=torch.float64), lower=0.0, upper=1.0),
            Unknown(name="count", initial=[3, 4], kind="integer", lower=1, upper=8, spread=2.0),
            Unknown(name="liquid", initial="honey", choices=LIQUIDS),
        ]
    )


def test_discrete_values_come_back_from_their_coordinates_and_are_what_they_should_be():
    space = mixed()
    assert space.dimension == 1 + 2 + 3 and space.dtype == torch.float64
    values = space.values(space.initial)
    assert values["count"].tolist() == [3, 4] and int(values["liquid"]) == 1 and not values["count"].is_floating_point()
    assert torch.equal(space.coordinates(values), space.initial)
    assert space.entry_names() == ["height", "count[0]", "count[1]", "liquid=water", "liquid=honey", "liquid=oil"]
    thetas = space.project(space.initial + 3.0 * space.noise(200, torch.Generator().manual_seed(0)))[0]
    drawn = space.values(thetas)
    assert set(drawn["count"].flatten().tolist()) == set(range(1, 9))
    assert set(drawn["liquid"].tolist()) == {0, 1, 2} and drawn["liquid"].shape == (200,)
    assert (
        space.starting_at({"liquid": "oil", "count": [8, 8]}).values(
            space.starting_at({"liquid": "oil", "count": [8, 8]}).initial
        )["liquid"]
        == 2
    )
    broken = space.initial.clone()
    broken[4] = math.nan
    assert "'liquid' is not finite in 1 of 3 entries, first at [1]" in space.describe_not_finite(broken)


def test_choices_are_named_for_each_entry():
    assert Unknown(name="c", initial=["honey", "oil"], choices=LIQUIDS).initial.tolist() == [1, 2]
    with pytest.raises(InputError, match="got 'sand'"):
        Unknown(name="c", initial=["honey", "sand"], choices=LIQUIDS)


def test_whole_numbers_stay_within_bounds_that_are_none():
    space = Space([Unknown(name="n", initial=1, kind="integer", lower=0.5, upper=2.5, spread=0.3)])
    thetas, _ = space.project(torch.linspace(-30.0, 30.0, 201)[:, None])
    assert set(space.values(thetas)["n"].tolist()) == {1, 2}


def test_discrete_unknowns_have_a_zero_gradient_and_are_found_by_sampling():
    def function(values):
        wrong = (values["liquid"] != 2).double() + (values["count"] - 6).abs().sum(-1).double()
        return wrong + (values["height"] - 0.25).square()

    problem = Problem.from_loss(function, mixed().unknowns)
    (estimate,) = Pathwise()(problem, problem.space.initial[None], torch.Generator())
    assert estimate.gradient.tolist() == pytest.approx([0.5, 0, 0, 0, 0, 0])
    result = solve(problem, CEM(population=64, initial_std=1.0), Budget(iterations=20), 0)
    assert result.loss < 1e-3 and int(result.unknowns["liquid"]) == 2 and result.unknowns["count"].tolist() == [6, 6]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Unknown(name="liquid", initial="milk", choices=LIQUIDS), "liquid: expected one of"),
        (lambda: Unknown(name="liquid", initial=3, choices=LIQUIDS), "to 2, got 3"),
        (lambda: Unknown(name="liquid", initial=0, choices=("water",)), "no choices or several"),
        (lambda: Unknown(name="n", initial=0, kind="whole"), "'whole'"),
        (lambda: Unknown(name="n", initial=2.5, kind="integer"), "whole numbers, got 2.5"),
        (lambda: Unknown(name="n", initial=9, kind="integer", upper=8), "to 8, got 9"),
    ],
)
def test_impossible_discrete_unknowns_are_refused(make, sentence):
    with pytest.raises(InputError) as caught:
        make()
    assert sentence in str(caught.value)


def normal(mean: float, std: float) -> torch.distributions.Distribution:
    return torch.distributions.Normal(torch.tensor(mean, dtype=torch.float64), std)


@pytest.mark.parametrize("parallel", [1, 4])
def test_the_most_probable_value_is_the_weighted_mean_of_prior_and_data(parallel):
    """Data 3 with deviation 0.5 and a prior 1 with deviation 1: (3 / 0.25 + 1) / (1 / 0.25 + 1)."""
    unknown = Unknown(name="x", initial=torch.tensor(0.0, dtype=torch.float64), spread=2.0, prior=normal(1.0, 1.0))
    likelihood = Problem.from_loss(
        lambda v: (v["x"] - 3.0).square() / (2.0 * 0.25), [unknown], environments=parallel, parallel=parallel
    )
    result = solve(MaximumAPosteriori(likelihood), Adam(learning_rate=0.05), Budget(iterations=400), 0)
    assert float(result.unknowns["x"]) == pytest.approx(13.0 / 5.0, abs=1e-4)
    log_prior = float(normal(1.0, 1.0).log_prob(result.unknowns["x"]))
    assert result.history[-1]["log_prior"] == pytest.approx(log_prior, abs=1e-3)
    assert f"The log density of the priors at the result is {log_prior:.4g}." in result.report


def test_a_density_over_coordinates_integrates_to_one_whatever_the_scale():
    prior = torch.distributions.LogNormal(torch.tensor(2.0, dtype=torch.float64), 0.5)
    one = torch.tensor(7.0, dtype=torch.float64)
    for options in ({"scale": "log", "spread": 0.3}, {"spread": 5.0}):
        space = Space([Unknown(name="E", initial=one, lower=1e-9, prior=prior, **options)])
        theta = torch.linspace(-40.0, 40.0, 400001, dtype=torch.float64)[:, None]
        inside = theta[space.project(theta)[0] == theta][:, None]
        total = torch.trapezoid(space.log_density(inside).exp(), inside[:, 0])
        assert float(total) == pytest.approx(1.0, abs=1e-3)


def test_a_prior_may_be_a_function_and_unknowns_without_one_are_flat():
    space = Space(
        [
            Unknown(name="x", initial=torch.zeros(2), prior=lambda x: -x.square()),
            Unknown(name="y", initial=torch.zeros(3)),
            Unknown(
                name="liquid",
                initial=0,
                choices=LIQUIDS,
                prior=torch.distributions.Categorical(torch.tensor([0.2, 0.3, 0.5])),
            ),
        ]
    )
    values = {"x": torch.tensor([[1.0, 2.0], [0.0, 0.0]]), "y": torch.ones(2, 3), "liquid": torch.tensor([2, 0])}
    expected = [-5.0 + math.log(0.5), math.log(0.2)]
    assert space.log_prior(values).tolist() == pytest.approx(expected)
    assert space.has_priors and not mixed().has_priors
    assert all(
        "log density" not in s
        for s in solve(
            Problem.from_loss(lambda v: v["height"], mixed().unknowns), RandomSearch(), Budget(iterations=1), 0
        ).report
    )


def test_constants_reach_the_simulator_for_all_environments_or_for_each():
    scene = sim.Scene(gravity=(0, 0, 0))
    law = materials.NeoHookean(youngs_modulus=1e4, poissons_ratio=0.3)
    scene.add_mpm(shapes.Box(0.1, center=(0, 0, 0.3)), law, density=1000.0, spacing=0.05, name="cube")
    rollout = scene.build(dt=1e-3, batch=2, dtype="float64", threads=1).rollout(20, record_every=20)
    unknown = Unknown(name="cube.youngs_modulus", initial=torch.tensor(1e4, dtype=torch.float64), scale="log")
    gravity = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, -2.0]])
    objective = TargetPosition("cube.position", [0.0, 0.0, 0.3])
    for constants in ({}, {"gravity": gravity[0]}, {"gravity": gravity}):
        problem = SimulationProblem(Simulator(rollout), objective, unknowns=[unknown], constants=constants)
        loss = problem.evaluate(problem.space.initial).loss.sqrt()
        fall = torch.as_tensor(constants.get("gravity", torch.zeros(3))).expand(2, 3)[:, 2].abs() * 0.5 * 0.02**2
        assert loss.tolist() == pytest.approx((fall * 21 / 20).tolist(), rel=1e-5, abs=1e-12)  # semi-implicit steps
    with pytest.raises(InputError, match="constants that are not unknown"):
        SimulationProblem(Simulator(rollout), objective, unknowns=[unknown], constants={"cube.youngs_modulus": 1e4})


@pytest.mark.parametrize("parallel", [1, 4])
@pytest.mark.parametrize("prior", [torch.distributions.LogNormal(0.0, 0.5), torch.distributions.Uniform(0.5, 1.5)])
def test_a_value_outside_the_support_of_its_prior_is_impossible_for_its_candidate_alone(prior, parallel):
    unknown = Unknown(name="x", initial=[1.0, 1.0], prior=prior)
    likelihood = Problem.from_loss(
        lambda v: (v["x"] - 2.0).square().sum(-1), [unknown], environments=parallel, parallel=parallel
    )
    problem = MaximumAPosteriori(likelihood)
    told = problem.evaluate_all(torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.25, 0.75]]))
    assert [bool(e.failure) for e in told] == [False, True, False]
    assert told[2].value == pytest.approx(0.5625 + 1.5625 - float(prior.log_prob(torch.tensor([1.25, 0.75])).sum()))
    assert math.isfinite(solve(problem, CEM(initial_std=2.0), Budget(iterations=2), 0).loss)
    free = solve(Problem.from_loss(lambda v: -v["x"].sum(), [unknown]), CEM(), Budget(iterations=1), 0)
    assert "priors at the result is" in free.report[1]  # the report may be -inf, and is no exception


def test_a_prior_of_another_shape_is_a_mistake_and_no_impossible_value():
    unknown = Unknown(name="x", initial=[1.0, 1.0], prior=torch.distributions.Normal(torch.zeros(3), 1.0))
    problem = MaximumAPosteriori(Problem.from_loss(lambda v: v["x"].sum(), [unknown]))
    with pytest.raises(ValueError, match="not broadcastable"):
        problem.evaluate(problem.space.initial)
