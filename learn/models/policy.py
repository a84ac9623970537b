"""What a policy is: observation and time in, a distribution over actions out."""

import abc
from typing import Any

import torch
from torch import distributions
from torch.distributions import constraints

from pliant.sim.errors import InputError


class Policy(torch.nn.Module, abc.ABC):
    """A module called at every control step: observation [batch, size] and time [s] -> distribution over actions.

    Actions lie in [0, 1] (`bounds="unit"`: muscles, valves) or [-1, 1] (`bounds="symmetric"`: motors). Deterministic
    policies give a `Deterministic` distribution, so that every trainer treats them alike: `.rsample()` for a sample
    that carries a gradient, `.log_prob` for score-function gradients, `.mode` for the action without exploration.
    """

    def begin_episode(self) -> None:  # noqa: B027 - most policies remember nothing
        """An episode begins: forget what was remembered of the last one."""

    @abc.abstractmethod
    def forward(self, observation: torch.Tensor, time: float) -> distributions.Distribution:
        """The distribution over actions [batch, channels]."""


class Deterministic(distributions.Distribution):
    """All probability at one value; log_prob is 0 there and -inf elsewhere."""

    arg_constraints: dict[str, Any] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, value: torch.Tensor):
        self.value = value
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=False)

    @property
    def mean(self) -> torch.Tensor:
        return self.value

    @property
    def mode(self) -> torch.Tensor:
        return self.value

    @property
    def variance(self) -> torch.Tensor:
        return torch.zeros_like(self.value)

    def rsample(self, sample_shape: Any = ()) -> torch.Tensor:
        return self.value.expand(*sample_shape, *self.value.shape)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        same = (value == self.value).all(-1)
        return torch.where(same, 0.0, -torch.inf).to(self.value.dtype)


class _Normal(distributions.Normal):
    """One whose samples vmap can follow."""

    def rsample(self, sample_shape: Any = ()) -> torch.Tensor:
        center = self.loc.expand(self._extended_shape(sample_shape))
        return center + torch.randn_like(center, memory_format=torch.contiguous_format) * self.scale


class SquashedGaussian(distributions.Independent):
    """A Gaussian with independent channels, squashed into the bounds; `mode` is the squashed centre (its median)."""

    def __init__(self, center: torch.Tensor, std: torch.Tensor, bounds: str):
        self._mode = squash(center, bounds)
        transform = distributions.SigmoidTransform() if bounds == "unit" else distributions.TanhTransform(cache_size=1)
        normal = _Normal(center, std, validate_args=False)  # vmap cannot follow the checks
        squashed = distributions.TransformedDistribution(normal, [transform], validate_args=False)
        super().__init__(squashed, 1, validate_args=False)

    @property
    def mode(self) -> torch.Tensor:
        return self._mode


def squash(logits: torch.Tensor, bounds: str) -> torch.Tensor:
    """Logits into [0, 1] by the logistic function or into [-1, 1] by the hyperbolic tangent."""
    return torch.sigmoid(logits) if bounds == "unit" else torch.tanh(logits)


def check_bounds(bounds: str) -> str:
    """The bounds, or `InputError`."""
    if bounds not in ("unit", "symmetric"):
        raise InputError(f"bounds: expected 'unit' ([0, 1]) or 'symmetric' ([-1, 1]), got {bounds!r}; choose one.")
    return bounds


def seeded_generator(generator: torch.Generator | None) -> torch.Generator:
    """The generator, or a fresh one of seed 0, so that a policy made twice is the same policy."""
    return torch.Generator().manual_seed(0) if generator is None else generator
