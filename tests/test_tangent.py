"""Forward mode in float64: the tangent is the transpose of the adjoint, and agrees with finite differences."""

import numpy as np
import pytest

from pliant.sim import InputError, Scene, SimulationError
from pliant.sim.materials import FixedCorotated, Hencky
from pliant.sim.shapes import Box, Mesh, Plane
from tests.mpm_scenes import busy_scene, busy_values

FIELDS = ("position", "velocity", "velocity_gradient", "deformation_gradient")
STEPS, EVERY = 200, 40


def rough_scene() -> Scene:
    """Two elastic laws, a stick and a slip surface, a mesh collider and a mass floor."""
    scene = Scene(extent=((0, 0, -0.1), (1, 1, 1)), cell_size=0.1, mass_floor=1e-3)
    soft = FixedCorotated(youngs_modulus=2e4, poissons_ratio=0.3)
    firm = Hencky(youngs_modulus=4e4, poissons_ratio=0.2)
    scene.add_mpm(
        Box(0.2, center=(0.35, 0.5, 0.15)), soft, density=1000.0, spacing=0.1, name="soft", velocity=(1.0, 0.3, -1.0)
    )
    scene.add_mpm(
        Box(0.2, center=(0.65, 0.5, 0.32)), firm, density=900.0, spacing=0.1, name="firm", velocity=(-0.5, 0.1, -1.0)
    )
    wedge = Mesh(
        vertices=np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float),
        faces=[[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]],
        scale=0.5,
        center=(0.65, 0.5, 0.1),
    )
    scene.add_collider(Plane(), surface="stick", name="floor")
    scene.add_collider(wedge, surface="slip", friction=0.3, name="wedge")
    return scene


def rollout_of(scene: Scene, **options):
    model = scene.build(dt=3e-4, dtype="float64", **{"threads": 1, **options})
    return model.rollout(STEPS, record_every=50, control_every=EVERY, record=FIELDS)


def values_of(rollout) -> dict[str, np.ndarray]:
    """Values of every parameter; in the busy scene activations are random and a ball moves."""
    if "ball.pose" in rollout.parameters():
        return busy_values(rollout.model, rollout.intervals)
    return {name: parameter.value.astype(float) for name, parameter in rollout.parameters().items()}


def weights_of(trajectory) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    arrays = {n: a for n, a in trajectory.arrays.items() if not n.endswith(".pose")}
    return {n: rng.standard_normal(a.shape) / max(np.abs(a).max(), 1.0) for n, a in arrays.items()}


def one_direction_a_parameter(values) -> dict[str, np.ndarray]:
    """As many directions as parameters, each of which changes one of them, at random and by its own size."""
    rng = np.random.default_rng(2)
    directions = {n: np.zeros((len(values), *np.shape(v))) for n, v in values.items()}
    for index, (name, value) in enumerate(values.items()):
        directions[name][index] = rng.standard_normal(np.shape(value)) * max(float(np.abs(value).mean()), 0.1)
    return directions


@pytest.mark.parametrize("options", [{}, {"threads": 2}, {"batch": 2}], ids=["one thread", "two threads", "batch"])
@pytest.mark.parametrize("scene", [busy_scene, rough_scene], ids=lambda f: f.__name__)
def test_the_tangent_is_the_transpose_of_the_adjoint(scene, options):
    """<J d, w> = <d, J^T w> for every law, contact with friction, walls, muscles and every parameter."""
    rollout = rollout_of(scene(), **options)
    values = values_of(rollout)
    weights = weights_of(rollout.forward(values))
    gradients = rollout.backward(weights)
    directions = one_direction_a_parameter(values)
    tangents = rollout.tangent(directions)
    assert set(tangents) == set(weights)
    for index, name in enumerate(values):
        forward = sum(float((tangents[n][index] * w).sum()) for n, w in weights.items())
        adjoint = float((gradients[name] * directions[name][index]).sum())
        # Two orders of summing some 1e5 numbers: round-off 1e-13 of the result; measured, 2e-13 at most.
        assert abs(forward - adjoint) <= 1e-10 * abs(adjoint), (name, forward, adjoint)
        zero = name.endswith(".friction") and name.startswith("floor") and scene is rough_scene
        assert adjoint != 0.0 or zero, f"nothing depends on {name}: the test shows nothing about it"


@pytest.mark.parametrize(
    "name",
    ["soft.youngs_modulus", "clay.yield_stress", "sand.friction_angle", "water.viscosity", "soft.density"]
    + ["floor.friction", "ball.pose", "gravity", "clay.velocity"],
)
def test_the_tangent_agrees_with_finite_differences(name):
    rollout = rollout_of(busy_scene())
    values = values_of(rollout)
    rollout.forward(values)
    direction = one_direction_a_parameter(values)[name].sum(axis=0)
    if name == "ball.pose":
        direction[..., 3:] = 0.0  # a turning ball moves particles from sticking to sliding; test_mpm_gradients sweeps
    tangents = rollout.tangent({name: direction[None]})
    errors = []
    for step in (1e-4, 1e-5, 5e-6, 1e-6, 2e-7):
        ahead, back = (rollout.forward({**values, name: values[name] + s * step * direction}) for s in (1, -1))
        differences = {n: (ahead[n] - back[n]) / (2 * step) for n in tangents}
        errors.append(max(_relative(tangents[n][0], differences[n]) for n in tangents))
    assert min(errors) <= 1e-6, errors


def _relative(tangent: np.ndarray, difference: np.ndarray) -> float:
    return float(np.abs(tangent - difference).max() / max(np.abs(tangent).max(), 1e-3))


def test_directions_together_are_the_same_bits_as_one_by_one_and_are_counted():
    rollout = rollout_of(rough_scene())
    rollout.forward()
    before = rollout.simulator_calls
    directions = {"soft.youngs_modulus": np.array([1.0, 0.0, 3e2]), "wedge.friction": np.array([0.0, 1.0, -2.0])}
    together = rollout.tangent(directions)
    assert rollout.simulator_calls - before == 3
    for index in range(3):
        alone = rollout.tangent({name: value[index : index + 1] for name, value in directions.items()})
        assert all(np.array_equal(together[n][index], alone[n][0]) for n in alone)


def test_the_tangent_is_that_of_the_given_run_and_leaves_the_rollout_as_it_was():
    rollout = rollout_of(rough_scene())
    weights = weights_of(rollout.forward())
    record, gradient = rollout.last, rollout.backward(weights)
    direction = {"soft.youngs_modulus": np.ones(1)}
    first = rollout.tangent(direction)
    rollout.forward({"soft.youngs_modulus": 3e4})
    again = rollout.tangent(direction, record=record)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    later = rollout.backward(weights, record=record)
    assert all(np.array_equal(gradient[name], later[name]) for name in gradient)


def test_frames_more_than_64_substeps_apart_and_a_single_thread_of_float32():
    """States are kept 64 at a time; d x / d g of the free fall is known, and float32 keeps it to round-off."""
    scene = rough_scene()
    scene.colliders.clear()
    scene.mass_floor = 0.0
    model = scene.build(dt=3e-4, threads=1)
    rollout = model.rollout(150, record_every=140, record=("position",))
    rollout.forward({"soft.velocity": np.zeros(3), "firm.velocity": np.zeros(3)})
    tangent = rollout.tangent({"gravity": np.array([[0.0, 0.0, 1.0]])})["soft.position"]
    for frame, step in enumerate((0, 140, 150)):
        fallen = 0.5 * step * (step + 1) * 3e-4**2  # symplectic Euler
        assert np.abs(tangent[0, frame, ..., 2] - fallen).max() <= 1e-5 * fallen


def test_wrong_directions_get_their_sentence():
    rollout = rollout_of(rough_scene())
    with pytest.raises(InputError, match="call rollout.forward"):
        rollout.tangent({"soft.youngs_modulus": np.ones(1)})
    rollout.forward()
    for directions, sentence in (
        ({"soft.stiffness": np.ones(1)}, "expected one of"),
        ({}, "same number of directions"),
        ({"soft.youngs_modulus": np.float64(1.0)}, "same number of directions"),
        ({"soft.youngs_modulus": np.ones(2), "gravity": np.ones((1, 3))}, "same number of directions"),
        ({"gravity": np.ones((1, 2))}, r"gravity: expected a direction of shape"),
        ({"wedge.pose": np.zeros((1, 1, 4, 7))}, r"6 knots"),
    ):
        with pytest.raises(InputError, match=sentence):
            rollout.tangent(directions)


def test_a_run_that_failed_has_no_tangent():
    rollout = rollout_of(rough_scene())
    trajectory = rollout.forward({"soft.velocity": np.array([1e3, 0.0, 0.0])}, check=False)
    assert not trajectory.status.ok
    with pytest.raises(SimulationError, match="lower `dt`"):
        rollout.tangent({"soft.youngs_modulus": np.ones(1)})
