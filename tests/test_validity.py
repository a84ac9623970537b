"""The strains a law was learned from: measured, and told when a motion leaves them, without changing the motion."""

import dataclasses

import numpy as np
import pytest
import torch

from pliant import sim
from pliant.learn import TorchLaw, simulate
from pliant.learn.models.laws import HenckyLaw
from pliant.scenes import tumble
from pliant.sim import InputError, Status, StrainRange, Trajectory
from tests.evaluate_laws import stretched

WIDE = StrainRange(stretch=(0.01, 100.0), volume=(0.01, 100.0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_range_is_that_of_the_singular_values(dtype):
    rng = np.random.default_rng(0)
    F = stretched(rng, np.exp(rng.uniform(-0.7, 0.7, (40, 3))))
    F = F * np.sign(np.linalg.det(F))[:, None, None]
    s, J = np.linalg.svd(F, compute_uv=False), np.linalg.det(F)
    seen, tolerance = (
        StrainRange.of(F.reshape(4, 10, 3, 3).astype(dtype)),
        200 * float(np.finfo(dtype).eps),
    )  # (1.4 / 0.5)^4 units
    assert seen.stretch == pytest.approx((s.min(), s.max()), rel=tolerance)
    assert seen.volume == pytest.approx((J.min(), J.max()), rel=tolerance)


def test_bounds_in_the_wrong_order_are_refused():
    for stretch in ((1.2, 0.8), (0.0, 1.0), (1.0, float("inf")), (float("nan"), 1.0)):
        with pytest.raises(InputError, match=r"StrainRange\.stretch: expected 0 < low <= high"):
            StrainRange(stretch=stretch, volume=(0.5, 2.0))
    with pytest.raises(InputError, match=r"StrainRange\.stretch"):
        StrainRange.of(np.full((2, 3, 3), np.nan))


def test_a_range_says_in_words_how_it_is_left():
    seen = StrainRange(stretch=(0.7, 1.41), volume=(0.8, 1.2))
    assert seen.left_by((0.7, 1.83, 1.0, 1.0)) == "stretch 1.83 > 1.41 seen in training"
    assert seen.left_by((0.5, 1.2, 1.0, 1.0)) == "stretch 0.5 < 0.7 seen in training"
    assert seen.left_by((0.8, 1.2, 0.6, 1.0)) == "volume ratio 0.6 < 0.8 seen in training"
    assert seen.left_by((0.69, 1.43, 0.79, 1.22)) == ""  # within the slack of 2 %


def learned(validity):
    law = TorchLaw(HenckyLaw(stress_scale=1e5, dtype=torch.float64))
    law.validity = validity
    return law


def rollout(validity, steps=60, **options):
    scene = tumble.build().with_material("cube", learned(validity))
    return scene.build(dt=5e-4, dtype="float64", threads=1).rollout(steps, record_every=1, **options)


@pytest.fixture(scope="module")
def motion():
    return rollout(None, record=("position", "deformation_gradient")).forward()


def narrow(motion):
    """A range that the motion leaves somewhere, and the substep at which it does."""
    s = np.linalg.svd(motion["cube.deformation_gradient"][:, 0], compute_uv=False)
    highest = s.max(axis=(1, 2))
    told = 0.5 * (1.0 + highest.max())  # beyond the slack of 2 %
    step = int(np.argmax(highest > told))
    return StrainRange(stretch=(0.01, told / 1.02), volume=(0.01, 100.0)), step


def test_leaving_the_range_warns_of_the_first_substep_and_changes_nothing(motion):
    seen, step = narrow(motion)
    run = rollout(seen, record=("position", "deformation_gradient"))
    trajectory = run.forward()
    start = f"body 'cube': learned law left its validity range first at substep {step}: stretch "
    (warning,) = trajectory.status.warnings
    assert warning.startswith(start) and warning.endswith("seen in training; retrain with larger deformations.")
    assert trajectory.status.ok and 0 < step < 60
    for name in motion:
        assert np.array_equal(motion[name], trajectory[name])
    assert run.forward().status.warnings == (warning,)  # and a second run says it again


def test_nothing_is_said_within_the_range(motion):
    assert rollout(WIDE).forward().status.warnings == () == motion.status.warnings


@pytest.mark.parametrize("suffix", ["npz", "traj"])
def test_a_saved_trajectory_keeps_its_warnings(motion, suffix, tmp_path):
    seen, _ = narrow(motion)
    trajectory = rollout(seen).forward()
    trajectory.save(tmp_path / f"motion.{suffix}")
    again = Trajectory.load(tmp_path / f"motion.{suffix}")
    assert again.status == trajectory.status and again.status.warnings


def test_a_status_written_without_warnings_is_read():
    data = Status().to_dict()
    del data["warnings"]
    assert Status.from_dict(data) == Status()


def test_a_policy_in_the_loop_keeps_the_first_warning(motion):
    seen, step = narrow(motion)
    piecewise = rollout(seen, control_every=10)
    trajectory = simulate(piecewise, policy=lambda _: {})
    (warning,) = trajectory.status.warnings
    assert f"at substep {step}:" in warning


def test_a_longer_run_keeps_the_first_warning_about_each_subject():
    early = dataclasses.replace(Status(), warnings=("a: 1", "b: 1"))
    late = dataclasses.replace(Status(), warnings=("c: 2", "a: 2"))
    assert late.after(early).warnings == ("a: 1", "b: 1", "c: 2")


def test_the_command_line_prints_warnings(motion, tmp_path, capsys):
    from pliant.scenes.cli import main

    seen, _ = narrow(motion)
    rollout(seen).forward().save(tmp_path / "motion.npz")
    assert main(["view", str(tmp_path / "motion.npz"), "--output", str(tmp_path / "motion.html")]) == 0
    assert "warning: body 'cube': learned law left its validity range" in capsys.readouterr().out


def test_a_run_that_fails_keeps_what_it_warned_of():
    scene = tumble.build().with_material("cube", learned(StrainRange(stretch=(0.99, 1.01), volume=(0.9, 1.1))))
    trajectory = scene.build(dt=1e-2, dtype="float64", threads=1).rollout(400, record_every=1).forward(check=False)
    assert not trajectory.status.ok and trajectory.status.warnings
    (warning,) = trajectory.status.warnings
    assert str(sim.SimulationError(trajectory.status)) == f"{trajectory.status.message} {warning}"
