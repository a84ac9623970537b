"""`python -m benchmarks.ablations`: what the priors of a learned law are worth, law beside law under one protocol.

Each law learns the jelly from 250 substeps of a tumbling cube in 30 epochs, as `pliant train law --data tumble:jelly` does, and
is then left to itself: over those substeps, 2.5 times as many, with other velocities, and in another geometry. A law and seed
is one line of the output, so that a run that was stopped goes on with what is missing.
"""

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import describe
from pliant import sim
from pliant.learn import Adam, Budget, TorchLaw, solve
from pliant.learn.models.laws.registry import LAWS
from pliant.scenes import tumble
from pliant.scenes.motion_data import load_motion
from pliant.scenes.registry import FOLDER
from pliant.scenes.train_law import (
    EVALUATED_EVERY,
    Arguments,
    learned_substeps,
    make_law,
    make_method,
    make_problem,
    plan,
)
from pliant.sim import shapes

SEEDS = (0, 1, 2)
DT, LONG = 5e-4, 1000
THROWN = {  # linear [m/s] and angular [1/s] velocity of the independent run `jelly_vel_seed1` that the aims are held against
    "velocity": (0.05859467, 1.7637465, -2.23275321),
    "angular_velocity": (0.93549436, -2.48310778, 1.26997935),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A law under a name, with what of the training's arguments, and of Adam's epsilon, is its own."""

    name: str
    arguments: Mapping[str, Any]
    epsilon: float = Adam.epsilon


CASES = (
    Case("energy", {"law": "hyperelastic"}),
    Case("paper's network, scaled", {"law": "elastic"}),
    # It must learn to put out pascals: its weights have a long way to go, and its gradients, in inverse pascals, are tiny.
    Case("paper's network", {"law": "elastic", "stress_scale": 1.0, "learning_rate": 1.0}, epsilon=1e-18),
    Case("invariants only", {"law": "invariants"}),
    Case("polar", {"law": "polar"}),
    Case("plain", {"law": "plain"}),
    Case("spline", {"law": "spline"}),
    Case("StVK", {"law": "stvk", "learning_rate": 3e-2}),  # two moduli, kept as logarithms, have a longer way to go
)


def bird() -> sim.Scene:
    """The mesh of a bird, half a metre long, in the box of the tumbling cube."""
    path = FOLDER.parent / "assets" / "duck_like.obj"
    lower, upper = (np.asarray(bound) for bound in shapes.Mesh(path).bounds())
    scene = tumble.box_scene()
    scene.add_mpm(
        shapes.Mesh(path, scale=tumble.SIDE / float((upper - lower).max()), center=(0.5, 0.5, 0.5)),
        tumble.MATERIALS["jelly"],
        density=tumble.DENSITY,
        spacing=0.025,
        name="cube",
        velocity=tumble.VELOCITY,
        angular_velocity=tumble.ANGULAR_VELOCITY,
    )
    return scene


def thrown() -> sim.Scene:
    """The cube with other velocities."""
    scene = tumble.box_scene()
    scene.add_mpm(
        shapes.Points(tumble.lattice(), volume=tumble.SIDE**3),
        tumble.MATERIALS["jelly"],
        density=tumble.DENSITY,
        spacing=tumble.SIDE / (tumble.POINTS - 1),
        name="cube",
        **THROWN,
    )
    return scene


TESTS: dict[str, tuple[Callable[[], sim.Scene], int]] = {
    "reconstruction": (tumble.build, 250),
    "time x2.5": (tumble.build, 625),
    "new velocities": (thrown, LONG),
    "new geometry": (bird, LONG),
}


def errors_of(law: TorchLaw) -> tuple[dict[str, float | None], dict[str, str]]:
    """Of each test the mean squared error of the coordinates [m^2] at every 50th substep, None where the motion does not
    last, and then the sentence that says why."""
    errors: dict[str, float | None] = {}
    sentences = {}
    for name, (build, steps) in TESTS.items():
        truth, made = (_motion(scene, steps) for scene in (build(), build().with_material("cube", law)))
        if made.status.ok:
            gap = np.asarray(made["cube.position"], float)[1:] - np.asarray(truth["cube.position"], float)[1:]
            errors[name] = float((gap**2).mean())
        else:
            errors[name], sentences[name] = None, made.status.message
    return errors, sentences


def _motion(scene: sim.Scene, steps: int) -> sim.Trajectory:
    model = scene.build(dt=DT, threads=1)
    rollout = model.rollout(steps, record_every=EVALUATED_EVERY, record=("position",), gradient=False)
    return rollout.forward(check=False)


def study(case: Case, seed: int, **options: Any) -> dict[str, Any]:
    """A line of the output: the errors of one training, and what went wrong in it.

    Args:
        options: of the training, beside those of the case.
    """
    arguments = Arguments(data="tumble:jelly", seed=seed, progress=False, **{**case.arguments, **options})
    motion = load_motion(arguments.data, None, arguments.substeps or 250, "cpu", arguments.dtype)
    law = make_law(arguments)
    stages = plan(arguments, learned_substeps(arguments, motion))
    problem = make_problem(arguments, motion, law, stages)
    iterations = sum(stage.iterations for stage in stages)
    method = dataclasses.replace(make_method(arguments, iterations), epsilon=case.epsilon)
    begun = time.process_time()
    result = solve(problem, method, Budget(iterations=iterations), seed, callbacks=[problem.advance])
    seconds = time.process_time() - begun
    errors, sentences = errors_of(law)
    weights = sum(w.numel() for w in law.parameters())
    return {
        "case": case.name,
        "seed": seed,
        "arguments": {**case.arguments, "epsilon": case.epsilon},
        "priors": sorted(LAWS[arguments.law].PRIORS),
        "weights": weights,
        "training [cpu s]": round(seconds, 1),
        "errors [m^2]": errors,
        "failed": sentences,
        "report": result.report,
    }


def read(path: Path | None) -> list[dict[str, Any]]:
    """The lines written before; what a kill left of a last line is dropped."""
    if path is None or not path.is_file():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]


def table(rows: list[dict[str, Any]]) -> str:
    """Of each law and test the median over the seeds, and the range; "fails" where the motion of the median does not last."""
    lines = [f"{'law':<26}" + "".join(f"{test:>30}" for test in TESTS)]
    for name in dict.fromkeys(row["case"] for row in rows):
        mine = [row["errors [m^2]"] for row in rows if row["case"] == name]
        lines.append(f"{name:<26}" + "".join(f"{_summary([e[test] for e in mine]):>30}" for test in TESTS))
    return "\n".join(lines)


def _summary(values: list[float | None]) -> str:
    numbers = [float("inf") if value is None else value for value in values]
    low, middle, high = (
        f"{n:.1e}" if np.isfinite(n) else "fails" for n in (min(numbers), statistics.median(numbers), max(numbers))
    )
    return f"{middle} ({low} to {high})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations", description=__doc__)
    parser.add_argument("--output", type=Path, help="file of JSON lines to continue (default: nothing is kept)")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help=f"default: {SEEDS}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows, machine = read(options.output), describe()
    done = {(row["case"], row["seed"]) for row in rows}
    for case in CASES:
        for seed in options.seeds:
            if (case.name, seed) in done:
                continue
            rows.append(study(case, seed) | machine)
            print(json.dumps({n: rows[-1][n] for n in ("case", "seed", "errors [m^2]", "failed")}), flush=True)
            if options.output:
                options.output.parent.mkdir(parents=True, exist_ok=True)
                with options.output.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
