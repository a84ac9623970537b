"""Recording to the disk while running: the same bits, no memory, and whatever happens the frames before."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from pliant.learn import simulate
from pliant.sim import Code, InputError, Scene, SimulationError, Trajectory
from pliant.sim.materials import NeoHookean
from pliant.sim.shapes import Box, Sphere
from pliant.sim.spectral import PeriodicBox, equations
from pliant.sim.trajectory_files import FrameFile

STEPS, EVERY = 40, 4
AT_REST = {"gravity": [0.0, 0.0, 0.0], "block0.velocity": [0.0, 0.0, 0.0], "block1.velocity": [0.0, 0.0, 0.0]}


def particles(*, spacing: float = 0.1, batch: int = 2, walls: str = "slip"):
    """Two bodies that meet a turning ball."""
    scene = Scene(extent=((0, 0, 0), (1, 1, 1)), cell_size=0.1, walls=walls)
    law = NeoHookean(youngs_modulus=1e4, poissons_ratio=0.3)
    for index, x in enumerate((0.35, 0.65)):
        box = Box(0.2, center=(x, 0.5, 0.5))
        scene.add_mpm(box, law, density=1000.0, spacing=spacing, name=f"block{index}", velocity=(0, 0, -2))
    scene.add_collider(Sphere(0.2, center=(0.5, 0.5, 0.3)), friction=0.4, name="ball")
    return scene.build(dt=1e-3, batch=batch, dtype="float64", threads=1)


def field():
    """Heat that flows, on 16 x 16 points."""
    box = PeriodicBox((1.0, 1.0), (16, 16))
    equation = equations.AdvectionDiffusion(velocity=(1.0, 0.5), diffusivity=0.01)
    box.add_field(equation, name="heat", concentration=lambda x, y: np.cos(2 * np.pi * x) * np.sin(2 * np.pi * y))
    return box.build(dt=1e-2, dtype="float64")


@pytest.fixture(scope="module")
def model():
    return particles()


def assert_same(left: Trajectory, right: Trajectory) -> None:
    assert list(left) == list(right)
    assert np.array_equal(left.times, right.times)
    for name in left:
        assert left[name].dtype == right[name].dtype and np.array_equal(left[name], right[name]), name
    assert left.status == right.status


@pytest.mark.parametrize("make", [particles, field])
def test_a_recording_on_the_disk_holds_the_bits_of_one_in_memory(make, tmp_path):
    model, folder = make(), tmp_path / "run.traj"
    rollout = model.rollout(STEPS, record_every=7, record_to=folder)
    recorded, kept = rollout.forward(), model.rollout(STEPS, record_every=7).forward()
    assert all(isinstance(array, np.memmap) for array in recorded.values())
    assert_same(recorded, kept)
    assert_same(Trajectory.load(folder), kept)
    assert recorded.metadata == json.loads(json.dumps(kept.metadata))


def test_a_run_recorded_on_the_disk_has_the_same_gradient(model, tmp_path):
    seeds = None
    for options in ({}, {"record_to": tmp_path / "run.traj"}):
        rollout = model.rollout(STEPS, record_every=EVERY, checkpoint_every=7, **options)
        trajectory = rollout.forward()
        made = rollout.backward({n: np.ones_like(a) for n, a in trajectory.items() if not n.endswith("pose")})
        seeds = seeds or made
        assert all(np.array_equal(seeds[name], made[name]) for name in made)


def test_torch_reads_it_from_the_disk_too(model, tmp_path, recwarn):
    rollout = model.rollout(STEPS, record_every=EVERY, record_to=tmp_path / "run.traj")
    made = simulate(rollout)["block0.position"]
    assert np.array_equal(made.detach().numpy(), Trajectory.load(tmp_path / "run.traj")["block0.position"])
    assert not [w for w in recwarn if "writable" in str(w.message)]
    with pytest.raises(InputError, match="records into memory, got record_to"):
        simulate(rollout, policy=lambda seen: {})


def test_a_second_run_writes_anew_and_leaves_the_first_readable(model, tmp_path):
    rollout = model.rollout(STEPS, record_every=EVERY, record_to=tmp_path / "run.traj")
    first = rollout.forward()
    kept = {name: np.array(array) for name, array in first.items()}
    second = rollout.forward({"gravity": [0.0, 0.0, 5.0]})
    assert all(np.array_equal(first[name], kept[name]) for name in kept)
    assert not np.array_equal(second["block0.position"], first["block0.position"])
    assert_same(Trajectory.load(tmp_path / "run.traj"), second)
    assert len(list((tmp_path / "run.traj").iterdir())) == len(second) + 1


def test_what_a_user_notes_is_kept_in_the_metadata(model, tmp_path):
    for options in ({}, {"record_to": tmp_path / "run.traj"}):
        trajectory = model.rollout(1, metadata={"specimen": "A7"}, **options).forward()
        assert trajectory.metadata["specimen"] == "A7" and trajectory.metadata["dt"] == 1e-3


def test_a_run_that_fails_leaves_its_good_frames_and_its_status(tmp_path):
    model, folder = particles(walls="open"), tmp_path / "run.traj"
    values = {"block1.velocity": [9.0, 0.0, 0.0]}
    with pytest.raises(SimulationError, match="left the grid") as caught:
        model.rollout(300, record_every=10, record_to=folder).forward(values)
    recorded = Trajectory.load(folder)
    assert recorded.status == caught.value.status and 1 < recorded.frame_count < 31
    assert_same(recorded, model.rollout(300, record_every=10).forward(values, check=False))


def test_an_interrupted_run_leaves_the_frames_before_and_does_not_harm_the_next(model, tmp_path):
    folder = tmp_path / "run.traj"
    rollout = model.rollout(STEPS, record_every=EVERY, record_to=folder)

    def interrupt(done):
        if done == 3 * EVERY:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rollout.forward(progress=interrupt)
    cut = Trajectory.load(folder)
    assert cut.status.code == Code.UNFINISHED and cut.frame_count == 4
    whole = rollout.forward()
    assert_same(Trajectory.load(folder), whole)
    assert np.array_equal(cut["block0.position"], whole["block0.position"][:4])


def test_a_kill_leaves_a_readable_beginning(tmp_path, repository):
    folder = tmp_path / "run.traj"
    code = f"""
from tests.test_record_to import AT_REST, particles
rollout = particles().rollout(10**6, record_every=1, gradient=False, record_to={str(folder)!r})
rollout.forward(AT_REST, progress=lambda done: print(done, flush=True))
"""
    child = subprocess.Popen([sys.executable, "-c", code], cwd=repository, stdout=subprocess.PIPE, text=True)
    done = 0
    while done < 50:
        line = child.stdout.readline()
        done = int(line) if line.strip().isdigit() else done
        assert line, "the run ended by itself"
    child.send_signal(signal.SIGKILL)
    rest = [int(line) for line in child.communicate()[0].split() if line.isdigit()]
    done = rest[-1] if rest else done
    cut = Trajectory.load(folder, mmap=True)
    assert cut.status.code == Code.UNFINISHED
    assert done + 1 <= cut.frame_count <= done + 2
    known = particles().rollout(50, record_every=1, gradient=False).forward(AT_REST)
    assert all(np.array_equal(cut[name][:51], known[name]) for name in known)
    assert all(np.isfinite(array).all() for array in cut.values())


def test_memory_does_not_grow_with_the_frames(tmp_path, repository):
    """450 frames more of 2,000 particles are 173 MB; what grows is a list of substeps and, freed at once, its JSON."""
    code = f"""
import re
from tests.test_record_to import particles
def private():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
model = particles(spacing=0.02, batch=1)
sizes = []
for steps in (50, 500):
    options = {{"record": tuple(model.frame_shapes), "record_to": {str(tmp_path / "run.traj")!r}}}
    rollout, most = model.rollout(steps, record_every=1, gradient=False, **options), []
    trajectory = rollout.forward(progress=lambda done: most.append(private()) if done % 25 == 0 else None)
    assert trajectory.frame_count == steps + 1
    sizes.append(max(most))
    written = sum(array.nbytes for array in trajectory.values())
print(sizes[1] - sizes[0], written)
"""
    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs /proc")
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    grown, written = (int(word) for word in done.stdout.split()[-2:])
    assert written > 190e6
    assert grown < 5e6, f"{grown / 1e6:.1f} MB"


def test_a_disk_too_small_is_refused_before_the_run(model, tmp_path, monkeypatch):
    folder = tmp_path / "run.traj"
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        InputError, match=r"11 frames need .* GB in .*run.traj, whose disk has 1e-06 GB free; record fewer"
    ):
        model.rollout(STEPS, record_every=EVERY, record_to=folder).forward()
    assert not list(folder.iterdir())


def test_a_disk_that_fills_up_during_the_run_leaves_the_frames_before(model, tmp_path, monkeypatch):
    folder = tmp_path / "run.traj"
    write = FrameFile.write

    def full(self, frame, values):
        if frame == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, frame, values)

    monkeypatch.setattr(FrameFile, "write", full)
    rollout = model.rollout(STEPS, record_every=EVERY, record_to=folder)
    with pytest.raises(InputError, match="No space left on device; the 5 frames before stay readable"):
        rollout.forward()
    monkeypatch.undo()
    cut = Trajectory.load(folder)
    assert cut.frame_count == 5 and cut.status.code == Code.UNFINISHED
    assert_same(rollout.forward(), model.rollout(STEPS, record_every=EVERY).forward())


@pytest.mark.parametrize("path", ["run.npz", "run", 3])
def test_only_a_traj_folder_can_be_recorded_to(model, path):
    with pytest.raises(InputError, match="ends in .traj"):
        model.rollout(STEPS, record_to=path)


def test_a_file_is_no_folder_to_record_to(model, tmp_path):
    (tmp_path / "run.traj").write_text("")
    with pytest.raises(InputError, match="choose another name"):
        model.rollout(STEPS, record_to=tmp_path / "run.traj")


def test_more_frames_than_memory_can_count_are_refused_even_on_the_disk(model, tmp_path):
    with pytest.raises(InputError, match="^record_every"):
        model.rollout(2**31 - 2, record_every=1, record_to=tmp_path / "run.traj")
