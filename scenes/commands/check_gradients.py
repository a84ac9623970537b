"""`pliant check-gradients`: audit the gradient of every parameter of a scene against finite differences.

The loss is the mean squared displacement of every body, or the mean squared change of every field. Unless told
otherwise the audit runs in float64 over the first 200 substeps of the scene. The exit status is 1 when a gradient
disagrees.
"""

import argparse
import dataclasses
import pathlib
from typing import TYPE_CHECKING

from scenes.commands.options import add_simulation_options, build_rollout, chosen_settings

if TYPE_CHECKING:
    import numpy as np

    from sim.trajectory import Trajectory


STEPS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_simulation_options(parser)
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE", help="save the plot of the audit (.png)")
    parser.set_defaults(dtype="float64")


def execute(arguments: argparse.Namespace) -> int:
    from scenes.registry import find_scene

    spec = find_scene(arguments.scene)
    settings = chosen_settings(spec, arguments)
    if arguments.steps is None:
        settings = dataclasses.replace(settings, steps=min(settings.steps, STEPS))
    rollout = build_rollout(spec, settings, arguments)
    import sim

    print(f"{spec.name}: {settings.steps} substeps of {settings.dt:g} s, {settings.dtype}", flush=True)
    audit = sim.check_gradients(rollout, mean_squared_displacement, spec.values(rollout) if spec.values else None)
    print(audit)
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        audit.plot(str(arguments.output))
        print(f"saved {arguments.output}")
    return 0 if audit.ok else 1


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
