"""The laws of `assets/laws` in scenes they were not learned from: each body ends near its twin with the true law."""

import dataclasses
import functools

import numpy as np
import pytest

from pliant.scenes.registry import find_scene, scenes
from pliant.sim import InputError

SCENES = (
    "learned_collision", "learned_duck", "learned_melting", "learned_melting_in_time", "learned_shapes", "learned_slope",
    "learned_throw",
)  # fmt: skip
# Largest mean squared difference of the coordinates [m^2], for bodies of 0.3 to 0.7 m: all stay within 3 cm.
AIM = 1e-3


@functools.cache
def measured(name: str) -> dict[str, float]:
    """What `pliant run` prints."""
    spec = find_scene(name)
    settings = spec.settings
    if spec.run is None:
        model = spec.build().build(dt=settings.dt, dtype=settings.dtype)
        trajectory = model.rollout(settings.steps, record_every=settings.record_every, gradient=False).forward()
    else:
        trajectory = spec.run(settings)
    assert all(np.isfinite(array).all() for array in trajectory.arrays.values())
    return spec.measure(trajectory)


def test_every_scene_of_learned_laws_is_tested():
    assert {name for name in scenes() if name.startswith("learned_")} == {*SCENES, "learned_million"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_a_learned_body_moves_like_its_true_twin(name):
    errors = {n.partition(":")[0]: v for n, v in measured(name).items() if n.endswith(": squared error [m^2]")}
    assert errors and all(error <= AIM for error in errors.values()), errors


@pytest.mark.slow
def test_learned_bodies_that_collide_keep_their_momentum():
    """Whatever their laws have learned; the tolerance is float32 summed over 1,500 substeps."""
    assert measured("learned_collision")["change of momentum / sum of |m v|"] <= 1e-5


@pytest.mark.slow
def test_a_learned_bird_floats_in_learned_water_as_high_as_the_true_one():
    """To a cell of the grid."""
    values = measured("learned_duck")
    assert values["height of bird_learned [m]"] == pytest.approx(values["height of bird [m]"], abs=0.04)


@pytest.mark.slow
def test_particles_that_melt_take_their_momentum_with_them():
    """Newton's second law over the run and all 30 changes of laws; the tolerance is float32 summed over 3,000 substeps."""
    values = measured("learned_melting_in_time")
    assert values["floor impulse by the change of momentum / reference"] == pytest.approx(1.0, abs=1e-4)
    assert values["height of the middle after / before melting"] < 0.6


def test_melting_starts_at_the_surface_and_leaves_no_plasticine():
    from pliant.scenes import learned_melting_in_time as melting

    sides = np.asarray(melting.BLOCK.size) / 2
    depth = (sides - np.abs(melting.POINTS - np.asarray(melting.BLOCK.center))).min(axis=1)
    assert depth[: melting.COUNT // 10].max() < depth[-melting.COUNT // 10 :].min()
    assert melting.molten(0) == 0 and melting.molten(melting.SETTINGS.steps) == melting.COUNT


def test_a_run_that_melts_keeps_every_particle_in_its_place():
    """`pliant run` over a few changes of laws, begun where melting does: each particle moves less than a cell."""
    from pliant.scenes import learned_melting_in_time as melting

    settings = dataclasses.replace(melting.SETTINGS, steps=250)
    shifted = pytest.MonkeyPatch()
    shifted.setattr(melting, "BEGIN", 0)
    try:
        trajectory = melting.run(settings)
    finally:
        shifted.undo()
    assert trajectory["block.molten"][-1].sum() == round(melting.COUNT * 200 / melting.END)
    assert np.abs(np.diff(trajectory["block.position"], axis=0)).max() < melting.CELL
    assert trajectory.status.ok and trajectory.duration == pytest.approx(250 * settings.dt)


@pytest.mark.slow
def test_a_million_particles_take_a_learned_law():
    model = find_scene("learned_million").build().build(dt=1e-4)
    trajectory = model.rollout(2, record_every=2, gradient=False).forward()
    assert trajectory["plasticine.position"].shape[2] == 10**6 and trajectory.status.ok


def test_a_law_that_is_not_there_gets_its_sentence():
    from pliant.scenes.learned import learned_law

    with pytest.raises(InputError, match="no file"):
        learned_law("butter")
