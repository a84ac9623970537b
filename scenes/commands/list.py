"""`pliant list`: show every scene and training problem, a line each."""

import argparse
from collections.abc import Mapping

from pliant.scenes import registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--names", action="store_true", help="names only, one a line, for scripts")


def execute(arguments: argparse.Namespace) -> int:
    groups = {"scenes (pliant run NAME)": registry.scenes(), "training (pliant train NAME)": registry.problems()}
    if arguments.names:
        print("\n".join(sorted({name for leaves in groups.values() for name in leaves})))
        return 0
    print("\n\n".join(table(title, leaves) for title, leaves in groups.items()))
    return 0


def table(title: str, leaves: Mapping[str, registry.Leaf]) -> str:
    """A title and one indented line a leaf."""
    width = max(map(len, leaves), default=0)
    lines = [f"  {name:<{width}}  {leaf.description}" for name, leaf in leaves.items()]
    return "\n".join([title, *(lines or ["  none yet"])])
