"""The gradient audit: is the gradient of a loss right, finite, and useful over this horizon?

For every parameter the derivative by the adjoint is set beside central finite differences over a sweep of steps; the
adjoint of the state is followed back substep by substep, so that the report can name the first array that is not finite and
show how fast sensitivities grow (exponential growth is chaos: the gradient is exact and of little use).
"""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.rollout import Record, Rollout
from sim.solver import State
from sim.status import SimulationError
from sim.trajectory import Trajectory

Loss = Callable[[Trajectory], tuple[float, Mapping[str, np.ndarray]]]
SWEEP = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
TOLERANCE = {"float64": 1e-6, "float32": 2e-2}  # float32 differences cancel all but two or three digits


@dataclasses.dataclass(frozen=True)
class ParameterAudit:
    """Derivatives along random directions for one parameter: `adjoint` and `difference` [probe], at the best step.

    `sweep` holds (relative step, relative error); `error` is the smallest of them; `cosine` compares the two lists.
    """

    name: str
    unit: str
    adjoint: np.ndarray
    difference: np.ndarray
    sweep: tuple[tuple[float, float], ...]
    error: float
    step: float

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
    """

    loss: float
    parameters: tuple[ParameterAudit, ...]
    growth: dict[str, np.ndarray]
    jacobian: np.ndarray
    first_bad: tuple[int, str] | None
    tolerance: float
    dt: float

    @property
    def ok(self) -> bool:
        """Whether every derivative agrees within the tolerance of the precision and everything is finite."""
        return self.first_bad is None and all(p.error <= self.tolerance for p in self.parameters)

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
        rows = [
            f"{p.name:<30} {p.unit:<8} {p.adjoint[0]:>13.6e} {p.difference[0]:>13.6e} {p.cosine:>9.6f} "
            f"{p.error:>9.1e} {p.step:>8.0e}{'' if p.error <= self.tolerance else '  <-- disagrees'}"
            for p in self.parameters
        ]
        tail = [
            f"a change of the {next(iter(self.growth))} grows by a factor {self.jacobian[0]:.3g} over the horizon "
            f"(rate {self.growth_rate:.3g} per second)",
            "every adjoint is finite"
            if self.first_bad is None
            else f"the adjoint of '{self.first_bad[1]}' is not finite at substep {self.first_bad[0]}",
        ]
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


def check_gradients(
    rollout: Rollout,
    loss: Loss,
    values: Mapping[str, Any] | None = None,
    *,
    names: Sequence[str] | None = None,
    probes: int = 2,
    sweep: Sequence[float] = SWEEP,
    seed: int = 0,
) -> GradientReport:
    """Audit the gradient of a loss through a rollout.

    Args:
        rollout: what to differentiate, made with gradient=True; float64 shows errors down to 1e-6 and below.
        loss: trajectory -> (value, {recorded array: derivative of the value}); `learn.check_gradients` takes a torch loss.
        values: parameter values at which to check; default the model's own.
        names: which parameters; default all that the scene's loss can depend on.
        probes: random directions a parameter.
        sweep: finite-difference steps relative to the parameter's size.

    Returns: a `GradientReport`.
    Errors: `InputError` for unknown names; `SimulationError` when the rollout itself fails.
    """
    rollout.model.check_names(names or [])
    base = _full_values(rollout, values or {})
    trajectory = rollout.forward(base)
    value, adjoints = loss(trajectory)
    if not np.isfinite(value):
        raise InputError(f"check_gradients: expected a finite loss, got {value}; check the loss function.")
    growth, bad, record = _Growth(rollout), None, rollout.last
    try:
        gradients = rollout.backward(adjoints, watch=growth)
    except SimulationError:
        gradients, bad = None, growth.first_bad
    rng = np.random.default_rng(seed)
    audits = []
    if gradients is not None:
        for name in names or list(gradients):
            audits.append(_audit(rollout, loss, base, name, gradients[name], probes, sweep, rng))
    jacobian = _jacobian_growth(rollout, record, rng)
    tolerance = TOLERANCE[rollout.model.precision.name]
    return GradientReport(
        float(value), tuple(audits), growth.arrays, jacobian, bad or growth.first_bad, tolerance, rollout.model.dt
    )


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


def _audit(rollout, loss, base, name, gradient, probes, sweep, rng) -> ParameterAudit:
    value, parameter = base[name], rollout.parameters()[name]
    directions = [_direction(name, value, rng) for _ in range(probes)]
    adjoint = np.array([float((gradient * d).sum()) for d in directions])
    tried = []
    for step in sweep:
        difference = np.array([_difference(rollout, loss, base, name, step * d) / step for d in directions])
        scale = max(float(np.abs(adjoint).max()), float(np.abs(difference).max()), 1e-300)
        error = float(np.abs(difference - adjoint).max()) / scale if np.isfinite(difference).all() else np.inf
        tried.append((step, error, difference))
        if np.abs(adjoint).max() == 0 and np.abs(difference).max() == 0:
            break
    step, error, difference = min(tried, key=lambda t: t[1])
    return ParameterAudit(name, parameter.unit, adjoint, difference, tuple(t[:2] for t in tried), error, step)


def _direction(name: str, value: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random direction of the parameter's own size; quaternions of poses move less than positions."""
    size = float(np.abs(value).mean()) or 1.0
    return (
        rng.standard_normal(value.shape) * min(size, 0.1)
        if name.endswith(".pose")
        else rng.standard_normal(value.shape) * size
    )


def _difference(rollout, loss, base, name, delta) -> float:
    """Central difference of the loss along `delta`; not a number where a run fails or a bound is crossed."""
    results = []
    for sign in (1.0, -1.0):
        try:
            results.append(float(loss(rollout.forward({**base, name: base[name] + sign * delta}))[0]))
        except (SimulationError, InputError):
            return float("nan")
    return 0.5 * (results[0] - results[1])
