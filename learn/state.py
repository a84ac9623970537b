"""What changes during a training, as one dictionary: the protocol that methods, estimators and problems share."""

import copy
import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint

from pliant.sim.errors import InputError


class Stateful:
    """Something whose attributes named in STATE change during a training.

    `state_dict` holds them all, copied, and `load_state_dict` puts them back, so that a resumed training continues bit for
    bit. An attribute that keeps its own state (a module, an optimiser, an estimator, a problem: whatever has `state_dict` and
    `load_state_dict`), a tensor that requires a gradient, which an optimiser may hold, or a `torch.Generator` stays the object
    it is, in a list or dictionary too, so that it has to be there before the state is put back; everything else is copied and
    replaced. What is to survive the disk holds tensors, numbers, text and lists or dictionaries of them.
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
            raise InputError(
                f"resume: expected {expected}, found none; start a new run, or use the version that saved it."
            )
        for name in self.STATE:
            if getattr(self, name) is None and _is_kept(state[name]):
                raise InputError(
                    f"resume: expected {name} of {type(self).__name__}, whose state was saved, to be there from the start, got None; make "
                    "it where the state is set to its start."
                )
            setattr(self, name, _put_back(getattr(self, name), state[name]))


def written(state: Mapping[str, Any]) -> bytes:
    """A state as a file that can be read without running code. Errors: `InputError` naming what cannot be read back."""
    made = _as_file(state)
    if made is None:
        raise InputError(
            "run: expected a state of tensors, numbers, text, lists and dictionaries of them, modules and optimisers, got "
            f"{_misfit(state)}; convert it, or leave it out of STATE."
        )
    return made


def _as_file(value: Any) -> bytes | None:
    """The bytes of a file, or None where loading them would run code or they cannot be made."""
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
    except (pickle.PicklingError, AttributeError, TypeError):  # what pickle raises, by the kind of thing
        return None
    buffer.seek(0)
    return None if get_unsafe_globals_in_checkpoint(buffer) else buffer.getvalue()


def _misfit(value: Any, where: str = "") -> str:
    """The first part of a state that cannot be written, in words; empty if there is none."""
    if isinstance(value, Mapping | list | tuple):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        return next(filter(None, (_misfit(part, f"{where}.{name}") for name, part in parts)), "")
    return f"{type(value).__name__} as {where.lstrip('.')}" if _as_file(value) is None else ""


def _keeps_state(value: Any) -> bool:
    return hasattr(value, "state_dict") and hasattr(value, "load_state_dict")


def _is_kept(saved: Any) -> bool:
    """Whether it is the state of a module or an optimiser."""
    return isinstance(saved, OrderedDict) or (isinstance(saved, dict) and saved.keys() == {"state", "param_groups"})


def _taken(value: Any) -> Any:
    """A copy of what an attribute holds."""
    if isinstance(value, torch.Generator):
        return value.get_state()
    if _keeps_state(value):
        return copy.deepcopy(value.state_dict())
    if type(value) in (list, tuple):
        return type(value)(_taken(part) for part in value)
    if type(value) is dict:
        return {name: _taken(part) for name, part in value.items()}
    return value.detach().clone() if isinstance(value, torch.Tensor) and not value.is_leaf else copy.deepcopy(value)


def _put_back(mine: Any, saved: Any) -> Any:
    """What an attribute is to hold: itself with the saved state, where others know it, or a copy of what was saved."""
    if isinstance(mine, torch.Generator):
        mine.set_state(saved)
        return mine
    if _keeps_state(mine):
        mine.load_state_dict(copy.deepcopy(saved))  # an optimiser keeps the tensors it is given
        return mine
    if isinstance(mine, torch.Tensor) and mine.requires_grad and mine.is_leaf and isinstance(saved, torch.Tensor):
        with torch.no_grad():
            return mine.copy_(saved)  # an optimiser holds it
    if type(mine) in (list, tuple) and type(mine) is type(saved) and len(mine) == len(saved):
        return type(mine)(_put_back(*pair) for pair in zip(mine, saved, strict=True))
    if type(mine) is dict and isinstance(saved, dict) and mine.keys() == saved.keys():
        return {name: _put_back(part, saved[name]) for name, part in mine.items()}
    return copy.deepcopy(saved)
