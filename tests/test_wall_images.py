"""A slipping wall is a plane of symmetry: material before it moves as if its mirror image stood behind."""

import itertools

import numpy as np
import pytest

from pliant.sim import Scene, check_gradients
from pliant.sim.materials import Fluid, NeoHookean
from pliant.sim.shapes import Box, Sphere

FIELDS = ("position", "velocity", "velocity_gradient", "deformation_gradient")
SIZES = {"velocity_gradient": 0.1, "wrench": 0.1}
SIGNS = tuple(itertools.product((1.0, -1.0), repeat=3))
SOFT, WATER = NeoHookean(youngs_modulus=2e4, poissons_ratio=0.3), Fluid(bulk_modulus=2e4, viscosity=3.0)


def thrown(law, signs, low: float, memory: float, **options) -> np.ndarray:
    """Positions [frame, particle, 3] of the block thrown into the corner at the origin, with blocks mirrored by `signs` around it."""
    scene = Scene(gravity=(0, 0, 0), extent=((low,) * 3, (0.6,) * 3), cell_size=0.1, walls="slip", mass_floor=0.0)
    scene.transfer_memory = memory
    for number, sign in enumerate(signs):
        block = Box((0.2, 0.25, 0.15), center=np.array(sign) * (0.11, 0.13, 0.08))
        speed = tuple(np.array(sign) * (-1.0, -0.7, 0.2))
        scene.add_mpm(block, law, density=1000.0, spacing=0.05, name=f"block{number}", velocity=speed, **options)
    rollout = scene.build(dt=1e-3, dtype="float64", threads=1).rollout(150, record_every=50, gradient=False)
    return np.asarray(rollout.forward()["block0.position"])[:, 0]


@pytest.mark.parametrize(("law", "memory"), [(SOFT, 0.0), (WATER, 0.0), (WATER, 0.05)])
def test_a_corner_of_slipping_walls_is_seven_mirror_images(law, memory):
    """To round-off, of solids and of fluids with their pressure filter and the transfer's memory."""
    alone, among_images = thrown(law, SIGNS[:1], 0.0, memory), thrown(law, SIGNS, -0.6, memory)
    assert np.abs(alone[-1] - alone[0]).max() > 0.02
    assert alone[:, :, 0].min() < 0.03, "the wall was not reached"
    assert np.abs(alone - among_images).max() <= 1e-11


def cornered_scene(memory: float = 0.02) -> Scene:
    """Water, a block that a ball's friction drags along two walls, and a box under the grid's rule, in a corner of slipping walls."""
    scene = Scene(extent=((0, 0, 0), (0.5, 0.3, 0.5)), cell_size=0.1, walls="slip", mass_floor=1e-3)
    scene.transfer_memory = memory
    common = {"density": 1000.0, "spacing": 0.05}
    scene.add_mpm(Box(0.2, center=(0.11, 0.12, 0.12)), WATER, name="water", velocity=(-1, -0.8, -1), **common)
    scene.add_mpm(Box((0.15, 0.15, 0.1), center=(0.38, 0.1, 0.08)), SOFT, name="soft", velocity=(1, -1, -1), **common)
    scene.add_collider(Sphere(0.06, center=(0.42, 0.05, 0.16)), name="ball", friction=0.4)
    scene.add_collider(Box(0.1, center=(0.22, 0.0, 0.0)), name="stump", friction=0.3)
    return scene


def cornered_rollout(**options):
    model = cornered_scene().build(dt=3e-4, dtype="float64", **{"threads": 1, **options})
    return model.rollout(150, record_every=50, record=FIELDS)


def weighted_sum(trajectory):
    rng = np.random.default_rng(1)
    arrays = {n: a for n, a in trajectory.arrays.items() if not n.endswith(".pose")}
    weights = {n: rng.standard_normal(a.shape) * SIZES.get(n.split(".")[1], 1.0) for n, a in arrays.items()}
    return sum(float((w * trajectory[n]).sum()) for n, w in weights.items()), weights


def values_of(rollout) -> dict[str, np.ndarray]:
    return {name: parameter.value.astype(float) for name, parameter in rollout.parameters().items()}


def test_every_parameter_before_slipping_walls_has_a_right_gradient():
    rollout = cornered_rollout()
    trajectory = rollout.forward()
    assert trajectory["water.position"][:, 0].min() < 0.03 and np.abs(trajectory["ball.wrench"]).max() > 1.0
    report = check_gradients(rollout, weighted_sum, values_of(rollout), probes=1, sweep=(1e-5, 1e-6, 1e-7))
    assert report.first_bad is None
    assert all(p.error <= 1e-6 for p in report.parameters), str(report)


@pytest.mark.parametrize(
    "options", [{}, {"threads": 2, "batch": 2}], ids=["one thread", "two threads and environments"]
)
def test_the_tangent_before_slipping_walls_is_the_transpose_of_the_adjoint(options):
    rollout = cornered_rollout(**options)
    values = values_of(rollout)
    weights = weighted_sum(rollout.forward(values))[1]
    gradients = rollout.backward(weights)
    rng = np.random.default_rng(2)
    directions = {n: np.zeros((len(values), *np.shape(v))) for n, v in values.items()}
    for index, (name, value) in enumerate(values.items()):
        directions[name][index] = rng.standard_normal(np.shape(value)) * max(float(np.abs(value).mean()), 0.1)
    tangents = rollout.tangent(directions)
    for index, name in enumerate(values):
        forward = sum(float((tangents[n][index] * w).sum()) for n, w in weights.items())
        adjoint = float((gradients[name] * directions[name][index]).sum())
        assert abs(forward - adjoint) <= 1e-10 * abs(adjoint), (name, forward, adjoint)


def test_two_threads_and_environments_give_what_one_does():
    one, two = cornered_rollout(), cornered_rollout(threads=2, batch=2)
    weights = weighted_sum(one.forward())[1]
    gradients = one.backward(weights)
    two.forward()
    again = two.backward({n: np.repeat(w, 2, axis=1) for n, w in weights.items()})
    for name, gradient in gradients.items():
        parts = again[name] if again[name].shape == gradient.shape else again[name][:1]
        scale = 2.0 if again[name].shape == gradient.shape else 1.0
        assert np.abs(parts - scale * gradient).max() <= 1e-9 * np.abs(gradient).max(), name
