"""The main job: `pliant train crawler` leaves a whole run folder, takes any mesh, stops on Ctrl-C and goes on bit for bit."""

import json
import signal
import subprocess
import sys
import time

import pytest

from pliant.sim import InputError, Trajectory

SHORT = ["--duration", "1.6", "--episodes", "5", "--no-progress"]  # two windows an episode, four steps of Adam


def command(folder, *options):
    return [sys.executable, "-m", "pliant", "train", "crawler", "--folder", str(folder), *SHORT, *options]


def metrics(folder):
    """What the training logged, without the wall clock."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, repository):
    """A short training of another mesh than the crawler's own, with pictures."""
    folder = tmp_path_factory.mktemp("runs") / "straight"
    subprocess.run(command(folder, "--mesh", "assets/worm.stl"), cwd=repository, check=True, timeout=300)
    return folder


def test_a_run_leaves_everything_a_user_wants_to_open(finished):
    names = {path.name for path in finished.iterdir()}
    assert names >= {
        "configuration.json", "checkpoint.pt", "metrics.jsonl", "tensorboard", "loss.png", "best.npz", "strip.png", "crawl.mp4",
    }  # fmt: skip
    best = Trajectory.load(finished / "best.npz")
    assert best.duration == pytest.approx(1.6)
    assert best.metadata["scene"]["bodies"][0]["shape"]["kind"] == "Mesh"
    assert [line["simulator_calls"] for line in metrics(finished)] == [2, 4, 6, 10]  # the second episode is judged


def test_ctrl_c_saves_and_resume_continues_bit_for_bit(finished, tmp_path, repository):
    folder = tmp_path / "interrupted"
    options = ("--mesh", "assets/worm.stl", "--no-pictures")
    running = subprocess.Popen(command(folder, *options), cwd=repository, stderr=subprocess.PIPE, text=True)
    log = folder / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") >= 1):
        assert running.poll() is None and time.monotonic() < deadline, running.stderr.read()
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=120)
    assert "--resume" in said
    assert len(metrics(folder)) < 4, "it was over before Ctrl-C arrived; lengthen the training"
    subprocess.run(command(folder, *options, "--resume"), cwd=repository, check=True, timeout=300)
    assert metrics(folder) == metrics(finished)


def test_a_mesh_that_is_not_there_gets_its_sentence_and_leaves_no_folder(tmp_path):
    from pliant.scenes.train_crawler import Arguments, train

    with pytest.raises(InputError, match="nowhere.stl"):
        train(Arguments(mesh="nowhere.stl", folder=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("duration", [1.0, 0.4, 0.0, -0.8, float("nan"), float("inf")])
def test_an_episode_is_a_whole_number_of_windows(duration):
    from pliant.scenes.train_crawler import Arguments, windows_of

    assert windows_of(Arguments(duration=2.4)) == 3
    with pytest.raises(InputError, match="expected a multiple of 0.8 s"):
        windows_of(Arguments(duration=duration))
