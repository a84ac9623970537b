"""The command `pliant`: one sub-command a file in `scenes/commands`, imported lightly and executed lazily."""

import argparse
import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

COMMANDS = ("list", "run", "view", "train", "check-gradients", "doctor")
LIGHT = ("list", "doctor")  # commands that load no simulator, or whose work is to tell why it does not load
DESCRIPTION = "Pliant: differentiable simulation of soft matter. Every simulation runs forward, backward and on screen."
EPILOG = """examples:
  pliant list                                  what can be simulated and trained
  pliant run jelly_drop --output drop.npz      simulate, print the physical number, save
  pliant view drop.npz --output drop.mp4       watch it
  pliant train crawler                         train a controller through the simulator
  pliant COMMAND --help                        the options of one command

An error is one sentence and the exit status 2; --debug shows where it came from."""


def main(words: Sequence[str] | None = None) -> int:
    """Exit status of the command line `words` (default: those of the process).

    0 is success, 1 a check that failed, 2 an input Pliant refuses (one sentence on stderr), 130 an interruption, 141 a closed pipe.
    """
    words = list(sys.argv[1:] if words is None else words)
    debug = "--debug" in words
    try:
        status = execute([word for word in words if word != "--debug"])
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("pliant: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe has gone, as `head` does; nothing is left to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        from pliant.sim.errors import PliantError  # here, so that --help does not wait for the simulator to load

        if not isinstance(error, PliantError):
            raise
        if debug:
            traceback.print_exc()
        print(f"pliant: {error}", file=sys.stderr)
        return 2


def execute(words: list[str]) -> int:
    """Exit status of one command; its errors are exceptions."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's threads wait for each other where other work wants the cores
    check_command(words)
    arguments = build_parser().parse_args(words)
    if arguments.command not in LIGHT:
        from pliant.sim.quiet import start_warp

        start_warp()
    return arguments.execute(arguments)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each module in `scenes.commands` adds its own options and `execute`."""
    parser = argparse.ArgumentParser(
        prog="pliant",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pliant {version()}")
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"pliant.scenes.commands.{name.replace('-', '_')}")
        text = (module.__doc__ or "").removeprefix(f"`pliant {name}`: ")
        command = commands.add_parser(
            name,
            help=text.partition("\n")[0].rstrip("."),
            description=text[0].upper() + text[1:],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(execute=module.execute)
    return parser


def check_command(words: list[str]) -> None:
    """Raise `InputError` with a suggestion when the first word is neither an option nor a command."""
    if not words or words[0].startswith("-") or words[0] in COMMANDS:
        return
    near = difflib.get_close_matches(words[0], COMMANDS, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(COMMANDS)}."
    from pliant.sim.errors import InputError

    raise InputError(f"command: expected a known one, got '{words[0]}'; {hint}")


def version() -> str:
    """The installed version of Pliant."""
    from importlib import metadata

    try:
        return metadata.version("pliant")
    except metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main())
