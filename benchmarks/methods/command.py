"""`python -m benchmarks methods NAME... [--seeds N] [--quick] [--table]`: compare methods, keep the result, write the page."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.methods import METHODS, page
from benchmarks.methods.method import Baselines, Figures, Method, Outcome
from benchmarks.worker import ROOT, PeerUnavailable

RESULTS = ROOT / "benchmarks" / "results" / "methods"


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks methods", description=__doc__)
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"one of {', '.join(METHODS)}")
    parser.add_argument(
        "--seeds", type=int, help="how many seeds to run (default: those of the case), at least 3 to be kept"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a smaller instance, one seed; exits 0 only where its aim holds"
    )
    parser.add_argument("--table", action="store_true", help="write docs/methods.md from the results that are kept")
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    return parser.parse_args(given)


def seeds_of(method: Method, count: int | None) -> tuple[int, ...]:
    """The first seeds of a case, which are not chosen; more than it names go on counting."""
    named = method.seeds
    more = (seed for seed in range(max(named) + 1, max(named) + 1000) if seed not in method.tuning_seeds)
    return tuple(seed for seed, _ in zip((*named, *more), range(count or len(named)), strict=False))


def gathered(outcomes: dict[int, Outcome]) -> tuple[Figures, Baselines]:
    """Figures and baselines by seed."""
    figures = {seed: outcome.figure for seed, outcome in outcomes.items()}
    names = next(iter(outcomes.values())).baselines
    return figures, {name: {seed: o.baselines[name] for seed, o in outcomes.items()} for name in names}


def run_method(method: Method, seeds: tuple[int, ...], quick: bool) -> dict[str, Any]:
    """Everything that a result file holds."""
    start, outcomes = time.perf_counter(), {}
    for seed in seeds:
        outcomes[seed] = method.run(seed, quick)
        print(f"{method.name} seed {seed}: {outcomes[seed]}", file=sys.stderr, flush=True)
    figures, baselines = gathered(outcomes)
    aim, text = (method.quick_aim, method.quick_aim_text) if quick else (method.aim, method.aim_text)
    return {
        "name": method.name,
        **{field: getattr(method, field) for field in ("question", "method", "source", "scene", "figure")},
        "aim": text,
        "figures": figures,
        "baselines": baselines,
        "simulator_calls": next(iter(outcomes.values())).simulator_calls,
        "details": {seed: outcome.details for seed, outcome in outcomes.items()},
        "holds": bool(aim(figures, baselines)),
        "note": method.note,
        "tuning_seeds": method.tuning_seeds,
        "command": f"python -m benchmarks methods {method.name}" + (" --quick" if quick else ""),
        **describe(),
        "seconds": time.perf_counter() - start,
    }


def keep(result: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write the result file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['name']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def main(given: list[str]) -> None:
    options = arguments(given)
    if options.list:
        for method in METHODS.values():
            print(f"{method.name:18} {method.question}")
        return
    unknown = [name for name in options.name if name not in METHODS]
    if unknown or not (options.name or options.table):
        sys.exit(f"benchmarks methods: expected names among {', '.join(METHODS)}, got {', '.join(unknown) or 'none'}.")
    held = True
    for name in options.name:
        method = METHODS[name]
        seeds = method.seeds[:1] if options.quick else seeds_of(method, options.seeds)
        try:
            result = run_method(method, seeds, options.quick)
        except PeerUnavailable as error:
            sys.exit(f"benchmarks methods: {name}: {error}")
        print(page.line(result))
        held &= result["holds"]
        if not options.quick and len(seeds) >= page.LEAST_SEEDS:
            print(f"kept in {keep(result).relative_to(ROOT)}")
    if options.table:
        (ROOT / page.PATH).write_text(page.written(METHODS, RESULTS))
        print(f"wrote {page.PATH}")
    if options.quick and not held:
        sys.exit("benchmarks methods: an aim is not held.")
