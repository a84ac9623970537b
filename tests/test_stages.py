"""Particles that change their law: a hand-over that changes nothing is invisible, and gradients go through one that does."""

import numpy as np
import pytest
import torch

from pliant import sim
from pliant.learn import simulate
from pliant.learn.stages import Stage, simulate_stages
from pliant.sim import materials, shapes
from pliant.sim.mpm.state import FIELDS

SOFT = materials.FixedCorotated(youngs_modulus=2e4, poissons_ratio=0.3)
SAND = materials.DruckerPrager(youngs_modulus=5e4, poissons_ratio=0.2, friction_angle=0.5, cohesion=0.0)
BLOCK = shapes.Box(0.2, center=(0.0, 0.0, 0.13))
POINTS = BLOCK.sample(0.05)
COUNT, SPLIT, DT = len(POINTS), len(POINTS) // 3, 5e-4


def model(bodies: dict[str, tuple[slice, object]], batch: int = 1) -> sim.Model:
    """Parts of one block above a floor."""
    scene = sim.Scene(extent=((-0.4, -0.4, -0.1), (0.4, 0.4, 0.5)), cell_size=0.1)
    for name, (items, law) in bodies.items():
        part = shapes.Points(POINTS[items], volume=BLOCK.volume * len(POINTS[items]) / COUNT, center=BLOCK.center)
        scene.add_mpm(part, law, density=1000.0, spacing=0.05, name=name, velocity=(0.3, 0.0, -2.0))
    scene.add_collider(shapes.Plane(), friction=0.4, name="floor")
    return scene.build(dt=DT, dtype="float64", batch=batch, threads=1)


def rollout(made: sim.Model, steps: int = 40) -> sim.Rollout:
    return made.rollout(steps, record_every=20, record=FIELDS)


def two_stages(second) -> list[Stage]:
    """All of the block in one body, then its first third with another law."""
    parts = {"a": {"whole": slice(0, SPLIT)}, "b": {"whole": range(SPLIT, COUNT)}}
    later = model({"a": (slice(0, SPLIT), second), "b": (slice(SPLIT, COUNT), SOFT)})
    return [Stage(rollout(model({"whole": (slice(None), SOFT)}))), Stage(rollout(later), parts)]


def test_a_hand_over_to_the_same_law_changes_neither_the_motion_nor_its_gradient():
    """Both are those of one run of the whole; sums over particles in another order differ by round-off."""
    stages = two_stages(SOFT)
    through, alone = (torch.tensor(1.7e4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    first, last = simulate_stages(
        stages, dict.fromkeys(("whole.youngs_modulus", "b.youngs_modulus", "a.youngs_modulus"), through)
    )
    whole = simulate(rollout(model({"whole": (slice(None), SOFT)}), 80), {"whole.youngs_modulus": alone})
    joined = torch.cat([last["a.position"], last["b.position"]], dim=2)
    assert (joined[-1] - whole["whole.position"][-1]).abs().max() < 1e-12
    np.testing.assert_allclose([*first.times, *last.times[1:]], whole.times, rtol=1e-12)
    joined[-1, ..., 0].square().sum().backward()
    whole["whole.position"][-1, ..., 0].square().sum().backward()
    assert float(through.grad) == pytest.approx(float(alone.grad), rel=1e-9)


def test_a_gradient_goes_through_a_change_of_law():
    """Of the modulus before the change, against a central difference."""
    stages = two_stages(SAND)

    def loss(modulus):
        last = simulate_stages(stages, {"whole.youngs_modulus": modulus})[-1]
        return last["a.position"][-1].square().sum() + last["b.position"][-1].square().sum()

    modulus = torch.tensor(2e4, dtype=torch.float64, requires_grad=True)
    loss(modulus).backward()
    ahead, behind = (float(loss(torch.tensor(2e4 * (1 + s), dtype=torch.float64))) for s in (1e-5, -1e-5))
    assert float(modulus.grad) * 2e4 == pytest.approx((ahead - behind) / 2e-5, rel=1e-6)
    assert abs(float(modulus.grad) * 2e4) > 1e-4


def test_what_does_not_fit_gets_a_sentence():
    first, last = two_stages(SAND)
    with pytest.raises(sim.InputError, match="deal out every body"):
        simulate_stages([first, Stage(last.rollout, {"a": last.parts["a"]})])
    with pytest.raises(sim.InputError, match="no_such"):
        simulate_stages([first, last], {"no_such.thing": 1.0})
    with pytest.raises(sim.InputError, match="record"):
        plain = model({"whole": (slice(None), SOFT)}).rollout(20, record_every=20, record=("position",))
        simulate_stages([Stage(plain), last])
    with pytest.raises(sim.InputError, match="from 0 to"):
        simulate_stages([first, Stage(last.rollout, {**last.parts, "b": {"whole": [COUNT]}})])
    with pytest.raises(sim.InputError, match="one time step"):
        simulate_stages([Stage(rollout(model({"whole": (slice(None), SOFT)}, batch=2))), last])
    with pytest.raises(sim.InputError, match="at least one"):
        simulate_stages([])
