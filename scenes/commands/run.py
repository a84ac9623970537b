"""`pliant run`: simulate a scene, print its physical numbers and save the trajectory.

The output may be a trajectory (.npz) or a picture of it (.png, .mp4, .gif, .html, .usd).
"""

import argparse
import pathlib
import time
from typing import TYPE_CHECKING

from scenes.commands.options import add_simulation_options, build_rollout, chosen_settings

if TYPE_CHECKING:
    from sim.rollout import Rollout
    from sim.trajectory import Trajectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_simulation_options(parser)
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE", help="default: runs/SCENE.npz")


def execute(arguments: argparse.Namespace) -> int:
    from scenes.registry import find_scene

    spec = find_scene(arguments.scene)
    settings = chosen_settings(spec, arguments)
    rollout = build_rollout(spec, settings, arguments, gradient=False)
    started = time.perf_counter()
    trajectory = forward_with_progress(rollout, steps=settings.steps, title=spec.name)
    seconds = time.perf_counter() - started
    output = arguments.output or pathlib.Path("runs") / f"{spec.name}.npz"
    output.parent.mkdir(parents=True, exist_ok=True)
    trajectory.save(str(output))
    print(f"{spec.name}: {settings.steps} steps of {settings.dt:g} s in {seconds:.1f} s")
    for quantity, value in spec.measure(trajectory).items():
        print(f"  {quantity}: {value:.6g}")
    print(f"saved {output}" + (f"; watch it with: pliant view {output}" if output.suffix == ".npz" else ""))
    return 0


def forward_with_progress(rollout: "Rollout", *, steps: int, title: str) -> "Trajectory":
    """The trajectory of a rollout, with a bar that counts substeps."""
    from tqdm import tqdm

    with tqdm(total=steps, desc=title, unit=" steps", leave=False) as bar:
        return rollout.forward(progress=lambda step: bar.update(step - bar.n))
