"""What is wanted of a trajectory: a loss for each environment, and how losses add up."""

import abc
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from pliant.sim.errors import InputError

Trajectory = Mapping[str, torch.Tensor]


class Objective(abc.ABC):
    """A loss [batch] of a trajectory, which maps names to tensors [frame, batch, item, ...].

    Objectives add up with weights, like numbers: `DistanceTravelled("crawler.position") + 0.1 * ControlEffort(...)`.
    """

    @abc.abstractmethod
    def __call__(self, trajectory: Trajectory) -> torch.Tensor:
        """The loss of each environment, [batch]; what a method minimises is its mean."""

    def residuals(self, trajectory: Trajectory) -> torch.Tensor | None:
        """[batch, m] with loss = |residuals|^2 / 2, where the loss is a sum of squares; otherwise None."""
        return None

    def metrics(self, trajectory: Trajectory) -> dict[str, torch.Tensor]:
        """What a user wants to watch, each [batch], by name and in its own unit."""
        return {}

    def judge(self, trajectory: Trajectory) -> "Judgement":
        """Loss, residuals and metrics at once; an objective in which they share work shares it here."""
        return Judgement(self(trajectory), self.residuals(trajectory), self.metrics(trajectory))

    def __add__(self, other: "Objective") -> "Objective":
        return _Sum([*_terms(self), *_terms(other)]) if isinstance(other, Objective) else NotImplemented

    def __mul__(self, weight: float) -> "Objective":
        if not isinstance(weight, int | float):
            return NotImplemented
        return _Sum([(weight * w, term) for w, term in _terms(self)])

    __rmul__ = __mul__

    def __neg__(self) -> "Objective":
        return -1.0 * self

    def __sub__(self, other: "Objective") -> "Objective":
        return self + -1.0 * other if isinstance(other, Objective) else NotImplemented


class Judgement(NamedTuple):
    """What an objective says of one trajectory: see `Objective`."""

    loss: torch.Tensor
    residuals: torch.Tensor | None
    metrics: dict[str, torch.Tensor]


class SquaredObjective(Objective):
    """An objective that is a sum of squares and says so: L = |r|^2 / 2."""

    @abc.abstractmethod
    def residuals(self, trajectory: Trajectory) -> torch.Tensor:
        """r, [batch, m]."""

    def measures(self, loss: torch.Tensor) -> dict[str, torch.Tensor]:
        """The metrics of a loss [batch], detached."""
        return {}

    def __call__(self, trajectory: Trajectory) -> torch.Tensor:
        return self.residuals(trajectory).square().sum(1) / 2

    def metrics(self, trajectory: Trajectory) -> dict[str, torch.Tensor]:
        return self.measures(self(trajectory).detach())

    def judge(self, trajectory: Trajectory) -> Judgement:
        residuals = self.residuals(trajectory)
        loss = residuals.square().sum(1) / 2
        return Judgement(loss, residuals, self.measures(loss.detach()))


class _Sum(Objective):
    """sum_i w_i L_i; residuals are sqrt(w_i) r_i, side by side, if every term has some and no weight is negative."""

    def __init__(self, terms: list[tuple[float, Objective]]):
        self.terms = terms

    def __call__(self, trajectory: Trajectory) -> torch.Tensor:
        return torch.stack([w * term(trajectory) for w, term in self.terms]).sum(0)

    def residuals(self, trajectory: Trajectory) -> torch.Tensor | None:
        parts = [term.residuals(trajectory) for _, term in self.terms]
        if any(part is None for part in parts) or min(w for w, _ in self.terms) < 0.0:
            return None
        weighed = [math.sqrt(w) * part for (w, _), part in zip(self.terms, parts, strict=True) if part is not None]
        return torch.cat(weighed, dim=1)

    def metrics(self, trajectory: Trajectory) -> dict[str, torch.Tensor]:
        return {name: value for _, term in self.terms for name, value in term.metrics(trajectory).items()}


def _terms(objective: Objective) -> list[tuple[float, Objective]]:
    return objective.terms if isinstance(objective, _Sum) else [(1.0, objective)]


def recorded(trajectory: Trajectory, name: str) -> torch.Tensor:
    """The array of a trajectory; `InputError` naming those there are when it has none of that name."""
    if name not in trajectory:
        raise InputError(f"objective: expected one of {sorted(trajectory)}, got {name!r}; record it or correct it.")
    return trajectory[name]


def centers(trajectory: Trajectory, name: str) -> torch.Tensor:
    """Centre of equal masses, [frame, batch, 3], of positions [frame, batch, item, 3]."""
    positions = recorded(trajectory, name)
    if positions.ndim != 4:
        raise InputError(f"{name}: expected [frame, batch, item, 3], got {list(positions.shape)}; name positions.")
    return positions.mean(2)


def like(value: Any, tensor: torch.Tensor) -> torch.Tensor:
    """The value as a tensor of the same dtype and device."""
    return torch.as_tensor(value, dtype=tensor.dtype, device=tensor.device)
