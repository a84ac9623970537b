"""A constitutive law is learned from a recorded motion: the solver stays exact, only stress and return map are networks.

The data is a scene, run here with its own law, or a recording: a trajectory of Pliant, a .npz file, numbered VTK or PLY
files, a .pvd collection; `--scene` then gives the body as it is at the first frame. Three kinds of supervision: `state`
starts windows from recorded states (teacher forcing; it needs positions, velocities, velocity gradients and deformation
gradients), `positions` sees where points of the body are from the first frame on, and `clouds` sees points without
knowing which is which. The law is saved as `law.safetensors` and fits any scene: `learn.models.laws.load_law`.
`stress.png` shows its stress beside the truth's.

    pliant train law --data 'scan/*.ply' --interval 0.005 --units mm --scene my_scene.py --supervision clouds
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from pliant import sim
from pliant.learn import LBFGS, Adam, Budget, Method, Problem, Result, TorchLaw
from pliant.learn.arguments import LAST_SEED, option
from pliant.learn.identify.motion import Curriculum, MotionProblem
from pliant.learn.identify.observation import ObservationProblem, observing_rollout, seen_objective, squared_errors
from pliant.learn.models.laws import LAWS, RETURN_MAPS, save_law
from pliant.learn.models.laws.stiffness import moduli_told, stiffness_at_rest
from pliant.learn.objectives.at_times import substeps_around
from pliant.learn.run import Run
from pliant.learn.stress_plot import stress_plot
from pliant.scenes.motion_data import Motion, Origin, is_recording, load_motion, record_motion
from pliant.sim.atomic import write_atomically
from pliant.sim.device import find_device
from pliant.sim.materials import Material

EVALUATED_EVERY = 50  # substeps between the frames that errors are averaged over
LONGER = 2.5  # times the substeps trained on
SUBSTEPS = 250  # learned from, of a scene's own motion
DENSE = 10  # substeps between clouds of a scene's own motion


@dataclasses.dataclass(kw_only=True)
class Arguments:
    """Learn a constitutive law from a recorded motion."""

    data: str = option(
        "tumble:jelly", "scene NAME, NAME:VARIANT or .py file, or a recording: .npz, .pvd, folder or 'pattern*.ply'"
    )
    scene: str | None = option(None, "what a recording is of, as a scene; default: the one in a trajectory of Pliant")
    body: str | None = option(None, "the body whose law is learned; default: the only one")
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
        "scene", "at the start: of the scene, of the recording, or estimated from its first frames"
    )
    law: Literal[tuple(LAWS)] = option("hyperelastic", "the stress")  # type: ignore[valid-type]
    return_map: Literal[tuple(RETURN_MAPS)] = option("none", "the plastic part")  # type: ignore[valid-type]
    stress_scale: float = option(1e5, "typical stiffness [Pa], by which the network's output is multiplied", above=0)
    strain_scale: float = option(
        3e-2, "typical strain at yield, with which a dissipative or isochoric return map begins", above=0
    )
    supervision: Literal["state", "positions", "clouds"] = option("state", "what of the motion is seen")
    match: Literal["chamfer", "wasserstein"] = option("wasserstein", "how clouds are compared")
    tracked: int = option(0, "points seen, drawn with the seed; 0: all", least=0)
    seen_every: int | None = option(
        None, "substeps between frames seen; default: all frames, of a scene as clouds 10", least=1
    )
    noise: float = option(0.0, "added to the recorded positions, as a share of the body's size", least=0)
    substeps: int | None = option(
        None, "of the motion that are learned from; default: 250 of a scene, all of a recording", least=1
    )
    windows: tuple[int, ...] = option(
        (),
        "lengths of the windows [substeps], one a stage of the curriculum; default: 25 of states, otherwise all substeps",
    )
    batch: int = option(2, "windows an iteration (supervision by state)", least=1)
    epochs: int = option(30, "times all substeps are seen, shared equally by the stages", least=1)
    optimizer: Literal["auto", "adam", "lbfgs"] = option("auto", "auto: adam for windows of states, otherwise lbfgs")
    learning_rate: float = option(1e-2, "of Adam, decayed to a fiftieth along a cosine", above=0)
    seed: int = option(0, "of the first weights, the order of the windows, and the noise", least=0, most=LAST_SEED)
    device: str = option("cpu", "cpu or cuda")
    dtype: Literal["float32", "float64"] = option("float32", "precision of the simulation and of the law")
    folder: Path = option(Path("runs/law"), "the run folder")
    resume: bool = option(False, "continue the run in the folder, bit for bit on the CPU", may_change=True)
    pictures: bool = option(True, "render the learned law's motion at the end", may_change=True)
    progress: bool = option(True, "draw a progress bar", may_change=True)

    @property
    def match_kind(self) -> str:
        """How what is seen is compared: see `learn.identify.observation`."""
        return self.match if self.supervision == "clouds" else "markers"

    def origin(self) -> Origin:
        """What a recording does not say itself."""
        return Origin(
            scene=self.scene, dt=self.dt, unit=self.units, up=self.up, offset=self.offset, interval=self.interval
        )


def make_law(arguments: Arguments) -> TorchLaw:
    """The networks, drawn from the seed; `InputError` for a device that is absent."""
    find_device(arguments.device)
    generator = torch.Generator().manual_seed(arguments.seed)
    options: dict[str, Any] = {"dtype": getattr(torch, arguments.dtype), "generator": generator}
    stress = LAWS[arguments.law](stress_scale=arguments.stress_scale, **options)
    plastic = RETURN_MAPS[arguments.return_map]
    if arguments.return_map in ("dissipative", "isochoric"):
        options["strain_scale"] = arguments.strain_scale
    return TorchLaw(stress, None if plastic is None else plastic(**options)).to(arguments.device)


@dataclasses.dataclass(frozen=True)
class Stage:
    """Windows of so many substeps, so many an iteration, that begin at these substeps."""

    window: int
    batch: int
    starts: Sequence[int]
    iterations: int


def plan(arguments: Arguments, total: int) -> list[Stage]:
    """The stages of the curriculum over `total` substeps, each with its share of the epochs.

    Errors: `InputError` for windows longer than what is learned from.
    """
    states = arguments.supervision == "state"
    windows = arguments.windows or ((min(25, total),) if states else (total,))
    if not all(1 <= window <= total for window in windows):
        raise sim.InputError(f"windows: expected lengths from 1 to {total} substeps, got {windows}; correct.")
    share, made = arguments.epochs / len(windows), []
    for window in windows:
        starts = range(0, total - window + 1, window) if states else (0,)
        batch = min(arguments.batch, len(starts))
        made.append(Stage(window, batch, starts, max(1, round(share * total / (window * batch)))))
    return made


def learned_substeps(arguments: Arguments, motion: Motion) -> int:
    """How much of the motion is learned from [substeps].

    Errors: `InputError` when it is not that long.
    """
    default = motion.steps if is_recording(arguments.data) else SUBSTEPS
    total = arguments.substeps or default
    if not 1 <= total <= motion.steps:
        raise sim.InputError(
            f"substeps: expected 1 to {motion.steps}, as long as the recording, got {total}; learn from fewer or record more."
        )
    return total


def make_problem(arguments: Arguments, motion: Motion, law: TorchLaw, stages: Sequence[Stage]) -> Curriculum:
    """A problem for every stage."""
    scene = motion.scene.with_material(motion.body, law)
    posed: list[Problem] = []
    for stage in stages:
        model = scene.build(
            dt=motion.dt,
            device=arguments.device,
            dtype=arguments.dtype,
            batch=stage.batch,
            threads=1,
            seed=arguments.seed,
        )
        make = _window_problem if arguments.supervision == "state" else _observation_problem
        posed.append(make(arguments, motion, model, stage))
    return Curriculum(posed, [stage.iterations for stage in stages])


def _window_problem(arguments: Arguments, motion: Motion, model: sim.Model, stage: Stage) -> MotionProblem:
    """Windows that start from recorded states."""
    if motion.every is None:
        raise sim.InputError(
            f"{arguments.data}: expected states at equal intervals, got none or others; learn from positions or clouds "
            "(supervision)."
        )
    if arguments.seen_every is not None:
        raise sim.InputError("seen_every: expected with positions or clouds, got states; leave it out, all are used.")
    tracked = motion.tracked(arguments.tracked, arguments.seed)
    rollout = model.rollout(stage.window, record_every=motion.every, record=("position",))
    starts = [start // motion.every for start in stage.starts]
    return MotionProblem(rollout, motion.seen, starts=starts, tracked={motion.body: tracked}, length=motion.size)


def _observation_problem(arguments: Arguments, motion: Motion, model: sim.Model, stage: Stage) -> ObservationProblem:
    """One window from the first frame on."""
    seen = observed(arguments, motion).until(stage.window * motion.dt)
    objective = seen_objective(seen, motion.body, motion.particles, match=arguments.match_kind, length=motion.size)
    return ObservationProblem(observing_rollout(model, seen), objective, start=start_of(arguments, motion))


def observed(arguments: Arguments, motion: Motion) -> sim.Recording:
    """What of the recording is seen: some or all points, with or without correspondence, in some or all frames."""
    clouds = arguments.supervision == "clouds"
    dense = clouds and not is_recording(arguments.data)
    every = arguments.seen_every or (DENSE if dense else None)
    return motion.view(clouds=clouds, tracked=arguments.tracked, every=every, seed=arguments.seed)


def start_of(arguments: Arguments, motion: Motion) -> dict[str, np.ndarray]:
    """The first frame as parameter values."""
    estimated = arguments.velocity == "estimated"
    return motion.start(arguments.velocity, observed(arguments, motion) if estimated else None)


def make_method(arguments: Arguments, iterations: int) -> Method:
    """Windows differ from call to call and need Adam; a motion from its first frame on is always the same loss."""
    stochastic = arguments.supervision == "state"
    if arguments.optimizer == "lbfgs" or (arguments.optimizer == "auto" and not stochastic):
        return LBFGS()
    rate = arguments.learning_rate
    return Adam(learning_rate=rate, decay_iterations=iterations, final_learning_rate=rate / 50, clip_norm=None)


def train(arguments: Arguments) -> Run:
    """Train and leave a run folder: law, checkpoint, metrics, loss plot, trajectory, pictures."""
    torch.set_num_threads(1)
    run = Run(
        arguments.folder,
        arguments=arguments,
        resume=arguments.resume,
        show=("cloud_distance" if arguments.supervision == "clouds" else "position_error",),
        progress=arguments.progress,
        save_every=10,
    )
    longest = math.ceil(LONGER * (arguments.substeps or SUBSTEPS))
    motion = load_motion(
        arguments.data, arguments.body, longest, arguments.device, arguments.dtype, origin=arguments.origin()
    ).noisy(arguments.noise, arguments.seed)
    motion.check(velocity=arguments.velocity == "scene", rows=arguments.supervision == "positions")
    total, law = learned_substeps(arguments, motion), make_law(arguments)
    stages = plan(arguments, total)
    problem = make_problem(arguments, motion, law, stages)
    iterations = sum(stage.iterations for stage in stages)
    result = run.solve(
        problem,
        make_method(arguments, iterations),
        Budget(iterations=iterations),
        arguments.seed,
        callbacks=[problem.advance],
    )
    seen = strains_seen(arguments, motion, law, total)
    law.validity = None if seen is None else sim.StrainRange.of(seen)
    small = moduli_told(stiffness_at_rest(law.kirchhoff), seen)
    leave(run, arguments, law, small, result, total, predict(arguments, motion, law, total))
    return run


def strains_seen(arguments: Arguments, motion: Motion, law: TorchLaw, total: int) -> np.ndarray | None:
    """Deformation gradients that were learned from: those recorded or, where only points are seen, those of the law's own motion.

    None where that motion fails.
    """
    name = f"{motion.body}.deformation_gradient"
    if arguments.supervision == "state" and motion.every is not None:
        return np.asarray(motion.seen[name][: total // motion.every + 1])
    made = record_motion(
        motion.scene.with_material(motion.body, law),
        motion.dt,
        total,
        every=max(1, total // 100),
        device=arguments.device,
        dtype=arguments.dtype,
        start=start_of(arguments, motion),
    )
    F = np.asarray(made[name])
    J = np.linalg.det(F)  # a law may crush the body on its way to a failure, which the status tells
    return F if ((J > 0.0) & (J < math.inf)).all() else None


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The motion of a law from the first frame on, `substeps` long: frames [frame] in substeps, mean squared errors there [m^2].

    `truth` is the scene's own law, where it is one of single numbers.
    """

    substeps: int
    steps: np.ndarray
    errors: np.ndarray
    trajectory: sim.Trajectory
    truth: Material | None

    def error(self, steps: float = math.inf) -> float:
        """The mean up to a substep."""
        within = self.errors[self.steps <= steps]
        return float(np.mean(within)) if len(within) else math.nan


def leave(
    run: Run,
    arguments: Arguments,
    law: TorchLaw,
    small: dict[str, Any],
    result: Result,
    total: int,
    made: Prediction,
) -> None:
    """Save the law with its card, its moduli for small strains, its errors against the recording, and its motion."""
    times = made.substeps / total
    numbers = {"reconstruction": made.error(total), "status": made.trajectory.status.message}
    if times > 1.0:
        numbers[f"time x{times:.3g}"] = made.error()
    notes = {"data": arguments.data, "supervision": arguments.supervision, "errors [m^2]": numbers, "at rest": small}
    save_law(law, run.path("law.safetensors"), notes=notes)
    made.trajectory.save(run.path("best.npz"))
    further = f", {made.error():.2e} m^2 over {times:.3g} times as many" if times > 1.0 else ""
    print(
        f"{arguments.law} from {arguments.data}: mean squared error of the coordinates {numbers['reconstruction']:.2e} m^2 "
        f"over {total} substeps{further}."
    )
    if not made.trajectory.status.ok:
        print(f"  Its motion does not last: {made.trajectory.status.message}")
    print(f"  {small_strains(small)}")
    if not math.isfinite(result.loss):
        fewer = f"begin with fewer, for example --windows {total // 5} {total}" if total >= 5 else "lower --dt"
        print(f"  The first law did not last {total} substeps; {fewer}.")
    for sentence in (*result.report, f"Everything is in {run.folder}; load the law with learn.models.laws.load_law."):
        print(f"  {sentence}")
    if arguments.pictures:
        write_atomically(run.path("stress.png"), stress_plot(law, truth=made.truth))
        sim.view(made.trajectory, output=run.path("strip.png"), strip=5)
        sim.view(made.trajectory, output=run.path("motion.mp4"), progress=arguments.progress)


def small_strains(small: dict[str, Any]) -> str:
    """What the card says of small strains, in a sentence or two."""
    names = {"E [Pa]": "E = {:.3g} Pa", "nu": "nu = {:.3g}", "K [Pa]": "K = {:.3g} Pa", "mu [Pa]": "mu = {:.3g} Pa"}
    told = " and ".join(text.format(small[name]) for name, text in names.items() if name in small)
    verdict = "" if small["stable"] else "; not stable, some small strains release energy: train longer, or on more"
    seen = f"Small strains see {told}{verdict}." if told else ""
    return " ".join(filter(None, (seen, small.get("untold"))))


def predict(arguments: Arguments, motion: Motion, law: TorchLaw, total: int) -> Prediction:
    """The law's motion without help, judged at about every 50th substep, and where fewer were learned from at the last of them.

    Of clouds that were recorded without correspondence, the error is a third of their squared distance.
    """
    recording = motion.recording.thinned(min(EVALUATED_EVERY, total) * motion.dt)
    known = bool(motion.truth) or arguments.supervision == "positions"
    trajectory = record_motion(
        motion.scene.with_material(motion.body, law),
        motion.dt,
        motion.steps,
        device=arguments.device,
        dtype=arguments.dtype,
        start=start_of(arguments, motion),
        at=[step for step in substeps_around(recording.times, motion.dt) if step <= motion.steps],
    )
    match = "markers" if known else arguments.match
    errors = squared_errors(trajectory, recording, motion.body, motion.particles, match=match)
    return Prediction(motion.steps, recording.times[1:] / motion.dt, errors[1:], trajectory, motion.true_law)
