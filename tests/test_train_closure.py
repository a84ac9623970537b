"""Learning a closure: what its losses measure, and the training problem from end to end on a tiny box."""

import dataclasses
import json
import signal

import numpy as np
import pytest
import torch

from pliant.learn import LBFGS, Budget, Interrupted, Run, SimulationProblem, Simulator, TorchClosure, Unknown, solve
from pliant.learn.identify.closure import FitClosure, FollowMoments, disagreement
from pliant.learn.models.closures import CLOSURES, load_closure
from pliant.learn.objectives.matching import TrajectoryMatching
from pliant.learn.run import read_metrics
from pliant.scenes.closure_data import Suspension, record
from pliant.scenes.train_closure import UNSEEN, Arguments, gather, load_moments, save_moments, train

SMALL = Suspension(resolution=16, dtype="float64", directions=15)


def closure_of(seed: int) -> TorchClosure:
    network = CLOSURES["strain"](hidden=(8,), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return TorchClosure(network)


def run_of(closure: TorchClosure, duration: float = 1.0):
    return record(SMALL.moments([UNSEEN, (-1.0, 0.5)], [1, 2], closure, dt=0.05), duration, 0.25)


def test_the_closure_that_made_the_motion_follows_it_and_fits_it_and_another_does_neither():
    closure = closure_of(0)
    data = run_of(closure).moments
    for made, bound in ((closure, (0.0, 1e-10)), (closure_of(1), (1e-9, 1.0))):
        model = SMALL.moments([UNSEEN] * 2, [0, 0], made, dt=0.05)
        follow = FollowMoments(made, model.rollout(10, record_every=5, record=("order",)), data)
        # a window starts without the history of the two-step method, which costs an error of the order of its own
        assert bound[0] <= follow.evaluate(follow.space.initial, seed=1).value <= max(bound[1], 1e-6)
        fit = FitClosure(made, data)
        assert bound[0] <= fit.evaluate(fit.space.initial, seed=1).value <= bound[1]


def test_the_fit_to_motion_keeps_the_error_of_s_by_its_weight():
    data, other = run_of(closure_of(0)).moments, closure_of(1)
    rollout = SMALL.moments([UNSEEN] * 2, [0, 0], other, dt=0.05).rollout(10, record_every=5, record=("order",))
    alone, both = (FollowMoments(other, rollout, data, fit_weight=weight) for weight in (0.0, 3.0))
    one, two = (problem.evaluate(problem.space.initial, seed=1) for problem in (alone, both))
    assert one.value == pytest.approx(one.numbers()["order_error"] ** 2, rel=1e-9)
    assert two.value - one.value == pytest.approx(3.0 * one.numbers()["closure_error"] ** 2, rel=1e-9)
    assert one.numbers()["closure_error"] > 1e-6


def test_members_of_an_ensemble_disagree_and_a_closure_agrees_with_itself():
    closure, other = closure_of(0), closure_of(1)
    data = run_of(closure).moments
    assert (disagreement([closure.network, closure.network], data, torch.float64) < 1e-12).all()
    assert (disagreement([closure.network, other.network], data, torch.float64) > 1e-8).all()


def test_moments_survive_the_disk(tmp_path):
    data = run_of(closure_of(0), 0.5).moments
    save_moments(data, tmp_path / "data.npz")
    read = load_moments(tmp_path / "data.npz")
    assert (read.order == data.order).all()
    assert (read.parameters["alignment"] == [UNSEEN[1], 0.5]).all()


TINY = {
    "resolution": 12, "duration": 1.2, "queries": 0, "iterations": 6, "horizons": (0.4,), "window_iterations": 3, "hidden": (4,),
    "unseen_duration": 0.2, "pictures": False, "progress": False,
}  # fmt: skip


def stopped(arguments: Arguments, iteration: int) -> None:
    """A training that gets Ctrl-C after an iteration."""
    original = Run.solve

    def interrupted(self, *args, callbacks=(), **options):
        def stop(made):
            if made.progress.iteration == iteration:
                signal.raise_signal(signal.SIGINT)

        return original(self, *args, callbacks=[*callbacks, stop], **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "solve", interrupted)
        with pytest.raises(Interrupted, match="--resume"):
            train(arguments)


def test_ctrl_c_in_either_fit_and_resume_give_the_bits_of_a_training_that_was_not_stopped(tmp_path):
    whole, part = (Arguments(folder=tmp_path / name, **TINY) for name in ("whole", "part"))
    made = train(whole)
    stopped(part, 4)  # in the fit to S
    again = dataclasses.replace(part, resume=True)
    stopped(again, 8)  # in the fit to motion
    resumed = train(again)
    one, other = (torch.load(run.path("checkpoint.pt"), weights_only=True)["method"]["theta"] for run in (made, resumed))
    assert torch.equal(one, other)
    lines = [read_metrics(run.path("metrics.jsonl")) for run in (made, resumed)]
    assert [line["loss"] for line in lines[0]] == [line["loss"] for line in lines[1]]
    assert len(lines[0]) == 9
    assert made.path("numbers.json").read_text() == resumed.path("numbers.json").read_text()


def test_data_left_by_a_training_with_other_arguments_are_not_taken(tmp_path, capsys, monkeypatch):
    """As after Ctrl-C before the first iteration, and a start with other options."""
    monkeypatch.setattr("pliant.scenes.train_closure.MEMBER_ITERATIONS", 3)
    path = tmp_path / "data.npz"
    arguments = Arguments(folder=tmp_path, **(TINY | {"queries": 1}))
    suspension = Suspension(resolution=12)
    first = gather(arguments, suspension, path)
    assert "query 1" in capsys.readouterr().out
    same = gather(arguments, suspension, path)
    assert "query 1" not in capsys.readouterr().out
    assert (same.order == first.order).all()
    other = gather(dataclasses.replace(arguments, seed=1), suspension, path)
    assert not np.allclose(other.order, first.order)
    path.write_bytes(path.read_bytes()[:1000])
    assert (gather(arguments, suspension, path).order == first.order).all()


def test_the_kinetic_theory_and_its_moments_start_from_the_same_fields_and_agree_while_order_is_weak():
    kinetic = record(SMALL.kinetic([UNSEEN], [1], dt=0.02), 0.4, 0.2)
    moments = record(SMALL.moments([UNSEEN], [1], "bingham"), 0.4, 0.2)
    assert kinetic.moments.order[0] == pytest.approx(moments.moments.order[0], abs=1e-12)
    assert (
        np.abs(kinetic.speed / moments.speed - 1.0).max() < 5e-3
    )  # its square is the order of what closures differ in


@pytest.mark.slow
def test_training_leaves_a_closure_its_data_and_numbers(tmp_path):
    arguments = Arguments(
        resolution=16, duration=3.0, queries=1, iterations=10, horizons=(0.4,), window_iterations=2, hidden=(8,),
        unseen_duration=1.0, folder=tmp_path / "run", progress=False,
    )  # fmt: skip
    run = train(arguments)
    assert load_moments(run.path("data.npz")).runs == 4
    assert load_closure(run.path("closure.pt")).uses_strain
    numbers = json.loads(run.path("numbers.json").read_text())
    assert set(numbers) == {"kinetic", "bingham", "learned"}
    assert 0.0 < numbers["learned"]["error of S"] < 1.0
    assert run.path("comparison.png").stat().st_size > 1000


@pytest.mark.slow
def test_activity_and_alignment_are_recovered_from_the_moments_of_a_run():
    """Without noise; L-BFGS stops once the gradient is small, far inside one per cent."""
    model = SMALL.moments([UNSEEN], [1], "bingham", dt=0.05)
    rollout = model.rollout(40, record_every=4, record=("order",))
    objective = TrajectoryMatching(rollout.forward(), scales={"fluid.order": 1.0})
    unknowns = [
        Unknown(name="fluid.activity", initial=np.array(-1.0), spread=0.3),
        Unknown(name="fluid.alignment", initial=np.array(0.5), spread=0.1),
    ]
    problem = SimulationProblem(Simulator(rollout), objective, unknowns=unknowns)
    found = solve(problem, LBFGS(), Budget(iterations=25), 0).unknowns
    assert [float(found[u.name]) for u in unknowns] == pytest.approx(UNSEEN, rel=1e-2)
