"""The same seed and thread count give the same bits, in every process; a saved scene is the same scene."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from pliant.sim import Scene
from tests.mpm_scenes import busy_scene, busy_values


def digest(threads: int, scene: Scene | None = None) -> str:
    """Hash of a trajectory and its gradient, float32."""
    model = (scene or busy_scene()).build(dt=3e-4, dtype="float32", threads=threads)
    rollout = model.rollout(60, record_every=20, control_every=20)
    values = busy_values(model, rollout.intervals)
    before = {name: value.copy() for name, value in values.items()}
    trajectory = rollout.forward(values)
    gradients = rollout.backward(
        {name: np.ones_like(trajectory[name]) for name in trajectory if name.endswith("position")}
    )
    assert all(np.array_equal(values[name], before[name]) for name in before), "a rollout must not write its inputs"
    arrays = [*trajectory.arrays.values(), *gradients.values()]
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


@pytest.mark.parametrize("threads", [1, 2])
def test_another_process_gives_the_same_bits(threads, repository):
    code = f"from tests.test_determinism import digest; print(digest({threads}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.split()[-1] == digest(threads)


def test_a_scene_that_was_saved_and_loaded_gives_the_same_bits(tmp_path):
    busy_scene().save(tmp_path / "scene.json")
    assert digest(1, Scene.load(tmp_path / "scene.json")) == digest(1)


def test_fibres_of_any_direction_come_back_to_the_bit():
    """A unit vector divided by its rounded length is another one, for a third of all directions."""
    scene = busy_scene()
    scene.add_muscle("soft", fibre=lambda x: x - 2.0, group=0, strength=1e3)
    assert Scene.from_dict(scene.to_dict()).to_dict() == scene.to_dict()
