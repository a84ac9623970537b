"""A closure from recorded moments: fitted to psi_4 point by point (a priori), then to the motion it makes (a posteriori)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pliant.learn.autograd import simulate
from pliant.learn.models.closures.base import closure_error
from pliant.learn.problem import Evaluation, Problem, Values
from pliant.learn.space import Unknown
from pliant.learn.torch_closure import TorchClosure
from pliant.sim.errors import InputError
from pliant.sim.rollout import Rollout


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moments:
    """Recorded moments of runs with their parameters, arrays [frame, run, ny, nx] (with a last axis of two but for c).

    Args:
        parameters: name -> [run], "activity" and "alignment" for example.
        times: of the frames.
        concentration, order, fourth, strain_rate: c, psi_2, psi_4, e.
    """

    parameters: Mapping[str, np.ndarray]
    times: np.ndarray
    concentration: np.ndarray
    order: np.ndarray
    fourth: np.ndarray
    strain_rate: np.ndarray

    @property
    def runs(self) -> int:
        return self.order.shape[1]

    def tensors(self, frames: Any, runs: Any, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
        """c, psi_2, e and psi_4 of frames and runs, which index the first two axes together.

        Where a run is resolved too poorly for |psi_2| <= c, psi_2 is its projection, as closures see it in the solver.
        """
        pick = lambda array: torch.as_tensor(array[frames, runs]).to(dtype)  # noqa: E731
        c, *pairs = map(pick, (self.concentration, self.order, self.strain_rate, self.fourth))
        psi2, e, psi4 = (torch.complex(pair[..., 0], pair[..., 1]) for pair in pairs)
        return c, psi2 * torch.clamp(c / psi2.abs().clamp_min(1e-12), max=1.0), e, psi4

    def joined(self, other: "Moments") -> "Moments":
        """These runs and the others."""
        if len(self.times) != len(other.times):
            raise InputError("joined: expected recordings of the same frames, got others; record them alike.")
        arrays = ("concentration", "order", "fourth", "strain_rate")
        made = {name: np.concatenate([getattr(self, name), getattr(other, name)], axis=1) for name in arrays}
        parameters = {n: np.concatenate([v, other.parameters[n]]) for n, v in self.parameters.items()}
        return Moments(parameters=parameters, times=self.times, **made)


class FitClosure(Problem):
    """Minimise the squared relative error of S at recorded moments, of frames and runs drawn for every evaluation.

    Args:
        closure: what is learned.
        data: the moments.
        frames: drawn for an evaluation.
    """

    def __init__(self, closure: TorchClosure, data: Moments, *, frames: int = 4):
        self.closure, self.data, self.frames = closure, data, frames
        super().__init__(_weights(closure), comparable=False)

    def compute(self, values: Values) -> Evaluation:
        data, dtype = self.data, next(self.closure.parameters()).dtype
        frames = torch.randint(len(data.times), (self.frames,)).numpy()
        runs = torch.randint(data.runs, (self.frames,)).numpy()
        error = _error_of_s(self.closure, values, data.tensors(frames, runs, dtype))
        return Evaluation(loss=error.square(), metrics={"closure_error": error})

    def install(self, theta: torch.Tensor) -> Values:
        return _install(self.closure, self.space.values(theta))


class FollowMoments(Problem):
    """Minimise the squared relative distance of the moments from the recorded ones, over windows from recorded states.

    L = sum over frames and points of |psi_2 - psi_2*|^2 / sum of |psi_2*|^2 + fit_weight (relative error of S)^2

    The error of S is that at the windows' first frames: it keeps what a short motion does not show.

    Args:
        closure: what is learned, and what closes the rollout's model.
        rollout: of a window, its batch the number of windows in an evaluation; records `concentration` and `order`.
        data: the moments, a frame every `record_every` steps of the rollout.
    """

    def __init__(self, closure: TorchClosure, rollout: Rollout, data: Moments, *, fit_weight: float = 1.0):
        self.closure, self.rollout, self.data, self.fit_weight = closure, rollout, data, fit_weight
        self.frames = len(rollout.frame_steps)
        self.name = rollout.model.name  # type: ignore[attr-defined]
        if self.frames > len(data.times):
            raise InputError(f"window: expected at most {len(data.times)} frames, got {self.frames}; shorten it.")
        spacing = (data.times[1] - data.times[0], rollout.record_every * rollout.model.dt)
        if abs(spacing[1] - spacing[0]) > 1e-6 * spacing[0]:
            raise InputError(
                f"window: expected a frame every {spacing[0]:g} s as in the data, got every {spacing[1]:g} s; correct it."
            )
        super().__init__(_weights(closure), environments=rollout.batch, comparable=False, steps_per_call=rollout.steps)

    def compute(self, values: Values) -> Evaluation:
        _install(self.closure, values)  # the closure re-reads its weights in backward
        batch, data, name = self.rollout.batch, self.data, self.name
        first = torch.randint(len(data.times) - self.frames + 1, (batch,)).numpy()
        runs = torch.randint(data.runs, (batch,)).numpy()
        given: dict[str, Any] = {f"{name}.{n}": value[runs] for n, value in data.parameters.items()}
        given[f"{name}.concentration"] = data.concentration[first, runs]
        given[f"{name}.order"] = data.order[first, runs]
        trajectory = torch.func.functional_call(_Run(self.rollout, self.closure), _of_run(values), (given,))
        wanted = torch.stack([torch.as_tensor(data.order[first + k, runs]) for k in range(1, self.frames)])
        made = trajectory[f"{name}.order"][1:]
        motion = (made - wanted.to(made)).square().sum() / wanted.square().sum()
        error = _error_of_s(self.closure, values, data.tensors(first, runs, made.dtype))
        metrics = {"order_error": motion.detach().sqrt(), "closure_error": error.detach()}
        return Evaluation(loss=motion + self.fit_weight * error.square(), metrics=metrics)

    def install(self, theta: torch.Tensor) -> Values:
        return _install(self.closure, self.space.values(theta))


class _Run(torch.nn.Module):
    def __init__(self, rollout: Rollout, closure: TorchClosure):
        super().__init__()
        self.rollout, self.closure = rollout, closure

    def forward(self, values: Mapping[str, Any]) -> Mapping[str, torch.Tensor]:
        return simulate(self.rollout, values)


def disagreement(networks: Sequence[torch.nn.Module], data: Moments, dtype: torch.dtype) -> np.ndarray:
    """How far closures are apart on the moments of each run [run]: root mean square about their mean, over the size of S."""
    found = []
    frames = np.arange(len(data.times))
    with torch.no_grad():
        for run in range(data.runs):
            c, psi2, e, _ = data.tensors(frames, run, dtype)
            made = torch.stack([network(c, psi2, e) for network in networks])
            mean = made.mean(0)
            found.append([float(closure_error(c, psi2, mean, one)) ** 2 for one in made])
    return np.sqrt(np.mean(found, axis=1))


def _weights(closure: TorchClosure) -> list[Unknown]:
    return [Unknown(name=name, initial=weight) for name, weight in closure.named_parameters()]


def _error_of_s(closure: TorchClosure, values: Values, moments: tuple[torch.Tensor, ...]) -> torch.Tensor:
    c, psi2, e, psi4 = moments
    return closure_error(c, psi2, psi4, torch.func.functional_call(closure.network, _of_network(values), (c, psi2, e)))


def _of_network(values: Values) -> Values:
    return {name.removeprefix("network."): value for name, value in values.items()}


def _of_run(values: Values) -> Values:
    return {f"closure.{name}": value for name, value in values.items()}


def _install(closure: TorchClosure, values: Values) -> Values:
    with torch.no_grad():
        for name, weight in closure.named_parameters():
            weight.copy_(values[name])
    return values
