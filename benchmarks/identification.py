"""`python -m benchmarks.identification`: how often 90 % intervals cover the truth, and how far values are from it.

Each case is a small block of a material whose recorded positions get fresh noise in every draw; Levenberg-Marquardt starts
each time from the same guesses, far from the truth. An interval that is right covers in 9 of 10 draws on average.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import torch

from benchmarks.machine import describe
from pliant.learn import Budget, solve
from pliant.scenes.train_material import LEVEL, Arguments, load, make_method, make_problem, true_entries

DRAWS, NOISE, SUBSTEPS = 10, 0.01, 240


@dataclasses.dataclass(frozen=True)
class Case:
    """A scene and what is unknown of it."""

    data: str
    unknowns: tuple[str, ...]


# Clay starts nearer than the others: pushed by the floor from its particles' positions, it ends in other minima from guesses
# that are three times too soft or too strong to yield. `pliant train material --horizons` is for those.
CASES = (
    Case("specimen:jelly", ("youngs_modulus=1e4", "poissons_ratio=0.4")),
    Case("specimen:clay", ("youngs_modulus=2e5", "poissons_ratio=0.35", "yield_stress=3e3")),
    Case("specimen:sand", ("friction_angle=0.7", "floor.friction=0.2")),
    Case("specimen:syrup", ("viscosity=0.5", "velocity")),
)


@dataclasses.dataclass
class Score:
    """What the draws of one unknown say: how many intervals cover, and the largest and the mean relative error and width."""

    covered: int = 0
    draws: int = 0
    worst: float = 0.0
    errors: float = 0.0
    width: float = 0.0

    def add(self, value: float, low: float, high: float, truth: float) -> None:
        """One draw."""
        error = abs(value - truth) / abs(truth)
        self.covered += low <= truth <= high
        self.draws += 1
        self.worst = max(self.worst, error)
        self.errors += error
        self.width += (high - low) / abs(truth)

    def to_dict(self) -> dict[str, float]:
        """The means over the draws, in percent."""
        mean_error, mean_width = 100.0 * self.errors / self.draws, 100.0 * self.width / self.draws
        return {
            "covered": self.covered,
            "draws": self.draws,
            "largest error [%]": 100.0 * self.worst,
            "mean error [%]": mean_error,
            "mean width of the interval [%]": mean_width,
        }


def study(case: Case, draws: int = DRAWS, noise: float = NOISE, *, seed: int = 0) -> tuple[dict[str, Score], int]:
    """The scores of every unknown of a case, and the most iterations that a draw took; draw i has the seed `seed` + i."""
    scores: dict[str, Score] = {}
    most = 0
    for draw in range(seed, seed + draws):
        arguments = Arguments(
            data=case.data, unknowns=case.unknowns, noise=noise, substeps=SUBSTEPS, seed=draw, progress=False
        )
        motion = load(arguments)
        problem = make_problem(arguments, motion)
        result = solve(problem, make_method(arguments), Budget(iterations=arguments.iterations), draw)
        interval = result.posterior.interval(LEVEL)
        low, high = (problem.entries({name: ends[i] for name, ends in interval.items()}) for i in range(2))
        values, truth = problem.entries(result.unknowns), true_entries(motion, problem)
        for name, value in values.items():
            scores.setdefault(name, Score()).add(value, low[name], high[name], truth[name])
        most = max(most, len(result.history))
    return scores, most


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.identification", description=__doc__)
    parser.add_argument("--draws", type=int, default=DRAWS, help=f"draws of noise (default: {DRAWS})")
    parser.add_argument("--noise", type=float, default=NOISE, help=f"share of the body's size (default: {NOISE})")
    parser.add_argument("--seed", type=int, default=0, help="of the first draw's noise (default: 0); the others follow")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report = describe() | {"draws": options.draws, "noise": options.noise, "seed": options.seed, "cases": {}}
    print(
        f"{'case':<16} {'unknown':<24} {'covered':>8} {'largest error':>14} {'mean width':>11} {'iterations':>11} {'s':>6}"
    )
    for case in CASES:
        begun = time.perf_counter()
        scores, iterations = study(case, options.draws, options.noise, seed=options.seed)
        seconds = time.perf_counter() - begun
        for name, score in scores.items():
            row = score.to_dict()
            print(
                f"{case.data:<16} {name:<24} {score.covered:>4} / {score.draws:<2} {row['largest error [%]']:>12.2f} % "
                f"{row['mean width of the interval [%]']:>9.2f} % {iterations:>10} {seconds:>7.1f}"
            )
        report["cases"][case.data] = {n: s.to_dict() for n, s in scores.items()} | {"seconds": seconds}
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
