"""A constitutive law is learned from a recorded motion: the solver stays exact, only stress and return map are networks.

The data is a scene, run here with its own law, or a trajectory saved by `rollout.forward(...).save`. Two kinds of
supervision: `state` starts windows from recorded states (teacher forcing; it needs positions, velocities, velocity
gradients and deformation gradients), `positions` sees where particles are from the first frame on. The law is
saved as `law.pt` and fits any scene: `learn.models.laws.load_law`.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

import sim
from learn import Adam, Budget, Result, TorchLaw
from learn.arguments import option
from learn.identify.motion import Curriculum, MotionProblem
from learn.models.laws import LAWS, RETURN_MAPS, save_law
from learn.run import Run
from scenes.motion_data import Motion, load_motion, record_motion

EVALUATED_EVERY = 50  # substeps between the frames that errors are averaged over
LONGER = 2.5  # times the substeps trained on


@dataclasses.dataclass(kw_only=True)
class Arguments:
    """Learn a constitutive law from a recorded motion."""

    data: str = option(
        "tumble:jelly", "scene NAME or NAME:VARIANT, scene .py file, or a trajectory .npz saved by Pliant"
    )
    body: str | None = option(None, "the body whose law is learned; default: the only one")
    law: Literal[tuple(LAWS)] = option("hyperelastic", "the stress")  # type: ignore[valid-type]
    return_map: Literal[tuple(RETURN_MAPS)] = option("none", "the plastic part")  # type: ignore[valid-type]
    stress_scale: float = option(1e5, "typical stiffness [Pa], by which the network's output is multiplied")
    supervision: Literal["state", "positions"] = option("state", "what of the motion is seen")
    tracked: int = option(0, "particles seen, drawn with the seed; 0: all")
    noise: float = option(0.0, "added to the recorded positions, as a share of the body's size")
    substeps: int = option(250, "of the motion that are learned from")
    windows: tuple[int, ...] = option((25,), "lengths of the windows [substeps], one a stage of the curriculum")
    batch: int = option(2, "windows an iteration (supervision by state)")
    epochs: int = option(30, "times all substeps are seen, shared equally by the stages")
    learning_rate: float = option(1e-2, "of Adam, decayed to a fiftieth along a cosine")
    seed: int = option(0, "of the first weights, the order of the windows, and the noise")
    device: str = option("cpu", "cpu or cuda")
    dtype: Literal["float32", "float64"] = option("float32", "precision of the simulation and of the law")
    folder: Path = option(Path("runs/law"), "the run folder")
    resume: bool = option(False, "continue the run in the folder, bit for bit on the CPU", may_change=True)
    pictures: bool = option(True, "render truth and learned law side by side at the end", may_change=True)
    progress: bool = option(True, "draw a progress bar", may_change=True)


def make_law(arguments: Arguments) -> TorchLaw:
    """The networks, drawn from the seed."""
    generator = torch.Generator().manual_seed(arguments.seed)
    options: dict[str, Any] = {"dtype": getattr(torch, arguments.dtype), "generator": generator}
    stress = LAWS[arguments.law](stress_scale=arguments.stress_scale, **options)
    plastic = RETURN_MAPS[arguments.return_map]
    return TorchLaw(stress, None if plastic is None else plastic(**options)).to(arguments.device)


def stages(arguments: Arguments) -> list[tuple[int, int, list[int]]]:
    """(window length, windows an iteration, first substeps) of every stage."""
    total = arguments.substeps
    short = [w for w in arguments.windows if not 1 <= w <= total]
    if short or not arguments.windows:
        raise sim.InputError(f"windows: expected lengths from 1 to {total} substeps, got {arguments.windows}; correct.")
    if arguments.supervision != "state":
        return [(window, 1, [0]) for window in arguments.windows]
    made = []
    for window in arguments.windows:
        starts = list(range(0, total - window + 1, window))
        made.append((window, min(arguments.batch, len(starts)), starts))
    return made


def iterations_of(arguments: Arguments) -> list[int]:
    """Iterations of every stage, so that each sees its share of the epochs."""
    share = arguments.epochs / len(arguments.windows)
    return [max(1, round(share * arguments.substeps / (window * batch))) for window, batch, _ in stages(arguments)]


def make_problem(arguments: Arguments, motion: Motion, law: TorchLaw) -> Curriculum:
    """A stage for every window length."""
    scene = motion.scene.with_material(motion.body, law)
    posed = []
    for window, batch, starts in stages(arguments):
        model = scene.build(
            dt=motion.dt, device=arguments.device, dtype=arguments.dtype, batch=batch, threads=1, seed=arguments.seed
        )
        rollout = model.rollout(window, record_every=motion.every, record=("position",))
        posed.append(_stage(arguments, motion, rollout, [s // motion.every for s in starts]))
    return Curriculum(posed, iterations_of(arguments))


def _stage(arguments: Arguments, motion: Motion, rollout: sim.Rollout, starts: list[int]) -> MotionProblem:
    tracked = motion.tracked(arguments.tracked, arguments.seed)
    recording = motion.seen if arguments.supervision == "state" else motion.start_and_positions()
    return MotionProblem(rollout, recording, starts=starts, tracked={motion.body: tracked}, length=motion.size)


def train(arguments: Arguments) -> Run:
    """Train and leave a run folder: law, checkpoint, metrics, loss plot, trajectory, pictures."""
    torch.set_num_threads(1)
    run = Run(
        arguments.folder,
        arguments=arguments,
        resume=arguments.resume,
        show=("position_error",),
        progress=arguments.progress,
        save_every=10,
    )
    longest = math.ceil(LONGER * arguments.substeps)
    motion = load_motion(arguments.data, arguments.body, longest, arguments.device, arguments.dtype)
    motion = motion.noisy(arguments.noise, arguments.seed)
    law = make_law(arguments)
    problem, total = make_problem(arguments, motion, law), sum(iterations_of(arguments))
    rate = arguments.learning_rate
    method = Adam(learning_rate=rate, decay_iterations=total, final_learning_rate=rate / 50, clip_norm=None)
    result = run.solve(problem, method, Budget(iterations=total), arguments.seed, callbacks=[problem.advance])
    leave(run, arguments, motion, law, result)
    return run


def leave(run: Run, arguments: Arguments, motion: Motion, law: TorchLaw, result: Result) -> None:
    """Save the law with its card, its errors against the truth, and its motion."""
    errors, trajectory = evaluate(motion, law, arguments.device, arguments.dtype)
    within, beyond = errors[: arguments.substeps // EVALUATED_EVERY], errors
    numbers = {"reconstruction": _mean(within), f"time x{LONGER:g}": _mean(beyond), "status": trajectory.status.message}
    save_law(
        law,
        run.path("law.pt"),
        notes={"data": arguments.data, "supervision": arguments.supervision, "errors [m^2]": numbers},
    )
    trajectory.save(run.path("best.npz"))
    print(
        f"{arguments.law} from {arguments.data}: mean squared error of the coordinates {numbers['reconstruction']:.2e} m^2 "
        f"over {arguments.substeps} substeps, {numbers[f'time x{LONGER:g}']:.2e} m^2 over {LONGER:g} times as many."
    )
    for sentence in (*result.report, f"Everything is in {run.folder}; load the law with learn.models.laws.load_law."):
        print(f"  {sentence}")
    if arguments.pictures:
        sim.view(trajectory, output=run.path("strip.png"), strip=5)
        sim.view(trajectory, output=run.path("motion.mp4"))


def evaluate(motion: Motion, law: TorchLaw, device: str, dtype: str) -> tuple[list[float], sim.Trajectory]:
    """Mean squared errors of the coordinates [m^2] at every 50th substep, from the start without any help."""
    name = f"{motion.body}.position"
    scene = motion.scene.with_material(motion.body, law)
    trajectory = record_motion(
        scene, motion.dt, motion.steps, every=EVALUATED_EVERY, device=device, dtype=dtype, start=motion.start()
    )
    frames = range(EVALUATED_EVERY, motion.steps + 1, EVALUATED_EVERY)
    errors = []
    for frame, step in enumerate(frames, start=1):
        if frame >= trajectory.frame_count:
            errors.append(math.inf)
            continue
        gap = np.asarray(trajectory[name])[frame, 0] - np.asarray(motion.truth[name])[step // motion.every, 0]
        errors.append(float((gap**2).mean()))
    return errors, trajectory


def _mean(errors: list[float]) -> float:
    return float(np.mean(errors)) if errors else math.nan
