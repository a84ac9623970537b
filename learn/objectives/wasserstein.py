"""Be distributed as the points that were seen."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pliant.learn.objectives.base import like
from pliant.learn.objectives.clouds import CloudObjective


class SlicedWasserstein(CloudObjective):
    """Squared Wasserstein distance between projections on lines, averaged over frames.

    L = mean_t mean_R sum_{axes a of R} W2^2(a . x, a . y) / length^2

    with fixed random frames R of three orthogonal axes, so that a cloud that moves by d has L = |d|^2 / length^2 exactly,
    and any two clouds at most their squared Wasserstein distance. On a line W2^2 is the integral of the squared difference
    of the quantile functions: that of sorted points where the numbers agree, and on the common refinement of both
    staircases where they do not, which is exact too.

    Args:
        frames: number of orthogonal frames; three directions each.
        seed: of the frames.

    Source: Rabin et al., Wasserstein barycenter and its application to texture mixing, SSVM 2011, section 3; Rowland et
        al., Orthogonal estimation of Wasserstein distances, AISTATS 2019.
    """

    def __init__(self, name: str, clouds: Sequence[Any], *, length: float = 1.0, frames: int = 8, seed: int = 0):
        super().__init__(name, clouds, length=length)
        self.directions = random_frames(frames, seed)
        self._sorted = [np.sort(self.directions @ cloud.T, axis=1) for cloud in self.clouds]

    def _differences(self, frame: int, x: torch.Tensor) -> torch.Tensor:
        seen, directions = like(self._sorted[frame], x), like(self.directions, x)
        mine = (x @ directions.T).mT.sort(dim=2).values
        left, right, shares = quantile_pairs(mine.shape[2], seen.shape[1])
        weights = like(np.sqrt(shares * 3.0 / len(directions)), x)
        return ((mine[:, :, left] - seen[:, right]) * weights).flatten(1)


def random_frames(count: int, seed: int) -> np.ndarray:
    """Unit vectors [3 count, 3], three by three orthogonal, uniformly turned."""
    normal = np.random.default_rng(seed).standard_normal((count, 3, 3))
    return np.linalg.qr(normal)[0].transpose(0, 2, 1).reshape(-1, 3)


def quantile_pairs(items: int, others: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which point of each of two sorted clouds holds which share of the mass: indices [m], indices [m] and shares [m]."""
    if items == others:
        index = np.arange(items)
        return index, index, np.full(items, 1.0 / items)
    edges = np.union1d(np.arange(1, items + 1) * others, np.arange(1, others + 1) * items)  # whole numbers: exact
    middles = np.diff(edges, prepend=0) / 2.0
    centre = edges - middles
    left, right = (centre / others).astype(int), (centre / items).astype(int)
    return left, right, 2.0 * middles / (items * others)
