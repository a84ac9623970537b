"""Trainings inside trainings: gradients, starts, budgets and counts hold at every depth."""

import pytest
import torch

from pliant.learn import (
    CEM,
    Adam,
    Budget,
    Evaluation,
    Meter,
    Pathwise,
    Problem,
    Query,
    RandomSearch,
    Space,
    Unknown,
    charge,
    solve,
)
from pliant.sim import InputError
from tests.learning import point_mass_problem, quadratic


def nested(inner_budget: Budget) -> tuple[Problem, list[int]]:
    """Find y such that the x that Adam finds for (x - y)^2 is near 2."""
    spent: list[int] = []

    def function(values):
        inner = Problem.from_loss(lambda v: (v["x"] - values["y"]).square(), [Unknown(name="x", initial=0.0)])
        result = solve(inner, Adam(learning_rate=0.3), inner_budget, 0)
        spent.append(result.simulator_calls)
        return (result.unknowns["x"] - 2.0).square()

    return Problem.from_loss(function, [Unknown(name="y", initial=1.0)]), spent


def test_a_training_with_gradients_runs_inside_an_evaluation_without():
    problem, spent = nested(Budget(iterations=30))
    result = solve(problem, RandomSearch(samples=8, std=1.0), Budget(iterations=4), 0)
    assert result.loss < 0.1 and float(result.unknowns["y"]) == pytest.approx(2.0, abs=0.5)
    assert result.simulator_calls == sum(spent) == 4 * 8 * 60


def test_the_outer_budget_ends_what_runs_inside():
    problem, spent = nested(Budget(iterations=30))
    result = solve(problem, RandomSearch(samples=4), Budget(simulator_calls=150), 0)
    assert sum(spent) == result.simulator_calls == 150 and spent[:3] == [60, 60, 30]
    with pytest.raises(InputError, match="simulator calls for one iteration"):
        solve(quadratic(), CEM(population=32), Budget(simulator_calls=10), 0)


def test_one_meter_is_shared_by_trainings_one_after_the_other():
    with Meter(simulator_calls=100) as meter:
        results = [solve(quadratic(), Adam(), Budget(iterations=20), seed) for seed in range(4)]
        charge(0)
    assert [r.simulator_calls for r in results] == [40, 40, 20, 0] and meter.calls == 100 and meter.left == 0
    assert "0 simulator calls left" in results[3].report[0]
    assert results[3].unknowns["x"].tolist() == [0.0, 0.0, 0.0]


def test_a_meter_that_is_opened_twice_counts_once():
    with Meter(simulator_calls=20) as meter:
        with meter:
            quadratic().evaluate(torch.zeros(3))
        assert meter.calls == 1
        quadratic().evaluate(torch.zeros(3))
    assert meter.calls == 2


def test_calls_outside_a_problem_are_told_to_the_meter_and_end_the_training():
    class Looking(Adam):
        def tell(self, query, estimates):
            charge(3)
            return super().tell(query, estimates)

    result = solve(quadratic(), Looking(), Budget(simulator_calls=50), 0)
    assert result.simulator_calls == 50 and len(result.history) == 10


def test_what_a_callback_looks_at_is_not_the_trainings():
    problem = quadratic()
    looks = lambda iteration: problem.evaluate(problem.space.initial)  # noqa: E731
    assert solve(problem, Adam(), Budget(simulator_calls=20), 0, callbacks=[looks]).simulator_calls == 20


@pytest.mark.parametrize("stated", [0, 5])
def test_a_backward_costs_what_the_problem_or_the_evaluation_says(stated):
    def function(values):
        return Evaluation(loss=values["x"].square(), backward_calls=stated)

    unknown = Unknown(name="x", initial=1.0)
    result = solve(Problem.from_loss(function, [unknown]), Adam(), Budget(iterations=3), 0)
    assert result.simulator_calls == 3 * (1 + stated)
    said = Problem.from_loss(lambda v: v["x"].square(), [unknown], backward_calls=stated)
    assert solve(said, Adam(), Budget(simulator_calls=3 * (1 + stated)), 0).simulator_calls == 3 * (1 + stated)


@pytest.mark.parametrize("start", [{"x": [0.0, -1.0, 2.0]}, torch.tensor([0.0, -1.0, 2.0]), [0.0, -1.0, 2.0]])
def test_a_training_starts_where_it_is_told(start):
    problem = quadratic()
    result = solve(problem, Adam(), Budget(iterations=1), 0, start=start)
    assert result.unknowns["x"].tolist() == [0.0, -1.0, 2.0] and result.loss == 3.0
    assert problem.space.initial.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        ({"y": 1.0}, "names among ['x']"),
        ({"x": [1.0, 2.0]}, "shape [3], got [2]"),
        ({"x": [1.0, 2.0, 9.0]}, "to 5, got 9"),
        (torch.zeros(2), "shape [3], got [2]"),
        (torch.full((3,), torch.nan), "not finite"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(start, sentence):
    space = Space([Unknown(name="x", initial=torch.zeros(3), upper=5.0)])
    with pytest.raises(InputError) as caught:
        space.starting_at(start)
    assert sentence in str(caught.value)


def test_gradients_of_many_candidates_are_those_of_each():
    alone, together = point_mass_problem(), quadratic(environments=8, parallel=8)
    candidates = torch.randn(11, 3, generator=torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(0)
    for estimate, theta in zip(Pathwise()(together, candidates, rng), candidates, strict=True):
        assert torch.equal(estimate.gradient, 2.0 * (theta - torch.tensor([1.0, -2.0, 3.0])))
    assert Pathwise().cost(together, 11) == 2 * 16 and Pathwise(samples=3).cost(together, 11) == 6 * 16
    with Meter() as meter:
        Pathwise()(together, candidates, rng)
    assert meter.calls == 32
    noisy = alone.space.initial + 0.1 * alone.space.noise(3, rng)
    each = [Pathwise()(alone, theta[None], rng)[0] for theta in noisy]
    for one, other in zip(Pathwise()(alone, noisy, rng), each, strict=True):
        assert torch.equal(one.gradient, other.gradient) and one.value == other.value


def test_repeated_candidates_are_as_many_samples_where_a_method_says_so():
    class Repeating(RandomSearch):
        common = True

        def ask(self):
            return Query(candidates=self.space.initial.expand(200, -1), common_noise=self.common)

        def tell(self, query, estimates):
            values = torch.tensor([e.value for e in estimates])
            return {"deviation": float(values.std()), "mean_value": float(values.mean())}

    for options in ({}, {"environments": 8, "parallel": 8}):
        problem = Problem.from_loss(
            lambda v: v["x"] + torch.randn_like(v["x"]), [Unknown(name="x", initial=0.0)], **options
        )
        method = Repeating(samples=200)
        shared = solve(problem, method, Budget(iterations=1), 0).history[0]
        method.common = False
        own = solve(problem, method, Budget(iterations=1), 0).history[0]
        # The deviation of 200 samples has a standard error of 5 %.
        assert own["deviation"] == pytest.approx(1.0, abs=0.2)
        assert shared["deviation"] < 1e-6 or options
