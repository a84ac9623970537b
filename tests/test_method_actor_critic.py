"""A method to come: a short-horizon actor and critic, whose policy learns through the simulation and from a value beyond it."""

from typing import ClassVar

import torch

from pliant import sim
from pliant.learn import FIELDS, Adam, Budget, Run, Simulator, solve
from pliant.learn.control import EpisodeProblem, Episodes, Window
from pliant.learn.models import Controller, MLPPolicy
from pliant.sim import materials, shapes


class ActorCritic(EpisodeProblem):
    """L = -sum_t d^t r_t - d^T V'(o_T), with the critic V fitted to lambda returns and its target V' following slowly.

    Source: Xu et al., Accelerated policy learning with parallel differentiable simulation, ICLR 2022, eqs. 5 to 8.
    """

    STATE: ClassVar[tuple[str, ...]] = ("episodes", "critic", "target", "optimiser")

    def __init__(self, episodes: Episodes, *, size: int, discount: float = 0.95, share: float = 0.9):
        super().__init__(episodes)
        self.discount, self.share = discount, share
        torch.manual_seed(0)
        self.critic, self.target = (self.network(size) for _ in range(2))
        self.target.load_state_dict(self.critic.state_dict())
        self.optimiser = torch.optim.Adam(self.critic.parameters(), 1e-2)

    @staticmethod
    def network(size: int) -> torch.nn.Module:
        layers = torch.nn.Linear(size, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1), torch.nn.Flatten(-2)
        return torch.nn.Sequential(*layers).double()

    def loss(self, window: Window) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        steps = len(window.rewards)
        discounts = self.discount ** torch.arange(steps, dtype=window.rewards.dtype)
        beyond = self.discount**steps * self.target(window.observations[-1]) * ~window.done[-1]
        return -(discounts @ window.rewards) - beyond, {"reward": window.rewards.detach().sum(0)}

    def after_tell(self, told) -> dict[str, float]:
        """Fit the critic to the last window, and let the target follow."""
        if self.window is None:
            return {}
        seen, rewards = self.window.observations.detach(), self.window.rewards.detach()
        with torch.no_grad():
            values = self.target(seen) * ~torch.cat([torch.zeros_like(self.window.done[:1]), self.window.done])
        wanted = [values[-1]]
        for reward, value in zip(rewards.flip(0), values[1:].flip(0), strict=True):
            wanted.append(reward + self.discount * (self.share * wanted[-1] + (1.0 - self.share) * value))
        error = (self.critic(seen[:-1]) - torch.stack(wanted[:0:-1])).square().mean()
        self.optimiser.zero_grad()
        error.backward()
        self.optimiser.step()
        with torch.no_grad():
            for slow, fast in zip(self.target.parameters(), self.critic.parameters(), strict=True):
                slow.lerp_(fast, 0.2)
        return {"critic_error": float(error.detach())}


def hopper() -> ActorCritic:
    """Two cubes of muscle that should rise from the floor, thrown down at random; an episode has two windows."""
    scene = sim.Scene()
    law = materials.NeoHookean(youngs_modulus=2e4, poissons_ratio=0.3)
    scene.add_mpm(shapes.Box(0.1, center=(0, 0, 0.06)), law, density=1000.0, spacing=0.04, name="cube")
    scene.add_muscle("cube", fibre=(0, 0, 1), group=0, strength=5e3)
    scene.add_collider(shapes.Plane(), friction=0.4, name="floor")
    rollout = scene.build(dt=1e-3, batch=2, dtype="float64", threads=1).rollout(
        40, control_every=10, record_every=10, record=FIELDS
    )
    seen = lambda o: torch.cat([o["cube.position"].mean(1), o["cube.velocity"].mean(1)], 1)  # noqa: E731
    policy = MLPPolicy(6, 1, hidden=(8,), bounds="symmetric", output_gain=1.0, dtype=torch.float64)
    height = lambda trajectory, actions: trajectory["cube.position"][1:, ..., 2].mean(2)  # noqa: E731
    at_rest = torch.zeros(rollout.parameters()["cube.velocity"].shape).double()
    down = torch.tensor([0.0, 0.0, -0.5]).double()
    reset = lambda: {"cube.velocity": at_rest + torch.rand(2, 1, 1) * down}  # noqa: E731
    simulator = Simulator(rollout, Controller(policy, "cube.activation", observe=seen))
    return ActorCritic(Episodes(simulator, height, horizon=8, reset=reset), size=6)


def test_an_actor_and_its_critic_learn_and_resume_bit_for_bit_within_an_episode(tmp_path):
    method = lambda: Adam(learning_rate=0.03)  # noqa: E731
    straight = solve(hopper(), method(), Budget(iterations=41), 0)
    Run(tmp_path / "run", progress=False, save_every=50).solve(hopper(), method(), Budget(iterations=21), 0)
    resumed = Run(tmp_path / "run", resume=True, progress=False, save_every=50).solve(
        hopper(), method(), Budget(iterations=41), 0
    )
    timeless = [[{**record, "seconds": 0} for record in result.history] for result in (straight, resumed)]
    assert timeless[0] == timeless[1] and torch.equal(straight.theta, resumed.theta)
    second = [record["reward"] for record in straight.history[1::2]]  # heights in the later window
    assert sum(second[-5:]) > 1.3 * sum(second[:5])
    error = [record["critic_error"] for record in straight.history]
    assert sum(error[-2:]) < 0.2 * sum(error[:2])  # over a whole episode
