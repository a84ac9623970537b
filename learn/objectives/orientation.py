"""Stay upright, and on course."""

from collections.abc import Sequence
from typing import Any

import torch

from pliant.learn.objectives.base import Objective, Trajectory, like, recorded
from pliant.sim.errors import InputError


class KeepOrientation(Objective):
    """How far a body has turned away from how it stood at rest, as a mean over frames.

    L = mean over frames of sum over axes e of (1 - a_e . e / |a_e|),   a_e = sum_i ((X_i - X_mean) . e) (x_i - x_mean)

    with rest positions X. a_e is the direction in which what lay along e at rest lies now: a turned body gives the cosine of
    the angle it turned by, a stretched one does not change it. The first frame, which is given, does not count.

    Args:
        name: positions, for example "crawler.position".
        rest: X [item, 3], in m.
        axes: coordinates e: 2 keeps the body upright, 0 keeps it from turning about z and from pitching.

    It logs `turned`. Errors: `InputError` for rest positions of another shape or axes that are none.
    """

    def __init__(self, name: str, rest: Any, *, axes: Sequence[int] = (0, 2)):
        self.name, self.axes = name, tuple(axes)
        self.rest = torch.as_tensor(rest)
        if self.rest.ndim != 2 or self.rest.shape[1] != 3 or not self.axes or not set(self.axes) <= {0, 1, 2}:
            raise InputError(
                f"{name}: expected rest positions [item, 3] and axes among 0, 1, 2, got {list(self.rest.shape)} and "
                f"{self.axes}; correct them."
            )

    def turned(self, trajectory: Trajectory) -> torch.Tensor:
        """[batch]."""
        positions = recorded(trajectory, self.name)[1:]
        rest = like(self.rest - self.rest.mean(0), positions)
        spread = positions - positions.mean(2, keepdim=True)
        total = positions.new_zeros(positions.shape[:2])
        for axis in self.axes:
            along = torch.einsum("i,fbic->fbc", rest[:, axis], spread)
            total = total + 1.0 - along[..., axis] / along.norm(dim=-1)
        return total.mean(0)

    def __call__(self, trajectory: Trajectory) -> torch.Tensor:
        return self.turned(trajectory)

    def metrics(self, trajectory: Trajectory) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            return {"turned": self.turned(trajectory)}
