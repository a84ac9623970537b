"""Trajectories: what they hold, what survives the disk, and what time does to them."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from pliant.sim.errors import InputError
from pliant.sim.status import Code, Status
from pliant.sim.trajectory import Trajectory
from pliant.sim.trajectory_files import MANIFEST, TrajectoryWriter

FRAMES, BATCH, ITEMS = 5, 3, 4
FORMS = (".npz", ".traj")


def make(*, seed: int = 0, frames: int = FRAMES, dtype=np.float32) -> Trajectory:
    rng = np.random.default_rng(seed)
    return Trajectory(
        times=0.1 * np.arange(frames),
        arrays={
            "jelly.position": rng.normal(size=(frames, BATCH, ITEMS, 3)).astype(dtype),
            "jelly.deformation_gradient": rng.normal(size=(frames, BATCH, ITEMS, 3, 3)),
            "hand/left.pose": np.tile([0, 0, 0, 0, 0, 0, 1.0], (frames, BATCH, 1)),
        },
        metadata={"seed": seed, "scene": {"bodies": [{"name": "jelly", "spacing": np.float64(0.1)}]}},
        status=Status(Code.CFL, 12, 3, "jelly", "moved too far"),
    )


def assert_same(left: Trajectory, right: Trajectory) -> None:
    assert list(left) == list(right)
    np.testing.assert_array_equal(left.times, right.times)
    for name in left:
        assert left[name].dtype == right[name].dtype
        np.testing.assert_array_equal(left[name], right[name])
    assert left.status == right.status


def poses(angles, axis=(0.0, 0.0, 1.0)) -> np.ndarray:
    """Poses [frame, 1, 7] that turn about an axis and move along x."""
    half = 0.5 * np.asarray(angles)[:, None]
    quaternions = np.concatenate([np.sin(half) * np.asarray(axis), np.cos(half)], axis=1)
    return np.concatenate([np.asarray(angles)[:, None] * [1.0, 0.0, 0.0], quaternions], axis=1)[:, None]


# What it holds


def test_it_is_a_mapping_of_names_with_times():
    trajectory = make()
    assert len(trajectory) == 3 and "jelly.position" in trajectory and "jelly.velocity" not in trajectory
    assert (trajectory.frame_count, trajectory.batch) == (FRAMES, BATCH)
    assert trajectory.duration == pytest.approx(0.4)
    assert "5 frames" in repr(trajectory) and "CFL" in repr(trajectory)
    np.testing.assert_array_equal(trajectory.frame(-1)["jelly.position"], trajectory["jelly.position"][4])


def test_an_unknown_name_is_a_key_error_with_a_sentence():
    with pytest.raises(KeyError, match="^trajectory: expected one of .*got 'jelly.speed'"):
        make()["jelly.speed"]
    assert make().get("jelly.speed") is None


@pytest.mark.parametrize("index", [5, -6, 1.5, "last"])
def test_a_frame_outside_is_refused(index):
    with pytest.raises(InputError, match="expected a number from -5 to 4"):
        make().frame(index)


@pytest.mark.parametrize("times", [[], [0.0, 0.0], [1.0, 0.0], [0.0, np.nan], [[0.0]]])
def test_times_must_increase(times):
    with pytest.raises(InputError, match="increasing times"):
        Trajectory(times=np.asarray(times), arrays={})


def test_frames_and_batches_must_agree():
    with pytest.raises(InputError, match=r"expected 'a' as \[2, batch, ...\], got \[3, 1\]"):
        Trajectory(times=[0.0, 1.0], arrays={"a": np.zeros((3, 1))})
    with pytest.raises(InputError, match="one batch size"):
        Trajectory(times=[0.0, 1.0], arrays={"a": np.zeros((2, 1)), "b": np.zeros((2, 2))})


# The disk


@pytest.mark.parametrize("form", FORMS)
def test_saving_and_loading_gives_the_same_bits(tmp_path, form):
    path = tmp_path / f"run{form}"
    make().save(path)
    loaded = Trajectory.load(path)
    assert_same(loaded, make())
    assert loaded.metadata["scene"]["bodies"][0] == {"name": "jelly", "spacing": 0.1}


@pytest.mark.parametrize("form", FORMS)
def test_saving_again_replaces_and_leaves_nothing_behind(tmp_path, form):
    path = tmp_path / f"run{form}"
    make(seed=1).save(path)
    count = len(list(tmp_path.rglob("*")))
    make(seed=2).save(path)
    assert_same(Trajectory.load(path), make(seed=2))
    assert len(list(tmp_path.rglob("*"))) == count


def test_a_memory_mapped_trajectory_reads_from_the_disk_and_can_be_saved_onto_itself(tmp_path):
    make().save(tmp_path / "run.traj")
    mapped = Trajectory.load(tmp_path / "run.traj", mmap=True)
    assert isinstance(mapped["jelly.position"], np.memmap)
    mapped.save(tmp_path / "run.traj")
    assert_same(Trajectory.load(tmp_path / "run.traj"), make())


def test_tensors_are_saved_as_arrays(tmp_path):
    torch = pytest.importorskip("torch")
    plain = make()
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in plain.items()}
    trajectory = Trajectory(times=plain.times, arrays=tensors, status=plain.status)
    trajectory.save(tmp_path / "run.npz")
    assert_same(Trajectory.load(tmp_path / "run.npz"), plain)
    part = trajectory.select(names="jelly.position", times=slice(1, 3), batch=[0, 2])
    assert part["jelly.position"].requires_grad and part["jelly.position"].shape == (2, 2, ITEMS, 3)


def test_metadata_must_fit_json(tmp_path):
    trajectory = Trajectory(times=[0.0], arrays={}, metadata={"callback": object()})
    for form in FORMS:
        with pytest.raises(InputError, match="^metadata: expected what JSON can hold"):
            trajectory.save(tmp_path / f"run{form}")


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(InputError, match="suffix"):
        make().save(tmp_path / "run.bmp")
    with pytest.raises(InputError, match="belong to pictures"):
        make().save(tmp_path / "run.npz", size=(32, 32))


def test_a_missing_folder_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot write .*run.npz: No such file or directory; the old one"):
        make().save(tmp_path / "absent" / "run.npz")


def spoil_manifest(path) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["arrays"]["jelly.position"] = "../secret.npy"
    (path / MANIFEST).write_text(json.dumps(manifest))


def shorten(path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


HEADER_OF_TOMORROW = np.frombuffer(json.dumps({"format": 99}).encode(), np.uint8)
DAMAGES = {
    "missing": lambda path: path.unlink(),
    "truncated": shorten,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("this is a letter"),
    "foreign": lambda path: np.savez(path, weights=np.zeros(3)),
    "of another format": lambda path: np.savez(path, pliant=HEADER_OF_TOMORROW, times=np.zeros(1)),
    "pickled": lambda path: np.savez(path, pliant=np.array([{"format": 1}], dtype=object), times=np.zeros(1)),
    "folder without its list": lambda path: (path / MANIFEST).unlink(),
    "folder with a short array": lambda path: shorten(next(path.glob("*position.npy"))),
    "folder that points elsewhere": spoil_manifest,
}


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("missing", "found nothing at"),
        ("truncated", "truncated"),
        ("empty", "truncated"),
        ("text", "is not a trajectory"),
        ("foreign", "is not a trajectory"),
        ("of another format", "expected format 1, got 99"),
        ("pickled", "is not a trajectory"),
        ("folder without its list", "is not a .traj folder"),
        ("folder with a short array", "truncated"),
        ("folder that points elsewhere", "outside the folder"),
    ],
)
def test_a_bad_file_is_a_sentence(tmp_path, damage, sentence):
    path = tmp_path / ("run.traj" if damage.startswith("folder") else "run.npz")
    make().save(path)
    DAMAGES[damage](path)
    with pytest.raises(InputError, match=sentence):
        Trajectory.load(path)


def test_memory_mapping_a_file_is_refused(tmp_path):
    make().save(tmp_path / "run.npz")
    with pytest.raises(InputError, match="save it as .traj first"):
        Trajectory.load(tmp_path / "run.npz", mmap=True)


@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_leaves_the_old_trajectory(tmp_path, form, monkeypatch):
    path = tmp_path / f"run{form}"
    make(seed=1).save(path)
    before = sorted(tmp_path.rglob("*"))

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(InputError, match="No space left on device; the old"):
        make(seed=2).save(path)
    assert_same(Trajectory.load(path), make(seed=1))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit on file sizes")
@pytest.mark.parametrize("form", FORMS)
def test_a_write_that_stops_half_way_leaves_the_old_trajectory(tmp_path, form):
    """A real limit on the size of files, which fails in the middle of the data as a full disk does."""
    path = tmp_path / f"run{form}"
    make(seed=1).save(path)
    program = f"""
    import resource, signal, sys
    import numpy as np
    from pliant.sim.errors import InputError
    from pliant.sim.trajectory import Trajectory
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    try:
        Trajectory(times=[0.0], arrays={{"a.b": np.ones((1, 1, 1 << 20))}}).save({str(path)!r})
    except InputError as error:
        print(error)
    """
    done = run(program)
    assert "File too large; the old" in done.stdout, done.stdout + done.stderr
    assert_same(Trajectory.load(path), make(seed=1))


@pytest.mark.parametrize("form", FORMS)
def test_a_kill_in_the_middle_of_a_save_leaves_a_whole_trajectory(tmp_path, form):
    """A process saves without pause and is killed; whenever that happens, a whole trajectory is there."""
    path = tmp_path / f"run{form}"
    program = f"""
    import numpy as np
    from pliant.sim.trajectory import Trajectory
    for value in range(100000):
        Trajectory(times=[0.0], arrays={{"a.b": np.full((1, 1, 1 << 19), float(value))}}).save({str(path)!r})
        print(value, flush=True)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    saved = [int(child.stdout.readline()) for _ in range(3)][-1]
    time.sleep(0.013)
    child.send_signal(signal.SIGKILL)
    rest = child.communicate()[0].split()
    saved = int(rest[-1]) if rest else saved
    values = np.unique(Trajectory.load(path)["a.b"])
    assert len(values) == 1 and values[0] in (saved, saved + 1)
    if form == ".traj":
        (path / ".trajectory.json.1.part").write_text("cut sh")  # what a kill in the middle of the manifest leaves
    make().save(path)
    assert_same(Trajectory.load(path), make())
    if form == ".traj":
        assert len(list(path.iterdir())) == 4


def run(program: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60)


# Writing frame by frame


def test_a_writer_gives_the_trajectory_written_frame_by_frame(tmp_path):
    path, whole = tmp_path / "run.traj", make()
    positions = whole["jelly.position"]
    shapes = {"jelly.position": positions.shape[1:]}
    writer = TrajectoryWriter(path, whole.times, shapes, metadata=whole.metadata)
    for frame in range(FRAMES):
        writer.write(frame, "jelly.position", positions[frame])
    done = writer.finish(whole.status)
    assert_same(done, whole.select(names="jelly.position"))
    assert_same(Trajectory.load(path, mmap=True), done)
    assert len(list(path.iterdir())) == 2


def test_what_a_writer_published_can_be_read_before_it_finishes(tmp_path):
    path, whole = tmp_path / "run.traj", make()
    positions = whole["jelly.position"]
    whole.save(path)
    writer = TrajectoryWriter(path, whole.times, {"jelly.position": positions.shape[1:]})
    for frame in range(3):
        writer.write(frame, "jelly.position", positions[frame])
        assert_same(Trajectory.load(path), whole)
    writer.publish(2)
    seen = Trajectory.load(path, mmap=True)
    np.testing.assert_array_equal(seen["jelly.position"], positions[:2])
    np.testing.assert_array_equal(seen.times, whole.times[:2])
    assert seen.status.code == Code.UNFINISHED and "was killed, or is still under way" in seen.status.message
    writer.publish(3)
    assert Trajectory.load(path).frame_count == 3 and seen.frame_count == 2


def test_a_mapped_array_can_be_changed_without_changing_the_file(tmp_path):
    make().save(tmp_path / "run.traj")
    mapped = Trajectory.load(tmp_path / "run.traj", mmap=True)
    mapped["jelly.position"][0] = 7.0
    assert_same(Trajectory.load(tmp_path / "run.traj"), make())


def test_a_writer_keeps_only_the_frames_that_went_well(tmp_path):
    writer = TrajectoryWriter(tmp_path / "run.traj", np.arange(4.0), {"a.b": (1, 2)}, dtype="float64")
    writer.write(0, "a.b", np.ones((1, 2)))
    writer.finish(Status(Code.NOT_FINITE), frame_count=1)
    loaded = Trajectory.load(tmp_path / "run.traj")
    np.testing.assert_array_equal(loaded["a.b"], np.ones((1, 1, 2)))
    assert not loaded.status.ok


def test_a_writer_that_never_finishes_leaves_the_old_trajectory(tmp_path):
    make(seed=1).save(tmp_path / "run.traj")
    TrajectoryWriter(tmp_path / "run.traj", np.arange(4.0), {"a.b": (1, 2)}).write(0, "a.b", np.ones((1, 2)))
    assert_same(Trajectory.load(tmp_path / "run.traj"), make(seed=1))


def test_a_writer_refuses_what_does_not_fit(tmp_path):
    writer = TrajectoryWriter(tmp_path / "run.traj", np.arange(4.0), {"a.b": (1, 2)})
    for frame, name, shape in [(0, "c", (1, 2)), (4, "a.b", (1, 2)), (-1, "a.b", (1, 2)), (0, "a.b", (2, 1))]:
        with pytest.raises(InputError, match="^write: expected"):
            writer.write(frame, name, np.zeros(shape))
    with pytest.raises(InputError, match="ends in .traj"):
        TrajectoryWriter(tmp_path / "run.npz", np.arange(4.0), {})


# Selecting and resampling


def test_selecting_keeps_dimensions_and_order():
    trajectory = make()
    part = trajectory.select(names=["jelly"], times=[4, 0, 2][1:], batch=-1)
    assert list(part) == ["jelly.position", "jelly.deformation_gradient"]
    np.testing.assert_array_equal(part["jelly.position"], trajectory["jelly.position"][[0, 2]][:, [2]])
    np.testing.assert_array_equal(part.times, trajectory.times[[0, 2]])
    np.testing.assert_array_equal(trajectory.select(times=trajectory.times > 0.25).times, trajectory.times[3:])
    assert part.status == trajectory.status and part.metadata == trajectory.metadata


@pytest.mark.parametrize(
    "choice",
    [{"names": "jell"}, {"names": []}, {"times": 7}, {"times": slice(3, 3)}, {"batch": [0, 3]}, {"times": "late"}],
)
def test_selecting_nothing_is_refused(choice):
    with pytest.raises(InputError, match="^select: "):
        make().select(**choice)


def test_linear_motion_is_resampled_exactly():
    times = np.array([0.0, 0.25, 1.0, 1.5])
    start, velocity = np.random.default_rng(0).normal(size=(2, 2, 3, 3))
    trajectory = Trajectory(times=times, arrays={"a.position": start + times[:, None, None, None] * velocity})
    wanted = np.linspace(0.0, 1.5, 37)
    exact = start + wanted[:, None, None, None] * velocity
    # Three roundings of values below 8.
    np.testing.assert_allclose(trajectory.resample(wanted)["a.position"], exact, rtol=0, atol=5e-15)


def test_recorded_frames_are_resampled_to_the_bit():
    trajectory = make()
    resampled = trajectory.resample(trajectory.times)
    assert_same(resampled, trajectory)
    np.testing.assert_array_equal(trajectory.resample([0.4])["jelly.position"], trajectory["jelly.position"][-1:])


def test_a_steady_turn_is_resampled_exactly():
    times = np.array([0.0, 1.0, 1.5])
    trajectory = Trajectory(times=times, arrays={"hand.pose": poses(2.0 * times, axis=(0.6, 0.0, 0.8))})
    wanted = np.linspace(0.0, 1.5, 31)
    # Sines and cosines of angles below 2, each right to a few units in the last place.
    np.testing.assert_allclose(
        trajectory.resample(wanted)["hand.pose"], poses(2.0 * wanted, axis=(0.6, 0.0, 0.8)), rtol=0, atol=1e-14
    )


def test_a_turn_goes_the_short_way_and_keeps_unit_length():
    ends = poses(np.array([0.0, 1.0]))
    ends[1, :, 3:] *= -1.0  # the same rotation by its other quaternion
    middle = Trajectory(times=[0.0, 1.0], arrays={"hand.pose": ends}).resample([0.5])["hand.pose"][0, 0, 3:]
    assert np.linalg.norm(middle) == pytest.approx(1.0, abs=1e-15)
    assert abs(middle @ poses(np.array([0.5]))[0, 0, 3:]) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("times", [[-0.1], [0.41], [0.2, 0.1], [], [np.nan]])
def test_resampling_outside_is_refused(times):
    with pytest.raises(InputError, match="from 0 to 0.4 s"):
        make().resample(times)
