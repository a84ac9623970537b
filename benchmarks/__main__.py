"""`python -m benchmarks [CASE...]`: measure, print the table, write JSON. `python -m benchmarks methods` compares methods."""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

from benchmarks.case import Case
from benchmarks.cases import CASES
from benchmarks.machine import describe
from benchmarks.report import table
from benchmarks.runner import run_cases

QUICK_STEPS = 100


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "case", nargs="*", metavar="CASE", help=f"one of {', '.join(CASES)}; all but slow ones by default"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="which cases to run")
    parser.add_argument("--repeats", type=int, help="samples of each series (default: by case)")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="smallest problem of each case, few steps, 2 repeats")
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    return parser.parse_args()


def quick(case: Case) -> Case:
    """The case on its first problem with few steps and samples: shows that it runs, not how fast."""
    label, problem = next(iter(case.problems.items()))
    small = dataclasses.replace(problem, steps=min(QUICK_STEPS, problem.steps))
    return dataclasses.replace(case, problems={label: small}, repeats=min(2, case.repeats))


def chosen(options: argparse.Namespace) -> list[Case]:
    """The cases asked for on this device.

    Errors: exits with a sentence for an unknown name.
    """
    unknown = [name for name in options.case if name not in CASES]
    if unknown:
        sys.exit(f"benchmarks: expected one of {', '.join(CASES)}, got {', '.join(unknown)}; see --list.")
    cases = [CASES[name] for name in options.case] or [case for case in CASES.values() if not case.slow]
    cases = [case for case in cases if case.device == options.device]
    return [quick(case) for case in cases] if options.quick else cases


def main() -> None:
    if sys.argv[1:2] == ["methods"]:
        from benchmarks.methods import command

        command.main(sys.argv[2:])
        return
    options = arguments()
    if options.list:
        for case in CASES.values():
            print(f"{case.name:22} {case.device:5} {'slow' if case.slow else '':5} {case.what}")
        return
    report = describe() | {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "quick": options.quick}
    report["results"] = run_cases(chosen(options), options.repeats)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    print(table(report["results"]))


if __name__ == "__main__":
    main()
