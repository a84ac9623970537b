"""Episodes in windows: what a policy saw, did and gained, from window to window, and what a controller records of it."""

import math

import pytest
import torch

from pliant import sim
from pliant.learn import FIELDS, Adam, Budget, Pathwise, SimulationProblem, Simulator, simulate, solve
from pliant.learn.control import EpisodeProblem, Episodes
from pliant.learn.models import Controller, MLPPolicy, OpenLoopPolicy, OscillatorPolicy
from pliant.learn.objectives import ControlEffort, DistanceTravelled
from pliant.sim import InputError, materials, shapes
from tests.learning import point_mass_problem

STEPS, EVERY = 20, 10


def hopper(batch: int) -> sim.Model:
    """A small cube of muscle on the floor, in float64."""
    scene = sim.Scene()
    law = materials.NeoHookean(youngs_modulus=2e4, poissons_ratio=0.3)
    jelly = scene.add_mpm(
        shapes.Box(0.1, center=(0, 0, 0.06)), law, density=1000.0, spacing=0.04, name="jelly", velocity=(0, 0, -1)
    )
    scene.add_muscle(jelly, fibre=(0, 0, 1), group=lambda points: (points[:, 0] > 0).astype(int), strength=1e4)
    scene.add_collider(shapes.Plane(), friction=0.4, name="floor")
    return scene.build(dt=1e-3, dtype="float64", batch=batch, threads=1)


@pytest.fixture(scope="module")
def model() -> sim.Model:
    return hopper(2)


def senses(seen):
    time = torch.full((len(seen["jelly.velocity"]), 1), 20.0 * seen.time, dtype=torch.float64)
    return torch.cat([time, seen["jelly.velocity"].mean(1)], dim=1)


def controller(**options) -> Controller:
    std = 0.3 if options.get("explore") else None
    policy = MLPPolicy(4, 2, hidden=(6,), dtype=torch.float64, bounds="symmetric", output_gain=1.0, std=std)
    return Controller(policy, "jelly.activation", observe=senses, **options)


def rising(trajectory, actions):
    """Height gained in each step [m]."""
    height = trajectory["jelly.position"][..., 2].mean(2)
    return height[1:] - height[:-1]


def episodes(model: sim.Model, *, windows: int = 3, **options) -> Episodes:
    chosen = {name: options.pop(name) for name in ("explore",) if name in options}
    rollout = model.rollout(STEPS, control_every=EVERY, record_every=EVERY, record=FIELDS)
    return Episodes(Simulator(rollout, controller(**chosen)), rising, horizon=windows * STEPS // EVERY, **options)


def test_the_windows_of_an_episode_join_to_the_whole(model):
    windows = episodes(model)
    with torch.no_grad():
        made = [windows.next() for _ in range(4)]
        whole = Simulator(model.rollout(3 * STEPS, control_every=EVERY, record_every=EVERY), controller())()
    joined = torch.cat([w.trajectory["jelly.position"][bool(i) :] for i, w in enumerate(made[:3])])
    assert torch.equal(joined, whole["jelly.position"])
    rewards = torch.cat([w.rewards for w in made[:3]])
    height = whole["jelly.position"][..., 2].mean(2)
    assert torch.allclose(rewards.sum(0), height[-1] - height[0], atol=1e-15)
    assert [w.first_step for w in made] == [0, 2, 4, 0] and windows.episode == 1
    assert torch.cat([w.done for w in made])[:, 0].tolist() == [False] * 5 + [True] + [False] * 2
    assert torch.equal(made[0].observations[-1], made[1].observations[0])
    assert torch.equal(made[0].observations, made[3].observations)
    assert made[0].observations.shape == (3, 2, 4) and made[0].actions.shape == (2, 2, 2)
    assert made[0].log_probabilities is None


def test_a_window_has_a_gradient_within_itself_alone(model):
    windows = episodes(model)
    weights = {u.name: u.initial.clone().requires_grad_() for u in windows.unknowns()}
    for _ in range(2):
        window = windows.next(weights)
    gradients = torch.autograd.grad(window.rewards.sum() + window.observations[-1].sum(), list(weights.values()))
    assert all(torch.isfinite(g).all() and g.abs().max() > 0.0 for g in gradients)
    assert all(not value.requires_grad for value in windows.start.values())


def test_an_episode_begins_where_its_reset_says_with_parameters_that_last(model):
    lifts = iter((0.0, 0.3))
    base = torch.from_numpy(model.parameters()["jelly.position"].value)

    def reset():
        return {
            "jelly.position": base + torch.tensor([0.0, 0.0, next(lifts)]),
            "floor.friction": torch.rand(2).double(),
        }

    windows = episodes(model, windows=2, reset=reset)
    with torch.no_grad():
        made = [windows.next() for _ in range(2)]
        friction = [windows.start.get("floor.friction")]
        made.append(windows.next())
    heights = [float(w.trajectory["jelly.position"][0, :, :, 2].mean()) for w in made]
    assert heights[2] == pytest.approx(heights[0] + 0.3) and friction == [None]
    assert windows.start["floor.friction"].shape == (2,)


def test_log_probabilities_are_those_of_the_actions(model):
    windows = episodes(model, explore=True)
    torch.manual_seed(0)
    with torch.no_grad():
        window = windows.next()
        policy = windows.controller.policy
        expected = [policy(o, 0.0).log_prob(a) for o, a in zip(window.observations, window.actions, strict=False)]
    assert torch.allclose(window.log_probabilities, torch.stack(expected))
    assert torch.allclose(windows.controller.log_probability, torch.stack(expected).sum(0))


def test_a_policy_without_randomness_cannot_explore(model):
    windows = episodes(model)
    windows.controller.explore = True
    with pytest.raises(InputError, match="expected a policy with randomness to explore, got a deterministic MLPPolicy"):
        windows.next()


def test_a_window_that_fails_begins_a_new_episode(model):
    windows = episodes(model)
    with torch.no_grad():
        windows.next()
        windows.start["jelly.velocity"] = torch.full_like(windows.start["jelly.velocity"], 1e3)
        with pytest.raises(sim.SimulationError):
            windows.next()
        assert windows.next().first_step == 0


def test_effort_in_windows_is_that_of_the_window(model):
    """A table whose rows are the same: every window of it costs the same effort."""
    policy = OpenLoopPolicy(6, 2, interval=EVERY * 1e-3, bounds="symmetric", std=0.0, dtype=torch.float64)
    with torch.no_grad():
        policy.table.fill_(0.5)
    rollout = model.rollout(STEPS, control_every=EVERY, record_every=EVERY, record=FIELDS)
    control = Controller(policy, "jelly.activation")
    effort = ControlEffort(control)
    with torch.no_grad():
        losses = [effort(simulate(rollout, policy=control, first_step=w * STEPS)) for w in range(3)]
    assert [loss.tolist() for loss in losses] == [losses[0].tolist()] * 3
    assert control.recorded_actions().shape == (STEPS // EVERY, 2, 2)


def test_a_policy_is_told_when_an_episode_begins_and_not_when_a_window_does(model):
    class Counting(OscillatorPolicy):
        begun = 0

        def begin_episode(self):
            self.begun += 1

    policy = Counting(2, dtype=torch.float64)
    rollout = model.rollout(STEPS, control_every=EVERY, record_every=EVERY, record=FIELDS)
    windows = Episodes(Simulator(rollout, Controller(policy, "jelly.activation")), rising, horizon=4)
    with torch.no_grad():
        begun = [(windows.next(), policy.begun)[1] for _ in range(5)]
    assert begun == [1, 1, 2, 2, 3]
    problem = point_mass_problem(effort=1.0)  # a simulator that tells nothing: a time that does not go on says it
    for _ in range(2):
        problem.evaluate(problem.space.initial)
        assert problem.simulator.policy.recorded_actions().shape == (20, 2, 1)


def test_eight_policies_run_at_once_as_they_do_one_by_one():
    """Values and gradients of eight candidates of weights: one launch of eight environments, or eight of one."""
    together, alone = (
        SimulationProblem(
            Simulator(hopper(batch).rollout(2 * EVERY, control_every=EVERY, record_every=EVERY), controller()),
            DistanceTravelled("jelly.position", direction=(0, 0, 1)),
            parallel=batch > 1,
        )
        for batch in (8, 1)
    )
    rng = torch.Generator().manual_seed(0)
    thetas = together.space.initial + 0.3 * together.space.noise(8, rng)
    many, single = Pathwise()(together, thetas, rng), Pathwise()(alone, thetas, rng)
    for one, other in zip(many, single, strict=True):
        # Sums of a batched product are taken in another order.
        assert one.value == pytest.approx(other.value, rel=1e-12)
        assert torch.allclose(one.gradient, other.gradient, rtol=1e-9, atol=1e-15)
    assert sum(e.simulator_calls for e in many) == sum(e.simulator_calls for e in single) == 16
    result = solve(together, Adam(), Budget(iterations=1), 0)
    assert torch.equal(
        dict(together.simulator.named_parameters())["policy.policy.layers.0.bias"], torch.zeros(6).double()
    )
    assert math.isfinite(result.loss)


class Plain(MLPPolicy):
    """A Gaussian of torch's own, which vmap cannot sample."""

    def forward(self, observation, time):
        center = super().forward(observation, time).base_dist.base_dist.loc
        return torch.distributions.Independent(torch.distributions.Normal(0.1 * center, 0.1), 1)


@pytest.mark.parametrize("plain", [False, True])
def test_policies_that_explore_at_once_draw_their_own_actions_and_know_their_probabilities(plain):
    rollout = hopper(4).rollout(2 * EVERY, control_every=EVERY, record_every=EVERY)
    explorer = controller(explore=True)
    if plain:
        explorer.policy = Plain(4, 2, hidden=(6,), dtype=torch.float64, std=0.3)
    problem = SimulationProblem(Simulator(rollout, explorer), DistanceTravelled("jelly.position"), parallel=True)
    theta = problem.space.initial
    told = problem.evaluate_all(theta.expand(4, -1), seed=0)
    assert len({e.value for e in told}) == 4
    seen, actions = explorer.recorded_observations(), explorer.recorded_actions()
    expected = sum(explorer.policy(o, 0.0).log_prob(a) for o, a in zip(seen, actions, strict=True))
    assert torch.allclose(torch.stack([e.log_probability for e in told]), expected)
    assert [e.value for e in problem.evaluate_all(theta.expand(4, -1), seed=0)] == [e.value for e in told]


def test_weights_outside_a_controllers_policy_cannot_run_in_parallel(model):
    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.ones(()))

    with pytest.raises(InputError, match="Controller's policy alone"):
        SimulationProblem(Plain(), DistanceTravelled("x.position"), parallel=True, environments=2)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda m: Episodes(Simulator(m.rollout(STEPS)), rising, horizon=2), "with a Controller, got NoneType"),
        (lambda m: Episodes(Simulator(m.rollout(STEPS), controller()), rising, horizon=2), "record=learn.FIELDS"),
        (lambda m: episodes(m, windows=0), "multiple of 2, got 0"),
        (
            lambda m: setattr(e := episodes(m), "reward", lambda t, a: a) or e.next(),
            "of shape [2, 2], got [2, 2, 2]",
        ),
        (
            lambda m: setattr(e := episodes(m), "reward", lambda t, a: 1.0) or e.next(),
            "shape [2, 2], got float",
        ),
    ],
)
def test_episodes_that_cannot_be_are_refused_with_a_sentence(make, sentence, model):
    with pytest.raises(InputError) as caught:
        make(model)
    assert sentence in str(caught.value)


def test_a_loss_of_windows_trains_a_policy(model):
    class Rise(EpisodeProblem):
        def loss(self, window):
            return -window.rewards.sum(0)

        def after_tell(self, told):
            return {"first_step": self.window.first_step}

    result = solve(Rise(episodes(model)), Adam(learning_rate=0.05), Budget(iterations=9), 0)
    assert [record["first_step"] for record in result.history] == [0, 2, 4] * 3
    firsts = [record["loss"] for record in result.history[::3]]
    assert firsts[2] < firsts[1] < firsts[0]
