"""What objectives of point clouds share: clouds over time, held against the positions of a body."""

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pliant.learn.objectives.base import SquaredObjective, Trajectory, recorded
from pliant.sim.errors import InputError
from pliant.sim.trajectory import host_array


class CloudObjective(SquaredObjective):
    """The mean over frames of a squared distance between a body's positions and a cloud without correspondence.

    Args:
        name: positions [frame, batch, item, 3], for example "jelly.position".
        clouds: for every frame of the trajectory the points seen, [item, 3] in m; their number may change.
        length: what counts as a distance of one [m].

    It logs `cloud_distance` [m], the root of the mean squared distance. Errors: `InputError` for clouds that are empty or
    not finite, or for another number of frames.
    """

    def __init__(self, name: str, clouds: Sequence[Any], *, length: float = 1.0):
        self.name, self.length = name, length
        self.clouds = [np.ascontiguousarray(host_array(cloud), np.float64) for cloud in clouds]
        for frame, cloud in enumerate(self.clouds):
            if cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud) or not np.isfinite(cloud).all():
                raise InputError(
                    f"clouds: expected finite points [item, 3], got {list(cloud.shape)} in frame {frame}; fix it."
                )

    def residuals(self, trajectory: Trajectory) -> torch.Tensor:
        """[batch, m] with loss = |residuals|^2 / 2, for the assignment of these positions."""
        positions = recorded(trajectory, self.name)
        if positions.ndim != 4 or len(positions) != len(self.clouds):
            raise InputError(
                f"{self.name}: expected {[len(self.clouds), 'batch', 'item', 3]}, a frame a cloud, got {list(positions.shape)}; "
                "record the frames of the clouds."
            )
        weight = (2.0 / len(self.clouds)) ** 0.5 / self.length
        return torch.cat([weight * self._differences(frame, x) for frame, x in enumerate(positions)], dim=1)

    def measures(self, loss: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"cloud_distance": self.length * loss.sqrt()}

    @abc.abstractmethod
    def _differences(self, frame: int, x: torch.Tensor) -> torch.Tensor:
        """[batch, m] whose squares sum to the squared distance of x [batch, item, 3] from the cloud of a frame [m]."""
