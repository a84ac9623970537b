"""One environment of a batch that fails ends alone; the others do not notice, forward or backward."""

import json

import numpy as np
import pytest
import torch

from pliant import sim
from pliant.learn import simulate
from pliant.sim import materials, shapes
from pliant.sim.status import Status

BATCH, STEPS, EVERY, ITEMS = 4, 60, 10, 8
LIVING, DEAD = [0, 3], [1, 2]
LAWS = {
    "solid": (materials.NeoHookean(youngs_modulus=1e4, poissons_ratio=0.3), {}),
    "water": (materials.Fluid(bulk_modulus=1e4, viscosity=0.1), {}),
    "memory": (materials.FixedCorotated(youngs_modulus=1e4, poissons_ratio=0.3), {"transfer_memory": 0.1}),
}


def make(kind: str = "solid", threads: int = 1, dtype: str = "float64", muscle: bool = False) -> sim.Rollout:
    """A small cube on the floor of a box without walls, in four environments."""
    law, options = LAWS[kind]
    scene = sim.Scene(extent=((-0.3, -0.3, 0.0), (0.3, 0.3, 0.6)), cell_size=0.05, walls="open", **options)
    scene.add_mpm(shapes.Box(0.1, center=(0, 0, 0.15)), law, density=1000.0, spacing=0.05, name="cube")
    scene.add_collider(shapes.Plane(center=(0, 0, 0.1)), friction=0.4, name="floor")
    if muscle:
        scene.add_muscle("cube", fibre=(0, 0, 1), group=0, strength=1e3)
    model = scene.build(dt=1e-3, batch=BATCH, dtype=dtype, threads=threads)
    return model.rollout(STEPS, record_every=EVERY, checkpoint_every=16, control_every=20)


def velocities(thrown: bool) -> np.ndarray:
    """The second is thrown upwards and the third aside."""
    made = np.zeros((BATCH, ITEMS, 3))
    made[..., 0] = 0.2
    if thrown:
        made[1], made[2] = [0.0, 0.0, 12.0], [12.0, 0.0, 0.0]
    return made


def values(rollout: sim.Rollout, thrown: bool) -> dict[str, np.ndarray]:
    modulus = next(name for name in rollout.parameters() if name.endswith("modulus"))
    return {"cube.velocity": velocities(thrown), modulus: np.array([1e4, 1.1e4, 1.2e4, 1.3e4])}


def seeds_of(trajectory) -> dict[str, np.ndarray]:
    return {name: np.cos(np.arange(a.size)).reshape(a.shape) for name, a in trajectory.items() if not name.endswith("pose")}


@pytest.mark.parametrize(("kind", "threads"), [("solid", 1), ("solid", 2), ("water", 1), ("memory", 1)])
def test_an_environment_that_fails_leaves_the_others_their_bits_forward_and_backward(kind, threads):
    rollout = make(kind, threads)
    expected = rollout.forward(values(rollout, False))
    seeds = seeds_of(expected)
    gradient = rollout.backward(seeds)
    trajectory = rollout.forward(values(rollout, True), check=False)
    assert [s.environment for s in trajectory.status.failures] == [2, 1] and trajectory.status.environment == 2
    assert "1 more of 4 environments ended: 1" in trajectory.status.message
    assert trajectory.frame_count == expected.frame_count
    same = np.testing.assert_array_equal if threads == 1 else lambda a, b: np.testing.assert_allclose(a, b, 1e-9, 1e-9)
    for name in expected:
        same(trajectory[name][:, LIVING], expected[name][:, LIVING])
        assert np.isfinite(trajectory[name]).all(), name
    for _ in range(2):
        found = rollout.backward(seeds)
        for name in gradient:
            same(found[name][LIVING], gradient[name][LIVING])
            assert not found[name][DEAD].any(), name
    again = rollout.forward(values(rollout, False))
    for name in expected:
        same(again[name], expected[name])


def test_what_ended_stands_still_where_it_was_last_good():
    rollout = make()
    trajectory = rollout.forward(values(rollout, True), check=False)
    position = trajectory["cube.position"]
    for status in trajectory.status.failures:
        after = status.step // EVERY + 1
        mine = position[:, status.environment]
        assert np.array_equal(mine[after], mine[-1]) and not np.array_equal(mine[after - 1], mine[-1])
        assert not trajectory["cube.velocity"][after:, status.environment].any()


def test_a_run_in_which_all_environments_fail_ends_as_one_does():
    rollout = make()
    thrown = {"cube.velocity": np.broadcast_to([12.0, 0.0, 0.0], (BATCH, ITEMS, 3))}
    trajectory = rollout.forward(thrown, check=False)
    assert len(trajectory.status.failures) == BATCH and trajectory.frame_count < STEPS // EVERY
    with pytest.raises(sim.SimulationError, match="3 more of 4 environments ended: 1, 2, 3"):
        rollout.backward({})
    with pytest.raises(sim.SimulationError) as caught:
        rollout.forward(values(rollout, True))
    assert caught.value.status.failures


def test_a_loop_that_lets_single_environments_begin_again():
    rollout = make()
    fine = values(rollout, False)
    expected = rollout.forward(fine)
    trajectory = rollout.forward(values(rollout, True), check=False)
    ended = [status.environment for status in trajectory.status.failures]
    state = rollout.restarted(rollout.final_state(), ended, fine)
    after = rollout.forward(fine, state=state, first_step=STEPS)
    assert after.status.ok
    for name in expected:
        assert np.array_equal(after[name][:, DEAD], expected[name][:, DEAD]), name
    with pytest.raises(sim.InputError, match="environments: expected numbers from 0 to 3, got"):
        rollout.restarted(state, [4])


def test_a_status_with_failures_comes_back_from_json():
    rollout = make()
    status = rollout.forward(values(rollout, True), check=False).status
    assert Status.from_dict(json.loads(json.dumps(status.to_dict()))) == status


def test_a_tensor_gradient_and_a_policy_go_on_without_what_ended():
    rollout = make(muscle=True)

    def run(thrown, policy):
        modulus = torch.full((BATCH,), 1e4, dtype=torch.float64, requires_grad=True)
        given = {"cube.velocity": torch.tensor(velocities(thrown)), "cube.youngs_modulus": modulus}
        trajectory = simulate(rollout, given, policy=policy, check=not thrown)
        trajectory["cube.position"].square().sum().backward()
        return trajectory, modulus.grad

    def squeeze(observation):
        return {"cube.activation": 0.1 * observation["cube.position"].mean(dim=1)[:, 2:]}

    for policy in (None, squeeze):
        expected, slope = run(False, policy)
        trajectory, found = run(True, policy)
        assert sorted(s.environment for s in trajectory.status.failures) == DEAD
        assert torch.equal(trajectory["cube.position"][:, LIVING], expected["cube.position"][:, LIVING])
        assert torch.equal(found[LIVING], slope[LIVING]) and slope[LIVING].all()
        if policy is None:
            assert not found[DEAD].any()
        last = trajectory["cube.position"][-1, DEAD]
        assert torch.equal(last, trajectory["cube.position"][-2, DEAD])
