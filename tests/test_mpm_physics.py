"""Invariants and exact solutions of the MPM solver."""

import numpy as np
import pytest

from pliant.sim import Scene, energies, momentum
from pliant.sim.materials import Fluid, NeoHookean
from pliant.sim.shapes import Box

ALL = ("position", "velocity", "velocity_gradient", "deformation_gradient")
CELL, YOUNG, DENSITY = 0.1, 1e4, 1000.0  # of a single material point [m, Pa, kg/m^3]
OMEGA = 2.0 / CELL * np.sqrt(YOUNG / DENSITY)  # of its small vibrations: m (dx^2 / 4) dC/dt = -V E e, with nu = 0
PERIOD = 2.0 * np.pi / OMEGA


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


def test_the_mass_floor_is_a_drag_of_its_mass_at_every_touched_node_and_substep():
    """A flying block: no force acts but the floor's, -mass_floor v / dt at each node, whether gravity is there or not."""
    speed, steps, floor = 0.3, 10, 1e-7
    scene = Scene(gravity=(0, 0, 0), extent=((-1, -1, -1), (1, 1, 1)), cell_size=0.1, walls="open", mass_floor=floor)
    soft = NeoHookean(youngs_modulus=1e2, poissons_ratio=0.3)
    block = Box((0.4, 0.3, 0.3), center=(0.013, 0.02, -0.03))
    scene.add_mpm(block, soft, density=1000.0, spacing=0.05, name="block", velocity=(speed, 0, 0))
    model = scene.build(dt=1e-4, dtype="float64", threads=1)
    rollout = model.rollout(steps, record_every=steps, gradient=False)
    lost = -np.diff(momentum(model, rollout.forward())["linear"][:, 0, 0])[0]
    cells = (model.parameters()["block.position"].value[0] - model.grid_spec.lower) / 0.1
    corner = np.floor(cells - 0.5)
    nodes = np.prod(np.ptp(corner, axis=0) + 3)  # each particle touches three along an axis
    assert lost == pytest.approx(steps * floor * speed * nodes, rel=0.01)


@pytest.mark.parametrize("cells", [2, 4])
def test_a_body_turns_as_fast_as_it_was_told_to(cells):
    """Its particles carry the velocity gradient [omega]x; without it 0.56 and 0.84 of the spin would be left after a step.

    1e-3: what centrifugal stretch, rho omega^2 a^2 / E = 6e-4, changes in the moment of inertia (measured 1e-4).
    """
    side, spin = 0.4, np.array([1.0, -1.0, 1.5])
    scene = Scene(gravity=(0, 0, 0), extent=((-0.6,) * 3, (0.6,) * 3), cell_size=side / cells, walls="open")
    stiff = NeoHookean(youngs_modulus=1e6, poissons_ratio=0.3)
    shape = Box(side, center=(0.013, 0.02, -0.03))
    scene.add_mpm(shape, stiff, density=1000.0, spacing=side / cells / 2, name="cube", angular_velocity=tuple(spin))
    rollout = scene.build(dt=5e-4, dtype="float64", threads=1).rollout(100, record_every=100, gradient=False)
    trajectory = rollout.forward()
    for x, v in zip(trajectory["cube.position"][:, 0], trajectory["cube.velocity"][:, 0], strict=True):
        arm = x - x.mean(axis=0)
        inertia = np.trace(arm.T @ arm) * np.eye(3) - arm.T @ arm
        turning = np.linalg.solve(inertia, np.cross(arm, v).sum(axis=0))
        assert np.abs(turning - spin).max() <= 1e-3 * np.linalg.norm(spin)


def ring_one_point(dt: float, time: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """C_xx [1/s], F_xx and energy [J] at every substep of one material point that begins with C_xx = 0.1 omega."""
    scene = Scene(gravity=(0, 0, 0), extent=((-1, -1, -1), (1, 1, 1)), cell_size=CELL, walls="open")
    soft = NeoHookean(youngs_modulus=YOUNG, poissons_ratio=0.0)
    shape = Box(CELL / 2, center=(0.013, 0.02, -0.03))
    scene.add_mpm(shape, soft, density=DENSITY, spacing=CELL / 2, name="point")
    model = scene.build(dt=dt, dtype="float64", threads=1)
    C = np.zeros((1, 1, 3, 3))
    C[..., 0, 0] = 0.1 * OMEGA
    rollout = model.rollout(round(time / dt), record=ALL, record_every=1, gradient=False)
    trajectory = rollout.forward({"point.velocity_gradient": C})
    parts = energies(model, trajectory)
    rate = trajectory["point.velocity_gradient"][:, 0, 0, 0, 0]
    return rate, trajectory["point.deformation_gradient"][:, 0, 0, 0, 0], (parts["kinetic"] + parts["elastic"])[:, 0]


def test_the_step_of_one_material_point_is_symplectic_euler_to_round_off():
    """The transfers hold a point's own affine motion exactly, so the step is, with m the mass and V the volume,

    C <- C - dt V tau(F) / (m dx^2 / 4),   F <- (1 + dt C) F

    which is a kick and a drift in (log F, C), symplectic for any dt. 1e-12: 5,000 additions in float64 (measured 4e-14).
    """
    dt = PERIOD / 50
    rate, stretch, _ = ring_one_point(dt, 100 * PERIOD)
    c, f = rate[0], stretch[0]
    for n in range(1, len(rate)):
        c = c - dt * 4.0 / (DENSITY * CELL**2) * YOUNG / 2 * (f * f - 1.0)
        f = (1.0 + dt * c) * f
        assert abs(c - rate[n]) <= 1e-12 * OMEGA and abs(f - stretch[n]) <= 1e-12


def test_the_energy_of_one_material_point_swings_with_dt_and_does_not_drift_in_a_hundred_periods():
    """Symplectic Euler keeps an energy near H - (dt / 2) H_p H_q, so that H swings by O(dt) forever and goes nowhere.

    Ratios of halving dt: 2 +- 0.1 for H, of order 1, and 4 +- 0.4 for H with its dt term, of order 2 (measured 1.94
    and 4.1). The highest and lowest energy of the last ten periods are those of the first ten to 1 % of the swing,
    which is how well 50 samples a period find an extremum.
    """
    swings, left = [], []
    for dt in (PERIOD / 50, PERIOD / 100):
        rate, stretch, energy = ring_one_point(dt, 100 * PERIOD)
        tenth = len(energy) // 10
        error = energy / energy[0] - 1.0
        swing = np.ptp(error)
        for extremum in (np.max, np.min):
            assert abs(extremum(error[-tenth:]) - extremum(error[:tenth])) <= 0.01 * swing
        force = 4.0 / (DENSITY * CELL**2) * YOUNG / 2 * (stretch**2 - 1.0)  # H_q of H / (m dx^2 / 4), with p = C
        correction = -dt / 2 * rate * force - dt / 6 * rate**3  # the second term: log(1 + dt C) is not quite dt C
        modified = energy / (DENSITY * (CELL / 2) ** 3 * CELL**2 / 4) + correction
        swings.append(swing)
        left.append(np.abs(modified / modified[0] - 1.0).max())
    assert swings[0] / swings[1] == pytest.approx(2.0, abs=0.1)
    assert left[0] / left[1] == pytest.approx(4.0, abs=0.4)


def energy_after_ringing(dx: float, dt: float, memory: float = 0.0) -> float:
    """Relative change of the energy of a block in its first longitudinal mode over half a period (0.064 s)."""
    length = 0.4
    scene = Scene(
        gravity=(0, 0, 0), extent=((-1, -1, -1), (1, 1, 1)), cell_size=dx, walls="open", transfer_memory=memory
    )
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
    from pliant.sim.shapes import Plane

    scene = Scene(extent=((0, 0, -0.1), (0.4, 0.4, 0.6)), cell_size=0.05, walls="slip")
    water = Fluid(bulk_modulus=2e5, viscosity=50.0)
    scene.add_mpm(Box((0.4, 0.4, 0.3), center=(0.2, 0.2, 0.15)), water, density=1000.0, spacing=0.025, name="water")
    scene.add_collider(Plane(), name="floor")
    model = scene.build(dt=5e-4, dtype="float32")
    trajectory = model.rollout(2000, record_every=100, gradient=False).forward()
    weight = 1000.0 * 0.4 * 0.4 * 0.3 * 9.81
    push = -trajectory["floor.wrench"][10:, 0, 2].mean()
    assert push == pytest.approx(weight, rel=0.03)
