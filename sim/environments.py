"""Environments of a batch one by one: those that ended early, and those that begin again."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from pliant.sim.errors import InputError


def without(adjoints: Any, ended: Collection[int], batch: int) -> Any:
    """Adjoints by name, [frame, batch, ...], with zeros for the environments that ended."""
    if not ended or not isinstance(adjoints, Mapping):
        return adjoints
    made = {name: np.array(value) for name, value in adjoints.items()}
    for value in made.values():
        if value.ndim >= 2 and value.shape[1] == batch:
            value[:, sorted(ended)] = 0
    return made


def mixed(binding: Any, state: Any, other: Any, environments: Collection[int]) -> dict[str, np.ndarray]:
    """The arrays of `state`, in these environments those of `other`."""
    arrays = {name: np.array(array) for name, array in state.arrays().items()}
    mine, theirs = binding.views(arrays), binding.views(other.arrays())
    chosen = sorted(environments)
    for name, view in mine.items():
        view[chosen] = theirs[name][chosen]
    return binding.unite(mine, np.concatenate)


def check_environments(environments: Any, batch: int) -> list[int]:
    """Numbers of environments; `InputError` for others."""
    chosen = list(environments) if isinstance(environments, (Collection, np.ndarray)) else [environments]
    if isinstance(environments, str) or not all(
        isinstance(e, (int, np.integer)) and not isinstance(e, bool) and 0 <= e < batch for e in chosen
    ):
        raise InputError(f"environments: expected numbers from 0 to {batch - 1}, got {environments!r}; correct them.")
    return [int(e) for e in chosen]
