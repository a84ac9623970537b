"""A multilayer perceptron as a closed-loop policy."""

import math
from collections.abc import Sequence

import torch
from torch import distributions
from torch.nn.utils import skip_init

from pliant.learn.models.policy import Deterministic, Policy, SquashedGaussian, check_bounds, seeded_generator, squash


class MLPPolicy(Policy):
    """Action = squash(MLP(observation)), with tanh between the layers.

    Args:
        observation_size, action_size: numbers in and out.
        hidden: sizes of the hidden layers.
        bounds: "unit" or "symmetric".
        std: initial deviation (before squashing) of a stochastic policy, learned for each channel; None: deterministic.
        output_gain: factor on the last layer's initial weights; small starts near the middle of the bounds.
        generator: of the initial weights; their deviation is 1 / sqrt(inputs).
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        *,
        hidden: Sequence[int] = (64, 64),
        bounds: str = "unit",
        std: float | None = None,
        output_gain: float = 0.1,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.bounds = check_bounds(bounds)
        sizes = [observation_size, *hidden, action_size]
        pairs = zip(sizes[:-1], sizes[1:], strict=True)
        self.layers = torch.nn.ModuleList(skip_init(torch.nn.Linear, a, b, dtype=dtype) for a, b in pairs)
        self._initialise(seeded_generator(generator), output_gain)
        self.log_std = None
        if std is not None:
            self.log_std = torch.nn.Parameter(torch.full((action_size,), math.log(std), dtype=dtype))

    def forward(self, observation: torch.Tensor, time: float) -> distributions.Distribution:
        x = observation
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        logits = self.layers[-1](x)
        if self.log_std is None:
            return Deterministic(squash(logits, self.bounds))
        return SquashedGaussian(logits, self.log_std.exp().expand_as(logits), self.bounds)

    def _initialise(self, generator: torch.Generator, output_gain: float) -> None:
        with torch.no_grad():
            for layer in self.layers:
                drawn = torch.randn(layer.weight.shape, generator=generator, dtype=layer.weight.dtype)
                gain = output_gain if layer is self.layers[-1] else 1.0
                layer.weight.copy_(drawn * gain / math.sqrt(max(1, layer.in_features)))
                layer.bias.zero_()
