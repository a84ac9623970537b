"""`pliant view`: watch a trajectory or a run, in a window or as a file.

Without --output a window opens; with it the format follows the suffix: .png, .mp4, .gif, .html (one offline page
with playback) or .usd (needs the extra `usd`).
"""

import argparse
import pathlib
from typing import Any

from pliant.scenes.commands.options import add_progress_option, prepare_output

PICTURE_OPTIONS = (
    "frame", "strip", "batch", "color_by", "colormap", "skin", "trails", "forces", "size", "fps", "speed", "renderer",
    "progress",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", type=pathlib.Path, metavar="FILE|RUN", help="a trajectory (.npz, .traj) or a run folder"
    )
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE", help="write a file instead of opening a window")
    add_progress_option(parser)
    add_content_options(parser.add_argument_group("what is shown"))
    add_look_options(parser.add_argument_group("how it looks"))


def add_content_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--frame", type=int, metavar="N", help="frame of a still (default: the last)")
    group.add_argument("--strip", type=int, metavar="N", help="that many moments side by side in one still")
    group.add_argument("--batch", type=int, metavar="N", help="which environment (default: 0)")
    group.add_argument("--color-by", metavar="FIELD", help="colour particles by a recorded field, or by speed")
    group.add_argument("--skin", action=argparse.BooleanOptionalAction, help="draw bodies as surfaces, or as particles")
    group.add_argument("--trails", type=int, metavar="N", help="draw the paths of N particles of each body")
    group.add_argument("--forces", action="store_true", default=None, help="draw contact forces as arrows")


def add_look_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--camera", type=float, nargs=6, metavar=("X", "Y", "Z", "TX", "TY", "TZ"), help="position and target [m]"
    )
    group.add_argument("--colormap", metavar="NAME", help="a matplotlib colour map (default: viridis)")
    group.add_argument("--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="pixels (default: 1280 720)")
    group.add_argument("--fps", type=int, metavar="N", help="frames a second of a film (default: 30)")
    group.add_argument("--speed", type=float, metavar="X", help="simulated seconds a second of film")
    group.add_argument("--renderer", choices=("auto", "vtk", "raycast"), help="default: VTK where OpenGL works")


def execute(arguments: argparse.Namespace) -> int:
    path = trajectory_file(arguments.path)
    from pliant import sim

    trajectory = sim.Trajectory.load(path, mmap=path.suffix == ".traj")
    for warning in trajectory.status.warnings:
        print(f"warning: {warning}")
    options = picture_options(arguments, trajectory.metadata.get("camera"))
    if arguments.output is not None:
        prepare_output(arguments.output)
    sim.view(trajectory, output=arguments.output, **options)
    if arguments.output is not None:
        print(f"saved {arguments.output}")
    return 0


def picture_options(arguments: argparse.Namespace, camera: Any) -> dict[str, Any]:
    """The options of `sim.view` that were given, with the camera of the scene unless another was."""
    given = {name: getattr(arguments, name) for name in PICTURE_OPTIONS if getattr(arguments, name) is not None}
    if arguments.camera is not None:
        camera = (arguments.camera[:3], arguments.camera[3:])
    return given if camera is None else {**given, "camera": camera}


def trajectory_file(path: pathlib.Path) -> pathlib.Path:
    """The trajectory meant by a file or a run folder (its best one).

    Errors: `InputError` where there is none.
    """
    from pliant.sim.errors import InputError

    if not path.exists():
        raise InputError(f"view: expected a trajectory or a run folder, got '{path}', which does not exist.")
    if path.is_file() or path.suffix == ".traj":
        return path
    found = path / "best.npz"
    if not found.is_file():
        raise InputError(f"view: the folder {path} holds no best.npz; give a run folder or a trajectory file.")
    return found
