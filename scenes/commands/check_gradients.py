"""`pliant check-gradients`: audit the gradient of every parameter of a scene against finite differences.

The loss is the mean squared displacement of every body over the rollout, in float64 unless --dtype says otherwise.
The exit status is 1 when a gradient disagrees.
"""

import argparse
import pathlib
from typing import TYPE_CHECKING

from scenes.commands.options import add_simulation_options, build_rollout, chosen_settings

if TYPE_CHECKING:
    import numpy as np

    from sim.trajectory import Trajectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_simulation_options(parser)
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE", help="save the plot of the audit (.png)")
    parser.set_defaults(dtype="float64")


def execute(arguments: argparse.Namespace) -> int:
    from scenes.registry import find_scene

    spec = find_scene(arguments.scene)
    import sim

    audit = sim.check_gradients(
        build_rollout(spec, chosen_settings(spec, arguments), arguments), mean_squared_displacement
    )
    print(audit)
    if arguments.output is not None:
        audit.plot(arguments.output)
        print(f"saved {arguments.output}")
    return 0 if audit.ok else 1


def mean_squared_displacement(trajectory: "Trajectory") -> tuple[float, dict[str, "np.ndarray"]]:
    """The loss sum over bodies of mean |x(end) - x(start)|^2 [m^2] and its adjoint for each position field."""
    import numpy as np

    loss, adjoints = 0.0, {}
    for name in trajectory:
        if not name.endswith(".position"):
            continue
        displacement = trajectory[name][-1] - trajectory[name][0]
        particle_count = displacement.size // 3
        loss += float((displacement**2).sum()) / particle_count
        adjoints[name] = np.zeros_like(trajectory[name])
        adjoints[name][-1] = 2 * displacement / particle_count
        adjoints[name][0] -= 2 * displacement / particle_count
    return loss, adjoints
