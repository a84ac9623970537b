"""Spend little."""

import math

import torch

from pliant.learn.models.controller import Controller
from pliant.learn.objectives.base import Objective, Trajectory, recorded


class ControlEffort(Objective):
    """Mean square of the controls, L = mean_{k, c} a_kc^2, over control steps and channels.

    Args:
        source: the `Controller` whose actions are meant, or the name of a recorded array [step, batch, channel].

    It logs `effort`, which is L.
    """

    def __init__(self, source: Controller | str):
        self.source = source

    def actions(self, trajectory: Trajectory) -> torch.Tensor:
        """[step, batch, channel]."""
        return recorded(trajectory, self.source) if isinstance(self.source, str) else self.source.recorded_actions()

    def residuals(self, trajectory: Trajectory) -> torch.Tensor:
        actions = self.actions(trajectory)
        rows = actions.transpose(0, 1).reshape(actions.shape[1], -1)
        return rows * math.sqrt(2.0 / rows.shape[1])

    def __call__(self, trajectory: Trajectory) -> torch.Tensor:
        return self.residuals(trajectory).square().sum(1) / 2

    def metrics(self, trajectory: Trajectory) -> dict[str, torch.Tensor]:
        return {"effort": self(trajectory).detach()}
