"""The command line: it explains itself, starts quickly, and answers a mistake with one sentence."""

import dataclasses
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from pliant import sim
from pliant.scenes import registry
from pliant.scenes.cli import COMMANDS, main
from pliant.sim.errors import InputError

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
HEAVY = "{'warp', 'torch', 'numpy', 'scipy', 'pyvista', 'trimesh', 'matplotlib'}"
SCENE = '''"""A stand-in that moves nothing.

More words.
"""
from pliant.scenes.registry import Settings
from pliant.sim import Status

SETTINGS = Settings(dt=1e-3, steps=40, record_every=10)


class Stub:
    status = Status()

    def build(self, **options):
        self.options = options
        return self

    def rollout(self, steps, **options):
        self.steps = steps
        return self

    def forward(self, parameters=None, progress=None):
        progress(self.steps)
        return self

    def save(self, path):
        open(path, "w").write(repr(self.options))


def build():
    return Stub()


def measure(trajectory):
    return {"distance [m]": 1.25 * trajectory.steps}
'''


@pytest.fixture
def scene_file(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "still.py"
    path.write_text(SCENE)
    return path


def answer(capsys: pytest.CaptureFixture, *words: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command line."""
    try:
        status = main([str(word) for word in words])
    except SystemExit as stop:
        status = int(stop.code or 0)
    return status, *capsys.readouterr()


def test_help_loads_neither_simulator_nor_torch():
    code = f"import sys; from pliant.scenes.cli import build_parser; build_parser(); print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("words", [["--help"], *([command, "--help"] for command in COMMANDS)], ids=" ".join)
def test_everything_explains_itself(capsys, words):
    status, out, _ = answer(capsys, *words)
    assert status == 0
    assert out.startswith("usage: pliant")


@pytest.mark.parametrize("name", registry.problems())
def test_the_options_of_a_training_are_those_of_its_command(capsys, name):
    status, out, _ = answer(capsys, "train", name, "--help")
    assert status == 0
    assert out.startswith(f"usage: pliant train {name} ")


def test_a_run_that_is_not_there_is_not_made_by_resuming_it(capsys, tmp_path):
    status, _, err = answer(capsys, "train", "crawler", "--resume", "--folder", tmp_path / "none")
    assert status == 2 and "found none; start without --resume" in err
    assert not (tmp_path / "none").exists()


def test_no_command_is_a_usage_error(capsys):
    status, _, err = answer(capsys)
    assert status == 2
    assert "COMMAND" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lst"], "did you mean 'list'?"),
        (["simulate"], "choose one of list, run"),
        (["run", "no_such_scene_at_all"], "scene: expected a known name, got 'no_such_scene_at_all'"),
        (["train", "no_such_problem_at_all"], "training problem: expected a known name"),
        (["check-gradients", "no_such_scene_at_all"], "scene: expected a known name"),
        (["run", "missing.py"], "does not exist"),
        (["view", "missing.npz"], "does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_gets_one_sentence(capsys, words, sentence):
    status, _, err = answer(capsys, *words)
    assert status == 2
    assert sentence in err
    assert err.startswith("pliant: ") and err.count("\n") == 1


def test_warp_adds_nothing_to_the_sentence():
    words = [sys.executable, "-m", "pliant", "run", "missing.py"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("pliant: scene: ") and done.stderr.count("\n") == 1


def test_the_doctor_finds_the_gradient_right(capsys):
    status, out, _ = answer(capsys, "doctor")
    assert status == 0
    assert "kernel cache" in out and out.count("agrees with finite differences") == 3


def test_debug_shows_where_an_error_came_from(capsys):
    status, _, err = answer(capsys, "run", "missing.py", "--debug")
    assert status == 2
    assert "Traceback" in err


def test_an_interruption_has_its_own_status(capsys, monkeypatch):
    def interrupt(words):
        raise KeyboardInterrupt

    monkeypatch.setattr("pliant.scenes.cli.execute", interrupt)
    assert answer(capsys, "list")[0] == 130


@pytest.mark.parametrize("suffix", [".npz", ".traj"])
def test_an_interrupted_run_saves_the_frames_it_has(suffix, tmp_path, capsys, monkeypatch):
    import tqdm

    class Impatient(tqdm.tqdm):
        def update(self, n=1):
            if self.n + n > 30:
                raise KeyboardInterrupt
            return super().update(n)

    monkeypatch.setattr(tqdm, "tqdm", Impatient)
    output = tmp_path / f"run{suffix}"
    status, out, err = answer(capsys, "run", "kuramoto_sivashinsky", "--steps", 100, "--record-every", 10, "--output", output)
    assert status == 130
    assert out == ""
    assert f"its frames end at substep 40 of 100; saved 5 of them in {output}" in err
    monkeypatch.undo()
    whole = tmp_path / "whole.npz"
    assert answer(capsys, "run", "kuramoto_sivashinsky", "--steps", 100, "--record-every", 10, "--output", whole)[0] == 0
    kept, complete = sim.Trajectory.load(output), sim.Trajectory.load(whole)
    assert kept.status.code == sim.Code.UNFINISHED
    assert np.array_equal(kept["flame.velocity"], complete["flame.velocity"][:5])
    assert np.array_equal(kept.times, complete.times[:5])


def test_a_defect_is_not_hidden(monkeypatch):
    def fail(words):
        raise ZeroDivisionError

    monkeypatch.setattr("pliant.scenes.cli.execute", fail)
    with pytest.raises(ZeroDivisionError):
        main(["list"])


def test_list_names_every_scene_and_problem(capsys):
    _, out, _ = answer(capsys, "list")
    for name, leaf in {**registry.scenes(), **registry.problems()}.items():
        assert f"  {name} " in out and leaf.description in out


def test_list_can_be_read_by_a_script(capsys):
    _, out, _ = answer(capsys, "list", "--names")
    assert set(out.split()) == {*registry.scenes(), *registry.problems()}


def test_a_scene_of_the_user_runs_from_its_path(capsys, scene_file, tmp_path):
    output = tmp_path / "made" / "still.npz"
    status, out, _ = answer(capsys, "run", scene_file, "--steps", 8, "--dtype", "float64", "--output", output)
    assert status == 0
    assert "distance [m]: 10" in out
    assert "'dtype': 'float64'" in output.read_text() and "'dt': 0.001" in output.read_text()


def test_a_run_into_a_folder_is_written_while_it_runs_and_can_be_viewed(capsys, tmp_path):
    folder, picture = tmp_path / "made" / "drop.traj", tmp_path / "drop.png"
    status, out, _ = answer(capsys, "run", "jelly_drop", "--steps", 10, "--record-every", 5, "--output", folder)
    assert status == 0 and f"pliant view {folder}" in out
    assert sorted(p.suffix for p in folder.iterdir()) == [".json", *[".npy"] * 4]
    status, _, _ = answer(capsys, "view", folder, "--output", picture, "--size", 160, 90, "--renderer", "raycast")
    assert status == 0 and picture.stat().st_size > 1000


def test_a_wrong_output_is_refused_before_the_simulation(capsys, scene_file):
    status, out, err = answer(capsys, "run", scene_file, "--output", "still.bmp")
    assert (status, out) == (2, "")
    assert "output: expected one of .npz" in err


def test_a_seed_for_a_scene_without_chance_is_refused(capsys, scene_file):
    status, _, err = answer(capsys, "run", scene_file, "--seed", 3)
    assert status == 2
    assert "nothing in the scene 'still' is random" in err


def test_a_file_is_described_without_running_it(tmp_path):
    path = tmp_path / "explosive.py"
    path.write_text('"""First line.\n\nSecond."""\nraise RuntimeError\n\n\ndef build(): ...\n')
    leaf = registry.read_leaf(path)
    assert leaf.description == "First line"
    assert leaf.defines == {"build"}
    assert not leaf.is_scene


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("def build(): ...", "defines no SETTINGS, measure"), ("def build(:", "is not valid Python")],
)
def test_a_file_that_is_no_scene_gets_its_sentence(tmp_path, text, sentence):
    path = tmp_path / "wrong.py"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence):
        registry.find_scene(str(path))


def test_a_near_name_is_suggested():
    leaf = registry.Leaf("jelly_drop", pathlib.Path("jelly_drop.py"), "", registry.SCENE_NAMES)
    with pytest.raises(InputError, match="did you mean 'jelly_drop'"):
        registry.choose("jely-drop", {"jelly_drop": leaf}, kind="scene", required=registry.SCENE_NAMES)
    assert registry.choose("jelly-drop", {"jelly_drop": leaf}, kind="scene", required=registry.SCENE_NAMES) is leaf


@pytest.mark.parametrize("name", registry.scenes())
def test_every_scene_keeps_the_interface(name):
    spec = registry.find_scene(name)
    assert spec.description
    assert isinstance(spec.settings, registry.Settings)
    assert callable(spec.build) and callable(spec.measure)


@pytest.mark.parametrize("name", registry.problems())
def test_every_training_problem_keeps_the_interface(name):
    spec = registry.find_problem(name)
    assert spec.description
    assert dataclasses.is_dataclass(spec.arguments)
    assert callable(spec.train)


def test_view_wants_a_best_trajectory_in_a_run_folder(capsys, tmp_path):
    status, _, err = answer(capsys, "view", tmp_path)
    assert status == 2
    assert "holds no" in err


def test_a_closed_pipe_is_not_an_error_to_print():
    command = f"{sys.executable} -m pliant.scenes.cli list | true"
    done = subprocess.run(["bash", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""


FALLING = '''"""A small block falls."""

from pliant import sim
from pliant.scenes.registry import Settings
from pliant.sim import materials, shapes

SETTINGS = Settings(dt=1e-3, steps=4, record_every=2)


def build():
    scene = sim.Scene(extent=((0.0,) * 3, (0.4,) * 3), cell_size=0.05)
    block = shapes.Box(0.1, center=(0.2, 0.2, 0.08))
    law = materials.NeoHookean(youngs_modulus=2e4, poissons_ratio=0.3)
    scene.add_mpm(block, law, density=1000.0, spacing=0.05, name="block", velocity=(0.5, 0, -2))
    return scene


def measure(trajectory):
    return {}
'''


@pytest.fixture
def falling(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "falling.py"
    path.write_text(FALLING)
    return path


def test_an_audit_draws_a_bar_unless_told_not_to(falling, capsys):
    status, out, error = answer(capsys, "check-gradients", falling, "--steps", 40)
    assert status == 0 and "block.youngs_modulus" in out and "parameters [" in error
    status, _, error = answer(capsys, "check-gradients", falling, "--steps", 40, "--no-progress")
    assert status == 0 and error == ""


def test_an_interrupted_audit_prints_what_it_has_found(falling, capsys, monkeypatch):
    from pliant.scenes.commands import check_gradients

    def impatient(bar):
        def move(done, count, name):
            if done >= 2:
                raise KeyboardInterrupt

        return move

    monkeypatch.setattr(check_gradients, "mover", impatient)
    status, out, error = answer(capsys, "check-gradients", falling, "--steps", 40)
    assert status == 130 and "pliant: interrupted" in error
    assert "block.youngs_modulus" in out and "interrupted, not audited: " in out


def test_a_run_and_its_film_draw_no_bar_when_told_not_to(falling, tmp_path, capsys, monkeypatch):
    import tqdm

    drawn = []
    bar = tqdm.tqdm

    def watched(*words, disable=False, **options):
        drawn.append((options["desc"], disable))
        return bar(*words, disable=disable, **options)

    monkeypatch.setattr(tqdm, "tqdm", watched)
    assert answer(capsys, "run", falling, "--output", tmp_path / "a.gif", "--no-progress")[0] == 0
    assert answer(capsys, "run", falling, "--output", tmp_path / "a.npz")[0] == 0
    assert answer(capsys, "view", tmp_path / "a.npz", "--output", tmp_path / "b.gif", "--no-progress")[0] == 0
    assert drawn == [("falling", True), ("film", True), ("falling", False), ("film", True)]
