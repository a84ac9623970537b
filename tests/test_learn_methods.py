"""Methods reach known optima within their budgets, count every simulator call, and survive failed simulations."""

import dataclasses
import math

import pytest
import torch

from pliant.learn import (
    CEM,
    LBFGS,
    Adam,
    AugmentedRandomSearch,
    Budget,
    Estimate,
    GradientEstimator,
    Method,
    Pathwise,
    Problem,
    Query,
    RandomSearch,
    Unknown,
    solve,
)
from pliant.learn.identify.motion import Curriculum
from pliant.sim import InputError
from tests.learning import (
    CentralDifference,
    Population,
    failing_beyond,
    point_mass_problem,
    quadratic,
    rosenbrock,
)

METHODS = {
    "adam": lambda: Adam(learning_rate=0.1),
    "lbfgs": lambda: LBFGS(),
    "cem": lambda: CEM(population=32, initial_std=2.0),
    "random": lambda: RandomSearch(samples=16, std=2.0),
    "local random": lambda: RandomSearch(samples=16, std=0.3, recenter=True),
    "augmented random": lambda: AugmentedRandomSearch(directions=8, std=0.1, learning_rate=0.3),
}
# Each reaches this on |x - (1, -2, 3)|^2, which starts at 14, with 2,000 calls; plain random search is no better than
# its sampling density: 2,000 Gaussian points leave about 0.2.
REACHED = {"adam": 1e-8, "lbfgs": 1e-10, "cem": 1e-4, "random": 0.5, "local random": 0.05, "augmented random": 0.05}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_reaches_the_minimum_of_a_quadratic(name):
    result = solve(quadratic(), METHODS[name](), Budget(simulator_calls=2000), 0)
    assert result.loss < REACHED[name]
    assert (result.unknowns["x"] - torch.tensor([1.0, -2.0, 3.0])).square().sum() == pytest.approx(
        result.loss, rel=1e-5
    )


def test_adam_walks_down_the_valley_of_rosenbrock():
    result = solve(rosenbrock(), Adam(learning_rate=0.05, decay_iterations=3000), Budget(iterations=3000), 0)
    assert result.loss < 1e-5  # it starts at 24.2
    assert torch.allclose(result.unknowns["x"], torch.ones(2, dtype=torch.float64), atol=1e-2)


def test_lbfgs_runs_down_the_valley_of_rosenbrock():
    result = solve(rosenbrock(), LBFGS(), Budget(iterations=60), 0)
    assert result.loss < 1e-15  # where Adam needs thousands of iterations for 1e-5


def test_lbfgs_ends_at_the_precision_of_the_loss():
    result = solve(rosenbrock(torch.float32), LBFGS(), Budget(iterations=500), 0)
    assert result.loss < 1e-9 and len(result.history) < 200
    assert "down the gradient lowers the loss" in result.report[0] or "the gradient is zero" in result.report[0]


def test_lbfgs_meets_its_conditions_at_every_step_and_descends():
    losses = [r["loss"] for r in solve(rosenbrock(), LBFGS(), Budget(iterations=55), 0).history]
    accepted = [losses[0]]
    for loss in losses[1:]:
        accepted += [loss] if loss < accepted[-1] else []
    assert len(accepted) > 40 and accepted[-1] < 1e-6  # most evaluations are steps


def test_an_iteration_of_lbfgs_costs_a_forward_and_a_backward():
    problem = point_mass_problem()  # two environments
    result = solve(problem, LBFGS(), Budget(iterations=5), 0)
    assert result.simulator_calls == 5 * 2 * 2 == problem.simulator.runs * 2 * 2


def test_lbfgs_crosses_a_kink():
    """|x| + (x - y)^2 / 2 + y^2: no second derivative at its minimum, the origin."""
    unknown = Unknown(name="x", initial=torch.tensor([1.0, -3.0], dtype=torch.float64))

    def function(values):
        x, y = values["x"].unbind()
        return x.abs() + (x - y).square() / 2 + y.square()

    result = solve(Problem.from_loss(function, [unknown]), LBFGS(), Budget(iterations=100), 0)
    assert result.loss < 1e-6


def test_two_loops_give_the_inverse_hessian_of_a_quadratic():
    """With as many independent pairs as dimensions, the direction in their span is Newton's."""
    rng = torch.Generator().manual_seed(0)
    A = torch.randn(4, 4, dtype=torch.float64, generator=rng)
    A = A @ A.T + torch.eye(4, dtype=torch.float64)
    problem = Problem.from_loss(
        lambda v: v["x"] @ A @ v["x"] / 2, [Unknown(name="x", initial=torch.ones(4, dtype=torch.float64))]
    )
    result = solve(problem, LBFGS(), Budget(iterations=30), 0)
    assert result.loss < 1e-18


def staged(iterations, costs=(1, 4)):
    """(x - 1)^2, then 10 + (x - 2)^2, whose iterations cost four times as much."""

    def stage(target, least, cost):
        unknown = Unknown(name="x", initial=torch.zeros(1, dtype=torch.float64))
        loss = lambda v: least + (v["x"] - target).square().sum()  # noqa: E731
        return Problem.from_loss(loss, [unknown], steps_per_call=cost)

    return Curriculum([stage(1.0, 0.0, costs[0]), stage(2.0, 10.0, costs[1])], iterations)


def test_a_curriculum_compares_losses_within_a_stage_only():
    problem = staged((5, 40))
    result = solve(problem, Adam(learning_rate=0.1), Budget(iterations=100), 0, callbacks=[problem.advance])
    assert len(result.history) == 45 and "the last stage has had its iterations" in result.report[0]
    assert result.loss == pytest.approx(10.0, abs=1e-2) and float(result.unknowns["x"]) == pytest.approx(2.0, abs=0.1)


def test_a_stage_that_ends_early_leaves_its_substeps_to_the_next():
    problem = staged((30, 1))
    result = solve(problem, LBFGS(), Budget(iterations=100), 0, callbacks=[problem.advance])
    first = next(i for i, record in enumerate(result.history) if record["loss"] >= 10.0)
    assert first < 20 and problem.iterations[1] == 1 + (30 - first) // 4
    assert float(result.unknowns["x"]) == pytest.approx(2.0, abs=1e-6)


def test_a_curriculum_resumes_in_its_stage():
    snapshots, problem = [], staged((5, 10))
    callbacks = [problem.advance, lambda i: snapshots.append(i.snapshot())]
    whole = solve(problem, LBFGS(), Budget(iterations=100), 0, callbacks=callbacks)
    for snapshot in (snapshots[3], snapshots[4], snapshots[6]):
        again = staged((5, 10))
        resumed = solve(again, LBFGS(), Budget(iterations=100), 0, callbacks=[again.advance], snapshot=snapshot)
        assert resumed.loss == whole.loss and torch.equal(resumed.theta, whole.theta)


def test_a_curriculum_refuses_stages_that_differ():
    with pytest.raises(InputError, match="2 positive iterations, got"):
        staged((5,))
    other = Problem.from_loss(lambda v: v["y"], [Unknown(name="y", initial=0.0)])
    with pytest.raises(InputError, match="stages of the same unknowns"):
        Curriculum([quadratic(), other])


def test_cem_finds_the_valley_of_rosenbrock():
    result = solve(rosenbrock(), CEM(population=64, initial_std=2.0, momentum=0.4), Budget(simulator_calls=6000), 0)
    assert result.loss < 0.1  # it starts at 24.2; a Gaussian with independent axes shrinks across the curved valley


@pytest.mark.parametrize("name", ["adam", "cem"])
def test_a_policy_pushes_the_point_mass_to_its_target(name):
    problem = point_mass_problem()
    method = {"adam": Adam(learning_rate=0.05), "cem": CEM(population=32, initial_std=0.5)}[name]
    result = solve(problem, method, Budget(simulator_calls=1200), 0)
    assert result.loss < 1e-4  # 1 cm from the target, half a metre away at the start
    assert result.history[-1]["target_distance"] < 0.05


def test_the_module_is_left_with_the_best_weights():
    problem = point_mass_problem()
    result = solve(problem, Adam(learning_rate=0.3), Budget(iterations=30), 0)
    weights = dict(problem.simulator.named_parameters())
    assert all(torch.equal(weights[name], value) for name, value in result.unknowns.items())
    assert problem.evaluate(result.theta).value == result.loss


@pytest.mark.parametrize(
    ("method", "each"),
    [
        (Adam(), 2),
        (Adam(estimator=Pathwise(samples=3)), 6),
        (Adam(estimator=CentralDifference()), 2),
        (CEM(population=5), 5),
        (RandomSearch(samples=7), 7),
        (AugmentedRandomSearch(directions=4), 8),
    ],
)
def test_every_simulator_call_is_counted_a_backward_like_a_forward(method, each):
    problem = point_mass_problem()  # two environments
    result = solve(problem, method, Budget(simulator_calls=100), 0)
    assert result.simulator_calls == 100 // (2 * each) * 2 * each <= 100
    backwards = isinstance(method, Adam) and isinstance(method.estimator, Pathwise)
    assert result.simulator_calls == problem.simulator.runs * 2 * (2 if backwards else 1)
    assert [r["simulator_calls"] for r in result.history] == [2 * each * (i + 1) for i in range(len(result.history))]


def test_candidates_in_parallel_are_the_same_as_one_by_one_and_cost_whole_runs():
    alone, together = quadratic(), quadratic(environments=8, parallel=8)
    candidates = torch.randn(11, 3, generator=torch.Generator().manual_seed(0))
    one_by_one, in_groups = alone.evaluate_all(candidates), together.evaluate_all(candidates)
    assert [e.value for e in one_by_one] == [e.value for e in in_groups]
    assert sum(e.simulator_calls for e in in_groups) == together.calls(11) == 16
    assert sum(e.simulator_calls for e in one_by_one) == alone.calls(11) == 11


def test_one_parallel_candidate_that_is_not_finite_fails_alone():
    unknown = Unknown(name="x", initial=1.0)
    problem = Problem.from_loss(lambda v: v["x"].log(), [unknown], environments=4, parallel=4)
    told = problem.evaluate_all(torch.tensor([[1.0], [-1.0], [2.0]]))
    assert [bool(e.failure) for e in told] == [False, True, False]
    assert told[1].value == math.inf and "nan" in told[1].failure


@pytest.mark.parametrize("name", METHODS)
def test_a_failed_simulation_is_an_infinite_loss_with_its_sentence(name):
    result = solve(failing_beyond(2.0), METHODS[name](), Budget(simulator_calls=400), 0)
    assert 1.0 <= result.loss < 1.1  # the best that runs is just short of 2
    assert float(result.unknowns["x"]) < 2.0
    assert any("left the grid at step 7" in sentence for sentence in result.report)
    failed = [record for record in result.history if record["failed"]]
    assert failed and all("left the grid" in record["failure"] for record in failed)


@pytest.mark.parametrize("name", METHODS)
def test_a_problem_that_always_fails_ends_with_a_sentence(name):
    result = solve(failing_beyond(-math.inf), METHODS[name](), Budget(simulator_calls=64), 0)
    assert result.loss == math.inf
    assert float(result.unknowns["x"]) == 0.0
    assert any("left the grid at step 7" in sentence for sentence in result.report)
    assert result.simulator_calls <= 64


def test_a_gradient_that_is_not_finite_names_its_array():
    unknowns = [Unknown(name="stiffness", initial=1.0), Unknown(name="push", initial=torch.zeros(2, 2))]
    problem = Problem.from_loss(lambda v: v["stiffness"] + v["push"].sum().sqrt(), unknowns)
    result = solve(problem, Adam(), Budget(iterations=5), 0)
    assert "'push' is not finite in 4 of 4 entries, first at [0, 0]" in " ".join(result.report)
    assert result.simulator_calls == 2


def test_a_clipped_gradient_is_logged_and_reported():
    result = solve(quadratic(), Adam(learning_rate=0.1, clip_norm=1.0), Budget(iterations=4), 0)
    assert all(record["clipped"] == 1.0 and record["gradient_norm"] > 1.0 for record in result.history)
    assert "The gradient was clipped to norm 1 in 4 of 4 steps." in result.report


def test_the_learning_rate_falls_along_a_cosine():
    method = Adam(learning_rate=0.2, decay_iterations=4, final_learning_rate=0.1)
    rates = [r["learning_rate"] for r in solve(quadratic(), method, Budget(iterations=6), 0).history]
    assert rates == pytest.approx([0.2, 0.15 + 0.05 * math.sqrt(0.5), 0.15, 0.15 - 0.05 * math.sqrt(0.5), 0.1, 0.1])


@pytest.mark.parametrize("name", METHODS)
def test_bounds_hold_and_what_touched_them_is_told(name):
    unknown = Unknown(name="x", initial=torch.zeros(3), lower=-1.0, upper=0.5)
    seen = []

    def function(values):
        seen.append(values["x"].detach().clone())
        return (values["x"] - 2.0).square().sum()

    result = solve(Problem.from_loss(function, [unknown]), METHODS[name](), Budget(simulator_calls=800), 0)
    assert all(((x >= -1.0) & (x <= 0.5)).all() for x in seen)
    assert result.loss == pytest.approx(3 * 1.5**2, rel=0.05)
    if name in ("adam", "cem", "lbfgs"):
        assert any("bounds" in sentence for sentence in result.report)


def test_the_variance_of_a_pathwise_gradient_is_that_of_its_mean():
    problem = Problem.from_loss(lambda v: (v["x"] * torch.randn(())).sum(), [Unknown(name="x", initial=1.0)])
    rng = torch.Generator().manual_seed(0)
    estimate = Pathwise(samples=2000)(problem, problem.space.initial[None], rng)[0]
    assert float(estimate.variance) == pytest.approx(1.0 / 2000, rel=0.1)  # chi-square: 3 % standard error
    assert abs(float(estimate.gradient)) < 4.0 / math.sqrt(2000)


def test_randomness_inside_a_loss_comes_from_the_training_generator_alone():
    problem = Problem.from_loss(lambda v: (v["x"] + torch.randn(())).square(), [Unknown(name="x", initial=1.0)])
    torch.manual_seed(1)
    first = solve(problem, CEM(population=4), Budget(iterations=5), 3)
    drawn = torch.rand(())
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(()))  # the global generator was left alone
    second = solve(problem, CEM(population=4), Budget(iterations=5), 3)
    assert [r["loss"] for r in first.history] == [r["loss"] for r in second.history]


def test_methods_to_come_fit_zeroth_order_descent():
    method = Adam(learning_rate=0.05, estimator=CentralDifference())
    result = solve(quadratic(torch.float64), method, Budget(simulator_calls=2000), 0)
    assert result.loss < 1e-3


def test_methods_to_come_fit_a_population_with_a_posterior():
    result = solve(quadratic(), Population(), Budget(simulator_calls=3200), 0)
    assert result.loss < 1e-2
    assert result.posterior["x"].shape == (16, 3)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Budget(), "at least one positive limit"),
        (lambda: Budget(iterations=0), "at least one positive limit"),
        (lambda: solve(quadratic(), CEM(population=32), Budget(simulator_calls=10), 0), "32 simulator calls"),
        (lambda: CEM(elite_fraction=0.0), "elite_fraction"),
        (lambda: RandomSearch(samples=0), "samples >= 1"),
        (lambda: AugmentedRandomSearch(directions=2, top=3), "top <= directions"),
        (lambda: Adam(learning_rate=-1.0), "learning_rate"),
        (lambda: Adam(clip_norm=0.0), "clip_norm"),
        (lambda: LBFGS(memory=0), "memory"),
        (lambda: LBFGS(curvature=1e-5), "sufficient_decrease < curvature"),
        (lambda: quadratic().evaluate(torch.zeros(2)), "shape [3], got [2]"),
        (lambda: Problem.from_loss(lambda v: 1.0, [Unknown(name="x", initial=0.0)]).evaluate(torch.zeros(1)), "float"),
        (lambda: quadratic(environments=4, parallel=2), "parallel"),
        (lambda: solve(quadratic(), Adam(), Budget(iterations=1), 0, snapshot={"method": {"method": "CEM"}}), "CEM"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(make, sentence):
    with pytest.raises(InputError, match=".*expected.*") as caught:
        make()
    assert sentence in str(caught.value)


def test_a_loss_that_ignores_the_unknowns_is_refused():
    problem = Problem.from_loss(lambda v: v["x"].detach().square(), [Unknown(name="x", initial=1.0)])
    with pytest.raises(InputError, match="depends on the unknowns"):
        solve(problem, Adam(), Budget(iterations=1), 0)


@dataclasses.dataclass(kw_only=True)
class Saying(GradientEstimator):
    """Says whatever it is given."""

    told: object

    def __call__(self, problem, thetas, rng):
        return self.told

    def cost(self, problem, candidates=1):
        return candidates


@pytest.mark.parametrize(
    ("told", "sentence"),
    [([], "0 of them"), (Estimate(value=1.0), "got Estimate"), ([1.0], "got float"), (None, "got NoneType")],
)
def test_an_estimator_answers_for_every_candidate(told, sentence):
    with pytest.raises(InputError, match=f"Saying: expected a list of 1, one Estimate.*{sentence}"):
        solve(quadratic(), Adam(estimator=Saying(told=told)), Budget(iterations=1), 0)


def test_an_estimate_that_is_not_finite_is_a_failure_with_a_sentence():
    saying = Saying(told=[Estimate(value=math.nan, gradient=torch.zeros(3))])
    result = solve(quadratic(), Adam(estimator=saying), Budget(iterations=1), 0)
    assert "the loss is nan" in result.report[1] and result.history[0]["loss"] == math.inf


class Asking(Method):
    """Asks for what it is given, and learns nothing."""

    def __init__(self, candidates, told=None):
        self.candidates, self.told = candidates, told

    def reset(self):
        pass

    def ask(self):
        return Query(candidates=self.candidates)

    def tell(self, query, estimates):
        return self.told

    def cost(self, problem):
        return problem.calls(len(self.candidates))


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 4), (1, 1, 3)])
def test_a_query_without_candidates_or_of_another_shape_is_refused(shape):
    with pytest.raises(InputError, match=r"Asking.ask: expected at least one candidate, \[n, 3\], got"):
        solve(quadratic(), Asking(torch.zeros(shape)), Budget(iterations=1), 0)


def test_a_method_may_have_nothing_to_log_but_logs_by_name():
    assert solve(quadratic(), Asking(torch.zeros(1, 3)), Budget(iterations=1), 0).loss == 14.0
    with pytest.raises(InputError, match="expected what to log by name, a dictionary or nothing, got float"):
        solve(quadratic(), Asking(torch.zeros(1, 3), 1.0), Budget(iterations=1), 0)


class InPlace(Asking):
    """Walks on the space's own initial values and its own candidates, with the gradients of two estimators in turn."""

    def __init__(self):
        self.estimators_in_turn = [Counting(), Counting()]

    def reset(self):
        self.theta = self.space.initial

    def ask(self):
        self.estimators_in_turn.reverse()
        return Query(candidates=self.theta[None], estimator=self.estimators_in_turn[0])

    def tell(self, query, estimates):
        self.theta -= 0.1 * estimates[0].gradient
        query.candidates.zero_()
        self.theta += 0.5

    def cost(self, problem):
        return problem.calls(1, gradient=True)


class Counting(GradientEstimator):
    STATE = ("calls",)

    def reset(self):
        self.calls = 0

    def __call__(self, problem, thetas, rng):
        self.calls += 1
        return Pathwise()(problem, thetas, rng)

    def cost(self, problem, candidates=1):
        return Pathwise().cost(problem, candidates)


def test_a_method_may_change_its_tensors_in_place_and_hold_estimators_in_a_list():
    problem, method = quadratic(), InPlace()
    for _ in range(2):
        result = solve(problem, method, Budget(iterations=3), 0)
        assert problem.space.initial.tolist() == [0.0, 0.0, 0.0]
        assert problem.evaluate(result.theta).value == pytest.approx(result.loss)
        assert sorted(e.calls for e in method.estimators_in_turn) == [1, 2]
    assert [s["calls"] for s in method.state_dict()["estimators"].values()] == [2, 1]
