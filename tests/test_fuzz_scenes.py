"""Random scenes, sensible and absurd: a sentence or a finite result, never NaN without a status and never another exception."""

import collections
import faulthandler
import json
import pathlib
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from pliant.sim import InputError, Scene, SimulationError
from tests.random_scenes import (
    make_adjoints,
    make_scene,
    make_state,
    make_values,
    random_cases,
    spoiled,
    time_step,
    write_meshes,
)
from tests.test_determinism import digest

LONGEST = 300.0  # s for one scene; a typical one takes 0.05, and minutes if every kernel it needs is compiled
SETTINGS = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("meshes")
    write_meshes(path)
    return path


def run(case: dict, later: dict, folder: pathlib.Path) -> None:
    """Build a scene, run it forward and backward, and go on from where it ended."""
    scene = make_scene(case, folder)
    again = Scene.from_dict(json.loads(json.dumps(scene.to_dict())))
    assert again.to_dict() == scene.to_dict()
    model = scene.build(**{"dt": time_step(scene, case), **case["build"]})
    rollout = model.rollout(**case["rollout"])
    values = make_values(model, rollout, case, later)
    trajectory = rollout.forward(values)
    seeds = make_adjoints(trajectory, later, case["seed"])
    gradients = rollout.backward(seeds)
    state = rollout.final_state()
    start = make_state(state, later["state"][0]) if "state" in later else state
    onward = rollout.forward(values, state=start, first_step=rollout.steps)
    for arrays in (trajectory, gradients, onward, state.arrays()):
        assert all(np.isfinite(array).all() for array in arrays.values())
    assert set(gradients) == set(model.parameters())
    assert all(np.shape(gradients[name]) == np.shape(value) for name, value in values.items())


def outcome(case: dict, found: list, folder: pathlib.Path) -> str:
    """How a scene ended: "ran" forward and backward, or the kind of its sentence. A hang ends the process with a traceback."""
    faulthandler.dump_traceback_later(LONGEST, exit=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            run(*spoiled(case, found), folder)
    except (InputError, SimulationError) as error:
        text = str(error)
        assert 10 < len(text) < 600 and "\n" not in text, text
        return type(error).__name__
    finally:
        faulthandler.cancel_dump_traceback_later()
    return "ran"


def explore(count: int, folder: pathlib.Path) -> collections.Counter:
    """Outcomes of that many random scenes."""
    outcomes: collections.Counter = collections.Counter()

    @settings(max_examples=count, **SETTINGS)
    @given(random_cases)
    def one(drawn):
        outcomes[outcome(*drawn, folder)] += 1

    one()
    print(dict(outcomes))
    assert outcomes.total() >= count
    return outcomes


def test_a_random_scene_ends_in_a_sentence_or_a_finite_result(folder):
    """Which scenes come up depends on the constants that Hypothesis finds in the modules loaded by then."""
    outcomes = explore(60, folder)
    assert outcomes["ran"] >= 0.25 * outcomes.total()


@pytest.mark.slow
def test_a_thousand_random_scenes(folder):
    before = digest(1)
    outcomes = explore(1000, folder)
    assert outcomes["ran"] >= 0.4 * outcomes.total()
    assert outcomes["InputError"] >= 0.1 * outcomes.total()
    assert digest(1) == before, "what failed must not harm what follows in the same process"
