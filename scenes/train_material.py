"""Parameters of an analytic law are identified from a recorded motion, with intervals that say how well they are known.

Any parameter of the scene can be unknown: stiffness, Poisson's ratio, yield stress, angle of friction, viscosity, density,
a collider's friction, the velocity and spin a body starts with. The data is a scene, run here with its own parameters,
or a recording in files, as for `pliant train law`; only positions are seen, of all points or of some, with noise if
asked for, and in `clouds` without knowing which is which. Everything else of the scene is taken to be known.

    pliant train material --data tumble:plasticine --unknowns youngs_modulus=1e5 poissons_ratio yield_stress --noise 0.01
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from pliant import sim
from pliant.learn import Adam, Budget, LevenbergMarquardt, Method, Result
from pliant.learn.arguments import LAST_SEED, option
from pliant.learn.identify.initial_velocity import estimated_velocity
from pliant.learn.identify.material import MaterialProblem, misfit, parameter_unknown, posterior_at
from pliant.learn.identify.motion import Curriculum
from pliant.learn.identify.observation import observing_rollout, seen_objective
from pliant.learn.identify.posterior import GaussianPosterior
from pliant.learn.plot import unknowns_plot
from pliant.learn.run import Run
from pliant.learn.solve import Iteration
from pliant.scenes.motion_data import Motion, Origin, is_recording, load_motion
from pliant.sim.atomic import write_atomically

LEVEL = 0.9  # of the intervals
LOOSE, TIGHT = 1e-2, 1e-9  # share of the loss below whose change a horizon, and the whole motion, are done
DENSE = 10  # substeps between the frames seen of a scene
SUBSTEPS = 250  # seen, of a scene's own motion
UNSETTLED = "The iterations ended before the values had settled: neither they nor their intervals are final; raise --iterations."


@dataclasses.dataclass(kw_only=True)
class Arguments:
    """Identify parameters of a scene's materials, colliders and initial motion from a recorded motion."""

    data: str = option(
        "tumble:jelly", "scene NAME, NAME:VARIANT or .py file, or a recording: .npz, .pvd, folder or 'pattern*.ply'"
    )
    unknowns: tuple[str, ...] = option(
        ("youngs_modulus=1e4",), "NAME, NAME=GUESS or NAME=GUESS:LOWER:UPPER in SI units; of another owner: OWNER.NAME"
    )
    scene: str | None = option(None, "what a recording is of, as a scene; default: the one in a trajectory of Pliant")
    body: str | None = option(None, "the body that is seen, and whose parameters need no prefix; default: the only one")
    dt: float | None = option(None, "substep [s]; default: that of the scene", above=0)
    units: str = option("m", "of a recording's lengths: m, cm, mm, or metres in one of them")
    up: Literal["x", "y", "z"] = option("z", "the axis of a recording that points up")
    offset: tuple[float, float, float] = option(
        (0.0, 0.0, 0.0), "added to a recording's points, after units and up [m]"
    )
    interval: float | None = option(
        None, "between frames of files without times, or a `step` of a .npz without `dt` [s]"
    )
    velocity: Literal["scene", "recorded", "estimated"] = option(
        "scene",
        "at the start, where it is not unknown: of the scene, of the recording, or estimated from its first frames",
    )
    supervision: Literal["positions", "clouds"] = option("positions", "what of the motion is seen")
    match: Literal["chamfer", "wasserstein"] = option("wasserstein", "how clouds are compared")
    tracked: int = option(0, "points seen, drawn with the seed; 0: all", least=0)
    seen_every: int | None = option(
        None, "substeps between frames seen; default: all frames, of a scene every 10", least=1
    )
    noise: float = option(
        0.0, "standard deviation added to each coordinate seen, as a share of the body's size", least=0
    )
    substeps: int | None = option(
        None, "of the motion that are seen; default: 250 of a scene, all of a recording", least=1
    )
    horizons: tuple[int, ...] = option(
        (), "shorter motions to fit first, in substeps, so as not to end in a wrong minimum (lm)"
    )
    starts: int = option(
        0, "samples around the guesses, of which the best is where Levenberg-Marquardt starts; 0: none", least=0
    )
    method: Literal["lm", "adam"] = option("lm", "Levenberg-Marquardt, or gradient descent")
    iterations: int = option(40, "at most", may_change=True, least=1)
    learning_rate: float = option(
        0.2, "of Adam, in spreads of the unknowns, decayed to a fiftieth along a cosine", above=0
    )
    seed: int = option(0, "of the noise, of the points seen, and of the starts", least=0, most=LAST_SEED)
    device: str = option("cpu", "cpu or cuda")
    dtype: Literal["float32", "float64"] = option("float64", "precision of the simulation")
    folder: Path = option(Path("runs/material"), "the run folder")
    resume: bool = option(False, "continue the run in the folder, bit for bit on the CPU", may_change=True)
    progress: bool = option(True, "draw a progress bar", may_change=True)

    def origin(self) -> Origin:
        """What a recording does not say itself."""
        return Origin(
            scene=self.scene, dt=self.dt, unit=self.units, up=self.up, offset=self.offset, interval=self.interval
        )


def load(arguments: Arguments) -> Motion:
    """The motion, with its noise."""
    substeps = arguments.substeps or SUBSTEPS
    motion = load_motion(
        arguments.data, arguments.body, substeps, arguments.device, arguments.dtype, origin=arguments.origin()
    )
    is_unknown = any(word.partition("=")[0] in ("velocity", f"{motion.body}.velocity") for word in arguments.unknowns)
    motion.check(velocity=arguments.velocity == "scene" and not is_unknown, rows=arguments.supervision == "positions")
    return motion.noisy(arguments.noise, arguments.seed)


def seen_substeps(arguments: Arguments, motion: Motion) -> int:
    """How much of the motion is seen [substeps]; `InputError` when it is not that long."""
    substeps = arguments.substeps or (motion.steps if is_recording(arguments.data) else SUBSTEPS)
    if not 1 <= substeps <= motion.steps:
        raise sim.InputError(
            f"substeps: expected 1 to {motion.steps}, as long as the motion, got {substeps}; correct it."
        )
    return substeps


def make_problem(arguments: Arguments, motion: Motion, substeps: int | None = None) -> MaterialProblem:
    """The problem of what was seen of the motion, over its first substeps or all that are asked for."""
    clouds = arguments.supervision == "clouds"
    every = arguments.seen_every or (None if is_recording(arguments.data) else DENSE)
    view = motion.view(clouds=clouds, tracked=arguments.tracked, every=every, seed=arguments.seed)
    seen = view.until((substeps or seen_substeps(arguments, motion)) * motion.dt)
    model = motion.scene.build(dt=motion.dt, device=arguments.device, dtype=arguments.dtype, threads=1)
    match = arguments.match if clouds else "markers"
    words = [with_guess(word, motion, view) for word in arguments.unknowns]
    dtype = getattr(torch, arguments.dtype)
    return MaterialProblem(
        observing_rollout(model, seen),
        seen_objective(seen, motion.body, motion.particles, match=match, length=motion.size),
        start=motion.start(arguments.velocity, view),
        unknowns=[parameter_unknown(model, word, body=motion.body, dtype=dtype) for word in words],
    )


def make_stages(arguments: Arguments, motion: Motion) -> Curriculum:
    """A problem for each horizon, then that of the whole motion."""
    horizons, whole = arguments.horizons, seen_substeps(arguments, motion)
    if horizons and arguments.method != "lm":
        raise sim.InputError(f"horizons: expected the method lm, got {arguments.method}; leave one of the two out.")
    if not all(a < b for a, b in zip((0, *horizons), (*horizons, whole), strict=True)):
        raise sim.InputError(
            f"horizons: expected rising numbers of substeps below {whole}, got {horizons}; correct them."
        )
    problems = [make_problem(arguments, motion, substeps) for substeps in (*horizons, whole)]
    unlimited = [arguments.iterations + 1] * len(problems)  # a horizon ends when the method is done with it
    return Curriculum(problems, unlimited)


def tolerate(method: Method, stages: Curriculum, stage: int) -> None:
    """All stages but the last end as soon as the loss no longer falls by much, not to fit what they cannot show."""
    if isinstance(method, LevenbergMarquardt):
        method.loss_tolerance = LOOSE if stage + 1 < len(stages.stages) else TIGHT


def with_guess(word: str, motion: Motion, seen: sim.Recording) -> str:
    """A velocity or angular velocity of the body that has no guess gets that of the first frames seen."""
    short = word.removeprefix(f"{motion.body}.")
    if short not in ("velocity", "angular_velocity"):
        return word
    field = estimated_velocity(seen)
    W = (field.gradient - field.gradient.T) / 2.0  # W r = w x r
    spin, speed = (W[2, 1], W[0, 2], W[1, 0]), field.at(motion.particles).mean(axis=0)
    return f"{word}={','.join(repr(float(g)) for g in (speed if short == 'velocity' else spin))}"


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
        show=("cloud_distance" if arguments.supervision == "clouds" else "position_error",),
        progress=arguments.progress,
    )
    motion = load(arguments)
    stages, method = make_stages(arguments, motion), make_method(arguments)
    tolerate(method, stages, run.load()["problem"]["stage"] if arguments.resume else 0)

    def advance(iteration: Iteration) -> None:
        stages.advance(iteration)
        tolerate(method, stages, stages.stage)

    result = run.solve(stages, method, Budget(iterations=arguments.iterations), arguments.seed, callbacks=[advance])
    if stages.stage + 1 < len(stages.stages):
        result.report.append(
            "The budget ended before the whole motion was fitted: raise --iterations, or give fewer --horizons."
        )
    elif isinstance(method, LevenbergMarquardt) and not method.finished:
        result.report.append(UNSETTLED)
    leave(run, arguments, motion, make_problem(arguments, motion), result)
    return run


def leave(run: Run, arguments: Arguments, motion: Motion, problem: MaterialProblem, result: Result) -> None:
    """Save the plot and the values with their intervals, and print them as a table."""
    posterior = result.posterior or posterior_at(problem, result.theta)
    truth = true_entries(motion, problem) if motion.truth else {}
    units = entry_units(problem)
    logarithmic = {u.name for u in problem.space.unknowns if u.is_log}
    labels = {name: f"{name.rpartition('.')[2].replace('_', ' ')}\n[{unit}]" for name, unit in units.items()}
    error = "cloud_distance" if arguments.supervision == "clouds" else "position_error"
    picture = unknowns_plot(result.history, labels, truth=truth, logarithmic=logarithmic, error=error)
    write_atomically(run.path("unknowns.png"), picture)
    rows = entry_rows(problem, result, posterior, truth)
    warnings = doubts(arguments, problem, result, posterior)
    found = {"unknowns": rows, "level": LEVEL, "warnings": warnings, "report": result.report}
    write_atomically(run.path("material.json"), (json.dumps(found, indent=2) + "\n").encode())
    print(
        f"{arguments.method} on {arguments.data}: {len(result.history)} iterations, {result.simulator_calls} simulator calls."
    )
    print(table(rows, units))
    told = [sentence for sentence in warnings if sentence not in result.report]
    for sentence in (*result.report, *told, f"Everything is in {run.folder}."):
        print(f"  {sentence}")


def doubts(
    arguments: Arguments, problem: MaterialProblem, result: Result, posterior: GaussianPosterior | None
) -> list[str]:
    """What speaks against the values or their intervals."""
    told = [*(posterior.warnings if posterior else ()), misfit(problem, result.theta)]
    if arguments.supervision == "clouds":
        told.append(
            "The intervals take all differences for independent errors, which those of clouds without correspondence are not: "
            "they are too narrow."
        )
    return [sentence for sentence in told if sentence]


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
