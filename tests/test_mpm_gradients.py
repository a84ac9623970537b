"""Gradients of MPM rollouts in float64: the adjoint against finite differences, and the same for every way to run."""

import itertools

import numpy as np
import pytest

from pliant.sim import InputError, Scene, check_gradients
from pliant.sim.materials import FixedCorotated
from pliant.sim.shapes import Box, Capsule, Cylinder, Mesh, Sphere
from tests.mpm_scenes import busy_scene, busy_values

STEPS, EVERY, FRAMES = 200, 40, 50
FIELDS = ("position", "velocity", "deformation_gradient")


@pytest.fixture(scope="module")
def model():
    return busy_scene().build(dt=3e-4, dtype="float64", threads=1)


def weighted_sum(trajectory, seed=1):
    """A loss that sees every recorded array, and its derivatives."""
    rng = np.random.default_rng(seed)
    scale = {"wrench": 1e-3}
    weights = {
        name: rng.standard_normal(array.shape) * scale.get(name.rpartition(".")[2], 1.0)
        for name, array in trajectory.arrays.items()
        if not name.endswith(".pose")
    }
    return sum(float((w * trajectory[n]).sum()) for n, w in weights.items()), weights


def rollout_of(model, **options):
    return model.rollout(STEPS, record_every=FRAMES, control_every=EVERY, record=FIELDS, **options)


def gradients_of(model, values, **options):
    rollout = rollout_of(model, **options)
    return rollout.backward(weighted_sum(rollout.forward(values))[1])


def test_every_parameter_agrees_with_finite_differences_through_contact_friction_and_yielding(model):
    """Contact with friction, a moving collider, plastic flow, viscosity and muscles over 200 substeps.

    Poses turn the floor about its edge and so move particles across the branch between sticking and sliding; every
    parameter has at least one step of the sweep within 1e-6.
    """
    rollout = rollout_of(model)
    values = busy_values(model, rollout.intervals)
    report = check_gradients(rollout, weighted_sum, values, probes=1, sweep=(1e-4, 1e-5, 1e-6, 1e-7, 1e-8))
    assert report.first_bad is None
    worst = {p.name: p.error for p in report.parameters if not p.error <= 1e-6}
    assert not worst, f"{worst}\n{report}"
    moved = [p.name for p in report.parameters if np.abs(p.adjoint).max() == 0]
    assert moved == [], f"the loss does not depend on {moved}: the test shows nothing about them"


OBSTACLES = {
    "sphere": Sphere(0.15),
    "box": Box((0.3, 0.3, 0.15)),
    "capsule": Capsule(0.1, 0.3),
    "cylinder": Cylinder(0.15, 0.2),
    "mesh": Mesh(vertices=0.3 * np.eye(4, 3, -1), faces=[[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
}


def thrown_block(**options) -> Scene:
    """A corotated block of 64 particles that is thrown to a side and down."""
    scene = Scene(extent=((0, 0, 0), (0.8, 0.8, 0.8)), cell_size=0.1, **options)
    soft = FixedCorotated(youngs_modulus=2e4, poissons_ratio=0.3)
    block = Box(0.2, center=(0.4, 0.42, 0.47))
    scene.add_mpm(block, soft, density=1000.0, spacing=0.05, name="block", velocity=(0.6, 0.3, -1.5))
    return scene


def agrees_in_every_parameter(rollout, values, without=()):
    report = check_gradients(rollout, weighted_sum, values, probes=1, sweep=(1e-5, 1e-6, 1e-7))
    assert report.first_bad is None
    assert all(p.error <= max(1e-6, min(p.noise, 1e-4)) for p in report.parameters), str(report)  # or hidden by round-off
    assert [p.name for p in report.parameters if not p.adjoint.any()] == list(without)


@pytest.mark.parametrize("surface", ["separating", "slip", "stick"])
@pytest.mark.parametrize("shape", OBSTACLES.values(), ids=OBSTACLES)
def test_a_moving_collider_of_every_shape_and_surface_has_right_gradients(shape, surface):
    """Pose, friction, force and torque included; where everything sticks friction does nothing."""
    scene = thrown_block()
    scene.add_collider(shape, friction=0.3, surface=surface, name="obstacle")
    rollout = scene.build(dt=5e-4, dtype="float64", threads=1).rollout(
        STEPS, record_every=100, control_every=100, record=FIELDS
    )
    values = {name: parameter.value.astype(float) for name, parameter in rollout.parameters().items()}
    pose = np.tile([0.4, 0.4, 0.25, 0.05, 0.1, 0.02, 1.0], (1, 3, 1))
    pose[0, :, 2] += [0.0, 0.02, 0.03]
    pose[0, 2, 3] += 0.1
    agrees_in_every_parameter(
        rollout, {**values, "obstacle.pose": pose}, ["obstacle.friction"] if surface == "stick" else []
    )
    assert np.abs(rollout.forward({**values, "obstacle.pose": pose})["obstacle.wrench"]).max() > 1.0


@pytest.mark.parametrize("walls", ["separating", "slip", "stick"])
def test_walls_of_every_kind_have_right_gradients(walls):
    rollout = (
        thrown_block(walls=walls)
        .build(dt=5e-4, dtype="float64", threads=1)
        .rollout(STEPS + 200, record_every=100, record=FIELDS)
    )
    trajectory = rollout.forward()
    assert trajectory["block.velocity"][-1, 0, :, 2].mean() > -3.0, "the floor was not reached"
    agrees_in_every_parameter(rollout, {})


@pytest.mark.parametrize("every", [1, 7, 40, 200])
def test_the_gradient_is_bitwise_the_same_for_every_checkpoint_choice(model, every):
    values = busy_values(model, STEPS // EVERY)
    expected = gradients_of(model, values)
    got = gradients_of(model, values, checkpoint_every=every)
    for name in expected:
        assert np.array_equal(expected[name], got[name]), name


def test_chosen_substeps_are_recorded_as_among_all_of_them_with_the_same_gradient(model):
    """Fields of a frame are those of its substep, a wrench is the mean since the frame before."""
    at, values = [0, 13, 14, 60], busy_values(model, 2)
    whole = model.rollout(60, record_every=1, control_every=EVERY, record=FIELDS)
    part = model.rollout(60, record_at=at[1:3], control_every=EVERY, record=FIELDS)
    every, some = whole.forward(values), part.forward(values)
    assert some.times == pytest.approx(np.array(at) * 3e-4, rel=1e-12)
    weights = weighted_sum(some)[1]
    spread = {name: np.zeros_like(every[name]) for name in weights}
    for name, array in spread.items():
        array[at] = weights[name]
        if name.endswith(".wrench"):
            for frame, (first, last) in enumerate(itertools.pairwise(at), start=1):
                array[first + 1 : last + 1] = weights[name][frame] / (last - first)
                assert some[name][frame] == pytest.approx(
                    every[name][first + 1 : last + 1].mean(axis=0), rel=1e-9, abs=1e-12
                )
        else:
            assert np.array_equal(every[name][at], some[name])
    expected, got = whole.backward(spread), part.backward(weights)
    for name in expected:
        assert np.abs(got[name] - expected[name]).max() <= 1e-12 * np.abs(expected[name]).max(), name


def test_two_threads_give_the_gradient_of_one_to_round_off(model):
    values = busy_values(model, STEPS // EVERY)
    expected = gradients_of(model, values)
    twin = busy_scene().build(dt=3e-4, dtype="float64", threads=2)
    first, second = gradients_of(twin, values), gradients_of(twin, values)
    for name in expected:
        assert np.array_equal(first[name], second[name]), f"{name}: two runs with two threads differ"
        scale = np.abs(expected[name]).max()
        # 200 chaotic-free substeps amplify the 1e-16 of a different order of sums by the sensitivity of the scene
        assert np.abs(first[name] - expected[name]).max() <= 1e-9 * scale, name


def test_environments_of_a_batch_have_the_gradients_of_single_runs(model):
    batch = busy_scene().build(dt=3e-4, dtype="float64", threads=1, batch=2)
    values = [busy_values(model, STEPS // EVERY, seed) for seed in (0, 1)]
    together = {name: np.concatenate([v[name] for v in values]) for name in values[0]}
    rollout = rollout_of(batch)
    trajectory = rollout.forward(together)
    singles = []
    for value in values:
        single = rollout_of(model)
        recorded = single.forward(value)
        singles.append((recorded, single.backward(weighted_sum(recorded)[1])))
    weights = weighted_sum(singles[0][0])[1]
    both = rollout.backward({name: np.concatenate([w, w], axis=1) for name, w in weights.items()})
    for index, (recorded, gradient) in enumerate(singles):
        for name in recorded:
            assert np.array_equal(trajectory[name][:, index], recorded[name][:, 0]), name
        for name in gradient:
            scale = np.abs(gradient[name]).max()
            assert np.abs(both[name][index] - gradient[name][0]).max() <= 1e-12 * scale, name


def test_backward_twice_gives_the_same_bits_even_with_another_rollout_between(model):
    rollout = rollout_of(model)
    values = busy_values(model, rollout.intervals)
    trajectory = rollout.forward(values)
    record, weights = rollout.last, weighted_sum(trajectory)[1]
    first = rollout.backward(weights)
    second = rollout.backward(weights)
    rollout.forward(busy_values(model, rollout.intervals, seed=5))
    third = rollout.backward(weights, record=record)
    for name in first:
        assert np.array_equal(first[name], second[name]), name
        assert np.array_equal(first[name], third[name]), name


def test_the_gradient_of_momentum_with_respect_to_gravity_is_mass_times_time():
    """Closed form: free fall of the whole scene, d(sum of velocities)/dg = particles * time.

    Without the filter of pressures, which expects of a falling fluid the pressures of one at rest.
    """
    scene = busy_scene()
    scene.colliders.clear()
    for body in scene.bodies:
        body["pressure_filter"] = False
    model = scene.build(dt=3e-4, dtype="float64", threads=1)
    rollout = model.rollout(20, record_every=20)
    trajectory = rollout.forward(
        {f"{b.name}.velocity": np.zeros(3) for b in model.bodies} | {"gravity": [0.1, 0.2, -0.3]}
    )
    seed = np.zeros_like(trajectory["soft.velocity"])
    seed[-1, ..., 2] = 1.0
    gradient = rollout.backward({"soft.velocity": seed})["gravity"]
    expected = seed[-1].sum() * 20 * 3e-4
    assert abs(gradient[2] - expected) <= 1e-12 * expected
    assert np.abs(gradient[:2]).max() <= 1e-12 * expected


def test_backward_before_forward_and_unrecorded_arrays_get_their_sentence(model):
    rollout = rollout_of(model)
    with pytest.raises(InputError, match="call rollout.forward"):
        rollout.backward({})
    rollout.forward(busy_values(model, rollout.intervals))
    with pytest.raises(InputError, match="expected adjoints of"):
        rollout.backward({"soft.temperature": np.zeros(3)})
    with pytest.raises(InputError, match="expected shape"):
        rollout.backward({"soft.position": np.zeros(3)})
