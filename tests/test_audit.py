"""The gradient audit: it agrees where the gradient is right, and says so where it is not."""

import numpy as np
import pytest
import torch

from pliant import sim
from pliant.learn.diagnose import check_gradients
from pliant.sim.spectral import PeriodicBox, equations
from tests.mpm_scenes import reference_scene


@pytest.fixture(scope="module")
def rollout():
    law = sim.materials.NeoHookean(youngs_modulus=1e5, poissons_ratio=0.2)
    return reference_scene(law).build(dt=5e-4, dtype="float64", threads=1).rollout(20, record_every=20)


def height(trajectory):
    """Mean final height, and its derivative."""
    x = trajectory["body.position"]
    adjoint = np.zeros_like(x)
    adjoint[-1, ..., 1] = 1.0 / x[-1, ..., 1].size
    return float(x[-1, ..., 1].mean()), {"body.position": adjoint}


def test_a_right_gradient_passes_with_a_table_and_a_plot(rollout, tmp_path):
    report = sim.check_gradients(rollout, height, names=["body.velocity", "gravity"], probes=1, sweep=(1e-4, 1e-5))
    assert report.ok
    assert "gravity" in str(report)
    assert "every adjoint is finite" in str(report)
    assert all(p.cosine == pytest.approx(1.0) for p in report.parameters)
    report.plot(str(tmp_path / "audit.png"))
    assert (tmp_path / "audit.png").stat().st_size > 10_000


def test_an_audit_tells_how_far_it_is_and_interrupted_what_it_has_found(rollout):
    told = []
    options = {"names": ["body.velocity", "gravity"], "probes": 1, "sweep": (1e-4, 1e-5)}
    whole = sim.check_gradients(rollout, height, **options, progress=lambda *words: told.append(words))
    assert told == [(0.0, 2, "body.velocity"), (0.5, 2, "body.velocity"), (1.0, 2, "gravity"), (1.5, 2, "gravity")]

    def impatient(done, count, name):
        if done == 1.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        sim.check_gradients(rollout, height, **options, progress=impatient)
    report = stopped.value.report
    assert [p.name for p in report.parameters] == ["body.velocity"] and report.left == ("gravity",)
    assert report.parameters[0].difference == pytest.approx(whole.parameters[0].difference, rel=0.0)
    assert "interrupted, not audited: gravity" in str(report) and "not audited" not in str(whole)
    assert np.array_equal(report.jacobian, whole.jacobian)


def test_a_wrong_gradient_is_pointed_at(rollout):
    def wrong(trajectory):
        value, adjoints = height(trajectory)
        return value, {name: 1.01 * adjoint for name, adjoint in adjoints.items()}

    report = sim.check_gradients(rollout, wrong, names=["gravity"], probes=1, sweep=(1e-4,))
    assert not report.ok
    assert "disagrees" in str(report)


def test_an_adjoint_that_is_not_finite_is_named_with_its_substep(rollout):
    def broken(trajectory):
        value, adjoints = height(trajectory)
        adjoints["body.position"][-1, 0, 3, 1] = np.nan
        return value, adjoints

    report = sim.check_gradients(rollout, broken)
    assert report.first_bad is not None
    assert report.first_bad[0] == 19
    assert "not finite at substep 19" in str(report)


@pytest.fixture(scope="module")
def frictionless():
    """A block that falls straight onto a floor without friction: no node slides, and none would be held."""
    scene = sim.Scene(extent=((0, 0, -0.2), (1, 1, 1)), cell_size=0.1)
    law = sim.materials.NeoHookean(youngs_modulus=2e4, poissons_ratio=0.3)
    block = sim.shapes.Box(0.2, center=(0.5, 0.5, 0.1))
    scene.add_mpm(block, law, density=1000.0, spacing=0.05, name="body", velocity=(0, 0, -1))
    scene.add_collider(sim.shapes.Plane(), friction=0.0, name="floor")
    return scene.build(dt=5e-4, dtype="float64", threads=1).rollout(20, record_every=20)


def squares(trajectory):
    """Mean squared final position, and its derivative."""
    x = trajectory["body.position"]
    adjoint = np.zeros_like(x)
    adjoint[-1] = 2 * x[-1] / x[-1].size
    return float((x[-1] ** 2).mean()), {"body.position": adjoint}


def test_contact_without_friction_is_smooth_where_nothing_slides_yet(frictionless):
    report = sim.check_gradients(frictionless, squares, names=["body.velocity", "gravity"], sweep=(1e-4, 1e-5))
    assert all(p.error <= 1e-6 for p in report.parameters), str(report)
    pushed = squares(frictionless.forward({"body.velocity": [0.1, 0, -1]}))[1]
    assert frictionless.backward(pushed)["body.velocity"][..., 0].min() > 0


def test_a_parameter_on_its_closed_bound_is_moved_inwards_only(frictionless):
    values = {"body.velocity": [0.5, 0.0, -1.0]}
    report = sim.check_gradients(frictionless, squares, values, names=["floor.friction"], sweep=(1e-2, 1e-3, 1e-4))
    (friction,) = report.parameters
    assert friction.one_sided and friction.error <= 1e-6, str(report)
    assert np.abs(friction.adjoint).min() > 1e-6
    assert "one-sided: on its bound" in str(report) and report.ok


def test_a_wrong_gradient_on_a_closed_bound_is_still_pointed_at(frictionless):
    def wrong(trajectory):
        value, adjoints = squares(trajectory)
        return value, {name: 1.01 * adjoint for name, adjoint in adjoints.items()}

    values = {"body.velocity": [0.5, 0.0, -1.0]}
    report = sim.check_gradients(frictionless, wrong, values, names=["floor.friction"], sweep=(1e-3,))
    assert not report.ok and "one-sided: on its bound  <-- disagrees" in str(report)


@pytest.mark.parametrize(("slope", "ok"), [(-1.0, True), (0.3, True), (1.0, True), (1.5, False)])
def test_at_a_kink_a_slope_between_those_of_the_sides_is_right(rollout, slope, ok):
    """The loss |z - z0| has every slope from -1 to 1 at z0."""
    start = height(rollout.forward())[0]

    def kinked(trajectory):
        value, adjoints = height(trajectory)
        return abs(value - start), {name: slope * adjoint for name, adjoint in adjoints.items()}

    report = sim.check_gradients(rollout, kinked, names=["gravity"], probes=2, sweep=(1e-3, 1e-4))
    assert report.ok is ok
    assert report.parameters[0].kink == pytest.approx(2.0 / abs(slope), rel=1e-3)
    assert "kink" in str(report) and ("disagrees" in str(report)) is not ok


@pytest.mark.parametrize("away", [0.0, 3e-8])
def test_a_loss_that_jumps_is_told_from_one_with_a_kink(rollout, away):
    """A step of 1e-4 in the loss, at the point itself or within the coarser steps of the sweep."""
    start = height(rollout.forward())[0]

    def stepped(trajectory):
        value, adjoints = height(trajectory)
        return value + 1e-4 * (value > start + away), adjoints

    report = sim.check_gradients(rollout, stepped, names=["gravity"], probes=1, sweep=(1e-1, 1e-2, 1e-3, 1e-4, 1e-5))
    (gravity,) = report.parameters
    assert gravity.jump == pytest.approx(1e-4, rel=0.1) and gravity.kink == 0.0
    assert "a jump of the loss by 1.0e-04" in str(report)
    assert report.ok is (away > 0.0)  # beside the jump the adjoint is right, at it there is no derivative


@pytest.mark.parametrize(("factor", "ok"), [(1.0, True), (1.01, False)])
def test_what_round_off_in_the_loss_hides_is_told_apart_from_a_wrong_gradient(rollout, factor, ok):
    """A large constant in the loss takes the last digits of its differences."""

    def offset(trajectory):
        value, adjoints = height(trajectory)
        return 3e3 + value, {name: factor * adjoint for name, adjoint in adjoints.items()}

    report = sim.check_gradients(rollout, offset, names=["gravity"], sweep=(1e-4,))
    (gravity,) = report.parameters
    assert gravity.error > 1e-6 and 1e-6 < gravity.noise < 1e-3
    assert report.ok is ok
    assert "round-off in the loss hides" in str(report) and ("disagrees" in str(report)) is not ok
    assert gravity.kink == 0.0


def test_what_round_off_hides_altogether_is_neither_right_nor_wrong(rollout):
    def offset(trajectory):
        value, adjoints = height(trajectory)
        return 3e8 + value, adjoints

    report = sim.check_gradients(rollout, offset, names=["gravity"], sweep=(1e-4,))
    assert not report.ok
    assert "cannot be told  round-off in the loss hides" in str(report) and "disagrees" not in str(report)


@pytest.mark.parametrize("rate", [3.0, -3.0])
def test_a_change_of_an_unstable_field_grows_at_its_rate(rate):
    """u_t = r u - u^3 about u = 0 multiplies every change that the box resolves by exp(r t)."""
    box = PeriodicBox((1.0, 1.0), (8, 8))
    box.add_field(equations.AllenCahn(diffusivity=0.0, growth=rate), name="phase", order=np.zeros((8, 8)))
    rollout = box.build(dt=1e-2, dtype="float64").rollout(50, record_every=50)

    def loss(trajectory):
        return float(trajectory["phase.order"][0].sum()), {"phase.order": np.ones_like(trajectory["phase.order"])}

    report = sim.check_gradients(rollout, loss, names=["phase.growth"], probes=1, sweep=(1e-4,))
    assert report.growth_rate == pytest.approx(rate, rel=1e-4)
    assert report.jacobian[0] / report.jacobian[-1] == pytest.approx(np.exp(0.49 * rate), rel=1e-4)
    assert f"grows by a factor {report.jacobian[0]:.3g} over the horizon" in str(report)


def test_what_a_loss_asks_of_the_start_is_not_growth(rollout):
    def displacement(trajectory):
        x = trajectory["body.position"]
        adjoint = np.zeros_like(x)
        adjoint[-1], adjoint[0] = 1.0, -1.0
        return float((x[-1] - x[0]).sum()), {"body.position": adjoint}

    report = sim.check_gradients(rollout, displacement, names=["gravity"], probes=1, sweep=(1e-4,))
    assert report.growth["position"][0] < 1e-3
    assert 0.5 < report.jacobian[0] < 2.0


def test_the_growth_of_free_fall_is_none(rollout):
    report = sim.check_gradients(rollout, height, names=["gravity"], probes=1, sweep=(1e-4,))
    size = report.growth["position"]
    assert size.shape == (20,)
    assert size[0] == pytest.approx(size[-1], rel=0.5)


def test_a_torch_loss_is_audited_alike(rollout):
    loss = lambda trajectory: trajectory["body.position"][-1, ..., 1].mean()  # noqa: E731
    mine = check_gradients(rollout, loss, names=["gravity"], probes=1, sweep=(1e-4,))
    other = sim.check_gradients(rollout, height, names=["gravity"], probes=1, sweep=(1e-4,))
    assert mine.ok
    assert mine.parameters[0].adjoint == pytest.approx(other.parameters[0].adjoint, rel=1e-12)


def test_a_loss_that_is_not_finite_gets_its_sentence(rollout):
    with pytest.raises(sim.InputError, match="expected a finite loss"):
        check_gradients(rollout, lambda trajectory: torch.log(-trajectory["body.position"].mean()))


def fallen(trajectory):
    """Mean final z, and its derivative."""
    x = trajectory["body.position"]
    adjoint = np.zeros_like(x)
    adjoint[-1, ..., 2] = 1.0 / x[-1, ..., 2].size
    return float(x[-1, ..., 2].mean()), {"body.position": adjoint}


def falling() -> sim.Rollout:
    """A block in free fall: its stiffness has no part in its motion, its density none either."""
    scene = sim.Scene(extent=((-0.3, -0.3, 0), (0.3, 0.3, 1)), cell_size=0.05)
    law = sim.materials.NeoHookean(youngs_modulus=1e4, poissons_ratio=0.3)
    scene.add_mpm(sim.shapes.Box(0.1, center=(0, 0, 0.6)), law, density=1000.0, spacing=0.05, name="body")
    return scene.build(dt=1e-3, dtype="float64", threads=1).rollout(20)


def test_a_derivative_that_is_truly_zero_is_no_failure_and_every_probe_is_printed():
    rollout, names = falling(), ["body.youngs_modulus", "body.density", "gravity"]
    report = sim.check_gradients(rollout, fallen, names=names, sweep=(1e-3, 1e-4, 1e-5))
    assert report.ok, str(report)
    stiffness = report.parameters[0]
    assert stiffness.zero or stiffness.error == 0.0
    assert len(str(report).splitlines()) == 2 + 2 * len(names) + 2
    gravity = report.parameters[2]
    assert not gravity.zero and f"{gravity.adjoint[1]:.6e}" in str(report)


def test_a_zero_in_place_of_a_derivative_is_not_taken_for_one():
    def silent(trajectory):
        value, adjoints = fallen(trajectory)
        return value, {name: 0.0 * adjoint for name, adjoint in adjoints.items()}

    report = sim.check_gradients(falling(), silent, names=["gravity"], sweep=(1e-3, 1e-4))
    assert not report.ok and not report.parameters[0].zero
