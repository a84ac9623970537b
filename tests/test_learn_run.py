"""A run folder: what it holds, and that a stopped or killed training goes on bit for bit."""

import dataclasses
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest
import torch

from pliant.learn import CEM, LBFGS, Adam, Budget, Interrupted, Pathwise, RandomSearch, Run, solve
from pliant.learn.arguments import option
from pliant.learn.run import read_metrics
from pliant.sim import InputError
from tests.learning import failing_beyond, point_mass_problem, rosenbrock

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
METHODS = {
    "adam": lambda: Adam(learning_rate=0.05, decay_iterations=20, clip_norm=0.5),
    "cem": lambda: CEM(population=6, initial_std=0.5),
    "random": lambda: RandomSearch(samples=4, std=0.5, recenter=True),
}
BUDGET = Budget(iterations=20)

# The child trains all three in its own forks; each is killed by SIGKILL between the eleventh temporary checkpoint's
# fsync and its taking the old one's place.
TRAIN_UNTIL_KILLED = """
import os, signal, sys
import torch
torch.set_num_threads(1)
import pliant.learn.run
from tests.test_learn_run import BUDGET, METHODS, Run, point_mass_problem

replace, saves = os.replace, 0

def kill_at_the_eleventh_save(source, target):
    global saves
    saves += os.path.basename(target) == "checkpoint.pt"
    if saves == 11:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

os.replace = kill_at_the_eleventh_save
import torch.utils.tensorboard
for name in METHODS:
    child = os.fork()
    if child == 0:
        Run(os.path.join(sys.argv[1], name), progress=False).solve(point_mass_problem(), METHODS[name](), BUDGET, 7)
        os._exit(0)
    print(os.waitpid(child, 0)[1])
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> pathlib.Path:
    """A folder with one run a method, killed in the middle of saving iteration 11."""
    folder = tmp_path_factory.mktemp("killed")
    words = [sys.executable, "-c", TRAIN_UNTIL_KILLED, str(folder)]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == [str(int(signal.SIGKILL))] * len(METHODS), done.stderr
    return folder


def without_time(history):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


@pytest.mark.parametrize("name", METHODS)
def test_a_run_killed_while_saving_resumes_bit_for_bit(name, killed):
    whole, folder = point_mass_problem(), killed / name
    straight = solve(whole, METHODS[name](), BUDGET, 7)
    written = read_metrics(folder / "metrics.jsonl")
    assert torch.load(folder / "checkpoint.pt")["progress"]["iteration"] == 10  # the old one is whole
    assert len(written) == 11  # one more than the checkpoint knows
    assert len(list(folder.glob(".*.part"))) == 1
    problem = point_mass_problem()
    resumed = Run(folder, resume=True, progress=False).solve(problem, METHODS[name](), BUDGET, 7)
    assert without_time(resumed.history) == without_time(straight.history)
    assert torch.equal(resumed.theta, straight.theta) and resumed.loss == straight.loss
    assert resumed.simulator_calls == straight.simulator_calls
    assert without_time(read_metrics(folder / "metrics.jsonl")) == without_time(straight.history)
    assert not list(folder.glob(".*.part"))
    assert problem.simulator.runs == whole.simulator.runs / 2  # ten iterations, not twenty


@pytest.mark.parametrize("name", METHODS)
def test_the_state_of_a_method_is_exact_to_the_last_random_number(name):
    snapshots = []
    whole = solve(
        point_mass_problem(), METHODS[name](), BUDGET, 7, callbacks=[lambda i: snapshots.append(i.snapshot())]
    )
    resumed = solve(point_mass_problem(), METHODS[name](), BUDGET, 99, snapshot=snapshots[12])
    assert without_time(resumed.history) == without_time(whole.history)[13:]
    assert torch.equal(resumed.theta, whole.theta)


def test_the_state_of_lbfgs_survives_the_disk(tmp_path):
    """In the middle of a line search, with curvature pairs; it draws nothing, so a problem it does not solve at once."""

    def keep(iteration):
        snapshots.append(iteration.snapshot())

    snapshots = []
    whole = solve(rosenbrock(), LBFGS(memory=3), BUDGET, 7, callbacks=[keep])
    torch.save(snapshots[12], tmp_path / "snapshot.pt")
    snapshot = torch.load(tmp_path / "snapshot.pt", weights_only=True)
    resumed = solve(rosenbrock(), LBFGS(memory=3), BUDGET, 7, snapshot=snapshot)
    assert without_time(resumed.history) == without_time(whole.history)[13:]
    assert torch.equal(resumed.theta, whole.theta)


def interrupt_after(iteration: int, number: int):
    def callback(progressed):
        if progressed.progress.iteration == iteration:
            os.kill(os.getpid(), number)

    return callback


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_saves_and_says_how_to_continue(number, tmp_path, capsys):
    straight = solve(point_mass_problem(), METHODS["cem"](), BUDGET, 7)
    before = signal.getsignal(number)
    run = Run(tmp_path / "run", save_every=100, progress=False)
    with pytest.raises(Interrupted, match="after iteration 5.*--resume"):
        run.solve(point_mass_problem(), METHODS["cem"](), BUDGET, 7, callbacks=[interrupt_after(5, number)])
    assert signal.getsignal(number) is before
    told = capsys.readouterr().err
    assert "press Ctrl-C again" in told and "--resume" in told
    assert (tmp_path / "run" / "loss.png").is_file()
    resumed = Run(tmp_path / "run", resume=True, progress=False).solve(
        point_mass_problem(), METHODS["cem"](), BUDGET, 7
    )
    assert without_time(resumed.history) == without_time(straight.history)


def test_a_second_interruption_acts_at_once(tmp_path):
    def twice(progressed):  # raised in this thread: another one that took the first might let the two merge
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        Run(tmp_path / "run", progress=False).solve(point_mass_problem(), Adam(), BUDGET, 7, callbacks=[twice])
    assert not isinstance(caught.value, Interrupted)


def test_a_run_works_outside_the_main_thread(tmp_path):
    results = []
    run = Run(tmp_path / "run", progress=False)
    thread = threading.Thread(
        target=lambda: results.append(run.solve(point_mass_problem(), Adam(), Budget(iterations=2), 7))
    )
    thread.start()
    thread.join(30)
    assert results and results[0].simulator_calls == 8


def test_a_full_disk_is_a_sentence_and_the_old_checkpoint_stays(tmp_path, monkeypatch):
    run = Run(tmp_path / "run", progress=False)
    replaced = []

    def full(descriptor):
        if len(replaced) >= 8:  # metrics and checkpoint take one each an iteration
            raise OSError(28, "No space left on device")
        replaced.append(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        run.solve(point_mass_problem(), METHODS["cem"](), BUDGET, 7)
    monkeypatch.undo()
    assert Run(tmp_path / "run", resume=True).load()["progress"]["iteration"] == 3
    assert not list((tmp_path / "run").glob(".*.part"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole run of Adam, with its arguments, its result and what the progress bar wrote."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    run = Run(folder, arguments=Arguments(rate=0.05), show=("target_distance",), progress=False)
    return run, run.solve(point_mass_problem(), METHODS["adam"](), BUDGET, 7)


@dataclasses.dataclass(kw_only=True)
class Arguments:
    rate: float = 0.1
    iterations: int = option(20, "how long", may_change=True)
    resume: bool = option(False, "continue", may_change=True)


def test_a_run_folder_holds_configuration_metrics_checkpoint_and_plot(finished):
    run, result = finished
    configuration = json.loads(run.path("configuration.json").read_text())
    assert configuration["arguments"] == {"rate": 0.05, "iterations": 20, "resume": False}
    assert configuration["seed"] == 7 and configuration["method"]["name"] == "Adam"
    assert set(configuration["versions"]) == {"pliant", "python", "warp-lang", "torch", "numpy"}
    assert read_metrics(run.path("metrics.jsonl")) == result.history
    assert {"loss", "target_distance", "gradient_norm", "seconds"} <= set(result.history[0])
    assert run.path("loss.png").read_bytes()[:4] == b"\x89PNG"
    assert torch.equal(run.load()["progress"]["best_theta"], result.theta)


def test_tensorboard_reads_the_metrics(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, result = finished
    events = EventAccumulator(str(run.path("tensorboard")))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 21))
    assert [event.value for event in events.Scalars("loss")] == pytest.approx([r["loss"] for r in result.history])


def test_a_finished_run_resumes_to_the_same_result_without_a_simulation(finished):
    run, result = finished
    again = Run(run.folder, arguments=Arguments(rate=0.05, resume=True), resume=True, progress=False)
    problem = point_mass_problem()
    resumed = again.solve(problem, METHODS["adam"](), BUDGET, 7)
    assert torch.equal(resumed.theta, result.theta) and problem.simulator.runs == 0
    longer = Run(run.folder, arguments=Arguments(rate=0.05, iterations=21), resume=True, progress=False)
    assert len(longer.solve(point_mass_problem(), METHODS["adam"](), Budget(iterations=21), 7).history) == 21


def test_the_progress_bar_shows_loss_metrics_and_speed(tmp_path, capsys):
    run = Run(tmp_path / "run", show=("target_distance",))
    run.solve(point_mass_problem(), Adam(), Budget(iterations=3), 7)
    shown = capsys.readouterr().err
    assert "3/3" in shown and "loss=" in shown and "target_distance=" in shown and "steps/s=" in shown


def test_a_failed_simulation_is_told_beside_the_bar_and_survives_json(tmp_path, capsys):
    run = Run(tmp_path / "run")
    run.solve(failing_beyond(-math.inf), RandomSearch(samples=2), Budget(iterations=3), 0)
    assert "A simulation failed: particle 0 of 'ball' left the grid" in capsys.readouterr().err
    lines = run.path("metrics.jsonl").read_text()
    assert "null" in lines and "Infinity" not in lines
    assert [record["loss"] for record in read_metrics(run.path("metrics.jsonl"))] == [math.inf] * 3


def damaged(folder: pathlib.Path, name: str = "checkpoint.pt") -> Run:
    path = folder / name
    path.write_bytes(path.read_bytes()[:100])
    return Run(folder, resume=True)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: Run(folder), "already holds a run"),
        (lambda folder: Run(folder / "new", resume=True), "found none"),
        (lambda folder: Run(folder, arguments=Arguments(rate=0.2), resume=True), "rate=0.1 (got 0.2)"),
        (lambda folder: damaged(folder), "damaged"),
        (lambda folder: damaged(folder, "configuration.json"), "damaged"),
        (lambda folder: Run(folder / "checkpoint.pt" / "run"), "cannot make the folder"),
        (
            lambda folder: Run(folder, resume=True).solve(point_mass_problem(), Adam(), BUDGET, 8),
            "expected the seed 7, got 8",
        ),
        (
            lambda folder: Run(folder, resume=True).solve(point_mass_problem(), CEM(), BUDGET, 7),
            "expected the state of CEM",
        ),
        (
            lambda folder: Run(folder, resume=True).solve(failing_beyond(1.0), Adam(), BUDGET, 7),
            "unknowns=['policy.policy.table'] (got ['x'])",
        ),
        (
            lambda folder: Run(folder, resume=True).solve(point_mass_problem(), Adam(learning_rate=0.5), BUDGET, 7),
            "learning_rate=0.01 (got 0.5)",
        ),
        (
            lambda folder: Run(folder, resume=True).solve(
                point_mass_problem(), Adam(estimator=Pathwise(samples=2)), BUDGET, 7
            ),
            "estimator.samples=1 (got 2)",
        ),
    ],
)
def test_what_cannot_be_continued_is_refused_with_a_sentence(make, sentence, tmp_path):
    folder = tmp_path / "run"
    Run(folder, arguments=Arguments(), progress=False).solve(point_mass_problem(), Adam(), Budget(iterations=1), 7)
    with pytest.raises(InputError) as caught:
        make(folder)
    assert sentence in str(caught.value)


def test_a_module_that_is_made_late_is_refused_when_the_run_is_resumed(tmp_path):
    class Late(CEM):
        STATE = (*CEM.STATE, "network")

        def reset(self):
            super().reset()
            self.network = None

        def tell(self, query, estimates):
            self.network = self.network or torch.nn.Linear(1, 1)
            return super().tell(query, estimates)

    run = lambda resume: Run(tmp_path / "run", resume=resume, progress=False).solve(  # noqa: E731
        rosenbrock(), Late(), Budget(iterations=2 + resume), 0
    )
    run(False)
    with pytest.raises(InputError, match="expected network of Late, whose state was saved, to be there from the start"):
        run(True)
