"""The gradient audit for a loss written in torch."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from pliant import sim
from pliant.sim import GradientReport, Rollout, Trajectory


def check_gradients(
    rollout: Rollout,
    loss: Callable[[Trajectory], torch.Tensor],
    values: Mapping[str, Any] | None = None,
    **options: Any,
) -> GradientReport:
    """`sim.check_gradients` of a scalar torch loss of the trajectory, whose arrays are tensors [frame, batch, item, ...].

    Args:
        rollout, values, options: those of `sim.check_gradients`.
        loss: trajectory -> scalar tensor; its own derivatives come from torch.
    """

    def with_adjoints(trajectory: Trajectory) -> tuple[float, dict[str, np.ndarray]]:
        recorded = [name for name in trajectory if not name.endswith(".pose")]
        leaves = {name: torch.from_numpy(trajectory[name].copy()).requires_grad_() for name in recorded}
        poses = {name: torch.from_numpy(trajectory[name].copy()) for name in trajectory if name not in leaves}
        value = loss(Trajectory(times=trajectory.times, arrays={**leaves, **poses}, metadata=trajectory.metadata))
        gradients = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        found = zip(leaves, gradients, strict=True)
        return float(value.detach()), {name: g.numpy() for name, g in found if g is not None}

    return sim.check_gradients(rollout, with_adjoints, values, **options)
