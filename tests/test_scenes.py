"""Every scene runs and holds one number of its physics."""

import numpy as np
import pytest

from scenes.registry import find_scene, scenes

EXPECTED = {
    # Newton's second law; float32 sums over 1600 substeps
    "jelly_drop": ("floor impulse / momentum", 0.99, 1.01),
    # Coulomb's law in closed form; the block rocks a little while it slides
    "slope": ("acceleration / Coulomb's", 0.95, 1.05),
    # conserved; float32 round-off of 1500 substeps
    "four_bodies": ("change of momentum / momentum of a body", 0.0, 1e-4),
    # below Ritter's inviscid bound of 2; real fronts keep more than half of it
    "dam_break": ("front speed / sqrt(g h)", 1.0, 2.0),
    # Lube's law gives 1; measured 0.57 on cells of a fifth of the radius, see README's limits
    "sand_column": ("run-out / Lube's law", 0.45, 1.1),
    # 1 for ideal plates; measured 0.53: contact smeared over a cell carries the block's rim late, see README's limits
    "plasticine_press": ("force / yield force", 0.4, 1.1),
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_scene_runs_and_its_physics_holds(name):
    spec = find_scene(name)
    model = spec.build().build(dt=spec.settings.dt, dtype=spec.settings.dtype)
    rollout = model.rollout(spec.settings.steps, record_every=spec.settings.record_every, gradient=False)
    trajectory = rollout.forward(spec.values(rollout) if spec.values else None)
    assert trajectory.status.ok
    assert all(np.isfinite(array).all() for array in trajectory.arrays.values())
    quantity, low, high = EXPECTED[name]
    value = spec.measure(trajectory)[quantity]
    assert low <= value <= high, f"{quantity} = {value:.4g}, expected {low} to {high}"


def test_every_scene_is_tested():
    assert set(scenes()) == set(EXPECTED)
