"""The package as a user installs it: from a wheel, in a folder that has a `sim` of its own."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOMS = ("pliant", "sim", "learn", "scenes", "assets")
ASK = """
import pathlib, pliant, sim
from pliant import learn
from pliant.scenes import learned, train_crawler
print(sim.MINE, pliant.__version__ == pliant.sim.__version__)
print(all(path.is_file() for path in (train_crawler.CRAWLER, learned.FOLDER / "sand.safetensors")))
print(pathlib.Path(pliant.sim.__file__).parent)
"""
QUIET = """
from pliant.sim import Scene, materials, shapes

scene = Scene()
scene.add_mpm(shapes.Box(0.2), materials.NeoHookean(youngs_modulus=1e4, poissons_ratio=0.3), density=1e3, spacing=0.05)
scene.build(dt=1e-3).rollout(2).forward()
"""


def run(words: list[str], folder: pathlib.Path, path: pathlib.Path) -> subprocess.CompletedProcess:
    variables = os.environ | {"PYTHONPATH": str(path)}
    return subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("wheel")
    for room in ROOMS:
        shutil.copytree(repository / room, folder / "source" / room, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(repository / file, folder / "source")
    words = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(folder / "source")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("pliant-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel) -> pathlib.Path:
    """The folder of packages that the wheel alone fills; what it depends on comes from this environment."""
    packages = wheel.parent / "packages"
    zipfile.ZipFile(wheel).extractall(packages)
    return packages


@pytest.fixture
def elsewhere(tmp_path) -> pathlib.Path:
    """A user's folder, with a `sim` of the user's own."""
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / "__init__.py").write_text("MINE = True\n")
    return tmp_path


@pytest.mark.slow
def test_the_wheel_works_beside_a_sim_of_the_users(installed, elsewhere):
    done = run([sys.executable, "-c", ASK], elsewhere, installed)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True", "True", str(installed / "pliant" / "sim")]
    assert done.stderr == ""


@pytest.mark.slow
def test_the_wheel_simulates_and_holds_the_crawlers_mesh(installed, elsewhere):
    done = run([sys.executable, "-m", "pliant", "run", "jelly_drop", "--steps", "20"], elsewhere, installed)
    assert done.returncode == 0, done.stderr
    done = run([sys.executable, "-m", "pliant", "train", "crawler", "--help"], elsewhere, installed)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_rooms_and_no_picture_of_the_gallery(installed, repository):
    for room in ("sim", "learn", "scenes", "assets"):
        for path in (repository / room).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".pyc", ".py"):
                here = installed / "pliant" / path.relative_to(repository)
                assert here.is_file() == ("gallery" not in path.parts), path
            elif path.suffix == ".py" and room != "assets":
                assert (installed / "pliant" / path.relative_to(repository)).is_file(), path


def test_a_run_from_python_prints_nothing_of_its_own(repository, tmp_path):
    """No banner of Warp's and no line for every module that it loads."""
    done = run([sys.executable, "-c", QUIET], tmp_path, repository)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")


def test_a_room_imported_by_its_folders_name_says_what_to_write(repository, tmp_path):
    done = run([sys.executable, "-c", "import sim"], tmp_path, repository)
    assert done.returncode != 0
    assert "from pliant import sim" in done.stderr.splitlines()[-1]
