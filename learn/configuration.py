"""What a training was configured by, as JSON that can be compared when it is resumed."""

import dataclasses
import inspect
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pliant.learn.problem import Problem
from pliant.learn.state import Stateful
from pliant.sim.errors import InputError

RUNNING = ("environments", "parallel", "comparable", "smooth", "may_fail", "backward_calls")
LISTED = 64  # entries of a tensor that are written out; of a larger one its shape, sum and norm stand for it


def described_by(value: Any) -> Any:
    """The options of a dataclass, and whatever they hold, as numbers, text, lists and dictionaries.

    A module or another object is known by its class, a function by its name; a method or an estimator with a constructor of
    its own by the arguments it keeps. Fields whose metadata has `may_change` are in "may_change", apart.
    """
    if isinstance(value, torch.Tensor):
        return _of_tensor(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [described_by(v) for v in value]
    if isinstance(value, Mapping):
        return {str(name): described_by(v) for name, v in value.items()}
    if isinstance(value, Stateful) and not isinstance(value, Problem):
        return {**_of_fields(value), **_of_arguments(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _of_fields(value)
    return _single(value)


def _of_fields(value: Any) -> dict[str, Any]:
    """The class of a dataclass or of another object, and the fields of a dataclass."""
    fields = [f for f in dataclasses.fields(value) if f.init] if dataclasses.is_dataclass(value) else []
    fixed = {f.name: described_by(getattr(value, f.name)) for f in fields if not f.metadata.get("may_change")}
    free = {f.name: described_by(getattr(value, f.name)) for f in fields if f.metadata.get("may_change")}
    return {"name": type(value).__name__, **fixed, **({"may_change": free} if free else {})}


def _of_arguments(value: Any) -> dict[str, Any]:
    """The arguments of a class with a constructor of its own, as far as it keeps them under their names."""
    fields = {f.name for f in dataclasses.fields(value)} if dataclasses.is_dataclass(value) else set()
    names = inspect.signature(type(value).__init__).parameters.keys() - fields
    return {name: described_by(held) for name, held in vars(value).items() if name in names}


def _single(value: Any) -> Any:
    """A number or text, or what stands for something else."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return _of_tensor(torch.as_tensor(value)) if value.ndim else described_by(value.item())
    if isinstance(value, pathlib.Path | torch.distributions.Distribution):
        return str(value)
    return getattr(value, "__qualname__", type(value).__qualname__)


def describe_problem(problem: Problem, start: Any = None) -> dict[str, Any]:
    """What of a problem does not change during a training: its class, how it runs, its unknowns and constants, and the start."""
    unknowns = {
        u.name: {
            "shape": list(u.shape),
            **{
                n: described_by(getattr(u, n))
                for n in ("lower", "upper", "scale", "spread", "kind", "choices", "prior")
            },
        }
        for u in problem.space.unknowns
    }
    running = {name: getattr(problem, name) for name in RUNNING}
    constants = described_by(getattr(problem, "constants", {}))
    return {
        "name": type(problem).__name__,
        **running,
        "unknowns": unknowns,
        "constants": constants,
        "start": described_by(start),
    }


def check_same(saved: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    """Raise `InputError` naming every option that differs; those that may change, or that the old run did not say, may."""
    different = [f"{name}={theirs} (got {ours})" for name, theirs, ours in _pairs(saved, mine, "") if theirs != ours]
    if different:
        listed = ", ".join(different)
        raise InputError(f"resume: expected the run's own {listed}; give the same options or choose another folder.")


def _pairs(saved: Mapping[str, Any], mine: Mapping[str, Any], prefix: str) -> list[tuple[str, Any, Any]]:
    found = []
    for name in saved.keys() & mine.keys() - {"may_change"}:
        theirs, ours = saved[name], mine[name]
        if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
            if name == "unknowns" and theirs.keys() != ours.keys():
                found.append((name, sorted(theirs), sorted(ours)))
            found += _pairs(theirs, ours, f"{prefix}{name}.")
        else:
            found.append((prefix + name, theirs, ours))
    return sorted(found, key=lambda pair: pair[0])


def _of_tensor(tensor: torch.Tensor) -> Any:
    given = tensor.detach().cpu()
    if given.numel() <= LISTED:
        return given.tolist()
    return {"shape": list(given.shape), "sum": float(given.double().sum()), "norm": float(given.double().norm())}
