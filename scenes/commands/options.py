"""The options every command that simulates a scene shares, and the rollout they describe."""

import argparse
import dataclasses
import errno
import inspect
import os
import pathlib
from typing import TYPE_CHECKING, Any

from pliant.scenes.registry import SceneSpec, Settings

if TYPE_CHECKING:
    from pliant.sim.rollout import Rollout
    from pliant.sim.scene import Scene


def add_simulation_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "scene",
        metavar="SCENE",
        help="a name from `pliant list`, or the path of a .py file, or of a .json file that Scene.save wrote",
    )
    parser.add_argument("--steps", type=int, metavar="N", help="number of substeps (default: the scene's)")
    parser.add_argument("--dt", type=float, metavar="SECONDS", help="length of a substep (default: the scene's)")
    parser.add_argument("--record-every", type=int, metavar="N", help="substeps from frame to frame")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="copies simulated together (default: 1)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--dtype", choices=("float32", "float64"), help="precision (default: the scene's)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads on the CPU (default: chosen by size)")
    parser.add_argument("--seed", type=seed, metavar="N", help="seed of what is random in the scene")


def seed(word: str) -> int:
    """A seed of random numbers: a whole number from 0 to 2^63 - 1."""
    number = int(word)
    if not 0 <= number < 2**63:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 2^63 - 1, got {word}")
    return number


def prepare_output(output: pathlib.Path) -> None:
    """Make the folder of an output and raise `InputError` if it could not be written there, before anything is computed."""
    from pliant.sim.errors import InputError

    probe = output.with_name(f".{output.stem}.{os.getpid()}.part{output.suffix}")  # as long as what is written first
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.is_dir() and output.suffix.lower() != ".traj":
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        probe.touch()
        probe.unlink()
        if output.exists() and not output.is_dir() and not os.access(output, os.W_OK):
            raise PermissionError(errno.EACCES, "it may not be written")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"output: cannot write {output} ({reason}); choose another place or name.") from None


def add_progress_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--progress", action=argparse.BooleanOptionalAction, default=True, help="draw a progress bar (default: yes)"
    )


def chosen_settings(spec: SceneSpec, arguments: argparse.Namespace) -> Settings:
    """The scene's settings with what the command line overrides."""
    names = ("steps", "dt", "record_every", "dtype")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    return dataclasses.replace(spec.settings, **given)


def build_scene(spec: SceneSpec, *, seed: int | None) -> "Scene":
    """The scene, seeded where it takes a seed.

    Errors: `InputError` for a seed given to a scene in which nothing is random.
    """
    if seed is None:
        return spec.build()
    if "seed" not in inspect.signature(spec.build).parameters:
        from pliant.sim.errors import InputError

        raise InputError(f"seed: nothing in the scene '{spec.name}' is random, got --seed {seed}; leave it out.")
    return spec.build(seed=seed)


def model_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of a model, beside the scene's settings."""
    options = {name: getattr(arguments, name) for name in ("device", "batch", "threads")}
    return {**options, "seed": arguments.seed or 0}


def build_rollout(
    spec: SceneSpec, settings: Settings, arguments: argparse.Namespace, *, gradient: bool = True, **options: Any
) -> "Rollout":
    """The rollout of a scene on the chosen device, with further options; without `gradient` it keeps no checkpoints."""
    scene = build_scene(spec, seed=arguments.seed)
    model = scene.build(dt=settings.dt, dtype=settings.dtype, **model_options(arguments))
    every = min(settings.record_every, settings.steps)
    return model.rollout(settings.steps, record_every=every, record=settings.record, gradient=gradient, **options)
