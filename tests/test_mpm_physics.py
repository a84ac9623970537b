"""Invariants and exact solutions of the MPM solver."""

import numpy as np
import pytest

from sim import Scene, energies, momentum
from sim.materials import Fluid, NeoHookean
from sim.shapes import Box

ALL = ("position", "velocity", "velocity_gradient", "deformation_gradient")


def floating_block(**options) -> Scene:
    """A soft block without gravity far from walls."""
    scene = Scene(gravity=(0, 0, 0), extent=((-1, -1, -1), (1, 1, 1)), cell_size=0.1, walls="open")
    soft = NeoHookean(youngs_modulus=1e4, poissons_ratio=0.3)
    scene.add_mpm(Box((0.4, 0.3, 0.3)), soft, density=1000.0, spacing=0.05, name="block", **options)
    return scene


def test_momentum_is_conserved_to_round_off_without_walls():
    model = floating_block(velocity=(0.3, -0.2, 0.1), angular_velocity=(2.0, 1.0, -3.0)).build(dt=5e-4, dtype="float64")
    trajectory = model.rollout(400, record=ALL, record_every=100, gradient=False).forward()
    for name, value in momentum(model, trajectory).items():
        drift = np.abs(value - value[0]).max() / np.abs(value[0]).max()
        assert drift <= 1e-12, f"{name} momentum drifts by {drift:.1e}"


def energy_after_ringing(dx: float, dt: float) -> float:
    """Relative change of the energy of a block in its first longitudinal mode over half a period (0.064 s)."""
    length = 0.4
    scene = Scene(gravity=(0, 0, 0), extent=((-1, -1, -1), (1, 1, 1)), cell_size=dx, walls="open")
    soft = NeoHookean(youngs_modulus=1e4, poissons_ratio=0.0)
    scene.add_mpm(Box((length, 0.2, 0.2)), soft, density=1000.0, spacing=dx / 2, name="block")
    model = scene.build(dt=dt, dtype="float64", threads=1)
    x = model.parameters()["block.position"].value
    v, C = np.zeros_like(x), np.zeros((*x.shape, 3))
    v[..., 0] = 0.05 * np.sin(np.pi * x[..., 0] / length)
    C[..., 0, 0] = 0.05 * np.pi / length * np.cos(np.pi * x[..., 0] / length)
    rollout = model.rollout(round(0.064 / dt), record=ALL, record_every=1, gradient=False)
    parts = energies(model, rollout.forward({"block.velocity": v, "block.velocity_gradient": C}))
    total = (parts["kinetic"] + parts["elastic"])[:, 0]
    return float(total[-1] / total[1] - 1)


def test_energy_drift_vanishes_when_cells_and_steps_are_refined_together():
    """Symplectic Euler keeps the energy; the transfer loses what a cell does not resolve: less than second order in dx.

    At a fixed cell the loss does not vanish with dt (more transfers a second); README's limits say so.
    """
    coarse, fine = energy_after_ringing(0.1, 4e-3), energy_after_ringing(0.05, 2e-3)
    assert -0.06 <= coarse < fine <= 0.0
    assert fine >= -0.02
    assert np.log2(coarse / fine) >= 1.0


def test_the_step_is_symplectic_euler_of_first_order():
    """Free fall from rest: the position is g t (t + dt) / 2, off by g t dt / 2 exactly."""
    for dt in (4e-3, 2e-3, 1e-3):
        scene = floating_block()
        scene.gravity = np.array([0, 0, -9.81])
        steps = round(0.2 / dt)
        trajectory = scene.build(dt=dt, dtype="float64").rollout(steps, record_every=steps, gradient=False).forward()
        fall = np.diff(trajectory["block.position"][:, 0, :, 2].mean(axis=1))[0]
        assert abs(fall + 9.81 * 0.2 * (0.2 + dt) / 2) <= 1e-12


def test_the_fundamental_frequency_of_a_bar_is_within_two_percent():
    """Free longitudinal vibration of a slender bar with nu = 0: f = sqrt(E / rho) / (2 L)."""
    length, E, rho, dx = 1.0, 1e4, 1000.0, 0.05
    scene = Scene(gravity=(0, 0, 0), extent=((-0.7, -0.2, -0.2), (0.7, 0.2, 0.2)), cell_size=dx, walls="open")
    bar = NeoHookean(youngs_modulus=E, poissons_ratio=0.0)
    scene.add_mpm(Box((length, 0.1, 0.1)), bar, density=rho, spacing=0.025, name="bar")
    model = scene.build(dt=1e-3, dtype="float64", threads=1)
    x = model.parameters()["bar.position"].value
    speed = np.zeros_like(x)
    speed[..., 0] = 0.01 * np.sin(np.pi * x[..., 0] / length)
    steps = 1300
    trajectory = model.rollout(steps, record_every=5, gradient=False).forward({"bar.velocity": speed})
    mode = np.sin(np.pi * x[0, :, 0] / length)
    motion = trajectory["bar.velocity"][:, 0, :, 0] @ mode
    crossings = np.flatnonzero(np.diff(np.sign(motion)))
    t = trajectory.times
    times = t[crossings] - motion[crossings] * (t[crossings + 1] - t[crossings]) / (
        motion[crossings + 1] - motion[crossings]
    )
    frequency = 0.5 / np.diff(times).mean()
    expected = np.sqrt(E / rho) / (2 * length)
    assert len(crossings) >= 3
    assert abs(frequency / expected - 1) <= 0.02, f"{frequency:.4f} Hz against {expected:.4f} Hz"


def test_pressure_at_the_bottom_of_a_column_of_water_is_hydrostatic():
    """The floor carries the weight of the water above it."""
    from sim.shapes import Plane

    scene = Scene(extent=((0, 0, -0.1), (0.4, 0.4, 0.6)), cell_size=0.05, walls="slip")
    water = Fluid(bulk_modulus=2e5, viscosity=50.0)
    scene.add_mpm(Box((0.4, 0.4, 0.3), center=(0.2, 0.2, 0.15)), water, density=1000.0, spacing=0.025, name="water")
    scene.add_collider(Plane(), name="floor")
    model = scene.build(dt=5e-4, dtype="float32")
    trajectory = model.rollout(2000, record_every=100, gradient=False).forward()
    weight = 1000.0 * 0.4 * 0.4 * 0.3 * 9.81
    push = -trajectory["floor.wrench"][10:, 0, 2].mean()
    assert push == pytest.approx(weight, rel=0.03)
