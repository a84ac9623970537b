"""Positions set back into a box, as some codes do it: where, how often it is told, and what gradients pass."""

import numpy as np
import pytest

from pliant.sim import InputError, Scene, check_gradients
from pliant.sim.materials import Fluid, NeoHookean
from pliant.sim.shapes import Box

FIELDS = ("position", "velocity", "velocity_gradient", "deformation_gradient")


SOFT, WATER = NeoHookean(youngs_modulus=2e4, poissons_ratio=0.3), Fluid(bulk_modulus=2e4, viscosity=1.0)


def thrown(law=SOFT, **options) -> Scene:
    """A block thrown towards the corner at the origin of a box of slip walls."""
    scene = Scene(extent=((0.0,) * 3, (0.8,) * 3), cell_size=0.1, walls="slip", **options)
    block = Box(0.2, center=(0.3, 0.42, 0.35))
    scene.add_mpm(block, law, density=1000.0, spacing=0.05, name="block", velocity=(-0.9, 0.1, -1.5))
    return scene


def test_positions_are_set_back_and_the_status_says_how_often():
    """Walls stop a body within half a cell; what is set back lies exactly on the bound."""
    scene = thrown(keep_inside=0.06)
    run = scene.build(dt=5e-4, threads=1).rollout(400, record_every=20, gradient=False).forward()
    x = np.asarray(run["block.position"])
    assert x.min() == np.float32(0.06) and x.max() <= 0.74
    (sentence,) = run.status.warnings
    assert "keep_inside set positions back" in sentence and "to 0.06 m within the faces" in sentence
    free = thrown().build(dt=5e-4, threads=1).rollout(400, record_every=20, gradient=False).forward()
    assert free.status.warnings == () and np.asarray(free["block.position"]).min() < 0.058


@pytest.mark.parametrize("threads", [1, 2])
def test_what_never_acts_changes_no_bit_and_says_nothing(threads):
    runs = [
        thrown(**options)
        .build(dt=5e-4, threads=threads)
        .rollout(200, record_every=50, record=FIELDS, gradient=False)
        .forward()
        for options in ({}, {"keep_inside": -0.075})
    ]
    assert runs[1].status.warnings == ()
    assert all(np.array_equal(runs[0][name], runs[1][name]) for name in runs[0])


def weighted(trajectory):
    rng = np.random.default_rng(1)
    weights = {name: rng.standard_normal(array.shape) for name, array in trajectory.arrays.items()}
    return sum(float((w * trajectory[n]).sum()) for n, w in weights.items()), weights


@pytest.mark.parametrize(("law", "memory"), [(SOFT, 0.0), (SOFT, 0.02), (WATER, 0.0), (WATER, 0.02)])
@pytest.mark.parametrize("options", [{"threads": 1}, {"threads": 2, "batch": 2}])
def test_gradient_and_tangent_are_right_where_positions_were_set_back(law, memory, options):
    """Whatever else moves particles or acts on them: the transfer's memory, the filter of a fluid's pressure."""
    scene = thrown(law, keep_inside=0.075, transfer_memory=memory)
    rollout = scene.build(dt=5e-4, dtype="float64", **options).rollout(
        320, record_every=160, record=FIELDS, checkpoint_every=40
    )
    trajectory = rollout.forward()
    assert "keep_inside" in trajectory.status.warnings[-1] and trajectory["block.position"].min() >= 0.075
    report = check_gradients(rollout, weighted, probes=1, sweep=(1e-5, 1e-6, 1e-7))
    assert all(p.error <= 1e-6 for p in report.parameters), str(report)
    _, weights = weighted(rollout.forward())
    gradients, rng = rollout.backward(weights), np.random.default_rng(2)
    shapes = {n: p.value.shape for n, p in rollout.parameters().items() if n.startswith("block.")}
    directions = {n: rng.standard_normal((1, *shape)) for n, shape in shapes.items()}
    made = rollout.tangent(directions)
    along = sum(float((made[n][0] * weights[n]).sum()) for n in made)
    assert along == pytest.approx(sum(float((gradients[n] * directions[n][0]).sum()) for n in directions), rel=1e-9)


def test_a_coordinate_on_the_bound_passes_no_gradient():
    """One substep: of a particle that is set back along x, the last position does not depend on the first along x."""
    scene = Scene(gravity=(0, 0, 0), extent=((0.0,) * 3, (0.8,) * 3), cell_size=0.1, walls="open", keep_inside=0.1)
    water = Fluid(bulk_modulus=1e3, viscosity=0.0)
    shape = Box(0.05, center=(0.125, 0.4, 0.4))
    scene.add_mpm(shape, water, density=1000.0, spacing=0.05, name="drop", velocity=(-10.0, 0.0, 0.0))
    rollout = scene.build(dt=3e-3, dtype="float64", threads=1).rollout(1, record_every=1)
    x = rollout.forward()["drop.position"]
    assert x[1, 0, 0, 0] == 0.1
    gradient = rollout.backward({"drop.position": np.stack([np.zeros_like(x[0]), np.ones_like(x[0])])})["drop.position"]
    assert np.allclose(gradient[0, 0], [0.0, 1.0, 1.0], atol=1e-12)


def test_the_option_is_kept_with_the_scene_and_bad_ones_are_refused():
    assert Scene.from_dict(thrown(keep_inside=0.06).to_dict()).keep_inside == 0.06
    old = thrown().to_dict()
    del old["keep_inside"]
    assert Scene.from_dict(old).keep_inside is None
    with pytest.raises(InputError, match="keep_inside: expected an `extent`"):
        Scene(keep_inside=0.1)
    for margin in (0.5, "near", float("nan"), True):
        with pytest.raises(InputError, match="keep_inside: expected"):
            thrown(keep_inside=margin)
