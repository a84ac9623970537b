"""What a training method is: something that can be asked for candidates and told how they did."""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from pliant.learn.gradients.base import Estimate, GradientEstimator
from pliant.learn.problem import Problem
from pliant.learn.space import Space
from pliant.learn.state import Stateful
from pliant.sim.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """Candidates [count, dimension] a method wants to know about; `estimator` None asks for their losses only.

    Their losses share their randomness, so that they can be compared, unless `common_noise` is False: then each has its own,
    and the same candidate several times is as many samples. An estimator decides itself; `Pathwise` draws anew for each.
    """

    candidates: torch.Tensor
    estimator: GradientEstimator | None = None
    common_noise: bool = True


class Method(Stateful, abc.ABC):
    """A training method: `start`, then `ask` and `tell` in turn until the budget is spent or `finished` says why not.

    A method is a dataclass of its options. It keeps whatever changes in the attributes that STATE names (modules and
    optimisers too) and in its estimators, and draws all randomness from `self.rng`, or from torch's own, which
    `solve` seeds before every `ask`; so `state_dict` holds everything a resumed training needs to continue bit for bit.
    """

    STATE: ClassVar[tuple[str, ...]] = ()
    space: Space
    rng: torch.Generator
    finished: str

    def start(self, space: Space, rng: torch.Generator) -> None:
        """Begin on these unknowns, from their initial values."""
        self.space, self.rng, self.finished = space, rng, ""
        for estimator in self.estimators().values():
            estimator.reset()
        self.reset()

    def estimators(self) -> dict[str, GradientEstimator]:
        """The estimators among its attributes, in lists and dictionaries too, by name."""
        found = {}
        for name, value in vars(self).items():
            parts = (
                dict(enumerate(value)) if isinstance(value, list | tuple) else value if isinstance(value, dict) else {}
            )
            held = {name: value, **{f"{name}.{key}": part for key, part in parts.items()}}
            found |= {key: part for key, part in held.items() if isinstance(part, GradientEstimator)}
        return found

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
    def tell(self, query: Query, estimates: Sequence[Estimate]) -> dict[str, Any]:
        """Learn from the answers, one for each candidate in order; returns what to log.

        That is numbers, text, and tensors, of which a histogram is kept, under other names than those `solve` logs.
        """

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
        estimators = {name: estimator.state_dict() for name, estimator in self.estimators().items()}
        mine = {"method": type(self).__name__, "rng": self.rng.get_state(), "finished": self.finished}
        return {**mine, **super().state_dict(), "estimators": estimators}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave; call `start` first.

        Errors: `InputError` for the state of another method or another number of unknowns.
        """
        saved, mine = state.get("method"), type(self).__name__
        if saved != mine:
            raise InputError(f"resume: expected the state of {mine}, got that of {saved}; use the same method.")
        for name in set(self.STATE) & set(state):
            self._check_shape(name, state[name])
        super().load_state_dict(state)
        for name, estimator in self.estimators().items():
            estimator.load_state_dict(state.get("estimators", {}).get(name, {}))
        self.finished = state["finished"]
        self.rng.set_state(state["rng"])

    def _check_shape(self, name: str, saved: Any) -> None:
        mine = getattr(self, name)
        if isinstance(mine, torch.Tensor) and isinstance(saved, torch.Tensor) and mine.shape != saved.shape:
            raise InputError(
                f"resume: expected {name} of shape {list(mine.shape)}, got {list(saved.shape)} from the saved run; "
                "give the same unknowns."
            )
