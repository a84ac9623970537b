"""A table of actions: the policy that looks at nothing but the clock."""

import torch

from pliant.learn.models.policy import Deterministic, Policy, check_bounds, seeded_generator, squash
from pliant.sim.errors import InputError


class OpenLoopPolicy(Policy):
    """Action of control step k = squash(table[k]), k = time / interval.

    Args:
        control_steps, action_size: shape of the table.
        interval: time between control steps [s].
        bounds: "unit" or "symmetric".
        std: of the initial logits; 0 starts in the middle of the bounds.
        generator: of the initial logits.

    Errors: `InputError` at a time beyond the table.
    """

    def __init__(
        self,
        control_steps: int,
        action_size: int,
        *,
        interval: float,
        bounds: str = "unit",
        std: float = 0.1,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.interval, self.bounds = interval, check_bounds(bounds)
        drawn = torch.randn(control_steps, action_size, generator=seeded_generator(generator), dtype=dtype)
        self.table = torch.nn.Parameter(std * drawn)

    def forward(self, observation: torch.Tensor, time: float) -> Deterministic:
        step, steps = round(time / self.interval), len(self.table)
        if not 0 <= step < steps:
            end = steps * self.interval
            raise InputError(f"OpenLoopPolicy: expected a time in [0, {end:g}) s, got {time:g}; enlarge control_steps.")
        return Deterministic(squash(self.table[step], self.bounds).expand(observation.shape[0], -1))
