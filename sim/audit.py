"""The gradient audit: is the gradient of a loss right, finite, and useful over this horizon?

For every parameter the derivative by the adjoint is set beside central finite differences over a sweep of steps; the
adjoint of the state is followed back substep by substep, so that the report can name the first array that is not finite and
show how fast sensitivities grow (exponential growth is chaos: the gradient is exact and of little use).
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.parameter import ParameterSpec
from pliant.sim.rollout import Record, Rollout
from pliant.sim.solver import State
from pliant.sim.status import SimulationError
from pliant.sim.trajectory import Trajectory

Loss = Callable[[Trajectory], tuple[float, Mapping[str, np.ndarray]]]
SWEEP = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
FINEST = 1e-9  # relative step
WORST_NOISE = 1e-3  # a derivative that round-off hides worse than this is not called right
TOLERANCE = {"float64": 1e-6, "float32": 2e-2}  # float32 differences cancel all but two or three digits


@dataclasses.dataclass(frozen=True)
class ParameterAudit:
    """Derivatives along random directions for one parameter: `adjoint` and `difference` [probe], at the best step.

    `sweep` holds (relative step, relative error); `error` is the smallest of them; `cosine` compares the two lists.
    `one_sided`: entries lie on a closed bound, so the differences go inwards from it (of second order, like central ones).
    `noise`: what round-off in the loss does to the difference at that step, relative; found where the two differ.
    `kink`: by how much the slopes of the two sides differ, relative, where that does not shrink with the step.
    `between`: the adjoint lies between those slopes, so it is a derivative of the loss there.
    `jump`: by how much the loss jumps within the finest step that sees it, 0 where it does not: one-sided slopes that grow
        as one over the step. The adjoint is then that of one side, and knows nothing of the jump.
    `zero`: by the adjoint the loss stays within its round-off whatever the parameter does by its own size, and no step of
        the sweep sees more.
    """

    name: str
    unit: str
    adjoint: np.ndarray
    difference: np.ndarray
    sweep: tuple[tuple[float, float], ...]
    error: float
    step: float
    one_sided: bool = False
    noise: float = 0.0
    kink: float = 0.0
    between: bool = False
    jump: float = 0.0
    zero: bool = False

    def agrees(self, tolerance: float) -> bool:
        """Whether the adjoint is the derivative within the relative tolerance, within what round-off in the loss leaves
        to be seen (never worse than 1e-3), or between the slopes of a kink's sides, or both are zero within round-off."""
        visible = max(tolerance, min(self.noise, WORST_NOISE))
        return self.zero or self.error <= visible or (self.kink > tolerance and self.between)

    def remark(self, tolerance: float) -> str:
        """What the table says at the end of the row; nothing where the two agree."""
        words = ["one-sided: on its bound"] if self.one_sided else []
        if self.zero and self.error > tolerance:
            words.append("zero within round-off in the loss")
        elif self.error > tolerance:
            if not self.agrees(tolerance):
                words.append("<-- cannot be told" if self.error <= self.noise else "<-- disagrees")
            words += [f"round-off in the loss hides {self.noise:.0e}"] if self.noise > tolerance else []
            if self.kink > tolerance:
                words.append(f"a kink, its sides differ by {self.kink:.0e}")
                words += ["the adjoint lies between"] if self.between else []
        words += [f"a jump of the loss by {self.jump:.1e}, which no derivative sees"] if self.jump > 0.0 else []
        return "".join(f"  {word}" for word in words)

    @property
    def cosine(self) -> float:
        a, b = self.adjoint, self.difference
        norms = float(np.linalg.norm(a) * np.linalg.norm(b))
        return float(a @ b) / norms if norms > 0 else 1.0


@dataclasses.dataclass(frozen=True)
class GradientReport:
    """What the audit found; `print(report)` is a table, `report.plot(path)` a picture.

    growth: root mean square of the adjoint of each array of the state at every substep, {array: [substeps]}.
    jacobian: how far a change of the state's first array at every substep has grown at the end, [substeps]: the root mean
        square singular value of dx(end)/dx(t), from one random direction w, |w dx(end)/dx(t)| / |w|.
    first_bad: (substep, array) at which the adjoint is first not finite walking back, or None.
    left: names of the parameters that an interrupted audit did not come to.
    """

    loss: float
    parameters: tuple[ParameterAudit, ...]
    growth: dict[str, np.ndarray]
    jacobian: np.ndarray
    first_bad: tuple[int, str] | None
    tolerance: float
    dt: float
    left: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every derivative agrees within the tolerance of the precision and everything is finite.

        At a kink a derivative between the slopes of the two sides agrees, and one that differs by less than round-off.
        """
        return self.first_bad is None and all(p.agrees(self.tolerance) for p in self.parameters)

    @property
    def growth_rate(self) -> float:
        """Exponential rate [1/s] at which a change of the state grows (least squares over the horizon)."""
        size = self.jacobian
        use = np.isfinite(size) & (size > 0)
        if use.sum() < 3:
            return 0.0
        back = self.dt * np.arange(len(size))[::-1]
        return float(np.polyfit(back[use], np.log(size[use]), 1)[0])

    def __str__(self) -> str:
        head = (
            f"{'parameter':<30} {'unit':<8} {'adjoint':>13} {'difference':>13} {'cosine':>9} {'error':>9} {'step':>8}"
        )
        rows = [row for p in self.parameters for row in _rows(p, self.tolerance)]
        tail = [
            f"a change of the {next(iter(self.growth))} grows by a factor {self.jacobian[0]:.3g} over the horizon "
            f"(rate {self.growth_rate:.3g} per second)",
            "every adjoint is finite"
            if self.first_bad is None
            else f"the adjoint of '{self.first_bad[1]}' is not finite at substep {self.first_bad[0]}",
        ]
        if self.left:
            tail.append(f"interrupted, not audited: {', '.join(self.left)}")
        return "\n".join([head, "-" * len(head), *rows, *tail])

    def plot(self, path: str) -> None:
        """Save the step sweep of every parameter and the growth of the adjoint as one picture."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        for p in self.parameters:
            steps, errors = zip(*p.sweep, strict=True) if p.sweep else ((), ())
            left.loglog(steps, np.maximum(errors, 1e-16), marker="o", markersize=3, label=p.name)
        left.axhline(self.tolerance, color="black", linewidth=0.8, linestyle="--")
        left.set(
            xlabel="relative step",
            ylabel="relative error of the derivative",
            title="adjoint against finite differences",
        )
        left.legend(fontsize=6, ncols=2)
        for name, size in self.growth.items():
            right.semilogy(np.arange(len(size)), np.where(size > 0, size, np.nan), label=name)
        title = "sensitivity of the loss to the state"
        right.set(xlabel="substep", ylabel="root mean square of the adjoint", title=title)
        right.semilogy(self.jacobian, color="black", linestyle=":", label="growth of a change until the end")
        right.legend(fontsize=7)
        figure.savefig(path, dpi=130)


def _rows(p: ParameterAudit, tolerance: float) -> list[str]:
    """The lines of a parameter in the table, one a probe."""
    first, *more = zip(p.adjoint, p.difference, strict=True)
    rest = f"{p.cosine:>9.6f} {p.error:>9.1e} {p.step:>8.0e}{p.remark(tolerance)}"
    row = f"{p.name:<30} {p.unit:<8} {first[0]:>13.6e} {first[1]:>13.6e} {rest}"
    return [row, *(f"{'':<39} {adjoint:>13.6e} {difference:>13.6e}" for adjoint, difference in more)]


class AuditInterrupted(KeyboardInterrupt):
    """The audit was interrupted; `report` is what it had found."""

    def __init__(self, report: GradientReport):
        super().__init__(f"interrupted after {len(report.parameters)} parameters")
        self.report = report


def check_gradients(
    rollout: Rollout,
    loss: Loss,
    values: Mapping[str, Any] | None = None,
    *,
    names: Sequence[str] | None = None,
    probes: int = 2,
    sweep: Sequence[float] = SWEEP,
    seed: int = 0,
    progress: Callable[[float, int, str], None] | None = None,
) -> GradientReport:
    """Audit the gradient of a loss through a rollout.

    Where entries of a parameter lie on a closed bound (a friction or viscosity of 0), they are moved inwards only and the
    difference is one-sided. At a kink of the loss, where finite differences depend on the side, a derivative between the
    slopes of the two sides is right; and nothing can be seen below the round-off in the loss. The report says all three.

    Args:
        rollout: what to differentiate, made with gradient=True; float64 shows errors down to 1e-6 and below.
        loss: trajectory -> (value, {recorded array: derivative of the value}); `learn.check_gradients` takes a torch loss.
        values: parameter values at which to check; default the model's own.
        names: which parameters; default all that the scene's loss can depend on.
        probes: random directions a parameter.
        sweep: finite-difference steps relative to the parameter's size; finer ones follow while they come closer.
        progress: called with how many parameters are done, of how many, and which is next or under way.

    Returns: a `GradientReport`.
    Errors: `InputError` for unknown names; `SimulationError` when the rollout itself fails; after Ctrl-C
        `AuditInterrupted`, a `KeyboardInterrupt` with the report of what was found so far.
    """
    rollout.model.check_names(names or [])
    base = _full_values(rollout, values or {})
    trajectory = rollout.forward(base)
    value, adjoints = loss(trajectory)
    value = float(value)
    if not np.isfinite(value):
        raise InputError(f"check_gradients: expected a finite loss, got {value}; check the loss function.")
    growth, bad, record = _Growth(rollout), None, rollout.last
    try:
        gradients = rollout.backward(adjoints, watch=growth)
    except SimulationError:
        gradients, bad = None, growth.first_bad
    jacobian = _jacobian_growth(rollout, record, np.random.default_rng((seed, 1)))
    chosen = [] if gradients is None else [(name, gradients[name]) for name in names or gradients]
    audits: list[ParameterAudit] = []
    tolerance, first_bad = TOLERANCE[rollout.model.precision.name], bad or growth.first_bad

    def report() -> GradientReport:
        left = tuple(name for name, _ in chosen[len(audits) :])
        return GradientReport(
            value, tuple(audits), growth.arrays, jacobian, first_bad, tolerance, rollout.model.dt, left
        )

    rng = np.random.default_rng(seed)
    try:
        for index, (name, gradient) in enumerate(chosen):
            told = None if progress is None else functools.partial(_tell, progress, index, len(chosen), name)
            audits.append(_audit(rollout, loss, base, value, name, gradient, probes, sweep, rng, told))
    except KeyboardInterrupt:
        raise AuditInterrupted(report()) from None
    return report()


def _tell(progress: Callable[[float, int, str], None], index: int, count: int, name: str, share: float) -> None:
    """Progress of the whole audit from the share of one parameter."""
    progress(index + share, count, name)


def _jacobian_growth(rollout: Rollout, record: Record | None, rng: np.random.Generator) -> np.ndarray:
    """Root mean square at every substep of the adjoint that is random at the end, in the first array of the state."""
    name, shape = next(iter(rollout.model.state_shapes.items()))
    arrays = rollout.model.zero_state().arrays()
    arrays[name] = rng.standard_normal(shape).astype(rollout.model.precision.numpy)
    growth = _Growth(rollout)
    with contextlib.suppress(SimulationError):  # of a gradient that is not finite, which the growth shows
        rollout.backward({}, record=record, final=rollout.model.make_state(arrays), watch=growth)
    return growth.arrays[name] / np.sqrt(np.mean(arrays[name].astype(float) ** 2))


class _Growth:
    """Size of the adjoint of each state array at every substep, and where it is first not finite."""

    def __init__(self, rollout: Rollout):
        self.arrays = {name: np.zeros(rollout.steps) for name in rollout.model.state_shapes}
        self.first_bad: tuple[int, str] | None = None

    def __call__(self, step: int, adjoint: State) -> None:
        for name, array in adjoint.arrays().items():
            finite = bool(np.isfinite(array).all())
            if not finite and self.first_bad is None:
                self.first_bad = (step, name)
            self.arrays[name][step] = np.sqrt(np.mean(array.astype(float) ** 2)) if finite else np.nan


def _full_values(rollout: Rollout, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Every parameter in its full shape, timed ones with an entry for each interval or knot."""
    rollout.binding.set(values)
    return {name: rollout.binding.full(name).astype(float) for name in rollout.parameters()}


@dataclasses.dataclass(frozen=True)
class _Try:
    """Differences with one step of the sweep: slopes of the two sides [probe, 2], and what their error is relative to."""

    step: float
    slopes: np.ndarray
    adjoint: np.ndarray

    @property
    def difference(self) -> np.ndarray:
        return self.slopes.mean(axis=1)

    @property
    def scale(self) -> float:
        return max(float(np.abs(self.adjoint).max()), float(np.abs(self.difference).max()), 1e-300)

    @property
    def error(self) -> float:
        away = float(np.abs(self.difference - self.adjoint).max())
        return away / self.scale if np.isfinite(away) else np.inf

    @property
    def gap(self) -> float:
        """By how much the slopes of the two sides differ."""
        return float(np.abs(np.diff(self.slopes)).max())

    def holds(self, tolerance: float) -> bool:
        """Whether every adjoint lies between the slopes of its two sides."""
        slack = tolerance * self.scale
        lower, upper = self.slopes.min(axis=1) - slack, self.slopes.max(axis=1) + slack
        return bool(((self.adjoint >= lower) & (self.adjoint <= upper)).all())


def _audit(rollout, loss, base, value, name, gradient, probes, sweep, rng, progress=None) -> ParameterAudit:
    start, parameter = base[name], rollout.parameters()[name]
    directions = [_direction(name, start, rng) for _ in range(probes)]
    one_sided = _turn_inwards(parameter.spec, start, directions, max(sweep))
    adjoint = np.array([float((gradient * d).sum()) for d in directions])
    evaluate = functools.partial(_moved_loss, rollout, loss, base, name)
    slopes_along = _inward_slopes if one_sided else _both_slopes
    tolerance, steps = TOLERANCE[rollout.model.precision.name], list(sweep)
    tried: list[_Try] = []
    for step in steps:  # which grows by finer ones while the finest is the best and does not agree
        if progress is not None:
            progress(len(tried) / len(steps))
        slopes = np.array([slopes_along(evaluate, value, step * d) for d in directions]) / step
        tried.append(_Try(step, slopes, adjoint))
        best = min(tried, key=lambda one: one.error)
        if not adjoint.any() and not tried[-1].difference.any():
            break
        if len(tried) == len(steps) and best is tried[-1] and best.error > tolerance and step > 2 * FINEST:
            steps.append(step / 10)
    noise, kink, between, jump, zero = 0.0, 0.0, False, 0.0, False
    eps = np.finfo(rollout.model.precision.numpy).eps
    if best.error > tolerance or _jump(tried, eps * abs(value)):
        noise = _round_off(evaluate, value, directions, adjoint, eps)
        kink, between = _kink(tried, noise, tolerance)
        jump = _jump(tried, noise)
        kink, between = (0.0, False) if jump else (kink, between)
        zero = _is_zero(tried, noise)
    errors = tuple((one.step, one.error) for one in tried)
    found = best.difference, errors, best.error, best.step, one_sided, 4 * noise / (best.step * best.scale)
    return ParameterAudit(name, parameter.unit, adjoint, *found, kink, between, jump, zero)


def _round_off(evaluate, value, directions, adjoint, eps: float) -> float:
    """How far the loss is off its tangent when the parameter moves by some last digits, and at least its own last digit."""
    off = [
        abs(evaluate(k * eps * d) - value - k * eps * slope)
        for d, slope in zip(directions, adjoint, strict=True)
        for k in (8, 16, 32)
    ]
    return float(max([eps * abs(value), *(one for one in off if np.isfinite(one))]))


def _kink(tried: list[_Try], noise: float, tolerance: float) -> tuple[float, bool]:
    """The relative gap between the slopes of the sides at a kink and whether the adjoint lies in it; 0 without one.

    Where the loss is smooth the gap shrinks like the step, at a kink it stays. A gap that round-off could make is none. The
    finest steps that show it judge: wider ones may cross the kinks of other contacts.
    """
    seen = [one for one in tried if np.isfinite(one.gap) and one.gap > 8 * noise / one.step]
    seen.sort(key=lambda one: one.step)
    for small, large in zip(seen[:-1], seen[1:], strict=True):
        if small.gap > large.gap * np.sqrt(small.step / large.step):
            return small.gap / small.scale, small.holds(max(tolerance, 4 * noise / (small.step * small.scale)))
    return 0.0, False


def _is_zero(tried: list[_Try], noise: float) -> bool:
    """Whether the adjoint says that the loss does not change by more than round-off, and the widest step does not see it."""
    widest = max(tried, key=lambda one: one.step)
    seen = float(np.abs(widest.slopes).max()) * widest.step
    return float(np.abs(widest.adjoint).max()) <= 8 * noise and seen <= 8 * noise


def _jump(tried: list[_Try], noise: float) -> float:
    """By how much the loss jumps, 0 where it does not: the gap between the slopes of the sides times the step stays.

    At a kink the gap itself stays, so that this product shrinks like the step. What no smaller step sees again lies further off.
    """
    seen = [one for one in tried if np.isfinite(one.gap) and one.gap * one.step > 32 * noise]
    seen.sort(key=lambda one: -one.step)
    sizes = [one.gap * one.step for one in seen]
    for large, small, before, after in zip(seen[:-1], seen[1:], sizes[:-1], sizes[1:], strict=True):
        if after > before * np.sqrt(small.step / large.step):
            return after
    return 0.0


def _direction(name: str, value: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random direction of the parameter's own size; quaternions of poses move less than positions."""
    size = float(np.abs(value).mean()) or 1.0
    return (
        rng.standard_normal(value.shape) * min(size, 0.1)
        if name.endswith(".pose")
        else rng.standard_normal(value.shape) * size
    )


def _turn_inwards(spec: ParameterSpec, value: np.ndarray, directions: list[np.ndarray], step: float) -> bool:
    """Whether a step would take entries over a closed bound; if so, the directions are turned there, in place."""
    if not spec.lower_closed:
        return False
    near = np.zeros(value.shape, dtype=bool)
    for direction in directions:
        near |= value - step * np.abs(direction) < spec.lower
    for direction in directions:
        direction[near] = np.abs(direction[near])
    return bool(near.any())


def _both_slopes(evaluate: Callable[[np.ndarray], float], value: float, delta: np.ndarray) -> tuple[float, float]:
    """The change of the loss along `delta` on either side; their mean is the central difference."""
    return evaluate(delta) - value, value - evaluate(-delta)


def _inward_slopes(evaluate: Callable[[np.ndarray], float], value: float, delta: np.ndarray) -> tuple[float, float]:
    """Twice the change of the loss on the only side there is, of second order in `delta`."""
    change = 2.0 * evaluate(delta) - 1.5 * value - 0.5 * evaluate(2 * delta)
    return change, change


def _moved_loss(rollout, loss, base, name, delta) -> float:
    """The loss with one parameter moved by `delta`; not a number where the run fails or an open bound is crossed."""
    try:
        return float(loss(rollout.forward({**base, name: base[name] + delta}))[0])
    except (SimulationError, InputError):
        return float("nan")
