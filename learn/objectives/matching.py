"""Move like that."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from pliant.learn.objectives.base import Objective, Trajectory, like, recorded
from pliant.sim.errors import InputError
from pliant.sim.trajectory import host_array


class TrajectoryMatching(Objective):
    """Mean squared difference from a reference trajectory, over frames and items.

    L = sum_name mean_{t, i} |x_ti - x*_ti|^2 / scale_name^2,   |.| over the components of one item

    Args:
        reference: name -> array [frame, batch or 1, item, ...], for example a `Trajectory`.
        scales: name -> what counts as a difference of one, in the array's own unit; the names are those compared.

    It logs `mismatch`, the root of L. Errors: `InputError` for a name that is missing or shapes that differ.
    """

    def __init__(self, reference: Mapping[str, Any], *, scales: Mapping[str, float]):
        missing = sorted(set(scales) - set(reference))
        if missing or not scales:
            raise InputError(f"scales: expected some of {sorted(reference)}, got {list(scales)}; correct the names.")
        self.reference = {name: torch.from_numpy(host_array(reference[name]).copy()) for name in scales}
        self.scales = dict(scales)

    def residuals(self, trajectory: Trajectory) -> torch.Tensor:
        return torch.cat([self._residual(trajectory, name) for name in self.scales], dim=1)

    def __call__(self, trajectory: Trajectory) -> torch.Tensor:
        return self.residuals(trajectory).square().sum(1) / 2

    def metrics(self, trajectory: Trajectory) -> dict[str, torch.Tensor]:
        return {"mismatch": self(trajectory).detach().sqrt()}

    def _residual(self, trajectory: Trajectory, name: str) -> torch.Tensor:
        """sqrt(2 / (frames items)) (x - x*) / scale, [batch, m]."""
        array, wanted = recorded(trajectory, name), self.reference[name]
        frames, batch, items = array.shape[:3]
        if wanted.shape != array.shape and wanted.shape != (frames, 1, *array.shape[2:]):
            shapes = f"{list(array.shape)} as in the trajectory, got {list(wanted.shape)}"
            raise InputError(f"reference {name}: expected {shapes}; resample it or record the same frames.")
        difference = (array - like(wanted, array)) * (math.sqrt(2.0 / (frames * items)) / self.scales[name])
        return difference.transpose(0, 1).reshape(batch, -1)
