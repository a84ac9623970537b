"""What a training method sees: unknowns and a loss. Never a scene, never a file.

Costs are counted in simulator calls: one forward is one call for each environment, its backward one more for each.
A simulation that fails is a loss of +inf with its sentence, so that every method meets failure in the same way.
"""

import abc
import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad

from pliant.learn.evaluation import Evaluation, Failed, as_evaluation, judged
from pliant.learn.groups import Groups
from pliant.learn.meter import Meter, charge
from pliant.learn.space import Space, Unknown
from pliant.learn.state import Stateful
from pliant.sim.errors import InputError, UnknownNameError
from pliant.sim.status import SimulationError

Values = dict[str, torch.Tensor]
NUMERICAL = (torch.linalg.LinAlgError, np.linalg.LinAlgError)


class Unsuitable(InputError):
    """The problem is none for this method, whatever the values."""


class Problem(Stateful, abc.ABC):
    """Unknowns and a loss to minimise over them.

    `comparable` says whether a lower loss means better unknowns. Where every evaluation draws other data it does not,
    and the result of a training is its last unknowns, not its best. Losses of different `stage` are never compared: a
    curriculum that raises the difficulty counts it up. What one evaluation leaves for the next is named in STATE; most
    problems leave nothing.

    Args:
        unknowns: what may change.
        environments: simulator calls of one forward.
        parallel: how many candidates one forward evaluates, each in its own environment; then the values given to
            `compute` have a leading axis [parallel] and its loss is [parallel].
        smooth: whether the loss is declared smooth; a method may choose its gradient by it.
        steps_per_call: substeps of one simulator call, for the progress bar.
        may_fail: share of the environments that may fail; the loss is then the mean over the others. It flatters unknowns that
            fail where it is hard, so that none may by default.
        backward_calls: simulator calls of the backward of one forward; None: as many as the forward's.
    """

    def __init__(
        self,
        unknowns: Iterable[Unknown],
        *,
        environments: int = 1,
        parallel: int = 1,
        smooth: bool = True,
        comparable: bool = True,
        steps_per_call: int = 1,
        may_fail: float = 0.0,
        backward_calls: int | None = None,
    ):
        self.space, self.comparable = Space(unknowns), comparable
        if environments < 1 or parallel not in (1, environments):
            raise InputError(
                f"problem: expected environments >= 1 and parallel 1 or all of them, got environments={environments}, "
                f"parallel={parallel}; correct them."
            )
        self.environments, self.parallel = environments, parallel
        if not 0.0 <= may_fail < 1.0:
            raise InputError(f"problem.may_fail: expected a share from 0 to below 1, got {may_fail}; correct it.")
        self.smooth, self.steps_per_call, self.may_fail = smooth, steps_per_call, may_fail
        self.backward_calls, self.stage = backward_calls, 0
        self.proven = False

    @abc.abstractmethod
    def compute(self, values: Values) -> Any:
        """The loss of physical values by name: an `Evaluation`, a tensor, or a tensor and a dict of metrics.

        Errors: `SimulationError`, a `Failed` or a matrix that cannot be inverted fail the evaluation; so does an `InputError`
            once the problem has run: it then speaks of these values.
        """

    def after_tell(self, told: Sequence[Any]) -> dict[str, Any] | None:
        """Called when the method has been told the estimates: train what is not unknown, a critic or a target network.

        Returns what to log. Its optimisers and modules belong into STATE.
        """

    @staticmethod
    def from_loss(function: Callable[[Values], Any], unknowns: Iterable[Unknown], **options: Any) -> "Problem":
        """The problem of a function that returns what `compute` returns; the options are those of `Problem`."""
        return _LossProblem(function, unknowns, **options)

    def calls(self, candidates: int = 1, *, gradient: bool = False) -> int:
        """Simulator calls of evaluating so many candidates, with the backward where a gradient is wanted."""
        backward = self.environments if self.backward_calls is None else self.backward_calls
        return -(-candidates // self.parallel) * (self.environments + gradient * backward)

    def evaluate(self, theta: torch.Tensor, *, gradient: bool = False, seed: int | None = None) -> Evaluation:
        """The loss at coordinates [dimension].

        Args:
            gradient: keep the graph, so that the loss can be differentiated.
            seed: of what is random in the loss, so that two evaluations can share their randomness.

        Errors: none for a simulation that fails or a loss that is not finite; `InputError` for a wrong shape.
        """
        return judged(self._run(self._one_candidate(theta), gradient, seed), self.may_fail)

    def linearise(self, theta: torch.Tensor, *, seed: int | None = None) -> tuple[Evaluation, torch.Tensor | None]:
        """The evaluation at coordinates [dimension], and the exact Jacobian of its residuals, [*residuals, dimension].

        By forward-mode differentiation. There is no Jacobian where the simulation fails or the loss is not finite.

        Errors: `InputError` for a wrong shape, a problem without residuals, or a simulator without a tangent.
        """
        theta, calls, jacobian = self._one_candidate(theta.detach()), self.linearise_calls(), None
        with Meter() as inside:
            try:
                with seeded(seed), torch.no_grad():
                    evaluation, jacobian = self.differentiate(theta)
            except Exception as error:
                evaluation = self._failure(error)
        charge(max(0, calls - inside.calls))
        evaluation = judged(dataclasses.replace(evaluation, simulator_calls=max(calls, inside.calls)))
        return evaluation, None if evaluation.failure else jacobian

    def linearise_calls(self) -> int:
        """Simulator calls of `linearise`: a derivative along one direction counts like a forward."""
        return 2 * self.space.dimension * self.calls()

    def differentiate(self, theta: torch.Tensor) -> tuple[Evaluation, torch.Tensor]:
        """The evaluation and the Jacobian of its residuals; one `compute` with dual numbers a coordinate."""
        pairs = [
            self._along(theta, unit) for unit in torch.eye(theta.shape[-1], dtype=theta.dtype, device=theta.device)
        ]
        return pairs[0][0], torch.stack([column for _, column in pairs], dim=-1)

    def _along(self, theta: torch.Tensor, direction: torch.Tensor) -> tuple[Evaluation, torch.Tensor]:
        """The evaluation, and the derivative of its residuals along a direction of the coordinates."""
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(theta.clone(), direction.expand_as(theta).clone())
            try:
                made = as_evaluation(self.compute(self.space.values(dual)))
            except NotImplementedError as error:  # how torch says that an operation has no forward mode
                raise Unsuitable(
                    "linearise: expected a loss of operations that have a forward mode, got one that has none, `simulate` for "
                    "example; use SimulationProblem, or FiniteDifference."
                ) from error
            residuals, column = forward_ad.unpack_dual(residuals_of(made.residuals))
            loss = forward_ad.unpack_dual(made.loss).primal
            plain = dataclasses.replace(made, loss=loss, residuals=residuals, metrics=made.numbers())
        return plain, torch.zeros_like(residuals) if column is None else column

    def evaluate_all(
        self,
        candidates: torch.Tensor,
        *,
        gradient: bool = False,
        seed: int | None = None,
        seeds: Sequence[int | None] | None = None,
    ) -> list[Evaluation]:
        """The evaluations at coordinates [candidates, dimension], in order; a candidate that fails does so alone.

        Args:
            gradient: keep the graph.
            seed: of what is random in the losses, the same for all.
            seeds: one for each candidate instead, so that the same candidate twice is two samples. Candidates that run at
                once have the seed of their first, and differ by what is drawn for each environment.
        """
        each = [seed] * len(candidates) if seeds is None else list(seeds)
        if candidates.ndim != 2 or candidates.shape[1] != self.space.dimension or len(each) != len(candidates):
            expected = f"candidates [n, {self.space.dimension}] and as many seeds"
            got = f"{list(candidates.shape)} and {len(each)}"
            raise InputError(f"evaluate_all: expected {expected}, got {got}; correct them.")
        if self.parallel > 1:
            return Groups(self, candidates, each, gradient).run()
        with torch.set_grad_enabled(gradient):
            rows = zip(candidates, each, strict=True)
            return [self.evaluate(theta, gradient=gradient, seed=one) for theta, one in rows]

    def install(self, theta: torch.Tensor) -> Values:
        """Physical values of coordinates; a problem with a module also leaves them there, as the result."""
        return self.space.values(theta)

    def _one_candidate(self, theta: torch.Tensor) -> torch.Tensor:
        """The coordinates as `compute` wants them; `InputError` for a wrong shape."""
        if theta.shape[-1:] != (self.space.dimension,) or theta.ndim != 1:
            expected, got = [self.space.dimension], list(theta.shape)
            raise InputError(f"evaluate: expected coordinates of shape {expected}, got {got}; reshape them.")
        return theta if self.parallel == 1 else theta.expand(self.parallel, -1)

    def _run(self, theta: torch.Tensor, gradient: bool, seed: int | None) -> Evaluation:
        """What `compute` says of coordinates as it wants them, with its cost; not finite losses are left as they are."""
        with Meter() as inside:
            try:
                with seeded(seed), torch.set_grad_enabled(gradient):
                    evaluation = as_evaluation(self.compute(self.space.values(theta)))
                self.proven = True
            except Exception as error:
                evaluation = self._failure(error)
        usual = inside.calls if inside.held else self.environments
        calls = max(evaluation.simulator_calls or usual, inside.calls)
        charge(calls - inside.calls)
        return dataclasses.replace(evaluation, simulator_calls=calls)

    def _failure(self, error: Exception) -> Evaluation:
        """The evaluation that an error stands for; one that is no failure of the values is raised again."""
        spoken = isinstance(error, InputError) and not isinstance(error, UnknownNameError | Unsuitable) and self.proven
        if not (spoken or isinstance(error, (SimulationError, Failed, *NUMERICAL))):
            raise error
        sentence = str(error) if not isinstance(error, NUMERICAL) else f"{type(error).__name__}: {error}"
        failed = getattr(error, "environments", None) or ()
        failures = tuple(sentence if e in failed else "" for e in range(self.environments)) if failed else ()
        loss = torch.tensor(torch.inf, dtype=self.space.dtype)
        return Evaluation(loss=loss, failure=sentence, failures=failures)


class _LossProblem(Problem):
    def __init__(self, function: Callable[[Values], Any], unknowns: Iterable[Unknown], **options: Any):
        super().__init__(unknowns, **options)
        self._function = function

    def compute(self, values: Values) -> Any:
        return self._function(values)


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Seed torch's global randomness inside the block and restore it afterwards; None leaves it alone."""
    if seed is None:
        yield
        return
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed also formats a traceback: 20 times slower
        for device in devices:
            torch.cuda.default_generators[device].manual_seed(seed)
        yield


def draw_seed(rng: torch.Generator) -> int:
    """A seed for one evaluation, drawn from the generator of the training."""
    return int(torch.randint(2**62, (), generator=rng))


def residuals_of(residuals: torch.Tensor | None) -> torch.Tensor:
    """The residuals; `InputError` where there are none."""
    if residuals is None:
        raise Unsuitable(
            "problem: expected residuals, of which the loss is half the square, got none; give the objective `residuals`, or "
            "choose a method that needs only the gradient."
        )
    return residuals
