"""Weakly compressible fluids against textbook cases, at two resolutions; and the gradient of their pressure filter."""

import numpy as np
import pytest

from pliant.sim import InputError, Scene, check_gradients, momentum
from pliant.sim.materials import Fluid, NeoHookean
from pliant.sim.shapes import Box

DENSITY, G = 1000.0, 9.81


def crowded_scene() -> Scene:
    """Two fluids, one of them squeezed into a corner, and an elastic block among them."""
    scene = Scene(extent=((0, 0, 0), (0.5, 0.5, 0.5)), cell_size=0.1, mass_floor=1e-3)
    water, oil = Fluid(bulk_modulus=2e4, viscosity=3.0), Fluid(bulk_modulus=1e4, viscosity=1.0)
    soft = NeoHookean(youngs_modulus=2e4, poissons_ratio=0.3)
    scene.add_mpm(
        Box(0.2, center=(0.1, 0.1, 0.12)), water, density=1000.0, spacing=0.05, name="water", velocity=(-1, -1, -1)
    )
    scene.add_mpm(
        Box(0.15, center=(0.3, 0.12, 0.1)), oil, density=900.0, spacing=0.05, name="oil", velocity=(-1, 0.1, -1)
    )
    scene.add_mpm(
        Box(0.1, center=(0.12, 0.3, 0.1)), soft, density=800.0, spacing=0.05, name="soft", velocity=(0.1, -1, 0)
    )
    return scene


def crowded_rollout(**options):
    model = crowded_scene().build(dt=3e-4, dtype="float64", **{"threads": 1, **options})
    fields = ("position", "velocity", "deformation_gradient")
    return model.rollout(120, record_every=40, record=fields)


def values_of(rollout) -> dict[str, np.ndarray]:
    """Every parameter; the water starts with 30 % more volume than it has room for, so that it is crowded everywhere."""
    values = {name: parameter.value.astype(float) for name, parameter in rollout.parameters().items()}
    values["water.deformation_gradient"] = values["water.deformation_gradient"] * 1.09
    return values


def weighted_sum(trajectory):
    rng = np.random.default_rng(1)
    weights = {name: rng.standard_normal(array.shape) for name, array in trajectory.arrays.items()}
    return sum(float((w * trajectory[n]).sum()) for n, w in weights.items()), weights


def test_every_parameter_of_filtered_fluids_has_a_right_gradient():
    rollout = crowded_rollout()
    report = check_gradients(rollout, weighted_sum, values_of(rollout), probes=1, sweep=(1e-4, 1e-5, 1e-6))
    assert report.first_bad is None
    assert all(p.error <= 1e-6 for p in report.parameters), str(report)


@pytest.mark.parametrize("options", [{}, {"threads": 2}, {"batch": 2}], ids=["one thread", "two threads", "batch"])
def test_the_tangent_of_filtered_fluids_is_the_transpose_of_the_adjoint(options):
    rollout = crowded_rollout(**options)
    values = values_of(rollout)
    weights = weighted_sum(rollout.forward(values))[1]
    gradients = rollout.backward(weights)
    again = rollout.backward(weights)
    rng = np.random.default_rng(2)
    names = list(values)
    directions = {n: np.zeros((len(names), *np.shape(v))) for n, v in values.items()}
    for index, name in enumerate(names):
        scale = max(float(np.abs(values[name]).mean()), 0.1)
        directions[name][index] = rng.standard_normal(np.shape(values[name])) * scale
    tangents = rollout.tangent(directions)
    for index, name in enumerate(names):
        assert np.array_equal(gradients[name], again[name]), name
        forward = sum(float((tangents[n][index] * w).sum()) for n, w in weights.items())
        adjoint = float((gradients[name] * directions[name][index]).sum())
        assert abs(forward - adjoint) <= 1e-10 * abs(adjoint), (name, forward, adjoint)


def fluid_tank(size, height: float, cell: float, *, sound: float, gravity: float = G, walls="slip", **options) -> Scene:
    """Water [kg/m^3] that fills a tank (size x, size y) up to a height, with air of half of it above where there is gravity."""
    top = 1.6 * height if gravity else height
    scene = Scene(gravity=(0, 0, -gravity), extent=((0, 0, 0), (*size, top)), cell_size=cell, walls=walls)
    scene.transfer_memory = options.pop("transfer_memory", 0.0)
    water = Fluid(bulk_modulus=DENSITY * sound**2, viscosity=options.pop("viscosity", 1e-3))
    shape = Box((*size, height), center=(size[0] / 2, size[1] / 2, height / 2))
    scene.add_mpm(shape, water, density=DENSITY, spacing=cell / 2, name="water", **options)
    return scene


def run_water(scene: Scene, sound: float, time: float, values=lambda x: {}, frames: int = 50):
    """Times, and positions, velocities and pressures [frame, particle, ...] of a run that completes."""
    dt = 0.4 * scene.cell_size / sound
    model = scene.build(dt=dt, threads=1)
    x = model.parameters()["water.position"].value.astype(float)
    steps = round(time / dt)
    fields = ("position", "velocity", "deformation_gradient")
    rollout = model.rollout(steps, record_every=max(1, steps // frames), record=fields, gradient=False)
    trajectory = rollout.forward(values(x))
    position, velocity, F = (np.asarray(trajectory[f"water.{name}"][:, 0], float) for name in fields)
    return trajectory.times, position, velocity, DENSITY * sound**2 * (1.0 - np.linalg.det(F))


def vortex(x: np.ndarray) -> dict[str, np.ndarray]:
    """One vortex of speed 1 m/s in a square of 1 m."""
    k, zero = np.pi, np.zeros(x.shape[:-1])
    sx, cx, sy, cy = np.sin(k * x[..., 0]), np.cos(k * x[..., 0]), np.sin(k * x[..., 1]), np.cos(k * x[..., 1])
    rows = [[cx * cy, -sx * sy, zero], [sx * sy, -cx * cy, zero], [zero, zero, zero]]
    gradient = k * np.moveaxis(np.array(rows), (0, 1), (-2, -1))
    return {"water.velocity": np.stack([sx * cy, -cx * sy, zero], -1), "water.velocity_gradient": gradient}


@pytest.mark.parametrize(("cells", "memory", "ratio"), [(8, 0.1, 1.35), (16, 0.1, 1.1)])
def test_a_vortex_in_a_slipping_box_decays_towards_viscosity_s_rate(cells, memory, ratio):
    """Re = 100, two seconds: 2 nu k^2 t. Unfiltered it turns back at 8 cells, and decays 3.2 times too fast at 16.

    Aim 1 (measured 1.27 and 1.08; without the transfer's memory 3.5 and 1.36, and 1.07 at 32 cells). Scatter within a cell
    stays below a fifth of rho U^2 (2.0 and .8 unfiltered).
    """
    cell, sound, viscosity = 1.0 / cells, 10.0, 0.01 * DENSITY
    options = {"viscosity": viscosity, "transfer_memory": memory, "gravity": 0.0}
    scene = fluid_tank((1.0, 1.0), 2 * cell, cell, sound=sound, **options)
    times, x, v, p = run_water(scene, sound, 2.0, vortex)
    mode = vortex(x)["water.velocity"]
    amplitude = (v * mode).sum(axis=(1, 2)) / (mode**2).sum(axis=(1, 2))
    rate = -np.log(amplitude[-1] / amplitude[0]) / times[-1] / (2 * 0.01 * np.pi**2)
    assert 0.95 <= rate <= ratio
    _, place = np.unique(np.floor(x[-1] / cell) @ [1e4, 1e2, 1.0], return_inverse=True)
    mean = np.bincount(place, p[-1]) / np.bincount(place)
    assert np.sqrt(np.mean((p[-1] - mean[place]) ** 2)) <= 0.2 * DENSITY


@pytest.mark.parametrize("cells", [8, 16])
def test_water_at_rest_stays_at_rest_with_hydrostatic_pressure(cells):
    """Pressures scatter by less than .03 rho g H (.13 unfiltered), the level stays within 2 %, and the motion dies down."""
    height, sound = 0.16, 20.0
    cell = height / cells
    scene = fluid_tank((4 * cell, 4 * cell), height, cell, sound=sound, walls="separating")

    def compressed(x: np.ndarray) -> dict[str, np.ndarray]:
        J = 1.0 - G * (height - x[..., 2]) / sound**2
        return {"water.deformation_gradient": np.cbrt(J)[..., None, None] * np.eye(3)}

    _, x, v, p = run_water(scene, sound, 1.0, compressed)
    error = (p[-1] - DENSITY * G * (height - x[-1, :, 2])) / (DENSITY * G * height)
    assert error.std() <= 0.03 and abs(error.mean()) <= 0.02
    level = np.quantile(x[-1, :, 2], 0.98) / np.quantile(x[0, :, 2], 0.98)
    assert abs(level - 1.0) <= 0.02 and abs(x[-1, :, 2].mean() / x[0, :, 2].mean() - 1.0) <= 0.02
    assert np.sqrt((v[-1] ** 2).sum(axis=-1).mean()) <= 2e-3  # m/s; waves of the tank run at 1.25 m/s
    assert (x > -0.5 * cell).all()


@pytest.mark.parametrize(("cells", "share"), [(6, 0.05), pytest.param(12, 0.03, marks=pytest.mark.slow)])
def test_water_sloshes_with_the_frequency_of_linear_theory(cells, share):
    """omega^2 = g k tanh(k H) of the first mode (measured .98 and .986); no volume is lost in over two periods."""
    length, height, sound = 0.4, 0.2, 15.0
    cell, k = height / cells, np.pi / length
    omega = np.sqrt(G * k * np.tanh(k * height))

    def swing(x: np.ndarray) -> dict[str, np.ndarray]:
        a, zero = 0.12 / np.sinh(k * height), np.zeros(x.shape[:-1])
        sx, cx, sh, ch = np.sin(k * x[..., 0]), np.cos(k * x[..., 0]), np.sinh(k * x[..., 2]), np.cosh(k * x[..., 2])
        rows = [[-cx * ch, zero, -sx * sh], [zero, zero, zero], [-sx * sh, zero, cx * ch]]
        J = 1.0 - G * (height - x[..., 2]) / sound**2
        return {
            "water.velocity": a * np.stack([-sx * ch, zero, cx * sh], -1),
            "water.velocity_gradient": a * k * np.moveaxis(np.array(rows), (0, 1), (-2, -1)),
            "water.deformation_gradient": np.cbrt(J)[..., None, None] * np.eye(3),
        }

    scene = fluid_tank((length, 2 * cell), height, cell, sound=sound, walls="separating")
    times, x, _, _ = run_water(scene, sound, 1.6, swing, frames=200)
    offset = x[..., 0].mean(axis=1) - length / 2
    crossings = np.flatnonzero(np.diff(np.sign(offset[2:]))) + 2
    step = times[crossings + 1] - times[crossings]
    at = times[crossings] - offset[crossings] * step / (offset[crossings + 1] - offset[crossings])
    assert len(at) >= 3
    assert abs(np.pi / np.diff(at).mean() / omega - 1.0) <= share
    assert abs(x[-1, :, 2].mean() / x[0, :, 2].mean() - 1.0) <= 0.02


@pytest.mark.parametrize(("cells", "share"), [(8, 0.06), (16, 0.03)])
def test_a_confined_wave_runs_at_the_speed_of_sound(cells, share):
    """f = c / 2 L between slipping walls (measured .947 and .975, the filter changes it by .001)."""
    sound, cell = 20.0, 1.0 / cells
    scene = fluid_tank((1.0, 2 * cell), 2 * cell, cell, sound=sound, gravity=0.0)

    def wave(x: np.ndarray) -> dict[str, np.ndarray]:
        v = np.zeros_like(x)
        v[..., 0] = 0.01 * sound * np.sin(np.pi * x[..., 0])
        return {"water.velocity": v}

    times, x, v, _ = run_water(scene, sound, 0.3, wave, frames=400)
    motion = (v[..., 0] * np.sin(np.pi * x[0, :, 0])).mean(axis=1)
    at = times[np.flatnonzero(np.diff(np.sign(motion)))]
    assert abs(0.5 / np.diff(at).mean() / (sound / 2) - 1.0) <= share


def test_a_drop_without_gravity_keeps_its_momentum_and_turns():
    """Filtered water conserves linear and angular momentum to round-off: only pressures change."""
    scene = Scene(gravity=(0, 0, 0), extent=((-0.3,) * 3, (0.3,) * 3), cell_size=0.04, walls="open")
    water = Fluid(bulk_modulus=1e5, viscosity=1e-3)
    motion = {"velocity": (0.2, -0.1, 0.3), "angular_velocity": (2.0, 1.0, -1.0)}
    scene.add_mpm(Box(0.16), water, density=DENSITY, spacing=0.02, name="water", **motion)
    model = scene.build(dt=1e-3, dtype="float64", threads=1)
    fields = ("position", "velocity", "velocity_gradient", "deformation_gradient")
    trajectory = model.rollout(300, record_every=100, record=fields, gradient=False).forward()
    for name, value in momentum(model, trajectory).items():
        assert np.abs(value - value[0]).max() <= 1e-12 * np.abs(value[0]).max(), name


def test_without_the_filter_water_is_what_it_was():
    """Turned off, a fluid has no launches of it, and the choice is kept with the scene."""
    scene = fluid_tank((0.2, 0.2), 0.1, 0.05, sound=10.0, pressure_filter=False)
    rollout = scene.build(dt=1e-3).rollout(10)
    assert not rollout.solver.pressure.bodies
    assert Scene.from_dict(scene.to_dict()).bodies[0]["pressure_filter"] is False
    with pytest.raises(InputError, match="pressure_filter: expected True or False"):
        fluid_tank((0.2, 0.2), 0.1, 0.05, sound=10.0, pressure_filter="no")
