"""`pliant check-gradients`: audit the gradient of every parameter of a scene against finite differences.

The loss is the mean squared displacement of every body, or the mean squared change of every field. Unless told
otherwise the audit runs in float64 over the first 200 substeps of the scene. The exit status is 1 when a gradient
disagrees. Ctrl-C ends it with what was found so far.
"""

import argparse
import dataclasses
import pathlib
from typing import TYPE_CHECKING

from pliant.scenes.commands.options import (
    add_progress_option,
    add_simulation_options,
    build_rollout,
    chosen_settings,
    prepare_output,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from tqdm import tqdm

    from pliant.sim.trajectory import Trajectory


STEPS = 200
BAR = "{l_bar}{bar}| {n:.1f}/{total} parameters [{elapsed}<{remaining}{postfix}]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_simulation_options(parser)
    add_progress_option(parser)
    parser.add_argument("--parameters", nargs="+", metavar="NAME", help="audit these alone (default: all)")
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE", help="save the plot of the audit (.png)")
    parser.set_defaults(dtype="float64")


def execute(arguments: argparse.Namespace) -> int:
    from pliant.scenes.registry import find_scene

    spec = find_scene(arguments.scene)
    settings = chosen_settings(spec, arguments)
    if arguments.steps is None:
        settings = dataclasses.replace(settings, steps=min(settings.steps, STEPS))
    if arguments.output is not None:
        prepare_output(arguments.output)
    rollout = build_rollout(spec, settings, arguments)
    from tqdm import tqdm

    from pliant import sim
    from pliant.sim.audit import AuditInterrupted

    print(f"{spec.name}: {settings.steps} substeps of {settings.dt:g} s, {settings.dtype}", flush=True)
    values = spec.values(rollout) if spec.values else None
    with tqdm(desc=spec.name, leave=False, bar_format=BAR, disable=not arguments.progress) as bar:
        try:
            audit = sim.check_gradients(
                rollout, mean_squared_displacement, values, names=arguments.parameters, progress=mover(bar)
            )
        except AuditInterrupted as interruption:
            bar.close()
            print(interruption.report)
            raise
    print(audit)
    if arguments.output is not None:
        audit.plot(str(arguments.output))
        print(f"saved {arguments.output}")
    return 0 if audit.ok else 1


def mover(bar: "tqdm") -> "Callable[[float, int, str], None]":
    """What moves the bar to so many of the parameters, and names the next."""

    def move(done: float, count: int, name: str) -> None:
        bar.total = count
        bar.set_postfix_str(name, refresh=False)
        bar.update(done - bar.n)

    return move


def mean_squared_displacement(trajectory: "Trajectory") -> tuple[float, dict[str, "np.ndarray"]]:
    """The loss sum over bodies of mean |x(end) - x(start)|^2 [m^2] and its adjoint for each position field.

    Fields in a box have no positions; there it is what is recorded that changes.
    """
    import numpy as np

    loss, adjoints = 0.0, {}
    positions = [name for name in trajectory if name.endswith(".position")]
    for name in positions or list(trajectory):
        displacement = trajectory[name][-1] - trajectory[name][0]
        count = displacement.size // (3 if positions else 1)
        loss += float((displacement**2).sum()) / count
        adjoints[name] = np.zeros_like(trajectory[name])
        adjoints[name][-1] = 2 * displacement / count
        adjoints[name][0] -= 2 * displacement / count
    return loss, adjoints
