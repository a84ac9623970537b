"""Parameters of a scene as unknowns, with a guess, a scale and bounds by what they are, and the problem of a recorded motion."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pliant.learn.gradients.base import mean_weight
from pliant.learn.identify.motion import StartedRollout
from pliant.learn.identify.observation import ObservationProblem
from pliant.learn.identify.posterior import GaussianPosterior, blocked, gaussian_posterior
from pliant.learn.objectives import AtTimes, MarkerMatching
from pliant.learn.problem import Evaluation, Problem, Values, residuals_of
from pliant.learn.space import Unknown
from pliant.sim.errors import InputError
from pliant.sim.model import Model
from pliant.sim.rollout import Rollout
from pliant.sim.trajectory import Trajectory


@dataclasses.dataclass(frozen=True)
class Quantity:
    """What is known of a parameter before any data: a guess in its SI unit, its scale, spread and bounds (see `Unknown`)."""

    guess: float | tuple[float, ...]
    scale: str = "log"
    spread: float = 1.0
    lower: float = -math.inf
    upper: float = math.inf


LASTING = 0.3  # correlation of the differences from frame to frame, above which they are not taken for noise
NEGLIGIBLE = 1e-4  # root mean square difference over the length scale, below which it is not spoken of

QUANTITIES = {
    "youngs_modulus": Quantity(1e5, lower=1.0, upper=1e12),
    "poissons_ratio": Quantity(0.3, "linear", 0.1, 0.0, 0.49),
    "yield_stress": Quantity(1e4, lower=1e-3, upper=1e12),
    "friction_angle": Quantity(0.5, "linear", 0.2, 0.02, 1.5),
    "cohesion": Quantity(1e2, lower=1e-3, upper=1e9),
    "bulk_modulus": Quantity(1e5, lower=1.0, upper=1e12),
    "viscosity": Quantity(1.0, lower=1e-6, upper=1e9),
    "density": Quantity(1e3, lower=1.0, upper=1e5),
    "muscle_strength": Quantity(1e4, lower=1e-3, upper=1e9),
    "friction": Quantity(0.3, "linear", 0.2, 0.0, 10.0),
    "velocity": Quantity((0.0, 0.0, 0.0), "linear", 0.5),
    "angular_velocity": Quantity((0.0, 0.0, 0.0), "linear", 2.0),
    "gravity": Quantity((0.0, 0.0, -9.81), "linear", 1.0),
}


def parameter_unknown(model: Model, word: str, *, body: str, dtype: torch.dtype = torch.float64) -> Unknown:
    """The unknown that NAME, NAME=GUESS or NAME=GUESS:LOWER:UPPER describes; a guess of several numbers has commas.

    NAME is a parameter of the model, with or without "<body>.", or "<body>.angular_velocity" of a body that starts as a
    whole. "<body>.velocity" is that of its centre. What is left out comes from `QUANTITIES`, never from the model.

    Errors: `InputError` for an unknown name, or numbers that cannot be read.
    """
    name, _, text = word.partition("=")
    full = name if "." in name or name == "gravity" else f"{body}.{name}"
    owner, _, short = full.rpartition(".")
    if short != "angular_velocity" or owner not in [b.name for b in model.bodies]:
        model.check_names([full])
    known = QUANTITIES.get(short)
    if known is None:
        possible = [n for n in QUANTITIES if n == "gravity" or f"{body}.{n}" in model.parameters()]
        raise InputError(f"unknowns: expected one of {possible} of {body!r}, or a collider's friction, got {name!r}.")
    try:
        guess, lower, upper = _numbers(text, known)
    except ValueError:
        expected = "NAME, NAME=GUESS or NAME=GUESS:LOWER:UPPER with numbers in SI units"
        raise InputError(f"unknowns: expected {expected}, got {word!r}; correct it.") from None
    initial = torch.tensor(guess, dtype=dtype)
    return Unknown(name=full, initial=initial, lower=lower, upper=upper, scale=known.scale, spread=known.spread)


def _numbers(text: str, known: Quantity) -> tuple[Any, float, float]:
    """Guess and bounds; `ValueError` for what does not fit."""
    guess, *bounds = text.split(":") if text else [""]
    if len(bounds) not in (0, 2):
        raise ValueError(text)
    lower, upper = (float(b) for b in bounds) if bounds else (known.lower, known.upper)
    if not guess:
        return known.guess, lower, upper
    numbers = [float(word) for word in guess.split(",")]
    count = len(known.guess) if isinstance(known.guess, tuple) else 1
    if len(numbers) != count:
        raise ValueError(text)
    return numbers if isinstance(known.guess, tuple) else numbers[0], lower, upper


class _RigidStart(StartedRollout):
    """A rollout in which bodies may start with an unknown velocity and angular velocity.

    v = velocity + angular_velocity x (x - centre), with its gradient; what of the two is not unknown is that of the known
    start.
    """

    def forward(self, values: Values) -> Mapping[str, torch.Tensor]:
        return super().forward(self._fields(values, 1.0))

    def linearise(self, values: Values, directions: Values) -> tuple[Trajectory, dict[str, torch.Tensor]]:
        return super().linearise(self._fields(values, 1.0), self._fields(directions, 0.0))

    def _fields(self, values: Values, known: float) -> dict[str, Any]:
        """The values with the motion of every particle of the bodies concerned; a direction changes what is known by 0."""
        made = dict(values)
        for body in [b.model.name for b in self.rollout.binding.bodies]:
            centre, spin = made.pop(f"{body}.velocity", None), made.pop(f"{body}.angular_velocity", None)
            if centre is None and spin is None:
                continue
            like = centre if centre is not None else spin
            v, x = (self._known(f"{body}.{field}").to(like) for field in ("velocity", "position"))
            mean, arm = v.mean(0), x - x.mean(0)
            turning = known * (v - mean) if spin is None else _cross(spin, arm)
            made[f"{body}.velocity"] = turning + (known * mean if centre is None else centre[..., None, :])
            if spin is not None:
                axes = torch.eye(3).to(spin).expand(len(x), 3, 3).flatten(0, 1)
                made[f"{body}.velocity_gradient"] = _cross(spin, axes).unflatten(-2, (len(x), 3)).mT  # columns w x e_i
        return made

    def _known(self, name: str) -> torch.Tensor:
        """What is known of a field at the start, [items, 3]."""
        value = self.start[name] if name in self.start else self.rollout.parameters()[name].value
        return value[0] if isinstance(value, torch.Tensor) else torch.tensor(value[0])


def _cross(spin: torch.Tensor, arm: torch.Tensor) -> torch.Tensor:
    """spin x arm for spins [..., 3] and arms [items, 3]: [..., items, 3]."""
    shape = (*spin.shape[:-1], *arm.shape)
    return torch.linalg.cross(spin[..., None, :].expand(shape), arm.expand(shape))


class MaterialProblem(ObservationProblem):
    """Parameters of the model from what was seen of a motion; the arguments are those of `ObservationProblem`.

    It logs the values of the unknowns beside what the objective logs. Errors: `InputError` without unknowns.
    """

    def __init__(self, rollout: Rollout, objective: AtTimes, *, unknowns: Sequence[Unknown], **options: Any):
        if rollout.batch != 1 or not unknowns:
            raise InputError(
                f"material: expected a rollout of one environment and at least one unknown, got {rollout.batch} and "
                f"{len(unknowns)}; correct them."
            )
        self.seen = objective
        super().__init__(rollout, objective, unknowns=unknowns, **options)

    def make_start(self, rollout: Rollout) -> StartedRollout:
        return _RigidStart(rollout)

    def compute(self, values: Values) -> Evaluation:
        evaluation = super().compute(values)
        return dataclasses.replace(evaluation, metrics={**evaluation.metrics, **self.entries(values)})

    def differentiate(self, theta: torch.Tensor) -> tuple[Evaluation, torch.Tensor]:
        evaluation, jacobian = super().differentiate(theta)
        named = self.entries(self.space.values(theta))
        return dataclasses.replace(evaluation, metrics={**evaluation.metrics, **named}), jacobian

    def entries(self, values: Values) -> dict[str, float]:
        """Every entry of the values by its name."""
        flat = torch.cat([values[name].detach().reshape(-1) for name in self.space.names])
        return dict(zip(self.space.entry_names(), flat.tolist(), strict=True))


def misfit(problem: MaterialProblem, theta: torch.Tensor) -> str:
    """A sentence when the differences from the markers look like no noise: the model or the minimum is then wrong.

    Noise of one frame knows nothing of the next; what the model cannot follow lasts. With gaps g_t of every marker and
    axis, the correlation sum g_t g_(t+1) / sum g_t^2 is then 0 to about the root of their number.
    """
    if not isinstance(problem.seen.objective, MarkerMatching):
        return ""
    frames = len(problem.seen.times)
    with torch.no_grad():
        residuals = problem.seen.residuals(problem.simulator(problem.space.values(theta)))
    gaps = residuals_of(residuals).reshape(frames, -1).double()
    lasting = float((gaps[1:] * gaps[:-1]).sum() / gaps.square().sum())
    if frames < 3 or float(gaps.norm()) < NEGLIGIBLE or lasting < LASTING:
        return ""
    return (
        f"The differences that are left last from frame to frame (correlation {lasting:.2f}), so they are not noise: another "
        "start may fit better, or the model is not that of the data; the intervals mean little."
    )


def posterior_at(problem: Problem, theta: torch.Tensor) -> GaussianPosterior | None:
    """The Gaussian of least squares at any point, for methods that find none; None where the simulation fails there."""
    evaluation, jacobian = problem.linearise(theta)
    if jacobian is None or evaluation.residuals is None:
        return None
    weight = mean_weight(evaluation.residuals)
    J = jacobian.reshape(-1, problem.space.dimension).double().cpu() * weight
    r = evaluation.residuals.flatten().double().cpu() * weight
    factor, fixed = torch.linalg.qr(J, mode="r").R, blocked(problem.space, theta, J.T @ r)
    return gaussian_posterior(problem.space, theta, factor, float(r.square().sum()), len(r), fixed)
