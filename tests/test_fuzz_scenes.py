"""Random scenes, sensible and absurd: a sentence or a finite result, never NaN without a status and never another exception."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import InputError, Scene, SimulationError, materials, shapes

LAWS = {
    "NeoHookean": lambda E, nu, extra: materials.NeoHookean(youngs_modulus=E, poissons_ratio=nu),
    "FixedCorotated": lambda E, nu, extra: materials.FixedCorotated(youngs_modulus=E, poissons_ratio=nu),
    "VonMises": lambda E, nu, extra: materials.VonMises(youngs_modulus=E, poissons_ratio=nu, yield_stress=extra),
    "DruckerPrager": lambda E, nu, extra: materials.DruckerPrager(
        youngs_modulus=E, poissons_ratio=nu, friction_angle=extra / 1e4
    ),
    "Fluid": lambda E, nu, extra: materials.Fluid(bulk_modulus=E, viscosity=extra / 1e3),
}
odd = st.sampled_from([0.0, -1.0, float("nan"), float("inf"), 1e30])


def often(low: float, high: float):
    """Mostly a number in the range, sometimes an absurd one."""
    return st.one_of(*[st.floats(low, high)] * 9, odd)


scenes = st.fixed_dictionaries(
    {
        "law": st.sampled_from(sorted(LAWS)),
        "E": often(1e2, 1e6),
        "nu": often(-0.3, 0.49),
        "extra": often(1.0, 1e4),
        "density": often(10.0, 1e4),
        "size": often(0.05, 0.3),
        "height": often(0.0, 0.9),
        "speed": often(-20.0, 20.0),
        "friction": often(0.0, 2.0),
        "surface": st.sampled_from(["separating", "slip", "stick", "glue"]),
        "walls": st.sampled_from(["separating", "slip", "stick", "open"]),
        "dt": often(1e-5, 1e-2),
        "batch": st.integers(0, 3),
        "threads": st.sampled_from([1, 2]),
        "dtype": st.sampled_from(["float32", "float64"]),
        "ball": st.booleans(),
        "steps": st.integers(1, 25),
    }
)


def run(case: dict) -> None:
    """Build and run a scene forward and backward."""
    scene = Scene(extent=((0, 0, 0), (1, 1, 1)), cell_size=0.1, walls=case["walls"])
    law = LAWS[case["law"]](case["E"], case["nu"], case["extra"])
    box = shapes.Box(case["size"], center=(0.5, 0.5, case["height"]))
    velocity = (case["speed"], 0, -case["speed"])
    scene.add_mpm(box, law, density=case["density"], spacing=0.05, name="body", velocity=velocity)
    if case["ball"]:
        ball = shapes.Sphere(0.2, center=(0.5, 0.5, 0.2))
        scene.add_collider(ball, friction=case["friction"], surface=case["surface"], name="ball")
    model = scene.build(dt=case["dt"], batch=case["batch"], threads=case["threads"], dtype=case["dtype"])
    rollout = model.rollout(case["steps"], record_every=5)
    trajectory = rollout.forward()
    assert all(np.isfinite(array).all() for array in trajectory.arrays.values())
    gradients = rollout.backward({"body.position": np.ones_like(trajectory["body.position"])})
    assert all(np.isfinite(array).all() for array in gradients.values())


def holds(case: dict) -> None:
    try:
        run(case)
    except (InputError, SimulationError) as error:
        assert 10 < len(str(error)) < 600


options = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=60, **options)
@given(scenes)
def test_a_random_scene_ends_in_a_sentence_or_a_finite_result(case):
    holds(case)


@pytest.mark.slow
@settings(max_examples=1000, **options)
@given(scenes)
def test_a_thousand_random_scenes(case):
    holds(case)
