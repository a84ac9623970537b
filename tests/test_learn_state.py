"""One protocol of state for methods, estimators and problems; what is logged, saved and loaded."""

import collections
import dataclasses
import json
import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest
import torch

from pliant import learn
from pliant.learn import (
    CEM,
    FIELDS,
    Adam,
    Budget,
    Estimate,
    FiniteDifference,
    GradientEstimator,
    LevenbergMarquardt,
    Method,
    Pathwise,
    Problem,
    Query,
    Result,
    Run,
    SimulationProblem,
    Space,
    Unknown,
    draw_seed,
    solve,
)
from pliant.learn.run import read_metrics
from pliant.sim import InputError
from pliant.sim.mpm.state import FIELDS as FIELDS_OF_MPM
from tests.learning import point_mass_problem, quadratic, rosenbrock
from tests.test_learn_run import without_time


@dataclasses.dataclass(kw_only=True)
class Smoothed(GradientEstimator):
    """Pathwise gradients, averaged over calls by a share that is learned with an optimiser and drawn with a generator."""

    STATE: ClassVar[tuple[str, ...]] = ("mean", "share", "optimiser", "own")

    def reset(self) -> None:
        self.mean: torch.Tensor | None = None
        self.share = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(self.share.weight, 0.1)
        torch.nn.init.zeros_(self.share.bias)
        self.optimiser = torch.optim.Adam(self.share.parameters(), 1e-2)
        self.own = torch.Generator().manual_seed(3)

    def __call__(self, problem: Problem, thetas: torch.Tensor, rng: torch.Generator) -> list[Estimate]:
        estimates = Pathwise()(problem, thetas, rng)
        fresh = estimates[0].gradient
        self.mean = fresh if self.mean is None else self.mean
        weight = self.share(torch.rand(1, generator=self.own)).sigmoid()
        self.optimiser.zero_grad()
        (weight * self.mean + (1 - weight) * fresh).square().sum().backward()
        self.optimiser.step()
        self.mean = (weight * self.mean + (1 - weight) * fresh).detach()
        return [dataclasses.replace(estimates[0], gradient=self.mean)]

    def cost(self, problem: Problem, candidates: int = 1) -> int:
        return Pathwise().cost(problem, candidates)


@dataclasses.dataclass(kw_only=True, eq=False)
class Surrogate(Method):
    """Search where a small network, trained on all that was told, expects the lowest loss."""

    STATE: ClassVar[tuple[str, ...]] = ("network", "optimiser", "theta")

    samples: int = 8

    def reset(self) -> None:
        size = self.space.dimension
        self.network = torch.nn.Sequential(torch.nn.Linear(size, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        with torch.no_grad():
            for weight in self.network.parameters():
                weight.copy_(0.3 * torch.randn(weight.shape, generator=self.rng))
        self.optimiser = torch.optim.Adam(self.network.parameters(), 0.05)
        self.theta = self.space.initial.clone()

    def ask(self) -> Query:
        guesses = self.theta + 0.3 * self.space.noise(4 * self.samples, self.rng)
        with torch.no_grad():
            best = self.network(guesses)[:, 0].argsort()[: self.samples]
        return Query(candidates=guesses[best])

    def tell(self, query: Query, estimates: Sequence[Estimate]) -> dict[str, object]:
        values = torch.tensor([e.value for e in estimates])
        self.theta = query.candidates[values.argmin()]
        self.optimiser.zero_grad()
        misfit = (self.network(query.candidates)[:, 0] - values).square().mean()
        misfit.backward()
        self.optimiser.step()
        return {"misfit": misfit, "count": 3, "values": values, "best": f"number {int(values.argmin())}", "few": [1, 2]}

    def cost(self, problem: Problem) -> int:
        return problem.calls(self.samples)


class Drifting(Problem):
    """A quadratic whose target is carried by a module with its own optimiser, trained after every tell."""

    STATE: ClassVar[tuple[str, ...]] = ("target", "optimiser")

    def __init__(self):
        super().__init__([Unknown(name="x", initial=torch.zeros(2))], comparable=False)
        self.target = torch.nn.Linear(1, 2)
        torch.nn.init.zeros_(self.target.weight)
        torch.nn.init.ones_(self.target.bias)
        self.optimiser = torch.optim.SGD(self.target.parameters(), 0.01, momentum=0.9)

    def compute(self, values):
        self.seen = values["x"].detach()
        return (values["x"] - self.target.bias.detach()).square().sum(), {"count": torch.tensor([1, 2])}

    def after_tell(self, told):
        self.optimiser.zero_grad()
        (self.target.bias - self.seen - 3.0).square().sum().backward()
        self.optimiser.step()
        return {"target": float(self.target.bias.detach()[0])}


@dataclasses.dataclass(kw_only=True, eq=False)
class Ensemble(Method):
    """Steps of an optimiser on a tensor, by the loss that several networks in a list expect."""

    STATE: ClassVar[tuple[str, ...]] = ("center", "steps", "networks", "trainers", "memory")

    def reset(self) -> None:
        self.center = self.space.initial.clone().requires_grad_()
        self.steps = torch.optim.Adam([self.center], 0.05)
        self.networks = [torch.nn.Linear(self.space.dimension, 1) for _ in range(2)]
        self.trainers = {str(i): torch.optim.Adam(n.parameters(), 0.1) for i, n in enumerate(self.networks)}
        self.memory = torch.zeros(self.space.dimension)

    def ask(self) -> Query:
        return Query(candidates=self.center + 0.3 * self.space.noise(8, self.rng))

    def tell(self, query: Query, estimates: Sequence[Estimate]) -> dict[str, object]:
        values = torch.tensor([e.value for e in estimates])
        for network, trainer in zip(self.networks, self.trainers.values(), strict=True):
            trainer.zero_grad()
            (network(query.candidates.detach())[:, 0] - values).square().mean().backward()
            trainer.step()
        self.steps.zero_grad()
        sum(network(self.center).sum() for network in self.networks).backward()
        self.steps.step()
        self.memory = 0.9 * self.memory + self.center  # with a graph, as is soon forgotten
        return {}

    def cost(self, problem: Problem) -> int:
        return problem.calls(8)


class Careless(Ensemble):
    """One that draws with torch's own randomness: distributions, layers made late, dropout."""

    def ask(self) -> Query:
        return Query(candidates=torch.distributions.Normal(self.center.detach(), 0.3).sample((8,)))

    def tell(self, query: Query, estimates: Sequence[Estimate]) -> dict[str, object]:
        with torch.no_grad():
            self.center += 0.1 * torch.nn.functional.dropout(torch.ones_like(self.center))
        return super().tell(query, estimates)


CASES = {
    "randomness of torch's own": (quadratic, Careless),
    "a list of modules and a tensor that an optimiser holds": (quadratic, Ensemble),
    "module and optimiser in a method": (quadratic, Surrogate),
    "state in an estimator": (quadratic, lambda: Adam(learning_rate=0.1, estimator=Smoothed())),
    "module and optimiser in a problem": (Drifting, lambda: Adam(learning_rate=0.1)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_training_with_trained_parts_resumes_from_the_disk_bit_for_bit(case, tmp_path):
    make_problem, make_method = CASES[case]
    straight = solve(make_problem(), make_method(), Budget(iterations=8), 5)
    Run(tmp_path / "run", progress=False).solve(make_problem(), make_method(), Budget(iterations=3), 5)
    again = Run(tmp_path / "run", resume=True, progress=False)
    resumed = again.solve(make_problem(), make_method(), Budget(iterations=8), 5)
    assert without_time(resumed.history) == without_time(straight.history)
    assert torch.equal(resumed.theta, straight.theta)
    second = make_method()  # and a method that was used before starts afresh
    for _ in range(2):
        assert torch.equal(solve(make_problem(), second, Budget(iterations=8), 5).theta, straight.theta)


def test_numbers_text_and_tensors_are_logged_and_read_back(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = Run(tmp_path / "run", show=("best", "values"))
    result = run.solve(quadratic(), Surrogate(), Budget(iterations=2), 0)
    record = result.history[0]
    assert record["count"] == 3 and record["best"].startswith("number") and record["few"] == [1.0, 2.0]
    assert len(record["values"]) == 8 and isinstance(record["misfit"], float)
    assert read_metrics(run.path("metrics.jsonl")) == result.history
    events = EventAccumulator(str(run.path("tensorboard")))
    events.Reload()
    assert events.Tags()["histograms"] == ["values", "few"] and len(events.Scalars("count")) == 2
    assert json.loads(run.path("metrics.jsonl").read_text().splitlines()[0])["best"] == record["best"]


def test_a_large_tensor_is_logged_by_its_quantiles():
    class Logging(Adam):
        def tell(self, query, estimates):
            return {**super().tell(query, estimates), "noise": torch.arange(10001.0), "array": np.arange(3)}

    record = solve(quadratic(), Logging(), Budget(iterations=1), 0).history[0]
    assert len(record["noise"]) == 256 and record["noise"][0] == 0.0 and record["noise"][-1] == 10000.0
    assert record["array"] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("name", ["loss", "iteration", "simulator_calls", "best_loss", "failed", "seconds", "failure"])
def test_what_solve_logs_cannot_be_overwritten(name):
    class Overwriting(Adam):
        def tell(self, query, estimates):
            return {**super().tell(query, estimates), name: 0.0}

    with pytest.raises(InputError, match="rename"):
        solve(quadratic(), Overwriting(), Budget(iterations=1), 0)


@pytest.mark.parametrize("wrong", [{"thing": object()}, {"thing": 1j}, {"thing": [1, "a"]}, {3: 1.0}])
def test_what_cannot_be_logged_is_refused(wrong):
    class Wrong(Adam):
        def tell(self, query, estimates):
            return wrong

    with pytest.raises(InputError, match="log: expected"):
        solve(quadratic(), Wrong(), Budget(iterations=1), 0)


def test_numbers_that_json_has_not_are_read_back(tmp_path):
    class Odd(CEM):
        def tell(self, query, estimates):
            return {"odd": torch.tensor([math.nan, -math.inf, math.inf, 1.0]), "low": -math.inf, "note": "two\nlines"}

    run = Run(tmp_path / "run", progress=False)
    history = run.solve(quadratic(), Odd(), Budget(iterations=2), 0).history
    lines = run.path("metrics.jsonl").read_text().splitlines()
    assert "NaN" not in lines[0] and "Infinity" not in lines[0]
    assert str(read_metrics(run.path("metrics.jsonl"))) == str(history)


def test_integer_metrics_are_logged_as_their_mean():
    problem = Problem.from_loss(
        lambda v: (v["x"].sum(), {"contacts": torch.tensor([1, 2]), "touched": torch.tensor(True), "mode": "slides"}),
        [Unknown(name="x", initial=0.0)],
    )
    record = solve(problem, CEM(population=2), Budget(iterations=1), 0).history[0]
    assert (record["contacts"], record["touched"], record["mode"]) == (1.5, 1.0, "slides")


def test_a_resume_compares_every_option(tmp_path):
    folder = tmp_path / "run"
    run = lambda method, **options: Run(folder, progress=False, **options).solve(  # noqa: E731
        quadratic(), method, Budget(iterations=2), 0
    )
    run(Adam(clip_norm=1.0, decay_iterations=5))
    for method, sentence in (
        (Adam(clip_norm=2.0), "clip_norm=1.0 (got 2.0)"),
        (Adam(clip_norm=1.0, betas=(0.8, 0.999)), "betas=[0.9, 0.999] (got [0.8, 0.999])"),
        (Adam(clip_norm=1.0, estimator=FiniteDifference()), "estimator.name=Pathwise (got FiniteDifference)"),
    ):
        with pytest.raises(InputError) as caught:
            run(method, resume=True)
        assert sentence in str(caught.value)
    again = Run(folder, resume=True, progress=False)
    with pytest.raises(InputError, match="start=None"):
        again.solve(quadratic(), Adam(clip_norm=1.0), Budget(iterations=2), 0, start={"x": [1.0, 1.0, 1.0]})
    other = Problem.from_loss(lambda v: v["x"].square().sum(), [Unknown(name="x", initial=torch.zeros(3), upper=1.0)])
    with pytest.raises(InputError, match="unknowns.x.upper=inf"):
        again.solve(other, Adam(clip_norm=1.0), Budget(iterations=2), 0)
    run(Adam(clip_norm=1.0, decay_iterations=9), resume=True)  # how long it takes may change
    fitted = lambda tolerance, resume: Run(tmp_path / "lm", resume=resume, progress=False).solve(  # noqa: E731
        rosenbrock(), LevenbergMarquardt(loss_tolerance=tolerance), Budget(iterations=2), 0
    )
    fitted(1e-2, False)
    fitted(1e-9, True)  # and when it ends


class Plain(Surrogate):
    """One whose options are arguments, not fields."""

    def __init__(self, rate: object = 0.1):
        super().__init__()
        self.rate = rate


@pytest.mark.parametrize("rates", [(0.1, 0.2), (np.int64(3), np.int64(4)), (np.zeros(2), np.array([0.0, 1.0]))])
def test_a_resume_compares_the_options_of_a_method_that_is_no_dataclass(rates, tmp_path):
    run = lambda rate, resume: Run(tmp_path / "run", resume=resume, progress=False).solve(  # noqa: E731
        quadratic(), Plain(rate), Budget(iterations=2 + resume), 0
    )
    run(rates[0], False)
    with pytest.raises(InputError, match="the run's own rate="):
        run(rates[1], True)
    assert len(run(rates[0], True).history) == 3


def test_a_resume_compares_the_constants_of_a_problem(tmp_path):
    def run(drag: float, resume: bool) -> Result:
        problem = point_mass_problem()
        problem = SimulationProblem(problem.simulator, problem.objective, constants={"drag": drag}, environments=2)
        return Run(tmp_path / "run", resume=resume, progress=False).solve(problem, Adam(), Budget(iterations=2), 0)

    run(1.0, False)
    with pytest.raises(InputError, match=r"constants.drag=1.0 \(got 2.0\)"):
        run(2.0, True)
    run(1.0, True)


def test_a_result_and_its_posterior_are_saved_and_loaded_in_one_line(tmp_path):
    found = solve(rosenbrock(), LevenbergMarquardt(), Budget(iterations=20), 0)
    design = torch.randn(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def function(values):
        residuals = design @ torch.stack([values["a"], values["b"].log()]) - 1.0
        return learn.Evaluation(loss=residuals.square().sum() / 2, residuals=residuals)

    one = torch.ones((), dtype=torch.float64)
    prior = torch.distributions.LogNormal(0.0, 1.0)
    unknowns = [Unknown(name="a", initial=one), Unknown(name="b", initial=one, scale="log", prior=prior)]
    fitted = solve(Problem.from_loss(function, unknowns), LevenbergMarquardt(), Budget(iterations=20), 0)
    for result in (found, fitted):
        result.save(tmp_path / "result.pt")
        loaded = Result.load(tmp_path / "result.pt")
        assert torch.equal(loaded.theta, result.theta) and loaded.history == result.history
        assert loaded.report == result.report and (loaded.posterior is None) == (result.posterior is None)
    assert torch.equal(loaded.posterior.covariance, fitted.posterior.covariance)
    assert loaded.posterior.interval()["a"] == fitted.posterior.interval()["a"]
    assert float(loaded.posterior.space.unknowns[1].prior.loc) == 0.0
    (tmp_path / "other.pt").write_bytes(b"no result")
    for name in ("other.pt", "missing.pt"):
        with pytest.raises(InputError, match="load: "):
            Result.load(tmp_path / name)
    with pytest.raises(InputError, match="expected dataclasses"):
        dataclasses.replace(found, posterior=object()).save(tmp_path / "result.pt")


def test_names_that_methods_need_are_exported():
    assert FIELDS == FIELDS_OF_MPM == ("position", "velocity", "velocity_gradient", "deformation_gradient")
    assert draw_seed(torch.Generator().manual_seed(0)) == draw_seed(torch.Generator().manual_seed(0))
    assert all(hasattr(learn, name) for name in learn.__all__)


def test_a_problem_that_was_resumed_in_the_middle_takes_an_input_error_for_a_failure():
    def function(values):
        if float(values["x"].detach().sum()) > 1.0:
            raise InputError("x: expected at most 1, got more; correct it.")
        return (values["x"] - 3.0).square().sum()

    def make() -> Problem:
        return Problem.from_loss(function, [Unknown(name="x", initial=0.0)])

    kept = []
    method = lambda: Adam(learning_rate=0.4)  # noqa: E731
    straight = solve(make(), method(), Budget(iterations=8), 0, callbacks=[lambda i: kept.append(i.snapshot())])
    assert [record["failed"] for record in straight.history][:5] == [0, 0, 0, 1, 0]
    resumed = solve(make(), method(), Budget(iterations=8), 0, snapshot=kept[2])
    assert without_time(resumed.history) == without_time(straight.history)[3:]


def test_the_policy_of_a_point_mass_keeps_its_weights_where_nothing_else_has_state():
    assert point_mass_problem().state_dict() == {} and Pathwise().state_dict() == {}


def test_a_state_that_lacks_something_is_refused_with_a_sentence():
    kept = []
    solve(quadratic(), Adam(), Budget(iterations=1), 0, callbacks=[lambda i: kept.append(i.snapshot())])
    del kept[0]["method"]["second"]
    with pytest.raises(InputError, match="expected second in the state of Adam, found none"):
        solve(quadratic(), Adam(), Budget(iterations=2), 0, snapshot=kept[0])


@pytest.mark.parametrize(
    ("odd", "name"),
    [
        (collections.deque([1]), "deque"),
        (np.zeros(2), "ndarray"),
        (np.float64(1.0), "float64"),
        (lambda: 0, "function"),
        ([1, {"a": Budget(iterations=1)}], "Budget as method.odd.1.a"),
    ],
)
def test_a_state_that_could_not_be_read_back_is_refused_when_it_is_first_saved(odd, name, tmp_path):
    class Odd(CEM):
        STATE: ClassVar[tuple[str, ...]] = (*CEM.STATE, "odd")

        def reset(self) -> None:
            super().reset()
            self.odd = odd

    with pytest.raises(InputError, match=f"got {name}.*leave it out of STATE"):
        Run(tmp_path / "run", progress=False).solve(quadratic(), Odd(), Budget(iterations=2), 0)


@dataclasses.dataclass(kw_only=True)
class OfNumPy(GradientEstimator):
    """The gradient of |x|^2, told in numbers of NumPy."""

    def __call__(self, problem: Problem, thetas: torch.Tensor, rng: torch.Generator) -> list[Estimate]:
        value = lambda theta: np.float64(theta.square().sum())  # noqa: E731
        return [
            Estimate(
                value=value(t),
                gradient=2 * t,
                simulator_calls=np.int64(3),
                metrics={"n": np.int64(2), "t": np.str_("a")},
            )
            for t in thetas
        ]

    def cost(self, problem: Problem, candidates: int = 1) -> int:
        return 3 * candidates


def test_numbers_of_numpy_are_kept_like_any_other(tmp_path):
    run = lambda resume, iterations: Run(tmp_path / "run", resume=resume, progress=False).solve(  # noqa: E731
        quadratic(), Adam(estimator=OfNumPy()), Budget(iterations=iterations), np.int64(3), start={"x": [1.0, 1.0, 1.0]}
    )
    run(False, 2)
    result = run(True, 4)
    result.save(tmp_path / "result.pt")
    assert Result.load(tmp_path / "result.pt").history == result.history and result.simulator_calls == 12
    assert result.loss < 3.0 and result.history[0]["n"] == 2


class Own(torch.distributions.Normal):
    """A distribution that is not torch's."""


@dataclasses.dataclass
class Doubled:
    """Holds more than it is given."""

    value: float
    twice: float = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.twice = 2.0 * self.value


def with_posterior(posterior) -> Result:
    theta = torch.zeros(1)
    return Result(
        unknowns={"x": theta},
        theta=theta,
        loss=1.0,
        history=[],
        simulator_calls=1,
        seed=0,
        report=[],
        posterior=posterior,
    )


def test_posteriors_of_many_kinds_are_read_back(tmp_path):
    normal = torch.distributions.Normal(torch.zeros(2), torch.ones(2))
    independent = torch.distributions.Independent(normal, 1)
    mixture = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=torch.zeros(2)), normal)
    unknowns = [
        Unknown(name="x", initial=torch.zeros(2), prior=independent),
        Unknown(name="c", initial="b", choices="ab"),
    ]
    posterior = {
        "independent": independent,
        "mixture": mixture,
        "space": Space(unknowns),
        "numbers": (np.float64(1.5), 2, None, math.inf, {(1, 2): True}),
        "own": Doubled(3.0),
    }
    with_posterior(posterior).save(tmp_path / "result.pt")
    loaded = Result.load(tmp_path / "result.pt").posterior
    x = torch.tensor([0.5, 1.0])
    assert torch.equal(loaded["independent"].log_prob(x), independent.log_prob(x))
    assert torch.equal(loaded["mixture"].log_prob(x), mixture.log_prob(x))
    assert torch.equal(loaded["space"].log_density(torch.ones(4)), posterior["space"].log_density(torch.ones(4)))
    assert loaded["numbers"] == posterior["numbers"] and loaded["own"] == posterior["own"]


def test_a_posterior_that_cannot_be_read_back_is_refused_when_it_is_saved(tmp_path):
    local = dataclasses.make_dataclass("Local", ["value"])
    for odd in (Own(0.0, 1.0), local(1), torch.distributions.LKJCholesky(3, 1.0), np.zeros(2), {"__kind__": 1}):
        with pytest.raises(InputError, match="save: expected"):
            with_posterior(odd).save(tmp_path / "result.pt")
    assert not (tmp_path / "result.pt").exists()
