"""`pliant run`: simulate a scene, print its physical numbers and save the trajectory.

A number divided by what theory or experiment says stands on a line that ends in "/ reference: VALUE", for scripts to read.
The output may be a trajectory (.npz; or .traj, a folder written while the simulation runs, for what does not fit the
memory) or a picture of it (.png, .mp4, .gif, .html, .usd). Ctrl-C saves the frames that there are by then.
"""

import argparse
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Any

from pliant.scenes.commands.options import (
    add_progress_option,
    add_simulation_options,
    build_rollout,
    chosen_settings,
    model_options,
    prepare_output,
)

if TYPE_CHECKING:
    from pliant.scenes.registry import SceneSpec, Settings
    from pliant.sim.rollout import Rollout
    from pliant.sim.trajectory import Trajectory


INTERRUPTED = 130  # the exit status of shells for a command ended by Ctrl-C


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_simulation_options(parser)
    add_progress_option(parser)
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE", help="default: runs/SCENE.npz")


def execute(arguments: argparse.Namespace) -> int:
    from pliant.scenes.registry import find_scene
    from pliant.sim.rollout import RunInterrupted

    spec = find_scene(arguments.scene)
    settings = chosen_settings(spec, arguments)
    output = arguments.output or pathlib.Path("runs") / f"{spec.name}.npz"
    check_output(output)
    if spec.run is None:
        try:
            trajectory, seconds = run_rollout(spec, settings, arguments, output)
        except RunInterrupted as interruption:
            return save_interrupted(
                interruption.trajectory, output, camera=settings.camera, progress=arguments.progress
            )
    else:
        started = time.perf_counter()
        trajectory = spec.run(settings, **model_options(arguments))
        trajectory.metadata |= {} if settings.camera is None else {"camera": settings.camera}
        seconds = time.perf_counter() - started
    print(f"{spec.name}: {settings.steps} steps of {settings.dt:g} s in {seconds:.1f} s")
    for quantity, value in spec.measure(trajectory).items():
        print(f"  {quantity}: {value:.6g}")
    for warning in trajectory.status.warnings:
        print(f"warning: {warning}")
    suffix = output.suffix.lower()
    if suffix != ".traj" or spec.run is not None:
        save(trajectory, output, camera=settings.camera, progress=arguments.progress)
    print(f"saved {output}" + (f"; watch it with: pliant view {output}" if suffix in (".npz", ".traj") else ""))
    return 0


def save_interrupted(trajectory: "Trajectory", output: pathlib.Path, *, camera: Any, progress: bool) -> int:
    """Keep the frames of a run that was interrupted; returns the exit status."""
    if output.suffix.lower() != ".traj":
        trajectory.metadata |= {} if camera is None else {"camera": camera}
        save(trajectory, output, camera=camera, progress=progress)
    message = f"pliant: {trajectory.status.message}; saved {trajectory.frame_count} of them in {output}"
    print(message, file=sys.stderr)
    return INTERRUPTED


def run_rollout(
    spec: "SceneSpec", settings: "Settings", arguments: argparse.Namespace, output: pathlib.Path
) -> tuple["Trajectory", float]:
    """The trajectory of the scene's one rollout, and the seconds it took."""
    rollout = build_rollout(spec, settings, arguments, gradient=False, **recording(output, settings.camera))
    started = time.perf_counter()
    values = spec.values(rollout) if spec.values else None
    trajectory = forward_with_progress(
        rollout, steps=settings.steps, title=spec.name, values=values, visible=arguments.progress
    )
    return trajectory, time.perf_counter() - started


def recording(output: pathlib.Path, camera: Any) -> dict[str, Any]:
    """Options of a rollout that keeps the camera with its trajectory and writes a .traj folder while it runs."""
    kept = {} if camera is None else {"metadata": {"camera": camera}}
    return {**kept, "record_to": output} if output.suffix.lower() == ".traj" else kept


def check_output(output: pathlib.Path) -> None:
    """Raise `InputError` for an unknown suffix, or a place that cannot be written, before the simulation rather than after it."""
    from pliant.sim.errors import InputError
    from pliant.sim.trajectory import DATA_SUFFIXES
    from pliant.sim.view import FORMATS

    known = (*DATA_SUFFIXES, *FORMATS)
    if output.suffix.lower() not in known:
        raise InputError(f"output: expected one of {', '.join(known)}, got '{output}'; choose one of these suffixes.")
    prepare_output(output)


def save(trajectory: "Trajectory", output: pathlib.Path, *, camera: Any, progress: bool = True) -> None:
    """Write a trajectory, or a picture of it as the scene wants to be seen."""
    from pliant.sim.trajectory import DATA_SUFFIXES

    options = {} if output.suffix in DATA_SUFFIXES else {"progress": progress}
    if options and camera is not None:
        options["camera"] = camera
    trajectory.save(output, **options)


def forward_with_progress(
    rollout: "Rollout", *, steps: int, title: str, values: Any = None, visible: bool = True
) -> "Trajectory":
    """The trajectory of a rollout, with a bar that counts substeps."""
    from tqdm import tqdm

    with tqdm(total=steps, desc=title, unit=" steps", leave=False, disable=not visible) as bar:
        return rollout.forward(values, progress=lambda step: bar.update(step - bar.n))
