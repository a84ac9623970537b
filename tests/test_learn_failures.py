"""Failure is one candidate's, or one environment's: it is told whose, the others go on, and what that costs is counted."""

import math

import pytest
import torch

from pliant import sim
from pliant.learn import (
    CEM,
    LBFGS,
    Adam,
    Budget,
    Evaluation,
    Failed,
    Meter,
    Pathwise,
    Problem,
    Query,
    RandomSearch,
    SimulationProblem,
    Simulator,
    Unknown,
    solve,
)
from pliant.learn.objectives import TargetPosition
from pliant.sim import Code, InputError, SimulationError, Status, materials, shapes

FAILING = torch.tensor([[0.5], [3.0], [-1.0], [4.0], [0.1], [1.0], [0.0], [-0.5], [9.0], [0.2]])
BAD = [1, 3, 8]


def failing_above(limit: float, error, **options) -> Problem:
    """x^2 by candidate; a run in which some x exceeds the limit is lost as a whole, as a rollout is."""

    def function(values):
        x = values["x"]
        bad = (x.detach() > limit).reshape(-1).nonzero()[:, 0].tolist()
        if bad:
            raise error(bad)
        return x.square()

    return Problem.from_loss(function, [Unknown(name="x", initial=0.0)], **options)


def named(bad):
    return Failed("the ball left the table", environments=bad[:1])


def unnamed(bad):
    return SimulationError(Status(Code.LEFT_GRID, 7, 0, "ball", "particle 0 of 'ball' left the grid at step 7"))


@pytest.mark.parametrize(("error", "most"), [(named, 2 + 3), (unnamed, 2 + 2 * 6)])
@pytest.mark.parametrize("gradient", [False, True])
def test_candidates_that_fail_do_not_fail_those_beside_them(error, most, gradient):
    """Two groups of eight places hold ten candidates, of which three fail."""
    problem = failing_above(2.0, error, environments=8, parallel=8)
    with Meter() as meter:
        told = problem.evaluate_all(FAILING.clone().requires_grad_(gradient), gradient=gradient)
    assert [i for i, e in enumerate(told) if e.failure] == BAD
    assert [e.value for e in told if not e.failure] == [
        float(x.square()) for i, x in enumerate(FAILING) if i not in BAD
    ]
    assert sum(e.simulator_calls for e in told) == meter.calls <= 8 * most
    assert meter.calls % 8 == 0 and meter.calls > 16  # what ran again is counted


def test_gradients_of_a_group_survive_its_failures_and_cost_one_backward_for_each_run():
    problem = failing_above(2.0, named, environments=8, parallel=8)
    estimates = Pathwise()(problem, FAILING[:8], torch.Generator().manual_seed(0))
    good = [i for i in range(8) if i not in BAD]
    assert [float(estimates[i].gradient) for i in good] == [2.0 * float(FAILING[i]) for i in good]
    assert [estimates[i].gradient for i in BAD[:2]] == [None, None]
    assert all("left the table" in estimates[i].failure for i in BAD[:2])
    assert sum(e.simulator_calls for e in estimates) == 8 * (
        3 + 1
    )  # three forwards, for two are lost, and one backward


def test_a_gradient_that_is_not_finite_is_one_candidates_own():
    problem = Problem.from_loss(lambda v: v["x"].sqrt(), [Unknown(name="x", initial=1.0)], environments=4, parallel=4)
    estimates = Pathwise()(problem, torch.tensor([[1.0], [0.0], [4.0]]), torch.Generator())
    assert [e.ok for e in estimates] == [True, False, True]
    assert [float(estimates[i].gradient) for i in (0, 2)] == [0.5, 0.25] and "'x' is not finite" in estimates[1].failure


def test_a_backward_that_fails_is_repeated_by_halves():
    """Simulators raise in backward for the whole batch."""

    class Raising(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clone()

        @staticmethod
        def backward(ctx, adjoint):
            (x,) = ctx.saved_tensors
            if ((x > 2.0) & (adjoint != 0.0)).any():
                raise unnamed(None)
            return adjoint

    problem = Problem.from_loss(
        lambda v: Raising.apply(v["x"]), [Unknown(name="x", initial=0.0)], environments=8, parallel=8
    )
    with Meter() as meter:
        estimates = Pathwise()(problem, FAILING[[0, 1, 2, 4, 5, 6, 7, 9]], torch.Generator())
    assert [i for i, e in enumerate(estimates) if e.failure] == [1]
    assert sum(e.simulator_calls for e in estimates) == meter.calls == 8 * (1 + 1 + 2 * 3)


def test_a_backward_may_refuse_with_a_sentence():
    class Refusing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, adjoint):
            raise Failed("there is no adjoint here")

    problem = Problem.from_loss(lambda v: Refusing.apply(v["x"]).square(), [Unknown(name="x", initial=1.0)])
    result = solve(problem, Adam(), Budget(iterations=1), 0)
    assert "there is no adjoint here" in result.report[1]


def test_who_failed_may_be_told_as_a_number_or_a_tensor():
    assert Failed("lost", environments=2).environments == (2,)
    assert Failed("lost", environments=torch.tensor([0, 2])).environments == (0, 2)


def test_the_rate_of_failure_of_a_population_is_the_same_at_every_batch():
    """Nine in thirty-two of uniform candidates fail, alone or eight at a time."""
    method = lambda: RandomSearch(samples=32, std=1.0)  # noqa: E731
    shares = []
    for options in ({}, {"environments": 8, "parallel": 8}):
        problem = failing_above(0.6, named, **options)
        history = solve(problem, method(), Budget(iterations=10), 0).history
        shares.append([record["failed"] for record in history])
    assert shares[0] == shares[1] and 60 < sum(shares[0]) < 120


@pytest.mark.parametrize("error", [named, unnamed])
@pytest.mark.parametrize("gradient", [False, True])
def test_what_runs_again_never_exceeds_the_budget(error, gradient):
    """Half of the candidates fail; every iteration asks for two groups, and for their gradients where it wants them."""

    class Asking(RandomSearch):
        def ask(self):
            return Query(candidates=super().ask().candidates, estimator=Pathwise() if gradient else None)

        def cost(self, problem):
            return problem.calls(self.samples, gradient=gradient)

        def tell(self, query, estimates):
            spent.append(sum("not run again" in e.failure for e in estimates))
            return {}

    spent = []
    problem = failing_above(0.0, error, environments=8, parallel=8)
    for limit in range(40, 200, 8):
        result = solve(problem, Asking(samples=16), Budget(simulator_calls=limit), 0)
        assert limit - 32 <= result.simulator_calls <= limit
    assert max(spent) > 0


@pytest.mark.parametrize("error", [named, unnamed])
@pytest.mark.parametrize("gradient", [False, True])
def test_what_runs_again_never_exceeds_the_budget_of_a_meter_around_several_trainings(error, gradient):
    class Asking(RandomSearch):
        def ask(self):
            return Query(candidates=super().ask().candidates, estimator=Pathwise() if gradient else None)

        def cost(self, problem):
            return problem.calls(self.samples, gradient=gradient)

        def tell(self, query, estimates):
            return {}

    problem = failing_above(0.0, error, environments=8, parallel=8)
    for limit in range(40, 200, 8):
        with Meter(simulator_calls=limit) as meter:
            for seed in range(3):
                solve(problem, Asking(samples=16), Budget(iterations=4), seed)
        assert meter.calls <= limit and meter.planned == 0


def test_a_batch_outlives_one_of_its_environments_where_the_problem_allows_it():
    def function(values):
        return values["x"] + torch.tensor([0.0, 1.0, math.nan, 3.0])

    unknown = Unknown(name="x", initial=1.0)
    strict = Problem.from_loss(function, [unknown], environments=4)
    lenient = Problem.from_loss(function, [unknown], environments=4, may_fail=0.25)
    for problem in (strict, lenient):
        (estimate,) = Pathwise()(problem, torch.ones(1, 1), torch.Generator())
        assert estimate.losses.tolist() == [1.0, 2.0, math.inf, 4.0]
        assert [bool(sentence) for sentence in estimate.failures] == [False, False, True, False]
        assert estimate.ok == (problem is lenient)
    assert estimate.value == pytest.approx(7.0 / 3.0) and float(estimate.gradient) == 1.0
    assert "the loss is nan in 1 of 4" in strict.evaluate(torch.ones(1)).failure


@pytest.fixture(scope="module")
def thrown() -> sim.Model:
    """A small cube in a box of limited extent, in four environments that differ in its velocity; the third leaves the box."""
    scene = sim.Scene(extent=((-0.3, -0.3, 0.0), (0.3, 0.3, 0.6)), cell_size=0.05, walls="open", gravity=(0, 0, 0))
    law = materials.NeoHookean(youngs_modulus=1e4, poissons_ratio=0.3)
    scene.add_mpm(shapes.Box(0.1, center=(0, 0, 0.3)), law, density=1000.0, spacing=0.05, name="cube")
    return scene.build(dt=1e-3, batch=4, dtype="float64", threads=1)


def velocities(fast: float) -> torch.Tensor:
    particles = torch.zeros(4, 1, 3, dtype=torch.float64)
    particles[:, 0, 0] = torch.tensor([0.1, 0.2, fast, 0.3])
    return particles


def test_a_rollout_of_which_one_environment_fails_gives_the_loss_of_the_others(thrown):
    rollout = thrown.rollout(40, record_every=40)
    items = rollout.parameters()["cube.velocity"].shape[1]
    constants = {"cube.velocity": velocities(30.0).expand(4, items, 3)}
    unknown = Unknown(name="cube.youngs_modulus", initial=torch.tensor(1e4, dtype=torch.float64), scale="log")
    objective = TargetPosition("cube.position", [0.1, 0.0, 0.3])
    strict, lenient = (
        SimulationProblem(Simulator(rollout), objective, unknowns=[unknown], constants=constants, may_fail=share)
        for share in (0.0, 0.25)
    )
    failed = strict.evaluate(strict.space.initial)
    assert "of environment 2" in failed.failure and failed.simulator_calls == 4
    before = rollout.simulator_calls
    (estimate,) = Pathwise()(lenient, lenient.space.initial[None], torch.Generator())
    assert estimate.ok and torch.isfinite(estimate.gradient).all()
    assert estimate.losses[2] == math.inf and torch.isfinite(estimate.losses[[0, 1, 3]]).all()
    assert "of environment 2" in estimate.failures[2] and not any(estimate.failures[e] for e in (0, 1, 3))
    assert estimate.simulator_calls == rollout.simulator_calls - before == 4 * 3  # two forwards and a backward
    slow = {"cube.velocity": velocities(0.1).expand(4, items, 3)}
    alone = SimulationProblem(Simulator(rollout), objective, unknowns=[unknown], constants=slow)
    losses = alone.evaluate(alone.space.initial).loss
    assert torch.equal(losses[[0, 1, 3]], estimate.losses[[0, 1, 3]])


def test_a_parallel_candidate_that_leaves_the_grid_fails_alone(thrown):
    rollout = thrown.rollout(40, record_every=40)
    unknown = Unknown(name="cube.velocity", initial=torch.zeros(1, 3, dtype=torch.float64))
    problem = SimulationProblem(
        Simulator(rollout), TargetPosition("cube.position", [0.1, 0.0, 0.3]), unknowns=[unknown], parallel=True
    )
    candidates = torch.zeros(6, 3, dtype=torch.float64)
    candidates[:, 0] = torch.tensor([0.5, 30.0, 2.5, -0.5, -40.0, 0.0])
    told = problem.evaluate_all(candidates)
    assert [bool(e.failure) for e in told] == [False, True, False, False, True, False]
    assert sum(e.simulator_calls for e in told) == 4 * 4
    assert told[2].value == pytest.approx(0.0, abs=1e-20)  # 2.5 m/s for 0.04 s


def test_values_out_of_bounds_and_singular_matrices_fail_a_candidate_not_the_training(thrown):
    rollout = thrown.rollout(2)
    unknown = Unknown(name="cube.poissons_ratio", initial=torch.tensor(0.3, dtype=torch.float64), spread=0.2)
    problem = SimulationProblem(Simulator(rollout), TargetPosition("cube.position", [0, 0, 0.3]), unknowns=[unknown])
    result = solve(problem, RandomSearch(samples=8, std=2.0), Budget(iterations=2), 0)
    assert math.isfinite(result.loss) and "cube.poissons_ratio: expected" in " ".join(result.report)

    def singular(values):
        x = values["x"]
        return torch.linalg.solve(torch.diag(torch.stack([x.round(), torch.ones(())])), torch.ones(2)).sum()

    other = Problem.from_loss(singular, [Unknown(name="x", initial=1.0)])
    result = solve(other, RandomSearch(samples=8, std=0.5), Budget(iterations=2), 0)
    assert math.isfinite(result.loss) and "LinAlgError" in " ".join(result.report)


def test_a_mistake_is_raised_at_the_first_evaluation():
    problem = Problem.from_loss(lambda v: Simulator(None).nothing, [Unknown(name="x", initial=1.0)])
    with pytest.raises(AttributeError):
        solve(problem, CEM(), Budget(iterations=1), 0)

    def refuse(values):
        raise InputError("values: expected another name, got x; correct it.")

    with pytest.raises(InputError, match="another name"):
        solve(Problem.from_loss(refuse, [Unknown(name="x", initial=1.0)]), CEM(), Budget(iterations=1), 0)


def test_compute_may_refuse_its_values_with_a_sentence():
    def function(values):
        if float(values["x"]) > 1.0:
            raise Failed("the beam buckles")
        return values["x"].square()

    result = solve(
        Problem.from_loss(function, [Unknown(name="x", initial=0.0)]), RandomSearch(std=2.0), Budget(iterations=1), 0
    )
    assert "the beam buckles" in result.report[1] and result.loss == 0.0


def test_adam_uses_its_whole_budget_where_runs_fail_by_chance():
    """Nine in ten evaluations fail, whatever the unknown: a dozen failures in a row are soon met."""

    def function(values):
        if torch.rand(()) < 0.9:
            raise Failed("bad luck")
        return (values["x"] - 1.0).square()

    problem = Problem.from_loss(function, [Unknown(name="x", initial=0.0)])
    start = next(seed for seed in range(99) if solve(problem, Adam(), Budget(iterations=1), seed).loss < 9.0)
    result = solve(problem, Adam(learning_rate=0.1), Budget(simulator_calls=900), start)
    assert "simulator calls are spent" in result.report[0] and result.loss < 0.05


def test_an_evaluation_knows_who_ran():
    evaluation = Evaluation(
        loss=torch.tensor([1.0, 2.0, 4.0]), failures=("", "lost", ""), metrics={"n": torch.arange(3)}
    )
    assert evaluation.value == 2.5 and evaluation.numbers() == {"n": 1.0}


def test_methods_that_search_a_line_take_a_failure_for_a_step_too_long():
    result = solve(failing_above(-1.0, unnamed), LBFGS(), Budget(iterations=5), 0)
    assert "cannot start" in result.report[0]


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (Evaluation(loss=1.0), "floating-point loss, scalar or [environments], got float"),
        (Evaluation(loss=torch.tensor(1)), "got torch.int64 []"),
        (Evaluation(loss=torch.ones(2, 2)), "got torch.float32 [2, 2]"),
        (torch.ones(0), "got torch.float32 [0]"),
        ((torch.ones(1), {}, 3), "got tuple"),
        ((torch.ones(1), None), "metrics by name, a dictionary, got NoneType"),
        ((torch.ones(1), {"a": ["b", "c"]}), "as a metric, got list"),
        (Evaluation(loss=torch.ones(4), failures=("", "lost")), "each of 4 losses as failures, or none, got 2"),
    ],
)
def test_what_is_no_evaluation_is_refused_with_a_sentence(made, sentence):
    problem = Problem.from_loss(lambda v: made, [Unknown(name="x", initial=0.0)])
    with pytest.raises(InputError) as caught:
        solve(problem, CEM(), Budget(iterations=1), 0)
    assert sentence in str(caught.value)


def test_a_metric_of_another_length_than_the_candidates_belongs_to_all_of_them():
    problem = Problem.from_loss(
        lambda v: (v["x"].square(), {"each": v["x"], "all": torch.arange(3)}),
        [Unknown(name="x", initial=0.0)],
        environments=8,
        parallel=8,
    )
    told = problem.evaluate_all(FAILING[:8])
    assert [e.numbers()["each"] for e in told] == FAILING[:8, 0].tolist() and told[5].numbers()["all"] == 1.0


def test_the_mean_over_samples_tells_what_each_of_them_told():
    def function(values):
        losses = values["x"].square() + torch.tensor([0.0, 1.0, math.nan, 2.0])
        metrics = {"number": torch.rand(()), "text": "slides", "many": torch.ones(2, 2)}
        return Evaluation(loss=losses, metrics=metrics, ranked=False)

    problem = Problem.from_loss(function, [Unknown(name="x", initial=1.0)], environments=4, may_fail=0.25)
    (estimate,) = Pathwise(samples=3)(problem, torch.ones(1, 1), torch.Generator())
    assert not estimate.ranked and [bool(sentence) for sentence in estimate.failures] == [False, False, True, False]
    assert estimate.metrics["text"] == "slides" and estimate.metrics["many"].shape == (2, 2)
    assert 0.0 < estimate.metrics["number"] < 1.0 and estimate.value == 2.0 and float(estimate.gradient) == 2.0
