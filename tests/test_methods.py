"""Comparisons of methods: the page says what the result files say, and nothing is kept that should not be."""

import dataclasses
import subprocess
import sys

import pytest

from benchmarks.methods import METHODS, command, page
from benchmarks.methods.method import Method, Outcome
from benchmarks.worker import ROOT


def outcome(seed: int, quick: bool) -> Outcome:
    return Outcome(
        figure=1.0 + seed + 10 * quick,
        baselines={"old": 3.0 + seed},
        simulator_calls={"method": 7, "old": 7},
        details={"x": seed},
    )


TOY = Method(
    name="toy",
    question="Does it work?",
    method="new",
    source="None.",
    scene="A toy.",
    figure="metres",
    aim_text="below the old",
    quick_aim_text="below 5",
    run=outcome,
    aim=lambda figures, baselines: all(figures[s] < baselines["old"][s] for s in figures),
    quick_aim=lambda figures, baselines: max(figures.values()) < 5.0,
)


def kept(folder, method: Method = TOY, seeds: tuple[int, ...] = (0, 1, 2)) -> None:
    command.keep(command.run_method(method, seeds, quick=False), folder)


def test_the_page_is_what_the_results_say():
    assert (ROOT / page.PATH).read_text() == page.written(METHODS, command.RESULTS)


@pytest.mark.parametrize("name", METHODS)
def test_what_is_kept_holds_by_its_own_aim(name):
    result = page.checked(name, command.RESULTS)
    by_seed = lambda values: {int(seed): value for seed, value in values.items()}  # noqa: E731
    baselines = {who: by_seed(values) for who, values in result["baselines"].items()}
    assert METHODS[name].aim(by_seed(result["figures"]), baselines) == result["holds"]
    assert tuple(by_seed(result["figures"])) == METHODS[name].seeds
    for field in ("commit", "machine", "versions", "seconds", "command"):
        assert result[field]


def test_a_result_holds_its_seeds_and_its_verdict_and_the_page_shows_them(tmp_path):
    kept(tmp_path)
    result = page.checked("toy", tmp_path)
    assert result["figures"] == {"0": 1.0, "1": 2.0, "2": 3.0} and result["holds"] is True
    assert "2 (1 to 3), metres | old 4 (3 to 5) | below the old | holds |" in page.written({"toy": TOY}, tmp_path)
    red = dataclasses.replace(TOY, aim=lambda figures, baselines: False)
    kept(tmp_path, red)
    assert "**red**" in page.written({"toy": red}, tmp_path)


def test_the_page_refuses_a_case_without_a_result_with_few_seeds_or_unequal_calls(tmp_path):
    with pytest.raises(ValueError, match="found none; run"):
        page.written({"toy": TOY}, tmp_path)
    kept(tmp_path, seeds=(0, 1))
    with pytest.raises(ValueError, match="at least 3 seeds, got 2"):
        page.written({"toy": TOY}, tmp_path)
    unequal = dataclasses.replace(
        TOY, run=lambda seed, quick: dataclasses.replace(outcome(seed, quick), simulator_calls={"method": 7, "old": 9})
    )
    kept(tmp_path, unequal)
    with pytest.raises(ValueError, match="equal simulator calls"):
        page.written({"toy": TOY}, tmp_path)


def test_seeds_are_counted_and_those_of_the_tuning_are_left_out():
    method = dataclasses.replace(TOY, seeds=(0, 1, 2), tuning_seeds=(3,))
    assert command.seeds_of(method, None) == (0, 1, 2)
    assert command.seeds_of(method, 5) == (0, 1, 2, 4, 5)


def test_a_quick_run_keeps_nothing_and_fails_where_its_aim_fails(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "METHODS", {"toy": TOY})
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    with pytest.raises(SystemExit, match="an aim is not held"):
        command.main(["toy", "--quick"])
    assert "red" in capsys.readouterr().out and not list(tmp_path.iterdir())
    monkeypatch.setattr(command, "METHODS", {"toy": dataclasses.replace(TOY, quick_aim=lambda f, b: True)})
    command.main(["toy", "--quick"])
    assert "holds" in capsys.readouterr().out


def test_the_command_names_what_it_knows():
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", "methods", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1 and "implicit_time" in run.stderr and "nothing" in run.stderr


def test_the_gradients_that_are_timed_agree():
    from benchmarks.methods.implicit_time import largest_gap
    from benchmarks.peers.implicit_problem import ImplicitProblem
    from benchmarks.peers.pliant_implicit import Pliant
    from benchmarks.peers.unrolled_implicit import Unrolled

    problem, gradients = ImplicitProblem(samples=300, features=5, steps=2000), {}
    for name, peer in (("pliant", Pliant), ("unrolled", Unrolled)):
        made = peer(problem)
        made.gradient()
        gradients[name] = made.derivatives()["log_penalty"]
    assert 0.0 < abs(gradients["unrolled"]).max() and largest_gap(gradients) < 1e-8
