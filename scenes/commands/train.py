"""`pliant train`: train through the simulator and leave a run folder; `pliant list` names the problems.

The options of a problem are shown by: pliant train NAME --help
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a training problem, or the path of a .py file")
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="its options; NAME --help lists them")


def execute(arguments: argparse.Namespace) -> int:
    from pliant.scenes.registry import find_problem

    problem = find_problem(arguments.name)
    from pliant.learn.arguments import parse

    problem.train(parse(problem.arguments, arguments.options, prog=f"pliant train {arguments.name}"))
    return 0
