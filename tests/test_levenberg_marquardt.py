"""Levenberg and Marquardt's method against closed forms: optimum, covariance, bounds, scales, failures, resumption."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import curve_fit, lsq_linear

from pliant.learn import Budget, Evaluation, FiniteDifference, LevenbergMarquardt, Problem, Run, Unknown, solve
from pliant.learn.interruption import Interrupted
from pliant.sim import Code, InputError, SimulationError, Status
from tests.learning import quadratic, rosenbrock

ROWS, SIZE = 30, 3
DOUBLE = torch.float64


def design(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix [30, 3] with correlated columns, and data with noise 0.1 about A (1, -2, 3)."""
    rng = torch.Generator().manual_seed(seed)
    A = torch.randn(ROWS, SIZE, generator=rng, dtype=DOUBLE) + torch.tensor([1.0, 1.0, 0.0], dtype=DOUBLE)
    truth = torch.tensor([1.0, -2.0, 3.0], dtype=DOUBLE)
    return A, A @ truth + 0.1 * torch.randn(ROWS, generator=rng, dtype=DOUBLE)


def least_squares(function, unknowns) -> Problem:
    """The problem of residuals r(values)."""

    def compute(values):
        residuals = function(values)
        return Evaluation(loss=residuals.square().sum() / 2, residuals=residuals)

    return Problem.from_loss(compute, unknowns)


def linear_problem(A, b, spread: float = 1.0, **bounds) -> Problem:
    unknown = Unknown(name="x", initial=torch.zeros(A.shape[1], dtype=DOUBLE), spread=spread, **bounds)
    return least_squares(lambda v: A @ v["x"] - b, [unknown])


def scalar(name: str, initial: float, **options) -> Unknown:
    return Unknown(name=name, initial=torch.tensor(initial, dtype=DOUBLE), **options)


@pytest.mark.parametrize("estimator", [None, FiniteDifference()], ids=["forward mode", "differences"])
def test_linear_least_squares_have_the_known_optimum_and_covariance(estimator):
    A, b = design()
    options = {} if estimator is None else {"estimator": estimator}
    method = LevenbergMarquardt(step_tolerance=1e-10, **options)
    result = solve(linear_problem(A, b, spread=2.0), method, Budget(iterations=50), 0)
    exact = torch.linalg.lstsq(A, b).solution
    square = float((A @ exact - b).square().sum()) / (ROWS - SIZE)
    covariance = square * torch.linalg.inv(A.T @ A)
    # Differences of linear residuals are exact but for round-off, 1e-16 / 1e-4.
    assert torch.allclose(result.unknowns["x"], exact, rtol=1e-8)
    assert torch.allclose(result.posterior.covariance * 2.0**2, covariance, rtol=1e-8)
    low, high = result.posterior.interval(0.9)["x"]
    reach = 1.7032884 * covariance.diagonal().sqrt()  # Student's t at 95 % with 27 degrees of freedom
    assert torch.allclose(high - low, 2.0 * reach, rtol=1e-6) and torch.allclose((high + low) / 2, exact, rtol=1e-7)
    assert result.posterior.noise == pytest.approx(math.sqrt(square))
    assert result.posterior.warnings == ()


def test_intervals_of_90_percent_cover_the_truth_in_90_percent_of_the_draws():
    """200 draws of noise, 3 unknowns: the standard error of the coverage is 1.2 %."""
    truth, covered = torch.tensor([1.0, -2.0, 3.0], dtype=DOUBLE), 0
    method = LevenbergMarquardt(damping=1e-9, largest_step=None)
    for seed in range(200):
        result = solve(linear_problem(*design(seed)), method, Budget(iterations=2), 0)
        low, high = result.posterior.interval(0.9)["x"]
        covered += int(((low <= truth) & (truth <= high)).sum())
    assert 0.86 <= covered / 600 <= 0.94


def test_a_decay_fitted_on_logarithmic_scales_has_the_covariance_of_its_logarithms():
    """Against another implementation, SciPy's curve_fit, in the logarithms of the parameters."""
    t = torch.linspace(0.0, 2.0, 40, dtype=DOUBLE)
    noise = torch.randn(40, generator=torch.Generator().manual_seed(3), dtype=DOUBLE)
    data = 50.0 * torch.exp(-1.5 * t) + noise
    unknowns = [scalar("height", 1.0, scale="log"), scalar("rate", 0.1, scale="log", spread=0.5)]
    problem = least_squares(lambda v: v["height"] * torch.exp(-v["rate"] * t) - data, unknowns)
    result = solve(problem, LevenbergMarquardt(), Budget(iterations=60), 0)
    model = lambda x, a, b: np.exp(a) * np.exp(-np.exp(b) * x)  # noqa: E731
    best, covariance = curve_fit(model, t.numpy(), data.numpy(), p0=(3.0, 0.0))
    spreads = np.array([1.0, 0.5])
    assert np.allclose(result.theta.numpy() * spreads, best, rtol=1e-6)
    got = result.posterior.covariance.numpy() * np.outer(spreads, spreads)
    assert np.allclose(got, covariance, rtol=1e-4)  # curve_fit's own differences
    low, high = (float(end) for end in result.posterior.interval()["height"])
    assert high / math.exp(best[0]) == pytest.approx(math.exp(best[0]) / low)  # an interval of factors


def test_rosenbrock_is_solved_in_few_iterations():
    result = solve(rosenbrock(), LevenbergMarquardt(), Budget(iterations=40), 0)
    assert result.loss < 1e-12 and result.history[-1]["iteration"] < 25  # Adam needs 3000
    assert "no unknown would move by more than 1e-06" in result.report[0]
    assert result.posterior is None  # two residuals for two unknowns: nothing is left to tell the noise by


@pytest.mark.parametrize("seed", range(5))
def test_bounds_hold_and_the_optimum_is_that_of_bounded_least_squares(seed):
    A, b = design(seed)
    problem, seen = linear_problem(A, b, lower=-1.0, upper=2.0), []
    method = LevenbergMarquardt()
    result = solve(problem, method, Budget(iterations=50), 0, callbacks=[lambda i: seen.append(method.trial.clone())])
    exact = lsq_linear(A.numpy(), b.numpy(), (-1.0, 2.0)).x
    assert np.allclose(result.unknowns["x"].numpy(), exact, atol=1e-6)
    assert all(((x >= problem.space.lower) & (x <= problem.space.upper)).all() for x in seen)
    bound = np.isclose(exact, -1.0) | np.isclose(exact, 2.0)
    assert bound.any() and np.array_equal(~bound, result.posterior.free.numpy())
    for index, side in ((1, "lower"), (2, "upper")):
        told = f"'x[{index}]' is at its {side} bound and would go beyond" in " ".join(result.report)
        assert told == bound[index]


def test_a_start_at_a_bound_from_which_the_loss_falls_is_left():
    problem = least_squares(
        lambda v: torch.stack([v["x"] - 2.0, v["x"] - 2.1]), [scalar("x", 1.0, lower=1.0, upper=9.0)]
    )
    assert float(solve(problem, LevenbergMarquardt(), Budget(iterations=20), 0).unknowns["x"]) == pytest.approx(2.05)


def failing_problem(limit: float) -> Problem:
    """r = (x - 3, 1) for x < limit, a failed simulation beyond."""

    def residuals(values):
        if float(values["x"].detach()) >= limit:
            raise SimulationError(Status(Code.LEFT_GRID, 7, 0, "ball", "particle 0 of 'ball' left the grid at step 7"))
        return torch.stack([values["x"] - 3.0, torch.ones_like(values["x"])])

    return least_squares(residuals, [scalar("x", 0.0)])


def test_a_failed_simulation_is_a_rejected_step():
    result = solve(failing_problem(2.0), LevenbergMarquardt(), Budget(iterations=60), 0)
    assert 1.9 < float(result.unknowns["x"]) < 2.0  # up against where it fails
    assert any("left the grid at step 7" in sentence for sentence in result.report)
    failed = [record for record in result.history if record["failed"]]
    assert failed and not any(record["accepted"] for record in failed)
    dampings = [record["damping"] for record in result.history]
    assert all(b > a for a, b, r in zip(dampings, dampings[1:], result.history[1:], strict=False) if not r["accepted"])


def test_a_start_that_fails_ends_with_its_sentence():
    result = solve(failing_problem(-1.0), LevenbergMarquardt(), Budget(iterations=9), 0)
    assert len(result.history) == 1 and result.posterior is None
    assert "cannot start" in result.report[0] and "left the grid at step 7" in result.report[0]


def test_a_loss_that_rises_along_its_own_derivative_ends_after_the_patience():
    problem = least_squares(
        lambda v: -3.0 * v["x"] + 4.0 * (v["x"] - v["x"].detach()) + torch.arange(2.0), [scalar("x", 2.0)]
    )
    result = solve(problem, LevenbergMarquardt(patience=4), Budget(iterations=90), 0)
    assert len(result.history) == 5 and result.theta.tolist() == [2.0]
    assert "4 steps in a row did not lower the loss" in result.report[0]


def test_steps_are_no_longer_than_asked():
    problem = least_squares(lambda v: torch.stack([v["x"] - 10.0, v["x"] - 10.0]), [scalar("x", 0.0)])
    result = solve(problem, LevenbergMarquardt(largest_step=3.0), Budget(iterations=20), 0)
    values = [record["x"] for record in result.history]
    assert max(np.diff(values)) == pytest.approx(3.0) and values[-1] == pytest.approx(10.0)


def two_valleys() -> Problem:
    """r = (x^2 - 4, x / 2 - 1): minima at x = 2, where the loss is 0, and at x = -1.93541, a root of 2 x^3 - 7.75 x - 0.5."""
    return least_squares(
        lambda v: torch.stack([v["x"] ** 2 - 4.0, v["x"] / 2 - 1.0, 0.0 * v["x"]]), [scalar("x", -1.0, spread=2.0)]
    )


def test_it_goes_to_the_nearest_minimum_and_from_the_best_of_several_starts_to_the_lowest():
    near = solve(two_valleys(), LevenbergMarquardt(), Budget(iterations=40), 0)
    assert float(near.unknowns["x"]) == pytest.approx(-1.93541, abs=1e-4)
    best = solve(two_valleys(), LevenbergMarquardt(starts=32), Budget(iterations=40), 0)
    assert float(best.unknowns["x"]) == pytest.approx(2.0)
    assert best.history[0]["simulator_calls"] == 32 and best.history[1]["simulator_calls"] == 34


def test_a_restart_goes_on_from_the_present_unknowns_with_another_loss():
    weight = torch.tensor(1.0, dtype=DOUBLE)
    problem = least_squares(lambda v: torch.stack([v["x"] - 1.0, weight * (v["x"] - 3.0)]), [scalar("x", 0.0)])
    method = LevenbergMarquardt()

    def change(iteration):
        if method.finished and problem.stage == 0:
            assert float(method.theta) == pytest.approx(2.0)
            weight.fill_(3.0)
            problem.stage = 1  # losses of different stages are never compared
            method.restart()

    result = solve(problem, method, Budget(iterations=40), 0, callbacks=[change])
    assert float(result.unknowns["x"]) == pytest.approx((1.0 + 9.0 * 3.0) / 10.0)


def test_what_nothing_depends_on_is_named_and_left_alone():
    unknowns = [scalar("clay.youngs_modulus", 2.0), scalar("clay.yield_stress", 5.0)]
    data = torch.tensor([1.0, 1.1, 0.9], dtype=DOUBLE)
    result = solve(
        least_squares(lambda v: v["clay.youngs_modulus"] - data, unknowns),
        LevenbergMarquardt(),
        Budget(iterations=9),
        0,
    )
    assert float(result.unknowns["clay.yield_stress"]) == 5.0
    assert float(result.unknowns["clay.youngs_modulus"]) == pytest.approx(1.0)
    assert "'clay.yield_stress' changes nothing that was recorded" in " ".join(result.report)
    assert "may never have yielded" in " ".join(result.report)
    low, high = result.posterior.interval()["clay.yield_stress"]
    assert (float(low), float(high)) == (-math.inf, math.inf)
    low, high = result.posterior.interval()["clay.youngs_modulus"]
    assert 0.0 < high - low < 0.4  # 2 t(2) 0.1 / sqrt(3) = 0.34


def two_columns(angle: float) -> Problem:
    """Two unknowns whose columns have this angle between them."""
    t = torch.linspace(0.0, 1.0, 20, dtype=DOUBLE)
    first, second = torch.cos(4.0 * math.pi * t[:-1]), torch.sin(4.0 * math.pi * t[:-1])
    other = math.cos(angle) * first + math.sin(angle) * second
    data = first + other + 0.01 * torch.cos(40.0 * t[:-1])
    return least_squares(lambda v: v["a"] * first + v["b"] * other - data, [scalar("a", 0.0), scalar("b", 0.0)])


@pytest.mark.parametrize(
    ("angle", "sentence"),
    [
        (1.3, ""),
        (0.2, "'a' and 'b' are correlated by -0.9"),
        (1e-2, "'a', 'b' are hard to tell apart"),
        (1e-9, "'a', 'b' cannot be told apart, only a combination"),
    ],
)
def test_unknowns_that_look_alike_are_named(angle, sentence):
    result = solve(two_columns(angle), LevenbergMarquardt(), Budget(iterations=40), 0)
    told = " ".join(result.posterior.warnings)
    assert sentence in told and bool(told) == bool(sentence)
    if angle > 0.1:  # the correlation of least squares with two columns is minus the cosine of their angle
        assert float(result.posterior.correlations()[0, 1]) == pytest.approx(-math.cos(angle), abs=1e-2)


def test_values_and_intervals_are_logged_for_each_entry():
    A, b = design()
    result = solve(linear_problem(A, b), LevenbergMarquardt(), Budget(iterations=50), 0)
    last, (low, high) = result.history[-1], result.posterior.interval()["x"]
    for i in range(SIZE):
        assert last[f"x[{i}]"] == pytest.approx(float(result.unknowns["x"][i]))
        assert (last[f"x[{i}].low"], last[f"x[{i}].high"]) == pytest.approx((float(low[i]), float(high[i])))


def without_time(history):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


def test_an_interrupted_run_resumes_bit_for_bit(tmp_path):
    straight = solve(rosenbrock(), LevenbergMarquardt(), Budget(iterations=40), 7)

    def interrupt(iteration):
        if iteration.progress.iteration == 6:
            import signal

            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        Run(tmp_path, progress=False).solve(
            rosenbrock(), LevenbergMarquardt(), Budget(iterations=40), 7, callbacks=[interrupt]
        )
    resumed = Run(tmp_path, progress=False, resume=True).solve(
        rosenbrock(), LevenbergMarquardt(), Budget(iterations=40), 7
    )
    assert without_time(resumed.history) == without_time(straight.history)
    assert torch.equal(resumed.theta, straight.theta) and resumed.report == straight.report


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: LevenbergMarquardt(damping=0.0), "positive damping"),
        (lambda: LevenbergMarquardt(largest_step=-1.0), "positive damping and largest_step"),
        (lambda: LevenbergMarquardt(patience=0), "patience >= 1"),
        (lambda: LevenbergMarquardt(starts=-1), "starts and tolerances >= 0"),
        (lambda: LevenbergMarquardt(level=1.0), "level between 0 and 1"),
        (lambda: solve(quadratic(), LevenbergMarquardt(), Budget(iterations=3), 0), "expected residuals"),
        (
            lambda: solve(linear_problem(*design()), LevenbergMarquardt(), Budget(iterations=9), 0).posterior.interval(
                1.5
            ),
            "level",
        ),
    ],
)
def test_wrong_use_gets_its_sentence(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()
