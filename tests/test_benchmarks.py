"""The benchmark measures what it says: peers agree, ratios are taken pair by pair, and every case can start."""

import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import warp as wp

from benchmarks import compile_sm90, runner
from benchmarks.case import Case, Figure, Series, Subject
from benchmarks.cases import CASES
from benchmarks.machine import describe
from benchmarks.peers import numpy_mpm
from benchmarks.peers.field_problem import FLAME, FieldProblem
from benchmarks.peers.problem import Problem
from benchmarks.report import table
from benchmarks.worker import ROOT, PeerUnavailable, Worker, exponax_version, peer_versions, prepared, torch_cfd_version

SMALL = Problem(grid=16, side=4, steps=10, stretch_rate=50.0, height=None)
TORCH = Subject(name="torch", module="torch_mpm", options={"threads": 1})
PLIANT = Subject(name="pliant", module="pliant_mpm", options={"threads": 1})
TAICHI = Subject(name="taichi", module="taichi_mpm", options={"threads": 1, "serial": True})
PLIANT_FIELDS = Subject(name="pliant", module="pliant_fields")
EXPONAX = Subject(name="exponax", module="exponax_fields")
# Ten float32 substeps: positions near 1 m round to 6e-8, velocities near 5 m/s to 3e-7, each step a few times over.
POSITION_ERROR, VELOCITY_ERROR = 1e-6, 2e-5


def answer_of(subject: Subject, *requests: str) -> list[dict]:
    if subject.module == "taichi_mpm" and not peer_versions():
        pytest.skip("Taichi is not installed")
    with prepared(subject, SMALL) as worker:
        return [worker.ask(request) for request in requests]


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    position, velocity = numpy_mpm.run(SMALL, SMALL.positions(), SMALL.velocities())
    return {"position": position, "velocity": velocity}


@pytest.mark.parametrize("subject", [TORCH, PLIANT, TAICHI], ids=lambda subject: subject.name)
def test_a_peer_agrees_with_the_float64_step_to_single_precision(subject, reference):
    _, result = answer_of(subject, "forward", "result")
    np.testing.assert_allclose(result["position"], reference["position"], rtol=0, atol=POSITION_ERROR)
    np.testing.assert_allclose(result["velocity"], reference["velocity"], rtol=0, atol=VELOCITY_ERROR)


@pytest.mark.parametrize("subject", [TORCH, PLIANT], ids=lambda subject: subject.name)
def test_a_peer_s_gradient_is_the_finite_difference_of_the_float64_step(subject):
    _, gradient = answer_of(subject, "gradient", "derivatives")
    position, velocity = SMALL.positions(), SMALL.velocities()
    direction = np.random.default_rng(0).standard_normal(position.shape)
    for name, step in (("position", 1e-6), ("velocity", 1e-5)):
        ahead, behind = (
            numpy_mpm.run(
                SMALL, position + s * direction * (name == "position"), velocity + s * direction * (name == "velocity")
            )
            for s in (step, -step)
        )
        expected = (numpy_mpm.loss(ahead[0]) - numpy_mpm.loss(behind[0])) / (2 * step)
        assert np.sum(np.asarray(gradient[name]) * direction) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "problem",
    [
        FieldProblem(equation="navier_stokes", points=32, order=4, steps=10, dt=0.01),
        FieldProblem(equation="kuramoto_sivashinsky", points=64, batch=2, order=2, steps=10, dt=0.05),
    ],
    ids=lambda problem: problem.equation,
)
def test_peers_of_fields_agree_in_result_and_gradient(problem):
    """To what is beyond the modes that both keep (the other keeps more, of which no product knows)."""
    if not exponax_version():
        pytest.skip("exponax is not installed")
    found = []
    for subject in (PLIANT_FIELDS, EXPONAX):
        with prepared(subject, problem) as worker:
            worker.ask("forward")
            result = worker.ask("result")["field"]
            worker.ask("gradient")
            found.append((np.asarray(result), np.asarray(worker.ask("derivatives")["field"])))
    for one, other in zip(*found, strict=True):
        kept = [np.fft.rfft(a, norm="forward")[..., : (problem.points - 1) // 3] for a in (one, other)]
        assert np.abs(kept[0] - kept[1]).max() < 1e-9 * np.abs(kept[0]).max()


@pytest.mark.parametrize("order", [2, 4])
def test_torch_cfd_solves_the_same_problem(order):
    """By integrators of its own: what is left is the error of its step, of second order in the viscous term."""
    if not torch_cfd_version():
        pytest.skip("torch-cfd is not installed")
    problem, found = FieldProblem(points=32, order=order, steps=10, dt=1e-3), []
    for subject in (PLIANT_FIELDS, Subject(name="torch-cfd", module="torch_cfd_fields")):
        with prepared(subject, problem) as worker:
            worker.ask("forward")
            result = worker.ask("result")["field"]
            worker.ask("gradient")
            found.append((np.asarray(result), np.asarray(worker.ask("derivatives")["field"])))
    for one, other in zip(*found, strict=True):
        kept = [np.fft.rfft2(a, norm="forward")[..., :8, :8] for a in (one, other)]
        assert np.abs(kept[0] - kept[1]).max() < 1e-6 * np.abs(kept[0]).max()


@pytest.mark.parametrize("problem", [FieldProblem(points=32, steps=5), FieldProblem(equation=FLAME, batch=8, steps=5)])
def test_the_share_of_the_transforms_is_a_share(problem):
    with prepared(PLIANT_FIELDS, problem) as worker:
        assert 0.0 < worker.ask("profile")["share_outside_transforms"] < 1.0


def test_the_reference_step_conserves_momentum_away_from_walls():
    free = dataclasses.replace(SMALL, height=0.5, gravity=0.0)
    velocity = numpy_mpm.run(free, free.positions(), free.velocities())[1]
    np.testing.assert_allclose(velocity.sum(axis=0), free.velocities().sum(axis=0), rtol=1e-12)


def test_the_reference_step_is_slowed_by_the_floor():
    falling = dataclasses.replace(SMALL, stretch_rate=0.0, steps=1)
    bottom = numpy_mpm.run(falling, falling.positions(), falling.velocities())[1][:, 2].reshape(4, 4, 4)[:, :, 0]
    assert np.all(bottom > 0.8 * falling.velocities()[0, 2])


def test_ratios_are_taken_pair_by_pair_and_judged():
    figure = Figure(name="a / b", over="a", under="b", hold=(">=", 2.0))
    result = runner.figure_result(figure, {"a": [2.0, 6.0, 9.0], "b": [2.0, 2.0, 1.0]})
    assert result["pairs"] == [1.0, 3.0, 9.0]
    assert (result["median"], result["holds"]) == (3.0, True)
    assert Figure(name="t", over="a", hold=("<=", 1.0)).holds(2.0) is False
    assert Figure(name="t", over="a").holds(2.0) is None


def test_a_figure_without_samples_is_left_out():
    assert runner.figure_result(Figure(name="a / b", over="a", under="b"), {"a": [1.0], "b": []}) is None


def test_samples_alternate_between_subjects_and_a_failing_peer_is_named(monkeypatch):
    visits = []

    class Recorder:
        def __init__(self, name):
            self.name = name

        def ask(self, do):
            if self.name == "broken":
                raise PeerUnavailable("broken: no such package")
            visits.append(self.name)
            return {"seconds": 1.0, "rate": 2.0}

    monkeypatch.setattr(runner.Round, "answer", lambda self, series: Recorder(series.subject).ask(series.do))
    case = Case(
        name="fake",
        what="",
        problems={"small": SMALL},
        subjects=(),
        series=tuple(Series(name=n, subject=n, do="forward") for n in ("a", "broken", "b")),
        figures=(Figure(name="a / b", over="a", under="b", hold=(">=", 1.0)),),
    )
    (result,) = runner.run_cases([case], repeats=3)
    assert visits == ["a", "b"] * 4
    assert result["failures"] == {"broken": "broken: no such package"}
    assert re.search(r"a / b +1 x .*>= 1.0 +holds", table([result]))
    assert "no such package" in table([result])


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_a_case_names_only_what_it_declares(case):
    series = {one.name for one in case.series}
    assert len(series) == len(case.series)
    assert {one.subject for one in case.series} <= {subject.name for subject in case.subjects}
    assert {f.over for f in case.figures} | {f.under for f in case.figures if f.under} <= series
    for subject in case.subjects:
        assert (ROOT / "benchmarks" / "peers" / f"{subject.module}.py").exists()
    json.dumps([dataclasses.asdict(problem) for problem in case.problems.values()])


def test_a_peer_that_fails_says_why():
    wrong = dataclasses.replace(TORCH, options={"threads": 1, "device": "nowhere"})
    with pytest.raises(PeerUnavailable, match="torch.*nowhere"), prepared(wrong, SMALL):
        pass


def test_a_peer_whose_process_ends_is_reported():
    worker = Worker(TORCH, {})
    worker.process.kill()
    with pytest.raises(PeerUnavailable, match="process ended"):
        worker.ask("forward")
    worker.close()


def test_the_description_of_the_machine_is_complete_json():
    described = json.loads(json.dumps(describe()))
    assert described["machine"]["cores"] >= 1
    assert described["versions"]["numpy"] == np.__version__
    assert isinstance(described["dirty"], bool)


def test_an_unknown_case_gets_its_sentence():
    run = subprocess.run([sys.executable, "-m", "benchmarks", "nonsense"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert "expected one of throughput" in run.stderr and "nonsense" in run.stderr


def example_kernels() -> tuple[wp.Kernel, wp.Kernel]:
    """One kernel that fits in registers, and one whose vector is indexed by data, so lives on the stack."""
    vec64 = wp.types.vector(64, wp.float32)

    @wp.kernel(enable_backward=False, module="unique")
    def tiny(a: wp.array(dtype=float)):
        i = wp.tid()
        a[i] = a[i] * 2.0

    @wp.kernel(enable_backward=False, module="unique")
    def spilling(a: wp.array(dtype=float), pick: wp.array(dtype=int)):
        i = wp.tid()
        v = vec64()
        for k in range(64):
            v[pick[k]] = a[k]
        a[i] = v[pick[i]]

    return tiny, spilling


def test_registers_and_stack_are_read_from_a_compiled_kernel():
    if not wp.get_cuda_supported_archs():
        pytest.skip("this Warp was built without CUDA")
    tiny, spilling = example_kernels()
    small, large = compile_sm90.compile_all([tiny, spilling])
    assert 4 <= small.resources.registers <= 64 and small.resources.stack == 0
    assert large.resources.stack > 0
    assert not compile_sm90.breaks_limit(large)
    assert compile_sm90.breaks_limit(large._replace(name="g2p_vjp"))
    assert re.search(r"tiny +\d+ +0\n", compile_sm90.table([small, large]))
