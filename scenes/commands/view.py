"""`pliant view`: watch a trajectory or a run, in a window or as a file.

Without --output a window opens; with it the format follows the suffix: .png, .mp4, .gif, .html (one offline page
with playback) or .usd (needs the extra `usd`).
"""

import argparse
import pathlib

FORMATS = (".png", ".mp4", ".gif", ".html", ".usd", ".usda", ".usdc")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", type=pathlib.Path, metavar="FILE|RUN", help="a trajectory (.npz, .traj) or a run folder"
    )
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE", help="write a file instead of opening a window")


def execute(arguments: argparse.Namespace) -> int:
    check_format(arguments.output)
    path = trajectory_file(arguments.path)
    import sim

    trajectory = sim.Trajectory.load(path)
    if arguments.output is None:
        sim.view(trajectory)
        return 0
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    trajectory.save(arguments.output)
    print(f"saved {arguments.output}")
    return 0


def check_format(output: pathlib.Path | None) -> None:
    """Raise `InputError` when the suffix names no picture."""
    if output is not None and output.suffix.lower() not in FORMATS:
        from sim.errors import InputError

        raise InputError(f"output: expected one of {', '.join(FORMATS)}, got '{output}'; choose one of these suffixes.")


def trajectory_file(path: pathlib.Path) -> pathlib.Path:
    """The trajectory meant by a file or a run folder (its best one).

    Errors: `InputError` where there is none.
    """
    from sim.errors import InputError

    if path.suffix == ".traj" and path.exists():
        return path
    if path.is_dir():
        found = path / "best.npz"
        if not found.is_file():
            raise InputError(f"view: the folder {path} holds no best.npz; give a run folder or a trajectory file.")
        return found
    if not path.is_file():
        raise InputError(f"view: expected a trajectory or a run folder, got '{path}', which does not exist.")
    return path
