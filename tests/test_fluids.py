"""Weakly compressible fluids against textbook cases, at two resolutions; and the gradient of their pressure filter."""

import numpy as np
import pytest

from pliant.sim import Scene, check_gradients
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
