"""A method to come: a population of designs, resampled by what they are worth, eight simulations in a launch, of which some fail."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import torch

from pliant import sim
from pliant.learn import Budget, Estimate, Method, Problem, Query, SimulationProblem, Simulator, Unknown, solve
from pliant.learn.objectives import TargetPosition
from pliant.sim import materials, shapes


@dataclasses.dataclass(kw_only=True, eq=False)
class Resampling(Method):
    """Particles weighed by exp(-loss / temperature), drawn anew in proportion, and moved by noise that cools down.

    Those that fail weigh nothing. Source: Del Moral, Doucet and Jasra, Sequential Monte Carlo samplers, JRSS B 68 (2006).
    """

    STATE: ClassVar[tuple[str, ...]] = ("particles", "std", "failed")

    size: int = 16
    temperature: float = 1e-3
    cooling: float = 0.75

    def reset(self) -> None:
        self.std, self.failed = 1.0, 0
        self.particles = self.space.initial + self.space.noise(self.size, self.rng)

    def ask(self) -> Query:
        return Query(candidates=self.space.project(self.particles)[0])

    def tell(self, query: Query, estimates: Sequence[Estimate]) -> dict[str, object]:
        losses = torch.tensor([e.value for e in estimates], dtype=self.space.dtype)
        self.failed += sum(not e.ok for e in estimates)
        weights = (
            (-(losses - losses.min()) / self.temperature).exp() if losses.isfinite().any() else torch.ones(self.size)
        )
        chosen = torch.multinomial(weights, self.size, replacement=True, generator=self.rng)
        self.std *= self.cooling
        self.particles = query.candidates[chosen] + self.std * self.space.noise(self.size, self.rng)
        return {"weights": weights, "alive": int((weights > 0).sum())}

    def cost(self, problem: Problem) -> int:
        return problem.calls(self.size)

    def report(self) -> list[str]:
        return [f"{self.failed} designs failed."]

    def posterior(self) -> dict[str, torch.Tensor]:
        return self.space.values(self.particles)


def thrown(batch: int) -> SimulationProblem:
    """Throw a small cube onto a point, in a box out of which it must not fly."""
    scene = sim.Scene(extent=((-0.3, -0.3, 0.0), (0.3, 0.3, 0.6)), cell_size=0.05, walls="open", gravity=(0, 0, 0))
    law = materials.NeoHookean(youngs_modulus=1e4, poissons_ratio=0.3)
    scene.add_mpm(shapes.Box(0.1, center=(0, 0, 0.3)), law, density=1000.0, spacing=0.05, name="cube")
    rollout = scene.build(dt=1e-3, batch=batch, dtype="float64", threads=1).rollout(40, record_every=40)
    unknown = Unknown(name="cube.velocity", initial=torch.zeros(1, 3, dtype=torch.float64), spread=8.0)
    objective = TargetPosition("cube.position", [0.08, -0.06, 0.36])
    return SimulationProblem(Simulator(rollout), objective, unknowns=[unknown], parallel=batch > 1)


def test_a_population_survives_the_failures_in_some_of_its_environments():
    together, alone = thrown(8), thrown(1)
    result = solve(together, Resampling(), Budget(simulator_calls=900), 0)
    assert result.loss < 1e-4  # a centimetre
    single = solve(alone, Resampling(), Budget(iterations=len(result.history)), 0)
    assert [r["failed"] for r in result.history] == [
        r["failed"] for r in single.history
    ]  # one fails alone at any batch
    failed = sum(r["failed"] for r in result.history)
    assert failed > 5 and f"{failed} designs failed." in result.report
    assert result.simulator_calls == together.simulator.rollout.simulator_calls <= 900
    assert result.simulator_calls <= 8 * (2 * len(result.history) + failed)  # each failure costs one run more at most
    assert result.posterior["cube.velocity"].shape == (16, 1, 3)
