"""Look when the camera looked: an objective of a trajectory at other times than its frames."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pliant.learn.objectives.base import Judgement, Objective, Trajectory
from pliant.sim.errors import InputError

SNAP = 1e-6  # of a substep: closer times are the same time, written with other digits


class AtTimes(Objective):
    """An objective of the trajectory at given times, between whose frames it is interpolated linearly.

    x(t) = (1 - s) x(t_k) + s x(t_k+1),   s = (t - t_k) / (t_k+1 - t_k)

    With the frames `substeps_around(times, dt)` recorded, these are the two nearest substeps, and the error of a smooth
    motion is dt^2 |x''| / 8 at most.

    Args:
        objective: what is wanted at these times: it sees as many frames as there are times.
        times: [s] from the start of the trajectory, increasing.

    Errors: `InputError` for a trajectory without times, or one that ends before the last of them.
    """

    def __init__(self, objective: Objective, times: Sequence[float] | np.ndarray):
        self.objective, self.times = objective, np.asarray(times, np.float64)

    def __call__(self, trajectory: Trajectory) -> torch.Tensor:
        return self.objective(self._seen(trajectory))

    def residuals(self, trajectory: Trajectory) -> torch.Tensor | None:
        return self.objective.residuals(self._seen(trajectory))

    def metrics(self, trajectory: Trajectory) -> dict[str, torch.Tensor]:
        return self.objective.metrics(self._seen(trajectory))

    def judge(self, trajectory: Trajectory) -> Judgement:
        return self.objective.judge(self._seen(trajectory))

    def _seen(self, trajectory: Any) -> Trajectory:
        """The arrays of the trajectory at the times."""
        if not hasattr(trajectory, "times"):
            raise InputError(
                f"AtTimes: expected a trajectory with times, got {type(trajectory).__name__}; simulate one."
            )
        low, high, share = brackets(np.asarray(trajectory.times, np.float64), self.times)
        return {name: _between(array, low, high, share) for name, array in trajectory.items()}


def brackets(frames: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The frames before and after each time, and its share of the way between them.

    Errors: `InputError` for times outside the frames.
    """
    slack = SNAP * float(np.diff(frames).min(initial=np.inf)) if len(frames) > 1 else 0.0
    if len(times) and not (frames[0] - slack <= times.min() and times.max() <= frames[-1] + slack):
        raise InputError(
            f"times: expected from {frames[0]:g} to {frames[-1]:g} s, got {times.min():g} to {times.max():g} s; simulate longer."
        )
    high = np.clip(np.searchsorted(frames, times - slack, side="left"), 0, len(frames) - 1)
    low = np.where(np.abs(frames[high] - times) <= slack, high, np.maximum(high - 1, 0))
    span = np.where(high > low, frames[high] - frames[low], 1.0)
    return low, high, np.where(high > low, (times - frames[low]) / span, 0.0)


def substeps_around(times: np.ndarray, dt: float) -> list[int]:
    """The substeps that `AtTimes` needs: those at or on both sides of each time [s]."""
    steps = np.asarray(times, np.float64) / dt
    nearest = np.round(steps)
    exact = np.abs(steps - nearest) <= SNAP
    low, high = np.where(exact, nearest, np.floor(steps)), np.where(exact, nearest, np.ceil(steps))
    return sorted({int(step) for step in (*low, *high)})


def _between(array: torch.Tensor, low: np.ndarray, high: np.ndarray, share: np.ndarray) -> torch.Tensor:
    if not share.any():
        return array[low]
    weight = torch.as_tensor(share, dtype=array.dtype, device=array.device).reshape(-1, *[1] * (array.ndim - 1))
    return (1.0 - weight) * array[low] + weight * array[high]
