"""A policy put into a simulation's loop: what it sees, what it moves, and what it did."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from pliant.learn.models.policy import Policy
from pliant.sim.errors import InputError

Observe = Callable[[Any], torch.Tensor]


class Controller(torch.nn.Module):
    """Called by `learn.simulate` with an observation at every control step; returns the controls of the next interval.

    Args:
        policy: [batch, size] and time -> distribution over [batch, channels].
        output: the control all channels go to, for example "crawler.activation", or a function from an action
            [batch, channels] to {name: control}.
        observe: from the observation (name -> [batch, item, ...], `.time` in s) to [batch, size]; None sees nothing.
        explore: sample actions instead of taking the mode, and add up their `log_probability` [batch].

    `recorded_actions()` are those since the last call at time 0.
    """

    def __init__(
        self,
        policy: Policy,
        output: str | Callable[[torch.Tensor], Mapping[str, torch.Tensor]],
        *,
        observe: Observe | None = None,
        explore: bool = False,
    ):
        super().__init__()
        self.policy, self.output, self.observe, self.explore = policy, output, observe or _nothing, explore
        self.log_probability: torch.Tensor | None = None
        self._actions: list[torch.Tensor] = []

    def forward(self, observation: Any) -> Mapping[str, torch.Tensor]:
        if observation.time == 0.0:
            self._actions, self.log_probability = [], None
        distribution = self.policy(self.observe(observation), observation.time)
        action = self._act(distribution)
        self._actions.append(action)
        return {self.output: action} if isinstance(self.output, str) else self.output(action)

    def recorded_actions(self) -> torch.Tensor:
        """[control step, batch, channel], with gradient.

        Errors: `InputError` before the first simulation.
        """
        if not self._actions:
            raise InputError("Controller: expected a simulation to have run, got no actions; simulate first.")
        return torch.stack(self._actions)

    def _act(self, distribution: torch.distributions.Distribution) -> torch.Tensor:
        if not self.explore:
            return distribution.mode
        action = distribution.rsample() if distribution.has_rsample else distribution.sample()
        gained = distribution.log_prob(action.detach())
        self.log_probability = gained if self.log_probability is None else self.log_probability + gained
        return action


def _nothing(observation: Any) -> torch.Tensor:
    """An observation of size zero, [batch, 0], on the device of what there is to see."""
    seen = observation[next(iter(observation))]
    return seen.new_zeros(seen.shape[0], 0)
