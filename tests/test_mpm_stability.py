"""Where the explicit step stops being stable: what `Scene.build` refuses is what fails."""

import numpy as np
import pytest

from pliant.sim import InputError, Scene, SimulationError
from pliant.sim.materials import FixedCorotated, Fluid
from pliant.sim.mpm import step_limits
from pliant.sim.shapes import Box, Plane

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


def sinking_syrup(share: float, viscosity: float):
    """Status of a block of syrup that falls onto a sticking floor, at a share of density dx^2 / viscosity."""
    cell = 0.02
    scene = Scene(extent=((-0.2, -0.2, -0.1), (0.2, 0.2, 0.3)), cell_size=cell)
    law = Fluid(bulk_modulus=5e4, viscosity=viscosity)
    box = Box(6 * cell, center=(0.013, 0.0, 3.3 * cell))
    scene.add_mpm(box, law, density=DENSITY, spacing=cell / 2, velocity=(0.3, 0.0, -1.0), name="syrup")
    scene.add_collider(Plane(), surface="stick", name="floor")
    dt = share * DENSITY * cell**2 / viscosity
    return scene, scene.build(dt=dt, threads=1).rollout(400, record_every=400, gradient=False).forward(
        check=False
    ).status


@pytest.mark.parametrize("viscosity", [1e3, 5e3])
def test_the_largest_viscous_step_is_stable_and_a_quarter_more_is_refused_and_fails(viscosity, monkeypatch):
    share = step_limits.VISCOUS_SHARE
    scene, status = sinking_syrup(share * (1.0 - 1e-9), viscosity)
    assert status.ok
    assert scene.stable_dt() == pytest.approx(share * DENSITY * 0.02**2 / viscosity, rel=1e-12)
    with pytest.raises(
        InputError, match=f"exceeds the viscous limit .* of 'syrup' .viscosity {viscosity:.3g}".replace("+", ".")
    ):
        sinking_syrup(1.01 * share, viscosity)
    monkeypatch.setattr(step_limits, "VISCOUS_SHARE", 10.0)
    _, status = sinking_syrup(1.25 * share, viscosity)
    assert not status.ok


def test_a_stiffness_given_after_build_is_named_with_its_limit_when_the_run_fails():
    scene = Scene(cell_size=0.02)
    law = FixedCorotated(youngs_modulus=2e4, poissons_ratio=0.3)
    scene.add_mpm(Box(0.1, center=(0, 0, 0.06)), law, density=DENSITY, spacing=0.01, name="j")
    scene.add_collider(Plane(), name="floor")
    rollout = scene.build(dt=5e-4, threads=1).rollout(200, gradient=False)
    with pytest.raises(
        SimulationError, match="exceeds the elastic limit 0.000347 s of 'j'.*youngs_modulus = 2e.06 Pa"
    ) as caught:
        rollout.forward({"j.youngs_modulus": 2e6})
    assert "stiffen" not in str(caught.value) and "lower `dt` or the stiffness" in str(caught.value)
