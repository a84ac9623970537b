"""Learning a closure: what its losses measure, and the training problem from end to end on a tiny box."""

import json

import numpy as np
import pytest
import torch

from learn import LBFGS, Budget, SimulationProblem, Simulator, TorchClosure, Unknown, solve
from learn.identify.closure import FitClosure, FollowMoments, disagreement
from learn.models.closures import CLOSURES, load_closure
from learn.objectives.matching import TrajectoryMatching
from scenes.closure_data import Suspension, record
from scenes.train_closure import UNSEEN, Arguments, load_moments, save_moments, train

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
