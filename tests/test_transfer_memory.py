"""The transfer that remembers motion the grid does not hold: energy for any dt, momentum to round-off, gradients."""

import numpy as np
import pytest

from pliant.sim import InputError, Scene, check_gradients, energies, momentum
from pliant.sim.materials import NeoHookean
from pliant.sim.shapes import Box
from tests.mpm_scenes import busy_scene, busy_values
from tests.test_fluids import weighted_sum
from tests.test_mpm_physics import energy_after_ringing

ALL = ("position", "velocity", "velocity_gradient", "deformation_gradient")


def busy_rollout(**options):
    scene = busy_scene()
    scene.transfer_memory = 5e-3
    model = scene.build(dt=3e-4, dtype="float64", **{"threads": 1, **options})
    return model.rollout(100, record_every=50, control_every=20, record=ALL)


def test_every_parameter_has_a_right_gradient():
    """Poses are left to the tests of contact: turned floors make particles stick or slide."""
    rollout = busy_rollout()
    values = busy_values(rollout.model, rollout.intervals)

    def loss(trajectory):
        kept = {n: w for n, w in weighted_sum(trajectory)[1].items() if not n.endswith(".pose")}
        return sum(float((w * trajectory[n]).sum()) for n, w in kept.items()), kept

    report = check_gradients(rollout, loss, values, probes=1, sweep=(1e-5, 1e-6))
    assert report.first_bad is None
    assert all(p.error <= 1e-6 for p in report.parameters if not p.name.endswith(".pose")), str(report)


@pytest.mark.parametrize("options", [{}, {"threads": 2}, {"batch": 2}], ids=["one thread", "two threads", "batch"])
def test_the_tangent_is_the_transpose_of_the_adjoint(options):
    rollout = busy_rollout(**options)
    values = busy_values(rollout.model, rollout.intervals)
    trajectory = rollout.forward(values)
    weights = {n: w for n, w in weighted_sum(trajectory)[1].items() if not n.endswith(".pose")}
    gradients, again = rollout.backward(weights), rollout.backward(weights)
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


@pytest.mark.parametrize("every", [7, 100])
def test_the_gradient_is_the_same_for_every_checkpoint_choice(every):
    scene = busy_scene()
    scene.transfer_memory = 5e-3
    model, made = scene.build(dt=3e-4, dtype="float64", threads=1), []
    for choice in ("auto", every):
        rollout = model.rollout(100, record_every=50, control_every=20, record=ALL, checkpoint_every=choice)
        trajectory = rollout.forward(busy_values(model, rollout.intervals))
        weights = {n: w for n, w in weighted_sum(trajectory)[1].items() if not n.endswith(".pose")}
        made.append(rollout.backward(weights))
    assert all(np.array_equal(made[0][name], made[1][name]) for name in made[0])


def test_a_ringing_block_loses_the_same_energy_for_any_substep():
    """Half a period; without memory four cells lose 4.6 to 6.4 % and eight 1.5 to 7.4 %, more with a smaller dt."""
    coarse = [energy_after_ringing(0.1, dt, memory=0.03) for dt in (4e-3, 1.3e-3, 4e-4)]
    fine = [energy_after_ringing(0.05, dt, memory=0.03) for dt in (2e-3, 6.7e-4, 2e-4)]
    assert all(-0.01 <= loss <= 0.0 for loss in coarse), coarse
    assert all(-0.004 <= loss <= 0.0 for loss in fine), fine


def spinning_block(memory: float, steps: int, dtype: str = "float64"):
    """A soft block that turns and rings without gravity or walls, from its exact velocity gradient."""
    scene = Scene(
        gravity=(0, 0, 0), extent=((-1, -1, -1), (1, 1, 1)), cell_size=0.1, walls="open", transfer_memory=memory
    )
    soft = NeoHookean(youngs_modulus=1e4, poissons_ratio=0.3)
    omega = np.array((2.0, 1.0, -3.0))
    scene.add_mpm(Box((0.4, 0.3, 0.3)), soft, density=1000.0, spacing=0.05, name="block", angular_velocity=omega)
    model = scene.build(dt=1e-3, dtype=dtype, threads=1)
    spin = np.cross(omega, np.eye(3)).T
    rollout = model.rollout(steps, record=ALL, record_every=steps // 10, gradient=False)
    return model, rollout.forward({"block.velocity_gradient": spin})


@pytest.mark.parametrize("memory", [0.03, np.inf])
def test_momentum_and_angular_momentum_stay_exact(memory):
    """Round-off of 500 substeps in float64; measured 1e-14."""
    model, trajectory = spinning_block(memory, 500)
    for name, value in momentum(model, trajectory).items():
        scale = max(np.abs(value[0]).max(), 1.0)
        assert np.abs(value - value[0]).max() <= 1e-12 * scale, name


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 0.03, 1.0])
def test_a_turning_block_stays_calm_over_ten_thousand_substeps(memory):
    """Six turns in ten seconds: nothing grows, and less than a hundredth of the energy is lost a second (measured, .6 %)."""
    model, trajectory = spinning_block(memory, 10_000, "float32")
    parts = energies(model, trajectory)
    total = (parts["kinetic"] + parts["elastic"])[:, 0]
    assert 0.9 <= total[-1] / total[0] <= 1.005, total / total[0]
    assert total.max() <= 1.005 * total[0]


def test_a_saved_scene_keeps_its_memory_and_a_negative_one_is_refused():
    scene = busy_scene()
    scene.transfer_memory = 0.02
    assert Scene.from_dict(scene.to_dict()).transfer_memory == 0.02
    for wrong in (-1.0, float("nan")):
        with pytest.raises(InputError, match="transfer_memory: expected a time of at least 0 s"):
            Scene(transfer_memory=wrong)
