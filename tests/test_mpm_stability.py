"""Where the explicit step stops being stable: what `Scene.build` refuses is what fails."""

import numpy as np
import pytest

from pliant.sim import InputError, Scene
from pliant.sim.materials import FixedCorotated
from pliant.sim.mpm import step_limits
from pliant.sim.shapes import Box

CELL, DENSITY = 0.1, 1000.0


def shaken_block(share: float, poissons_ratio: float):
    """Speed at the end and status of a block that starts with random velocities of 1 cm/s, at a share of dx / c."""
    law = FixedCorotated(youngs_modulus=1e4, poissons_ratio=poissons_ratio)
    scene = Scene(gravity=(0, 0, 0), extent=((-0.5,) * 3, (0.5,) * 3), cell_size=CELL, walls="open")
    scene.add_mpm(Box(0.4), law, density=DENSITY, spacing=0.05, name="block")
    model = scene.build(dt=share * CELL / law.wave_speed(DENSITY), dtype="float64", threads=1)
    noise = 0.01 * np.random.default_rng(0).standard_normal((1, model.bodies[0].items, 3))
    rollout = model.rollout(400, record_every=400, gradient=False)
    trajectory = rollout.forward({"block.velocity": noise}, check=False)
    return float(np.abs(trajectory["block.velocity"][-1]).max()), trajectory.status


@pytest.mark.parametrize("poissons_ratio", [0.0, 0.3, 0.45])
def test_the_largest_allowed_step_is_stable(poissons_ratio):
    speed, status = shaken_block(step_limits.STABLE_SHARE, poissons_ratio)
    assert status.ok
    assert speed <= 0.01


@pytest.mark.parametrize("poissons_ratio", [0.0, 0.3, 0.45])
def test_half_as_much_again_is_unstable_and_says_so(poissons_ratio, monkeypatch):
    monkeypatch.setattr(step_limits, "STABLE_SHARE", 10.0)
    _, status = shaken_block(1.5, poissons_ratio)
    assert not status.ok
    assert "lower `dt`" in status.message


def test_a_step_above_the_limit_is_refused_with_the_limit():
    with pytest.raises(InputError, match="exceeds the elastic limit .* of 'block'"):
        shaken_block(1.01 * step_limits.STABLE_SHARE, 0.3)
