"""Objectives of what was seen: clouds without correspondence, markers, and times between the frames."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from pliant.learn.objectives import AtTimes, Chamfer, MarkerMatching, Objective, SlicedWasserstein
from pliant.learn.objectives.at_times import substeps_around
from pliant.learn.objectives.markers import bind_markers
from pliant.learn.objectives.wasserstein import quantile_pairs
from pliant.sim import InputError, Trajectory

CLOUDS = (Chamfer, SlicedWasserstein)
NAME = "body.position"


def lattice(count=4, spacing=0.1):
    axis = spacing * np.arange(count)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)


def cloud(items, seed=0):
    return np.random.default_rng(seed).random((items, 3))


def positions(*frames):
    """{name: [frame, batch 1, item, 3]} in double precision."""
    return {NAME: torch.from_numpy(np.stack(frames))[:, None]}


@pytest.mark.parametrize("cls", CLOUDS)
def test_a_cloud_that_moved_is_as_far_as_it_moved(cls):
    shift, seen = np.array([0.02, -0.01, 0.03]), lattice()
    shuffled = seen[np.random.default_rng(0).permutation(len(seen))]
    objective = cls(NAME, [seen, shuffled], length=0.5)
    loss = objective(positions(seen + shift, seen))
    assert float(loss) == pytest.approx(0.5 * shift @ shift / 0.25, rel=1e-12)
    metric = objective.metrics(positions(seen + shift, seen))["cloud_distance"]
    assert float(metric) == pytest.approx(np.sqrt(0.5 * shift @ shift), rel=1e-12)


def test_wasserstein_measures_any_translation_and_chamfer_only_small_ones():
    shift, seen = np.array([3.0, -2.0, 1.0]), cloud(30)
    moved = positions(seen + shift)
    assert float(SlicedWasserstein(NAME, [seen], seed=3)(moved)) == pytest.approx(14.0, rel=1e-12)
    assert float(Chamfer(NAME, [seen])(moved)) < 0.9 * 14.0


def test_a_point_and_a_pair_are_as_far_as_the_pair_is_wide():
    """A point in the middle of a pair 2 a apart: every unit of mass travels |a|."""
    a = np.array([0.3, -0.1, 0.2])
    for objective in (SlicedWasserstein(NAME, [np.stack([a, -a])]), Chamfer(NAME, [np.stack([a, -a])])):
        assert float(objective(positions(np.zeros((1, 3))))) == pytest.approx(a @ a, rel=1e-12)


def test_sliced_wasserstein_is_at_most_the_wasserstein_distance():
    x, y = cloud(40, 1), 2.0 * cloud(40, 2) - 0.3
    cost = cdist(x, y, "sqeuclidean")
    exact = cost[linear_sum_assignment(cost)].mean()
    sliced = float(SlicedWasserstein(NAME, [y], frames=32)(positions(x)))
    assert 0.5 * exact < sliced <= exact


def test_chamfer_agrees_with_all_pairs():
    x, y = cloud(17, 1), cloud(11, 2)
    squared = cdist(x, y, "sqeuclidean")
    expected = (squared.min(1).mean() + squared.min(0).mean()) / 2
    assert float(Chamfer(NAME, [y])(positions(x))) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("items", "others"), [(3, 3), (2, 5), (6, 4), (1, 7), (1000, 999)])
def test_quantiles_of_unequal_numbers_cover_each_point_once(items, others):
    left, right, shares = quantile_pairs(items, others)
    assert np.bincount(left, shares) == pytest.approx(np.full(items, 1.0 / items), rel=1e-9)
    assert np.bincount(right, shares) == pytest.approx(np.full(others, 1.0 / others), rel=1e-9)


def test_a_cloud_and_the_same_cloud_twice_are_the_same_distribution():
    seen = cloud(9)
    for cls in CLOUDS:
        assert float(cls(NAME, [np.concatenate([seen, seen])])(positions(seen))) == pytest.approx(0.0, abs=1e-28)


@pytest.mark.parametrize("cls", CLOUDS)
@pytest.mark.parametrize("seen", [(12, 12), (7, 15)])
def test_gradients_agree_with_finite_differences(cls, seen):
    """Away from ties, which random points do not have, the assignment stays and the loss is quadratic: steps of 1e-5 are exact."""
    objective = cls(NAME, [cloud(n, i) for i, n in enumerate(seen)], length=0.3)
    x = torch.from_numpy(np.random.default_rng(9).random((2, 2, 12, 3))).requires_grad_()
    direction = torch.from_numpy(np.random.default_rng(8).standard_normal(x.shape))
    weights = torch.tensor([1.0, -2.0], dtype=torch.float64)

    def loss(points):
        return (objective({NAME: points}) * weights).sum()

    exact = float((torch.autograd.grad(loss(x), x)[0] * direction).sum())
    with torch.no_grad():
        difference = float(loss(x + 1e-5 * direction) - loss(x - 1e-5 * direction)) / 2e-5
    assert exact == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize("cls", CLOUDS)
def test_environments_are_judged_each_by_itself(cls):
    objective = cls(NAME, [cloud(8, 1), cloud(5, 2)])
    x = torch.from_numpy(np.random.default_rng(3).random((2, 3, 8, 3)))
    alone = torch.cat([objective({NAME: x[:, i : i + 1]}) for i in range(3)])
    assert torch.allclose(objective({NAME: x}), alone, rtol=1e-12)
    residuals = objective.residuals({NAME: x})
    assert torch.allclose(residuals.square().sum(1) / 2, alone, rtol=1e-12)


@pytest.mark.gpu
@pytest.mark.parametrize("cls", CLOUDS)
def test_the_gpu_finds_the_same_distance(cls):
    objective, x = cls(NAME, [cloud(8, 1)]), torch.from_numpy(cloud(20, 2))[None, None]
    assert float(objective({NAME: x.cuda()})) == pytest.approx(float(objective({NAME: x})), rel=1e-12)


@pytest.mark.parametrize("cls", CLOUDS)
@pytest.mark.parametrize(
    ("clouds", "sentence"),
    [
        ([np.zeros((0, 3))], r"got \[0, 3\] in frame 0"),
        ([np.zeros((4, 3)), np.full((4, 3), np.nan)], "in frame 1"),
        ([np.zeros((4, 3))] * 3, r"expected \[3, 'batch', 'item', 3\], a frame a cloud, got \[1, 1, 4, 3\]"),
    ],
)
def test_unusable_clouds_are_refused(cls, clouds, sentence):
    with pytest.raises(InputError, match=sentence):
        cls(NAME, clouds)(positions(np.zeros((4, 3))))


def test_markers_follow_an_affine_motion_exactly():
    rest, rng = lattice(), np.random.default_rng(1)
    markers = 0.3 * rng.random((20, 3))
    A, b = rng.standard_normal((3, 3)), rng.standard_normal(3)
    moved = markers @ A.T + b
    objective = MarkerMatching(NAME, [markers, moved], particles=rest, start=markers)
    assert float(objective(positions(rest, rest @ A.T + b))) == pytest.approx(0.0, abs=1e-24)
    off = objective(positions(rest, rest @ A.T + b + [0.0, 0.2, 0.0]))
    assert float(off) == pytest.approx(0.5 * 0.04, rel=1e-9)


def test_a_marker_on_a_particle_follows_it_alone():
    rest = lattice()
    index, weights = bind_markers(rest[[5, 40]], rest)
    moved = cloud(len(rest))
    assert np.abs((weights[..., None] * moved[index]).sum(1) - moved[[5, 40]]).max() <= 1e-10


def test_markers_on_a_flat_body_are_bound_in_its_plane():
    rest = lattice()[::4]
    index, weights = bind_markers(np.array([[0.12, 0.17, 0.0]]), rest)
    assert np.abs((weights[..., None] * rest[index]).sum(1) - [0.12, 0.17, 0.0]).max() <= 1e-9


def test_a_marker_off_the_body_is_refused():
    with pytest.raises(InputError, match="got marker 1 at 0.7 m from the nearest"):
        bind_markers(np.array([[0.1, 0.1, 0.1], [0.0, 0.0, 1.0]]), lattice())


class Spy(Objective):
    """Keeps what it is shown."""

    def __call__(self, trajectory):
        self.seen = trajectory[NAME]
        return self.seen.square().mean((0, 2, 3))


def moving(times):
    """Two points that move quadratically in time, as a trajectory with gradient."""
    x = torch.tensor(times, dtype=torch.float64)[:, None, None, None] ** 2 * torch.ones(1, 1, 2, 3, dtype=torch.float64)
    return Trajectory(times=np.asarray(times), arrays={NAME: x.requires_grad_()})


def test_between_frames_positions_are_interpolated_and_differentiable():
    spy, trajectory = Spy(), moving([0.0, 1.0, 2.0, 4.0])
    loss = AtTimes(spy, [0.0, 0.5, 2.0, 3.5, 4.0])(trajectory)
    assert spy.seen[:, 0, 0, 0].tolist() == [0.0, 0.5, 4.0, 13.0, 16.0]
    (gradient,) = torch.autograd.grad(loss.sum(), trajectory[NAME])
    # d/dx_2 of (4^2 + (0.25 x_2 + 0.75 x_3)^2) / (5 times, 6 numbers)
    assert float(gradient[2, 0, 0, 0]) == pytest.approx((2 * 4.0 + 2 * 13.0 * 0.25) / 30.0)


def test_the_two_nearest_substeps_are_recorded():
    assert substeps_around(np.array([0.0, 0.01, 0.0124999999, 0.02 + 1e-12]), 0.005) == [0, 2, 3, 4]
    assert substeps_around(np.array([0.3, 0.7]), 0.1) == [3, 7]  # 0.3 / 0.1 is not 3 in binary


def test_the_interpolation_error_falls_with_the_square_of_the_substep():
    errors = []
    for dt in (0.1, 0.05):
        spy, frames = Spy(), dt * np.arange(round(1.0 / dt) + 1)
        AtTimes(spy, [0.5 + dt / 2])(moving(frames))
        errors.append(float(spy.seen[0, 0, 0, 0].detach()) - (0.5 + dt / 2) ** 2)
    assert errors[0] == pytest.approx(0.1**2 * 2.0 / 8.0) and errors[0] / errors[1] == pytest.approx(4.0)


def test_times_beyond_the_simulation_are_refused():
    with pytest.raises(InputError, match="from 0 to 2 s, got 0.5 to 2.5 s; simulate longer"):
        AtTimes(Spy(), [0.5, 2.5])(moving([0.0, 1.0, 2.0]))
    with pytest.raises(InputError, match="expected a trajectory with times, got dict"):
        AtTimes(Spy(), [0.5])(positions(cloud(2)))
