"""Be there."""

import math
from typing import Any

import torch

from pliant.learn.objectives.base import Objective, Trajectory, centers, like


class TargetPosition(Objective):
    """Squared distance [m^2] of the centre of mass from a target, L = |c(t) - c*|^2, at one frame.

    Args:
        name: positions, for example "jelly.position".
        target: c*, [3] or [batch, 3], in metres.
        frame: which one; the last by default.

    It logs `target_distance` [m].
    """

    def __init__(self, name: str, target: Any, *, frame: int = -1):
        self.name, self.target, self.frame = name, target, frame

    def offset(self, trajectory: Trajectory) -> torch.Tensor:
        """c - c*, [batch, 3], in metres."""
        center = centers(trajectory, self.name)[self.frame]
        return center - like(self.target, center)

    def __call__(self, trajectory: Trajectory) -> torch.Tensor:
        return self.offset(trajectory).square().sum(-1)

    def residuals(self, trajectory: Trajectory) -> torch.Tensor:
        return math.sqrt(2.0) * self.offset(trajectory)

    def metrics(self, trajectory: Trajectory) -> dict[str, torch.Tensor]:
        return {"target_distance": self.offset(trajectory).detach().norm(dim=-1)}
