"""What a training method sees: unknowns and a loss. Never a scene, never a file.

Costs are counted in simulator calls: one forward is one call for each environment, its backward one more for each.
A simulation that fails is a loss of +inf with its sentence, so that every method meets failure in the same way.
"""

import abc
import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.autograd import forward_ad

from pliant.learn.space import Space, Unknown
from pliant.sim.errors import InputError
from pliant.sim.status import SimulationError

Values = dict[str, torch.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What one run of a problem says.

    Args:
        loss: scalar or [environments]; what is minimised is its mean. Carries a graph when a gradient was asked for.
        metrics: what else to log, numbers or tensors [environments] (their mean is logged).
        residuals: optional [m] or [environments, m] with loss = |residuals|^2 / 2, for Gauss-Newton methods.
        log_probability: optional [environments], of the actions a stochastic policy took, for score-function gradients.
        failure: the sentence of a run that failed; its loss is +inf.
        ranked: whether the loss counts when the best unknowns are chosen.
        simulator_calls: what it cost; 0: one forward of the problem.
    """

    loss: torch.Tensor
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    residuals: torch.Tensor | None = None
    log_probability: torch.Tensor | None = None
    failure: str = ""
    ranked: bool = True
    simulator_calls: int = 0

    @property
    def value(self) -> float:
        """Mean loss over the environments."""
        return float(self.loss.detach().mean())

    def numbers(self) -> dict[str, float]:
        """The metrics as numbers."""
        return {name: float(torch.as_tensor(metric).detach().mean()) for name, metric in self.metrics.items()}

    def environment(self, index: int) -> "Evaluation":
        """That of one environment alone; its calls are not told apart and stay with the whole."""
        pick = lambda array: array[index] if isinstance(array, torch.Tensor) and array.ndim else array  # noqa: E731
        metrics = {name: pick(metric) for name, metric in self.metrics.items()}
        residuals = None if self.residuals is None else self.residuals[index]
        return dataclasses.replace(self, loss=self.loss[index], metrics=metrics, residuals=residuals, simulator_calls=0)


class Problem(abc.ABC):
    """Unknowns and a loss to minimise over them.

    `comparable` says whether a lower loss means better unknowns. Where every evaluation draws other data it does not,
    and the result of a training is its last unknowns, not its best. Losses of different `stage` are never compared: a
    curriculum that raises the difficulty counts it up.

    Args:
        unknowns: what may change.
        environments: simulator calls of one forward.
        parallel: how many candidates one forward evaluates, each in its own environment; then the values given to
            `compute` have a leading axis [parallel] and its loss is [parallel].
        smooth: whether the loss is declared smooth; a method may choose its gradient by it.
        steps_per_call: substeps of one simulator call, for the progress bar.
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
    ):
        self.space, self.comparable = Space(unknowns), comparable
        if environments < 1 or parallel not in (1, environments):
            raise InputError(
                f"problem: expected environments >= 1 and parallel 1 or all of them, got environments={environments}, "
                f"parallel={parallel}; correct them."
            )
        self.environments, self.parallel = environments, parallel
        self.smooth, self.steps_per_call = smooth, steps_per_call
        self.stage = 0

    @abc.abstractmethod
    def compute(self, values: Values) -> Any:
        """The loss of physical values by name: an `Evaluation`, a tensor, or a tensor and a dict of metrics."""

    @staticmethod
    def from_loss(function: Callable[[Values], Any], unknowns: Iterable[Unknown], **options: Any) -> "Problem":
        """The problem of a function that returns what `compute` returns; the options are those of `Problem`."""
        return _LossProblem(function, unknowns, **options)

    def calls(self, candidates: int = 1) -> int:
        """Simulator calls of evaluating so many candidates."""
        return -(-candidates // self.parallel) * self.environments

    def evaluate(self, theta: torch.Tensor, *, gradient: bool = False, seed: int | None = None) -> Evaluation:
        """The loss at coordinates [dimension].

        Args:
            gradient: keep the graph, so that the loss can be differentiated.
            seed: of what is random in the loss, so that two evaluations can share their randomness.

        Errors: none for a simulation that fails or a loss that is not finite; `InputError` for a wrong shape.
        """
        return self._run(self._one_candidate(theta), gradient, seed)

    def linearise(self, theta: torch.Tensor, *, seed: int | None = None) -> tuple[Evaluation, torch.Tensor | None]:
        """The evaluation at coordinates [dimension], and the exact Jacobian of its residuals, [*residuals, dimension].

        By forward-mode differentiation. There is no Jacobian where the simulation fails or the loss is not finite.

        Errors: `InputError` for a wrong shape, a problem without residuals, or a simulator without a tangent.
        """
        theta, calls = self._one_candidate(theta.detach()), self.linearise_calls()
        try:
            with seeded(seed), torch.no_grad():
                evaluation, jacobian = self.differentiate(theta)
        except SimulationError as error:
            return dataclasses.replace(self._failed(str(error)), simulator_calls=calls), None
        evaluation = _checked(dataclasses.replace(evaluation, simulator_calls=calls))
        return evaluation, None if evaluation.failure else jacobian

    def linearise_calls(self) -> int:
        """Simulator calls of `linearise`: a derivative along one direction counts like a forward."""
        return 2 * self.space.dimension * self.calls()

    def differentiate(self, theta: torch.Tensor) -> tuple[Evaluation, torch.Tensor]:
        """The evaluation and the Jacobian of its residuals; one `compute` with dual numbers a coordinate."""
        pairs = [self._along(theta, unit) for unit in torch.eye(theta.shape[-1], dtype=theta.dtype, device=theta.device)]
        return pairs[0][0], torch.stack([column for _, column in pairs], dim=-1)

    def _along(self, theta: torch.Tensor, direction: torch.Tensor) -> tuple[Evaluation, torch.Tensor]:
        """The evaluation, and the derivative of its residuals along a direction of the coordinates."""
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(theta.clone(), direction.expand_as(theta).clone())
            try:
                made = _as_evaluation(self.compute(self.space.values(dual)))
            except NotImplementedError as error:  # how torch says that an operation has no forward mode
                raise InputError(
                    "linearise: expected a loss of operations that have a forward mode, got one that has none, `simulate` for "
                    "example; use SimulationProblem, or FiniteDifference."
                ) from error
            residuals, column = forward_ad.unpack_dual(residuals_of(made.residuals))
            loss = forward_ad.unpack_dual(made.loss).primal
            plain = dataclasses.replace(made, loss=loss, residuals=residuals, metrics=made.numbers())
        return plain, torch.zeros_like(residuals) if column is None else column

    def evaluate_all(self, candidates: torch.Tensor, *, seed: int | None = None) -> list[Evaluation]:
        """The losses at coordinates [candidates, dimension], without gradient and with the same randomness for all."""
        if self.parallel == 1:
            return [self.evaluate(theta, seed=seed) for theta in candidates]
        groups = candidates.split(self.parallel)
        return [evaluation for group in groups for evaluation in self._evaluate_group(group, seed)]

    def install(self, theta: torch.Tensor) -> Values:
        """Physical values of coordinates; a problem with a module also leaves them there, as the result."""
        return self.space.values(theta)

    def state_dict(self) -> dict[str, Any]:
        """What one evaluation leaves for the next; most problems leave nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - most problems have nothing to load
        """Continue from what `state_dict` gave."""

    def _one_candidate(self, theta: torch.Tensor) -> torch.Tensor:
        """The coordinates as `compute` wants them; `InputError` for a wrong shape."""
        if theta.shape[-1:] != (self.space.dimension,) or theta.ndim != 1:
            expected, got = [self.space.dimension], list(theta.shape)
            raise InputError(f"evaluate: expected coordinates of shape {expected}, got {got}; reshape them.")
        return theta if self.parallel == 1 else theta.expand(self.parallel, -1)

    def _evaluate_group(self, group: torch.Tensor, seed: int | None) -> list[Evaluation]:
        """One forward for up to `parallel` candidates; the last fills what is missing, the first carries the cost."""
        count = len(group)
        padded = torch.cat([group, group[-1:].expand(self.parallel - count, -1)])
        whole = self._run(padded, False, seed, together=False)
        each = [whole.environment(i) if whole.loss.ndim else whole for i in range(count)]
        calls = [whole.simulator_calls] + [0] * (count - 1)
        return [_checked(dataclasses.replace(e, simulator_calls=c)) for e, c in zip(each, calls, strict=True)]

    def _run(self, theta: torch.Tensor, gradient: bool, seed: int | None, *, together: bool = True) -> Evaluation:
        try:
            with seeded(seed), torch.set_grad_enabled(gradient):
                made = self.compute(self.space.values(theta))
        except SimulationError as error:
            return self._failed(str(error))
        evaluation = _as_evaluation(made)
        evaluation = dataclasses.replace(evaluation, simulator_calls=evaluation.simulator_calls or self.environments)
        if not together and evaluation.loss.shape != (self.parallel,):
            got = f"{list(evaluation.loss.shape)}; return one loss for each candidate."
            raise InputError(f"problem: expected a loss of shape [{self.parallel}] for parallel candidates, got {got}")
        return _checked(evaluation) if together else evaluation

    def _failed(self, sentence: str) -> Evaluation:
        loss = torch.tensor(torch.inf, dtype=self.space.dtype)
        return Evaluation(loss=loss, failure=sentence, simulator_calls=self.environments)


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
        raise InputError(
            "problem: expected residuals, of which the loss is half the square, got none; give the objective `residuals`, or "
            "choose a method that needs only the gradient."
        )
    return residuals


def _as_evaluation(made: Any) -> Evaluation:
    if isinstance(made, Evaluation):
        return made
    loss, metrics = made if isinstance(made, tuple) else (made, {})
    if not (isinstance(loss, torch.Tensor) and loss.is_floating_point() and loss.ndim <= 1):
        got = f"shape {list(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
        raise InputError(f"problem: expected a floating-point loss, scalar or [environments], got {got}; correct it.")
    return Evaluation(loss=loss, metrics=metrics)


def _checked(evaluation: Evaluation) -> Evaluation:
    """A loss that is not finite becomes a failure with a sentence."""
    bad = ~torch.isfinite(evaluation.loss.detach())
    if evaluation.failure or not bad.any():
        return evaluation
    got = float(evaluation.loss.detach()[bad].flatten()[0])
    loss = torch.full((), torch.inf, dtype=evaluation.loss.dtype)
    sentence = f"the loss is {got} in {int(bad.sum())} of {bad.numel()} environments"
    return Evaluation(loss=loss, failure=sentence, simulator_calls=evaluation.simulator_calls)
