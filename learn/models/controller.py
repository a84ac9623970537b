"""A policy put into a simulation's loop: what it sees, what it moves, and what it did."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from pliant.learn.models.policy import Deterministic, Policy
from pliant.sim.errors import InputError

Observe = Callable[[Any], torch.Tensor]


class Controller(torch.nn.Module):
    """Called by `learn.simulate` with an observation at every control step; returns the controls of the next interval.

    Args:
        policy: [batch, size] and time -> distribution over [batch, channels].
        output: the control all channels go to, for example "crawler.activation", or a function from an action
            [batch, channels] to {name: control}.
        observe: from the observation (name -> [batch, item, ...], `.time` in s) to [batch, size]; None sees nothing.
        explore: sample actions of a stochastic policy instead of taking the mode, and add up their `log_probability` [batch].

    What is recorded is that of the last simulation: `begin` is called where one begins, by `learn.simulate` and otherwise by
    a time that does not go on.
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
        self.stacked: frozenset[str] = frozenset()  # weights of the policy that have one value for each environment
        self._time = math.inf
        self._forget()

    def begin(self, *, episode: bool) -> None:
        """A simulation begins: of a new episode, or from where the last one ended; a policy that remembers is told."""
        self._time = -math.inf
        self._forget()
        if episode and hasattr(self.policy, "begin_episode"):
            self.policy.begin_episode()

    def forward(self, observation: Any) -> Mapping[str, torch.Tensor]:
        if observation.time <= self._time:
            self.begin(episode=observation.time == 0.0)
        self._time = observation.time
        seen = self.observe(observation)
        action, gained = self._respond(seen, observation.time)
        self._seen.append(seen)
        self._actions.append(action)
        self._gained += [] if gained is None else [gained]
        return {self.output: action} if isinstance(self.output, str) else self.output(action)

    @property
    def log_probability(self) -> torch.Tensor | None:
        """Of all actions of the last simulation together, [batch]; None where none was sampled."""
        return sum(self._gained[1:], self._gained[0]) if self._gained else None

    def recorded_actions(self) -> torch.Tensor:
        """[control step, batch, channel], with gradient.

        Errors: `InputError` before the first simulation.
        """
        return self._recorded(self._actions)

    def recorded_observations(self) -> torch.Tensor:
        """What the policy saw at every control step, [control step, batch, size], with gradient."""
        return self._recorded(self._seen)

    def recorded_log_probabilities(self) -> torch.Tensor | None:
        """Of the action at every control step, [control step, batch]; None where none was sampled."""
        return torch.stack(self._gained) if self._gained else None

    def _recorded(self, parts: list[torch.Tensor]) -> torch.Tensor:
        if not parts:
            raise InputError("Controller: expected a simulation to have run, got no actions; simulate first.")
        return torch.stack(parts)

    def _forget(self) -> None:
        self._seen: list[torch.Tensor] = []
        self._actions: list[torch.Tensor] = []
        self._gained: list[torch.Tensor] = []

    def _respond(self, seen: torch.Tensor, time: float) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Actions [batch, channels] and, where they are sampled, their log-probabilities [batch]."""
        if not self.stacked:
            return self._act(self.policy(seen, time))
        weights = dict(self.policy.named_parameters())
        axes = {name: 0 if name in self.stacked else None for name in weights}

        def one(weights: dict[str, torch.Tensor], seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            action, gained = self._act(torch.func.functional_call(self.policy, weights, (seen[None], time)))
            return action[0], action.new_zeros(()) if gained is None else gained[0]

        try:
            action, gained = torch.func.vmap(one, (axes, 0), randomness="different")(weights, seen)
        except RuntimeError as error:  # a policy or distribution that vmap cannot follow runs one by one
            if "vmap" not in str(error):
                raise
            rows = [{n: w if axes[n] is None else w[i] for n, w in weights.items()} for i in range(len(seen))]
            action, gained = (torch.stack(p) for p in zip(*map(one, rows, seen), strict=True))
        return action, gained if self.explore else None

    def _act(self, distribution: torch.distributions.Distribution) -> tuple[torch.Tensor, torch.Tensor | None]:
        if not self.explore:
            return distribution.mode, None
        if isinstance(distribution, Deterministic):
            raise InputError(
                f"Controller: expected a policy with randomness to explore, got a deterministic {type(self.policy).__name__}; give it a "
                "std, or leave out explore."
            )
        action = distribution.rsample() if distribution.has_rsample else distribution.sample()
        return action, distribution.log_prob(action.detach())


def _nothing(observation: Any) -> torch.Tensor:
    """An observation of size zero, [batch, 0], on the device of what there is to see."""
    seen = observation[next(iter(observation))]
    return seen.new_zeros(seen.shape[0], 0)
