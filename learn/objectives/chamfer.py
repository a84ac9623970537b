"""Be where points were seen, each near one of them and one of them near each."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.spatial import KDTree

from pliant.learn.objectives.base import like
from pliant.learn.objectives.clouds import CloudObjective


class Chamfer(CloudObjective):
    """Symmetric squared Chamfer distance, averaged over frames.

    L = mean_t (mean_i min_j |x_i - y_j|^2 + mean_j min_i |x_i - y_j|^2) / (2 length^2)

    The nearest neighbours are exact (a k-d tree on the CPU, all distances elsewhere); where they do not change, which is
    almost everywhere, the gradient is that of the squared distances to them.

    A cloud that moves by d, less than half the distance between its points, has L = |d|^2 / length^2. Far away, many
    points share one neighbour and the pull on the others is lost: `SlicedWasserstein` sees every point at any distance.

    Source: Barrow et al., Parametric correspondence and chamfer matching, IJCAI 1977; Fan et al., A point set generation
        network, CVPR 2017, eq. 1.
    """

    def __init__(self, name: str, clouds: Sequence[Any], *, length: float = 1.0):
        super().__init__(name, clouds, length=length)
        self._trees = [KDTree(cloud) for cloud in self.clouds]

    def _differences(self, frame: int, x: torch.Tensor) -> torch.Tensor:
        y = like(self.clouds[frame], x)
        there, back = self._nearest(frame, x.detach(), y)
        forth = (x - y[there]) / math.sqrt(2.0 * x.shape[1])
        rows = torch.arange(len(x), device=x.device)[:, None]
        home = (x[rows, back] - y) / math.sqrt(2.0 * len(y))
        return torch.cat([forth.flatten(1), home.flatten(1)], dim=1)

    def _nearest(self, frame: int, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Index into y of the point nearest to each x, [batch, item], and into x of that nearest to each y, [batch, point]."""
        host = _host(x)
        if host is None:
            distances = torch.cdist(x, y.expand(len(x), -1, -1), compute_mode="donot_use_mm_for_euclid_dist")
            return distances.argmin(2), distances.argmin(1)
        there = [self._trees[frame].query(points)[1] for points in host]
        back = [KDTree(points).query(self.clouds[frame])[1] for points in host]
        return torch.from_numpy(np.stack(there)), torch.from_numpy(np.stack(back))


def _host(x: torch.Tensor) -> np.ndarray | None:
    """The tensor's memory as NumPy sees it; None on a GPU and inside the transforms of torch.func, where there is none."""
    try:
        return None if x.is_cuda else x.numpy()
    except RuntimeError:
        return None
