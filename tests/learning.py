"""Small differentiable problems with known optima, and two methods yet to come, written to see that they fit."""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import torch

from pliant.learn import Estimate, Evaluation, GradientEstimator, Method, Problem, Query, SimulationProblem, Unknown
from pliant.learn.models import Controller, OpenLoopPolicy
from pliant.learn.objectives import ControlEffort, TargetPosition
from pliant.learn.problem import draw_seed
from pliant.sim import Code, SimulationError, Status


def quadratic(dtype=torch.float32, **options) -> Problem:
    """|x - (1, -2, 3)|^2, with its minimum 0."""
    target = torch.tensor([1.0, -2.0, 3.0], dtype=dtype)
    unknown = Unknown(name="x", initial=torch.zeros(3, dtype=dtype))
    return Problem.from_loss(lambda v: (v["x"] - target).square().sum(-1), [unknown], **options)


def rosenbrock(dtype=torch.float64) -> Problem:
    """(1 - x)^2 + 100 (y - x^2)^2 with its residuals; minimum 0 at (1, 1)."""
    root = math.sqrt(2.0)

    def function(values):
        x, y = values["x"].unbind()
        residuals = torch.stack([root * (1.0 - x), root * 10.0 * (y - x * x)])
        return Evaluation(loss=residuals.square().sum() / 2, residuals=residuals)

    return Problem.from_loss(function, [Unknown(name="x", initial=torch.tensor([-1.2, 1.0], dtype=dtype))])


def failing_beyond(limit: float) -> Problem:
    """(x - 3)^2 for x < limit, a failed simulation beyond it."""

    def function(values):
        if float(values["x"].detach()) >= limit:
            raise SimulationError(Status(Code.LEFT_GRID, 7, 0, "ball", "particle 0 of 'ball' left the grid at step 7"))
        return (values["x"] - 3.0).square()

    return Problem.from_loss(function, [Unknown(name="x", initial=0.0)])


@dataclasses.dataclass
class Seen(dict):
    """An observation of the point mass."""

    time: float = 0.0


class PointMass(torch.nn.Module):
    """A unit mass pushed by a policy along x, with drag 1/s: x'' = u - x', semi-implicit steps of 0.1 s, a batch of starts."""

    def __init__(self, policy: torch.nn.Module, *, steps: int = 20, batch: int = 2):
        super().__init__()
        self.policy, self.steps, self.batch, self.runs = policy, steps, batch, 0

    def forward(self, values) -> dict[str, torch.Tensor]:
        self.runs += 1
        position, velocity = torch.zeros(self.batch, 1, 3), torch.zeros(self.batch, 1, 3)
        frames, push = [position], torch.zeros(self.batch, 1, 2)
        for step in range(self.steps):
            seen = Seen(time=0.1 * step)
            seen.update({"ball.position": position, "ball.velocity": velocity})
            force = self.policy(seen)["ball.force"].unsqueeze(1)
            velocity = velocity + 0.1 * (torch.cat([force, push], -1) - values.get("drag", 1.0) * velocity)
            position = position + 0.1 * velocity
            frames.append(position)
        return {"ball.position": torch.stack(frames)}


def point_mass_problem(seed: int = 0, effort: float = 0.0) -> SimulationProblem:
    """Push the point mass to x = 0.5 m with an open-loop table in [-1, 1]."""
    rng = torch.Generator().manual_seed(seed)
    policy = OpenLoopPolicy(20, 1, interval=0.1, bounds="symmetric", generator=rng)
    controller = Controller(policy, "ball.force")
    objective = TargetPosition("ball.position", [0.5, 0.0, 0.0]) + effort * ControlEffort(controller)
    return SimulationProblem(PointMass(controller), objective, environments=2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CentralDifference(GradientEstimator):
    """MeZO's estimate: g = (L(theta + e z) - L(theta - e z)) / (2 e) z with z regenerated from its seed."""

    size: float = 1e-3

    def __call__(self, problem: Problem, thetas: torch.Tensor, rng: torch.Generator) -> list[Estimate]:
        return [self._one(problem, theta, draw_seed(rng), draw_seed(rng)) for theta in thetas]

    def cost(self, problem: Problem, candidates: int = 1) -> int:
        return 2 * candidates * problem.calls()

    def _one(self, problem: Problem, theta: torch.Tensor, direction: int, shared: int) -> Estimate:

        def z() -> torch.Tensor:
            return problem.space.noise(1, torch.Generator().manual_seed(direction))[0]

        plus = problem.evaluate(theta + self.size * z(), seed=shared)
        minus = problem.evaluate(theta - self.size * z(), seed=shared)
        slope = (plus.value - minus.value) / (2.0 * self.size)
        return Estimate(
            value=(plus.value + minus.value) / 2.0,
            gradient=slope * z(),
            failure=plus.failure or minus.failure,
            simulator_calls=plus.simulator_calls + minus.simulator_calls,
        )


@dataclasses.dataclass(kw_only=True, eq=False)
class Population(Method):
    """An elite set of rows, mutated one entry at a time: the shape of population calibration and of GFlowNet sampling."""

    STATE: ClassVar[tuple[str, ...]] = ("rows", "losses")

    size: int = 16
    std: float = 0.5

    def reset(self) -> None:
        self.rows = self.space.initial.expand(self.size, -1).clone()
        self.losses = torch.full((self.size,), math.inf, dtype=self.space.dtype)

    def ask(self) -> Query:
        entry = torch.randint(self.space.dimension, (self.size, 1), generator=self.rng)
        mutation = self.std * self.space.noise(self.size, self.rng)
        chosen = torch.zeros_like(mutation).scatter(1, entry, 1.0)
        return Query(candidates=self.space.project(self.rows + chosen * mutation)[0])

    def tell(self, query: Query, estimates: Sequence[Estimate]) -> dict[str, float]:
        losses = torch.cat([self.losses, torch.tensor([e.value for e in estimates], dtype=self.space.dtype)])
        best = losses.argsort(stable=True)[: self.size]
        self.rows, self.losses = torch.cat([self.rows, query.candidates])[best], losses[best]
        return {"spread": float(self.rows.std(0).mean())}

    def cost(self, problem: Problem) -> int:
        return problem.calls(self.size)

    def posterior(self):
        return self.space.values(self.rows)
