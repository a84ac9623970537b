"""Episodes in windows, for methods that learn from what a policy saw, did and gained: actor and critic, policy gradients.

A window continues from where the last one ended, without gradient through its start; at the end of the horizon all
environments begin a new episode together. Observations, actions, log-probabilities and rewards keep their gradient.
"""

import abc
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch

from pliant.learn.autograd import Simulator
from pliant.learn.models.controller import Controller
from pliant.learn.problem import Problem, Values
from pliant.learn.space import Unknown
from pliant.learn.state import Stateful
from pliant.sim.errors import InputError
from pliant.sim.mpm.state import FIELDS
from pliant.sim.status import SimulationError
from pliant.sim.trajectory import Trajectory

Reward = Callable[[Trajectory, torch.Tensor], torch.Tensor]
Reset = Callable[[], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """T control steps of B environments, one after the other.

    Args:
        observations: what the policy saw at every step and would see at the end, [T + 1, B, size].
        actions: [T, B, channels].
        log_probabilities: of the actions, [T, B]; None where the controller does not explore.
        rewards: [T, B].
        done: whether the episode ends with the step, [T, B] of booleans.
        first_step: control steps of the episode before it.
        trajectory: a frame every control step, [T + 1, B, item, ...].
    """

    observations: torch.Tensor
    actions: torch.Tensor
    log_probabilities: torch.Tensor | None
    rewards: torch.Tensor
    done: torch.Tensor
    first_step: int
    trajectory: Trajectory


class Episodes(Stateful):
    """Windows of a simulator with a controller; its state is the place in the episode, so that a resume goes on there.

    Args:
        simulator: of one window; its rollout records every field at every control step (`record=learn.FIELDS`, and
            `record_every` equal to `control_every`).
        reward: of every control step and environment, [T, B], from the window's trajectory and its actions.
        reset: values by name for the start of an episode (positions, velocities, or parameters that last for the episode), drawn
            with torch's own randomness, which a training seeds; default: the model's own.
        horizon: control steps in an episode, a multiple of those in a window.

    Errors: `InputError` for a simulator without a controller, a rollout that records something else, or another horizon.
    """

    STATE: ClassVar[tuple[str, ...]] = ("step", "episode", "start")

    def __init__(self, simulator: Simulator, reward: Reward, *, horizon: int, reset: Reset | None = None):
        rollout = simulator.rollout
        if not isinstance(simulator.policy, Controller):
            kind = type(simulator.policy).__name__
            raise InputError(f"episodes: expected a simulator with a Controller, got {kind}; put the policy into one.")
        self.simulator, self.controller, self.rollout = simulator, simulator.policy, rollout
        self.reward, self.horizon, self.reset = reward, horizon, reset
        self.steps = rollout.steps // rollout.control_every
        missing = [field for field in FIELDS if field not in rollout.record]
        every = list(range(0, rollout.steps + 1, rollout.control_every))
        if missing or list(rollout.frame_steps) != every:
            raise InputError(
                "episodes: expected a rollout with record=learn.FIELDS and record_every equal to control_every, got "
                f"{list(rollout.record)} and {rollout.record_every}; correct it."
            )
        if horizon < 1 or horizon % self.steps:
            raise InputError(f"episodes.horizon: expected a multiple of {self.steps}, got {horizon}; correct it.")
        self.restart()
        self.episode = 0

    @property
    def batch(self) -> int:
        return self.rollout.batch

    def unknowns(self) -> list[Unknown]:
        """The trainable weights of the simulator, under their names in the module."""
        return [Unknown(name=name, initial=w) for name, w in self.simulator.named_parameters() if w.requires_grad]

    def install(self, values: Mapping[str, torch.Tensor]) -> None:
        """Leave the weights among the values in the module."""
        with torch.no_grad():
            for name, weight in self.simulator.named_parameters():
                if name in values:
                    weight.copy_(values[name])

    def restart(self) -> None:
        """Let the next window begin a new episode."""
        self.step, self.start = 0, {}

    def next(self, values: Values | None = None) -> Window:
        """The next window with these weights and parameters by name; others are the module's and the model's.

        Errors: `SimulationError` when it fails; the next one then begins a new episode.
        """
        names = dict(self.simulator.named_parameters())
        weights = {name: value for name, value in (values or {}).items() if name in names}
        given = {name: value for name, value in (values or {}).items() if name not in names}
        self.install({name: weight.detach() for name, weight in weights.items()})
        if self.step == 0 and self.reset is not None:
            self.start = {name: torch.as_tensor(value) for name, value in self.reset().items()}
        first = self.step
        try:
            inputs = ({**self.start, **given}, first * self.rollout.control_every)
            trajectory = torch.func.functional_call(self.simulator, weights, inputs)
        except SimulationError:
            self.restart()
            raise
        made = self._window(trajectory, first)
        self._go_on(trajectory, bool(made.done[-1].all()))
        return made

    def _go_on(self, trajectory: Trajectory, ended: bool) -> None:
        if ended:
            self.restart()
            self.episode += 1
            return
        self.step += self.steps
        state = {n: trajectory[n][-1].detach().clone() for n in trajectory if n.rpartition(".")[2] in FIELDS}
        self.start = {**self.start, **state}

    def _window(self, trajectory: Trajectory, first: int) -> Window:
        actions = self.controller.recorded_actions()
        last = _Frame(trajectory.frame(-1))
        last.time = float(trajectory.times[-1])
        rewards = self.reward(trajectory, actions)
        shape = list(rewards.shape) if isinstance(rewards, torch.Tensor) else type(rewards).__name__
        if shape != list(actions.shape[:2]):
            raise InputError(f"reward: expected a tensor of shape {list(actions.shape[:2])}, got {shape}; correct it.")
        done = torch.zeros(rewards.shape, dtype=torch.bool)
        done[-1] = first + self.steps == self.horizon
        return Window(
            observations=torch.cat([self.controller.recorded_observations(), self.controller.observe(last)[None]]),
            actions=actions,
            log_probabilities=self.controller.recorded_log_probabilities(),
            rewards=rewards,
            done=done,
            first_step=first,
            trajectory=trajectory,
        )


class _Frame(dict):
    """A frame as a controller observes it."""

    time = 0.0


class EpisodeProblem(Problem):
    """Policy weights from windows of episodes: a subclass says in `loss` what one window is worth.

    Every evaluation is the next window, so that it suits a method that asks for one candidate. `window` is the last one, for
    `after_tell`, None where it failed. Losses of windows are not comparable: the result is the last unknowns.

    Args:
        episodes: where the windows come from.
        unknowns: parameters to find beside the weights.
        options: those of `Problem`.
    """

    STATE: ClassVar[tuple[str, ...]] = ("episodes",)
    window: Window | None = None

    def __init__(self, episodes: Episodes, *, unknowns: Iterable[Unknown] = (), **options: Any):
        self.episodes = episodes
        steps = episodes.rollout.steps
        usual = {"environments": episodes.batch, "comparable": False, "smooth": False, "steps_per_call": steps}
        super().__init__((*unknowns, *episodes.unknowns()), **{**usual, **options})

    @abc.abstractmethod
    def loss(self, window: Window) -> Any:
        """What `compute` may return, of a window."""

    def compute(self, values: Values) -> Any:
        self.window = None
        self.window = self.episodes.next(values)
        return self.loss(self.window)

    def install(self, theta: torch.Tensor) -> Values:
        values = self.space.values(theta)
        self.episodes.install(values)
        return values
