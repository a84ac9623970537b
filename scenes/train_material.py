"""Parameters of an analytic law are identified from a recorded motion, with intervals that say how well they are known.

Any parameter of the scene can be unknown: stiffness, Poisson's ratio, yield stress, angle of friction, viscosity, density,
a collider's friction, the velocity and spin a body starts with. Only positions are seen, of all particles or of some,
with noise if asked for; everything else of the scene, the initial positions among it, is taken to be known.

    pliant train material --data tumble:plasticine --unknowns youngs_modulus=1e5 poissons_ratio yield_stress --noise 0.01
"""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

import sim
from learn import Adam, Budget, Iteration, LevenbergMarquardt, Method, Problem, Result
from learn.arguments import option
from learn.identify.material import MaterialProblem, misfit, parameter_unknown, posterior_at
from learn.identify.motion import Curriculum
from learn.identify.posterior import GaussianPosterior
from learn.plot import unknowns_plot
from learn.run import Run
from scenes.motion_data import Motion, load_motion
from sim.atomic import write_atomically

LEVEL = 0.9  # of the intervals
LOOSE, TIGHT = 1e-2, 1e-9  # share of the loss below whose change a horizon, and the whole motion, are done


@dataclasses.dataclass(kw_only=True)
class Arguments:
    """Identify parameters of a scene's materials, colliders and initial motion from a recorded motion."""

    data: str = option(
        "tumble:jelly", "scene NAME or NAME:VARIANT, scene .py file, or a trajectory .npz saved by Pliant"
    )
    body: str | None = option(None, "the body that is seen, and whose parameters need no prefix; default: the only one")
    unknowns: tuple[str, ...] = option(
        ("youngs_modulus=1e4",), "NAME, NAME=GUESS or NAME=GUESS:LOWER:UPPER in SI units; of another owner: OWNER.NAME"
    )
    tracked: int = option(0, "particles seen, drawn with the seed; 0: all")
    noise: float = option(0.0, "standard deviation added to each coordinate seen, as a share of the body's size")
    substeps: int = option(250, "of the motion that are seen")
    record_every: int = option(10, "substeps between the frames that are seen")
    method: Literal["lm", "adam"] = option("lm", "Levenberg-Marquardt, or gradient descent")
    horizons: tuple[int, ...] = option((), "shorter motions to fit first, in substeps, so as not to end in a wrong minimum (lm)")
    starts: int = option(0, "samples around the guesses, of which the best is where Levenberg-Marquardt starts; 0: none")
    iterations: int = option(40, "at most", may_change=True)
    learning_rate: float = option(0.2, "of Adam, in spreads of the unknowns, decayed to a fiftieth along a cosine")
    seed: int = option(0, "of the noise and of the particles seen")
    device: str = option("cpu", "cpu or cuda")
    dtype: Literal["float32", "float64"] = option("float64", "precision of the simulation")
    folder: Path = option(Path("runs/material"), "the run folder")
    resume: bool = option(False, "continue the run in the folder, bit for bit on the CPU", may_change=True)
    progress: bool = option(True, "draw a progress bar", may_change=True)


def seen_motion(arguments: Arguments) -> Motion:
    """The motion with a frame every `record_every` substeps, and its noise."""
    motion = load_motion(arguments.data, arguments.body, arguments.substeps, arguments.device, arguments.dtype)
    return motion.thinned(arguments.record_every).noisy(arguments.noise, arguments.seed)


def make_problem(arguments: Arguments, motion: Motion, substeps: int | None = None) -> MaterialProblem:
    """The problem of the positions of the tracked particles, over all substeps of the motion or the first of them."""
    dtype = getattr(torch, arguments.dtype)
    model = motion.scene.build(dt=motion.dt, device=arguments.device, dtype=arguments.dtype, threads=1)
    words = [with_guess(word, motion) for word in arguments.unknowns]
    return MaterialProblem(
        model.rollout(substeps or motion.steps, record_every=motion.every, record=("position",)),
        motion.start_and_positions(),
        unknowns=[parameter_unknown(model, word, body=motion.body, dtype=dtype) for word in words],
        tracked={motion.body: motion.tracked(arguments.tracked, arguments.seed)},
        length=motion.size,
    )


def make_stages(arguments: Arguments, motion: Motion) -> Curriculum:
    """A problem for each horizon, then that of the whole motion."""
    horizons, every = arguments.horizons, motion.every
    if horizons and arguments.method != "lm":
        raise sim.InputError(f"horizons: expected the method lm, got {arguments.method}; leave one of the two out.")
    rising = all(a < b for a, b in zip((0, *horizons), (*horizons, motion.steps), strict=True))
    if not rising or any(h % every for h in horizons):
        raise sim.InputError(
            f"horizons: expected rising multiples of record_every ({every}) below {motion.steps}, got {horizons}; correct them."
        )
    stages = Curriculum([make_problem(arguments, motion, steps) for steps in (*horizons, motion.steps)])
    stages.comparable = True  # within a stage; `next_stage` forgets the best of the one before
    return stages


def enter(stages: Problem, method: Method, index: int) -> None:
    """Pose a stage; all but the last end as soon as the loss no longer falls by much, not to fit what they cannot show."""
    if isinstance(stages, Curriculum) and isinstance(method, LevenbergMarquardt):
        stages.enter(index)
        method.loss_tolerance = LOOSE if index + 1 < len(stages.stages) else TIGHT


def next_stage(iteration: Iteration) -> None:
    """When the method has finished with a horizon, pose the next one."""
    method, stages = iteration.method, iteration.problem
    if not isinstance(method, LevenbergMarquardt) or not isinstance(stages, Curriculum):
        return
    begun = math.isfinite(method.value)
    if method.finished and begun and method.restarts + 1 < len(stages.stages):
        method.restart()
        enter(stages, method, method.restarts)
        iteration.progress.best_loss = math.inf


def with_guess(word: str, motion: Motion) -> str:
    """A velocity or angular velocity of the body that has no guess gets that of the first two frames."""
    short = word.removeprefix(f"{motion.body}.")
    if short not in ("velocity", "angular_velocity"):
        return word
    guess = motion.rigid_start()[short == "angular_velocity"]
    return f"{word}={','.join(repr(float(g)) for g in guess)}"


def make_method(arguments: Arguments) -> Method:
    """Levenberg-Marquardt or Adam."""
    if arguments.method == "lm":
        return LevenbergMarquardt(starts=arguments.starts, loss_tolerance=TIGHT, level=LEVEL)
    rate = arguments.learning_rate
    return Adam(learning_rate=rate, decay_iterations=arguments.iterations, final_learning_rate=rate / 50)


def train(arguments: Arguments) -> Run:
    """Identify and leave a run folder: checkpoint, metrics, plots of loss and unknowns, values with their intervals."""
    torch.set_num_threads(1)
    run = Run(
        arguments.folder,
        arguments=arguments,
        resume=arguments.resume,
        show=("position_error",),
        progress=arguments.progress,
    )
    motion = seen_motion(arguments)
    stages, method = make_stages(arguments, motion), make_method(arguments)
    enter(stages, method, run.load()["method"].get("restarts", 0) if arguments.resume else 0)
    budget = Budget(iterations=arguments.iterations)
    result = run.solve(stages, method, budget, arguments.seed, callbacks=[next_stage])
    if stages.stage is not stages.stages[-1]:
        result.report.append("The budget ended before the whole motion was fitted: raise --iterations, or give fewer --horizons.")
    leave(run, arguments, motion, make_problem(arguments, motion), result)
    return run


def leave(run: Run, arguments: Arguments, motion: Motion, problem: MaterialProblem, result: Result) -> None:
    """Save the plot and the values with their intervals, and print them as a table."""
    posterior = result.posterior or posterior_at(problem, result.theta)
    truth = true_entries(motion, problem)
    units = entry_units(problem)
    logarithmic = {u.name for u in problem.space.unknowns if u.is_log}
    labels = {name: f"{name.rpartition('.')[2].replace('_', ' ')}\n[{unit}]" for name, unit in units.items()}
    picture = unknowns_plot(result.history, labels, truth=truth, logarithmic=logarithmic, error="position_error")
    write_atomically(run.path("unknowns.png"), picture)
    rows = entry_rows(problem, result, posterior, truth)
    warnings = [*(posterior.warnings if posterior else ()), misfit(problem, result.theta)]
    warnings = [sentence for sentence in warnings if sentence]
    found = {"unknowns": rows, "level": LEVEL, "warnings": warnings, "report": result.report}
    write_atomically(run.path("material.json"), (json.dumps(found, indent=2) + "\n").encode())
    print(f"{arguments.method} on {arguments.data}: {len(result.history)} iterations, {result.simulator_calls} simulator calls.")
    print(table(rows, units))
    told = [sentence for sentence in warnings if sentence not in result.report]
    for sentence in (*result.report, *told, f"Everything is in {run.folder}."):
        print(f"  {sentence}")


def entry_rows(
    problem: MaterialProblem, result: Result, posterior: GaussianPosterior | None, truth: dict[str, float]
) -> dict[str, dict[str, float | None]]:
    """Value, interval and truth of every unknown entry; None where there is none."""
    values, ends = problem.entries(result.unknowns), [{}, {}]
    if posterior is not None:
        interval = posterior.interval(LEVEL)
        ends = [problem.entries({name: pair[i] for name, pair in interval.items()}) for i in range(2)]
    finite = lambda number: number if number is not None and np.isfinite(number) else None  # noqa: E731
    return {
        name: {
            "value": value,
            "low": finite(ends[0].get(name)),
            "high": finite(ends[1].get(name)),
            "true": truth.get(name),
        }
        for name, value in values.items()
    }


def true_entries(motion: Motion, problem: MaterialProblem) -> dict[str, float]:
    """The scene's own values, where a parameter has one value for all particles; of a velocity, that of the centre."""
    parameters, found = problem.rollout.parameters(), {}
    for unknown in problem.space.unknowns:
        owner, _, short = unknown.name.rpartition(".")
        if short == "angular_velocity":
            entry = next(b for b in motion.scene.bodies if b["name"] == owner)
            found[unknown.name] = torch.as_tensor(entry["angular_velocity"])
            continue
        value = np.asarray(parameters[unknown.name].value, float)
        flat = value.reshape(-1, *unknown.shape)
        if short == "velocity" or np.ptp(flat, axis=0).max() == 0.0:
            found[unknown.name] = torch.as_tensor(flat.mean(axis=0))
    known = {u.name: found.get(u.name, torch.full(u.shape, torch.nan)) for u in problem.space.unknowns}
    return {name: value for name, value in problem.entries(known).items() if np.isfinite(value)}


def entry_units(problem: MaterialProblem) -> dict[str, str]:
    """The unit of every unknown entry."""
    parameters = problem.rollout.parameters()
    units = {u.name: parameters[u.name].unit if u.name in parameters else "rad/s" for u in problem.space.unknowns}
    return {entry: units[entry.partition("[")[0]] for entry in problem.space.entry_names()}


def table(rows: dict[str, dict[str, Any]], units: dict[str, str]) -> str:
    """The rows as text."""
    head = f"  {'unknown':<28} {'unit':<8} {'value':>11} {f'{LEVEL:.0%} interval':>25} {'true':>11} {'error':>8}"
    lines = [head, "  " + "-" * (len(head) - 2)]
    for name, row in rows.items():
        interval = "" if row["low"] is None or row["high"] is None else f"{row['low']:.5g} ... {row['high']:.5g}"
        true = error = ""
        if row["true"] is not None:
            true, gap = f"{row['true']:.5g}", row["value"] - row["true"]
            error = f"{100 * gap / row['true']:+.2f} %" if row["true"] else f"{gap:+.1e}"
        lines.append(f"  {name:<28} {units[name]:<8} {row['value']:>11.5g} {interval:>25} {true:>11} {error:>8}")
    return "\n".join(lines)
