"""Go far."""

from collections.abc import Sequence

import torch

from pliant.learn.objectives.base import Objective, Trajectory, centers, like
from pliant.sim.errors import InputError


class DistanceTravelled(Objective):
    """Minus the distance [m] that the centre of mass travels along a direction, from the first frame to the last.

    L = -(c(T) - c(0)) . d / |d|

    Args:
        name: positions, for example "crawler.position".
        direction: d, any length.

    It logs `distance` [m]. Errors: `InputError` for a direction of no length.
    """

    def __init__(self, name: str, *, direction: Sequence[float] = (1.0, 0.0, 0.0)):
        self.name, length = name, float(torch.tensor(direction, dtype=torch.float64).norm())
        if len(direction) != 3 or not length > 0.0:
            raise InputError(f"direction: expected three numbers that are not all zero, got {direction}; correct it.")
        self.direction = [component / length for component in direction]

    def distance(self, trajectory: Trajectory) -> torch.Tensor:
        """[batch], in metres."""
        center = centers(trajectory, self.name)
        return (center[-1] - center[0]) @ like(self.direction, center)

    def __call__(self, trajectory: Trajectory) -> torch.Tensor:
        return -self.distance(trajectory)

    def metrics(self, trajectory: Trajectory) -> dict[str, torch.Tensor]:
        return {"distance": self.distance(trajectory)}
