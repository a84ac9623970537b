"""What a training method is: something that can be asked for candidates and told how they did."""

import abc
import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from pliant.learn.gradients.base import Estimate, GradientEstimator
from pliant.learn.problem import Problem
from pliant.learn.space import Space
from pliant.sim.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """Candidates [count, dimension] a method wants to know about; `estimator` None asks for their losses only."""

    candidates: torch.Tensor
    estimator: GradientEstimator | None = None


class Method(abc.ABC):
    """A training method: `start`, then `ask` and `tell` in turn until the budget is spent or `finished` says why not.

    A method is a dataclass of its options. It keeps whatever changes in the attributes that STATE names, and draws all
    randomness from `self.rng`; so `state_dict` holds everything a resumed training needs to continue bit for bit.
    """

    STATE: ClassVar[tuple[str, ...]] = ()
    space: Space
    rng: torch.Generator
    finished: str

    def start(self, space: Space, rng: torch.Generator) -> None:
        """Begin on these unknowns, from their initial values."""
        self.space, self.rng, self.finished = space, rng, ""
        self.reset()

    @abc.abstractmethod
    def reset(self) -> None:
        """Set the attributes that STATE names to their start."""

    def restart(self) -> None:
        """Go on with another loss, as the next stage of a curriculum poses; a method forgets what no longer holds."""
        self.finished = ""

    @abc.abstractmethod
    def ask(self) -> Query:
        """What to find out next."""

    @abc.abstractmethod
    def tell(self, query: Query, estimates: Sequence[Estimate]) -> dict[str, float]:
        """Learn from the answers, one for each candidate in order; returns what to log."""

    @abc.abstractmethod
    def cost(self, problem: Problem) -> int:
        """Simulator calls the next `ask` will cost."""

    def report(self) -> list[str]:
        """Sentences for the end of the training: what was clipped, projected, given up."""
        return []

    def posterior(self) -> Any:
        """A distribution over the unknowns, from methods that find one."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes, copied."""
        state = {name: copy.deepcopy(getattr(self, name)) for name in (*self.STATE, "finished")}
        return {"method": type(self).__name__, "rng": self.rng.get_state(), **state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave; call `start` first.

        Errors: `InputError` for the state of another method or another number of unknowns.
        """
        saved, mine = state.get("method"), type(self).__name__
        if saved != mine:
            raise InputError(f"resume: expected the state of {mine}, got that of {saved}; use the same method.")
        for name in (*self.STATE, "finished"):
            self._check_shape(name, state[name])
            setattr(self, name, copy.deepcopy(state[name]))
        self.rng.set_state(state["rng"])

    def _check_shape(self, name: str, saved: Any) -> None:
        mine = getattr(self, name)
        if isinstance(mine, torch.Tensor) and isinstance(saved, torch.Tensor) and mine.shape != saved.shape:
            raise InputError(
                f"resume: expected {name} of shape {list(mine.shape)}, got {list(saved.shape)} from the saved run; "
                "give the same unknowns."
            )
