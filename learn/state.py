"""What changes during a training, as one dictionary: the protocol that methods, estimators and problems share."""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from pliant.sim.errors import InputError


class Stateful:
    """Something whose attributes named in STATE change during a training.

    `state_dict` holds them all, copied, and `load_state_dict` puts them back, so that a resumed training continues bit for
    bit. An attribute that keeps its own state (a module, an optimiser, an estimator, a problem: whatever has `state_dict` and
    `load_state_dict`) or is a `torch.Generator` stays the object it is; everything else is copied and replaced. What is to
    survive the disk holds tensors, numbers, text and lists or dictionaries of them.
    """

    STATE: ClassVar[tuple[str, ...]] = ()

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes, copied."""
        return {name: _taken(getattr(self, name)) for name in self.STATE}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave. Errors: `InputError` where it lacks something, as that of another version does."""
        missing = [name for name in self.STATE if name not in state]
        if missing:
            expected = f"{', '.join(missing)} in the state of {type(self).__name__}"
            raise InputError(f"resume: expected {expected}, found none; start a new run, or use the version that saved it.")
        for name in self.STATE:
            mine = getattr(self, name)
            if isinstance(mine, torch.Generator):
                mine.set_state(state[name])
            elif _keeps_state(mine):
                mine.load_state_dict(copy.deepcopy(state[name]))  # an optimiser keeps the tensors it is given
            else:
                setattr(self, name, copy.deepcopy(state[name]))


def _keeps_state(value: Any) -> bool:
    return hasattr(value, "state_dict") and hasattr(value, "load_state_dict")


def _taken(value: Any) -> Any:
    if isinstance(value, torch.Generator):
        return value.get_state()
    return copy.deepcopy(value.state_dict() if _keeps_state(value) else value)
