"""Files that are damaged, endless or too large, and outputs that cannot be written: one sentence, before anything is lost."""

import io
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from pliant import sim
from pliant.scenes.cli import main
from pliant.sim import materials, shapes
from pliant.sim.errors import InputError
from pliant.sim.view.described import check_described
from pliant.sim.view.options import ViewOptions
from pliant.sim.view.stage import Stage

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
JELLY = materials.FixedCorotated(youngs_modulus=2e4, poissons_ratio=0.3)


def jelly():
    scene = sim.Scene(extent=((-0.3,) * 3, (0.3,) * 3), cell_size=0.1)
    scene.add_mpm(shapes.Box(0.1), JELLY, density=1000.0, spacing=0.05, name="jelly")
    return scene


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """What a good trajectory file holds."""
    path = tmp_path_factory.mktemp("good") / "good.npz"
    jelly().build(dt=1e-3, threads=1).rollout(4, record_every=2, gradient=False).forward().save(path)
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def header(arrays, **changes):
    told = {**json.loads(bytes(arrays["pliant"])), **changes}
    return np.frombuffer(json.dumps(told).encode(), np.uint8)


DAMAGE = {
    "a header of brackets": lambda a: {"pliant": np.frombuffer(b"[" * 200_000, np.uint8)},
    "a header that is a list": lambda a: {"pliant": np.frombuffer(b"[1]", np.uint8)},
    "a header that is no JSON": lambda a: {"pliant": np.frombuffer(b"{\xff", np.uint8)},
    "no metadata": lambda a: {"pliant": header(a, metadata=None)},
    "metadata that are a list": lambda a: {"pliant": header(a, metadata=[1])},
    "a scene that is a number": lambda a: {"pliant": header(a, metadata={"scene": 3})},
    "a status that is a word": lambda a: {"pliant": header(a, status="OK")},
    "a status of an unknown code": lambda a: {"pliant": header(a, status={"code": "FINE"})},
    "complex positions": lambda a: {"jelly.position": a["jelly.position"].astype(complex)},
    "positions that are words": lambda a: {"jelly.position": a["jelly.position"].astype(str)},
    "complex times": lambda a: {"times": a["times"].astype(complex)},
    "times that are one number": lambda a: {"times": np.array(1.0)},
    "positions that are one number": lambda a: {"jelly.position": np.array(1.0)},
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_trajectory_gets_its_sentence_from_every_reader(damage, arrays, tmp_path, capsys):
    path = tmp_path / "damaged.npz"
    np.savez(path, **{**arrays, **damage(arrays)})
    for read in (sim.Trajectory.load, sim.Recording.read):
        with pytest.raises(InputError, match=r"; [^\n]+\.$"):
            read(path)
    assert main(["view", str(path), "--output", str(tmp_path / "o.png")]) == 2
    assert capsys.readouterr().err.lower().startswith("pliant: trajectory")


def test_a_file_that_claims_more_than_it_holds_is_refused_before_memory_is_taken(arrays, tmp_path):
    path = tmp_path / "claims.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in arrays.items():
            content = io.BytesIO()
            if name == "jelly.position":
                claim = {"descr": "<f8", "fortran_order": False, "shape": (5, 1, 10**13, 3)}
                np.lib.format.write_array_header_1_0(content, claim)
            else:
                np.save(content, value)
            archive.writestr(name + ".npy", content.getvalue() + b"\0" * 64)
    with pytest.raises(InputError, match="claims 1.2e.15 bytes of float64 in"):
        sim.Trajectory.load(path)
    plain = tmp_path / "plain.npz"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("x.npy", source.read("jelly.position.npy"))
    with pytest.raises(InputError, match="claims 1.2e.15 bytes"):
        sim.Recording.read(plain, interval=0.1)


@pytest.mark.parametrize("name", ["a1.json", "a1.stl", "a1.ply", "a1.npz"])
def test_a_link_to_a_file_without_end_is_refused(name, tmp_path):
    path = tmp_path / name
    path.symlink_to("/dev/zero")
    reader = {".json": sim.Scene.load, ".stl": shapes.Mesh, ".ply": shapes.Mesh, ".npz": sim.Trajectory.load}[
        path.suffix
    ]
    for read in (reader, *([sim.Recording.read] if path.suffix in (".npz", ".ply") else [])):
        with pytest.raises(InputError, match=r"device|no plain file|expected a file"):
            read(path)


def test_a_file_larger_than_the_memory_is_refused(tmp_path):
    path = tmp_path / "sparse.stl"
    with open(path, "wb") as file:
        file.truncate(2**42)  # no bytes of it are on the disk
    with pytest.raises(InputError, match="holds 4.4e.03 GB, expected at most"):
        shapes.Mesh(path)


def test_a_scene_of_more_particles_than_the_memory_is_refused_before_any_is_made():
    scene = sim.Scene(cell_size=1.0)
    for _ in range(600):
        scene.add_mpm(shapes.Box(2.0), JELLY, density=1000.0, spacing=0.01)
    read = sim.Scene.from_dict(scene.to_dict())
    with pytest.raises(InputError, match=r"4.8e.09 particles need 2.46e.03 GB, expected at most"):
        read.build(dt=1e-4)


@pytest.mark.parametrize("number", [10**30, 10**400, "1" + "0" * 5000])
def test_huge_integers_in_a_scene_file_get_their_sentence(number, tmp_path):
    path = tmp_path / "huge.json"
    path.write_text(json.dumps(jelly().to_dict()).replace('"cell_size": 0.1', f'"cell_size": {number}'))
    with pytest.raises(InputError):
        sim.Scene.load(path)


LONG = "x" * 300 + ".npz"


@pytest.mark.parametrize("place", [LONG, "file.npz/x.npz", "folder.npz", "nul\0.npz"])
def test_an_output_that_cannot_be_written_is_refused_before_the_run(place, tmp_path, capsys, monkeypatch):
    (tmp_path / "file.npz").write_text("here")
    (tmp_path / "folder.npz").mkdir()
    monkeypatch.setattr("pliant.scenes.commands.run.run_rollout", lambda *_: pytest.fail("it ran"))
    monkeypatch.chdir(tmp_path)
    for command in (["run", "specimen", "--steps", "5"], ["check-gradients", "specimen", "--steps", "5"]):
        assert main([*command, "--no-progress", "--output", place]) == 2
        assert "output: cannot write" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file.npz", "folder.npz"]  # nothing is left behind


def test_a_save_under_a_name_too_long_gets_its_sentence(arrays, tmp_path):
    np.savez(tmp_path / "good.npz", **arrays)
    with pytest.raises(InputError, match="cannot write"):
        sim.Trajectory.load(tmp_path / "good.npz").save(tmp_path / LONG)


@pytest.mark.parametrize("word", ["-1", str(2**63), "1.5"])
def test_a_seed_that_is_none_is_refused(word, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["run", "kuramoto_sivashinsky", "--steps", "5", "--seed", word])
    assert stop.value.code == 2 and "--seed" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"# \xff\xfe\n", b"x = 1\0", b"(" * 5000, b"def"])
def test_a_file_that_is_no_python_gets_its_sentence(content, tmp_path, capsys):
    path = tmp_path / "scene.py"
    path.write_bytes(content)
    assert main(["run", str(path)]) == 2
    assert "is not valid Python" in capsys.readouterr().err


def test_a_saved_scene_runs_by_its_file(tmp_path, capsys):
    path, output = tmp_path / "mine.json", tmp_path / "out.npz"
    jelly().save(path)
    assert main(["run", str(path), "--steps", "20", "--no-progress", "--output", str(output)]) == 0
    told = capsys.readouterr().out
    assert "mine: 20 steps" in told and "mean height of jelly [m]" in told
    trajectory = sim.Trajectory.load(output)
    assert trajectory.metadata["dt"] <= jelly().stable_dt() / 2
    path.write_text("{}")
    assert main(["run", str(path)]) == 2 and main(["run", str(tmp_path / "none.json")]) == 2
    assert "expected a description of format" in capsys.readouterr().err


def test_a_kernel_cache_that_cannot_be_written_is_told_and_doctor_goes_on(tmp_path):
    (tmp_path / "a_file").touch()
    folder = str(tmp_path / "a_file")
    environment = {**os.environ, "WARP_CACHE_PATH": folder, "PYTHONPATH": str(REPOSITORY)}

    def pliant(*words):
        command = [sys.executable, "-m", "pliant", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    ran, told = pliant("run", "specimen"), pliant("doctor")
    assert ran.returncode == 2 and ran.stderr.startswith(f"pliant: kernel cache: {folder}")
    assert "set WARP_CACHE_PATH" in ran.stderr and "Traceback" not in ran.stderr + told.stderr
    assert told.returncode == 1 and "cannot be written" in told.stdout and "rendering" in told.stdout


@pytest.mark.parametrize("size", [(1, 1), (64, 48)])
def test_pictures_of_a_few_pixels_are_drawn(size, arrays, tmp_path):
    from pliant.sim.spectral import PeriodicBox, equations

    np.savez(tmp_path / "good.npz", **arrays)
    box = PeriodicBox((6.0,), (16,))
    box.add_field(equations.KuramotoSivashinsky(), name="u", velocity=np.cos)
    field = box.build(dt=0.01).rollout(2).forward()
    for trajectory in (sim.Trajectory.load(tmp_path / "good.npz"), field):
        sim.view(trajectory, output=tmp_path / "o.png", size=size)
        assert (tmp_path / "o.png").stat().st_size > 0


def entries(told, path=()):
    """The path to every value in a description, of lists only to the first two."""
    for key, value in told.items() if isinstance(told, dict) else enumerate(told[:2]):
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from entries(value, (*path, key))


def test_a_damaged_scene_in_the_metadata_gets_its_sentence_from_the_viewer(arrays, tmp_path):
    np.savez(tmp_path / "good.npz", **arrays)
    good = sim.Trajectory.load(tmp_path / "good.npz")
    kept, refused = json.dumps(good.metadata["scene"]), 0
    for path in [p for p in entries(json.loads(kept)) if p[-1] not in ("material", "youngs_modulus", "poissons_ratio")]:
        for bad in (None, "x", -1e300, [], {}, [1, "a"], True):
            scene = json.loads(kept)
            place = scene
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = bad
            damaged = sim.Trajectory(times=good.times, arrays=good.arrays, metadata={"scene": scene})
            try:
                check_described(scene)
                Stage(damaged, ViewOptions())
            except InputError:
                refused += 1
    assert refused > 50
