"""A central pattern generator: sinusoids with learned amplitude, phase and frequency."""

import math

import torch

from pliant.learn.models.policy import Deterministic, Policy, check_bounds, seeded_generator, squash


class OscillatorPolicy(Policy):
    """Action of channel c = squash(offset_c + amplitude_c sin(2 pi f t + phase_c) + (W observation)_c).

    Args:
        action_size: number of channels; each has its own amplitude, phase and offset, all share the frequency f.
        frequency: initial f [Hz]; its logarithm is learned.
        amplitude: initial amplitude before squashing.
        feedback_size: size of the observation fed back through W, which starts at zero; 0 is open loop.
        bounds: "unit" or "symmetric".
        generator: of the initial phases, uniform in [-pi, pi).
    """

    def __init__(
        self,
        action_size: int,
        *,
        frequency: float = 1.0,
        amplitude: float = 1.0,
        feedback_size: int = 0,
        bounds: str = "unit",
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.bounds = check_bounds(bounds)
        turns = torch.rand(action_size, generator=seeded_generator(generator), dtype=dtype)
        self.phase = torch.nn.Parameter(2.0 * math.pi * (turns - 0.5))
        self.amplitude = torch.nn.Parameter(torch.full((action_size,), amplitude, dtype=dtype))
        self.offset = torch.nn.Parameter(torch.zeros(action_size, dtype=dtype))
        self.log_frequency = torch.nn.Parameter(torch.tensor(math.log(frequency), dtype=dtype))
        self.feedback = None
        if feedback_size:
            self.feedback = torch.nn.Parameter(torch.zeros(action_size, feedback_size, dtype=dtype))

    def forward(self, observation: torch.Tensor, time: float) -> Deterministic:
        angle = 2.0 * math.pi * self.log_frequency.exp() * time + self.phase
        logits = (self.offset + self.amplitude * torch.sin(angle)).expand(observation.shape[0], -1)
        if self.feedback is not None:
            logits = logits + observation @ self.feedback.T
        return Deterministic(squash(logits, self.bounds))
