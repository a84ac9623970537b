"""`python -m benchmarks.closures`: a closure of an active fluid held against the kinetic theory it was learned from.

`statistics`: root mean square velocity, scalar order and velocity spectrum at late times, at parameters no closure saw.
`region`: over the plane of (alpha, zeta), which runs reach t = 100. `recovery`: alpha and zeta found from kinetic moments.
`architectures`: kinds of networks fitted to S alone. `spacings`: the error of S on coarser and finer lattices than the training's.
"""

import argparse
import dataclasses
import hashlib
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import describe
from pliant import sim
from pliant.learn import LBFGS, Budget, SimulationProblem, Simulator, Unknown, solve
from pliant.learn.identify.closure import Moments
from pliant.learn.models.closures import CLOSURES, load_closure
from pliant.learn.objectives import TrajectoryMatching
from pliant.scenes.closure_data import Point, Recording, Suspension, record
from pliant.scenes.train_closure import (
    EVERY,
    FIRST,
    TRACKED_UNTIL,
    UNSEEN,
    Arguments,
    a_priori,
    fitted,
    simulate_kinetic,
)
from pliant.sim.atomic import write_atomically

CLOSURE = Path("assets/closures/active_fluid.pt")
TOGETHER = 5  # runs in a batch of the statistics
DURATION, SETTLED, CLOSED_DT = 100.0, 30.0, 0.05  # [s]; the last is the step of the moments
INSIDE: tuple[Point, ...] = (UNSEEN, (-1.25, 0.4), (-1.75, 0.75))  # between the points of the training
ACTIVITIES, ALIGNMENTS = (-2.0, -1.0, -1.5, -3.0), (0.8, 0.3, 0.5, 1.0)  # trained: down to -2, up to 0.8
RESOLUTIONS = (30, 40, 60, 80)  # trained: 40
WINDOW, WINDOWS = 2.0, 4  # of the recovery: length [s], and how many one after the other, from the start of a run
NOISE = 0.02
GUESS = {"activity": (-1.0, 0.3), "alignment": (0.4, 0.1)}  # and how far it may be off


def late(made: Recording) -> list[dict[str, Any]]:
    """Means of what has settled, one a run."""
    first = int(np.searchsorted(made.moments.times, SETTLED))
    speed, order, spectrum = made.speed[first:].mean(0), made.scalar_order[first:].mean(0), made.spectrum(first)
    return [{"u_rms": float(u), "order": float(s), "spectrum": e.tolist()} for u, s, e in zip(speed, order, spectrum, strict=True)]


def tracked(made: Recording) -> list[list[float]]:
    """u_rms while runs may follow those of the kinetic theory, one list a run."""
    return made.speed[made.moments.times <= TRACKED_UNTIL + 0.5 * EVERY].T.tolist()


def early(made: Recording, truth: list[dict[str, Any]]) -> list[float]:
    """Relative error of u_rms while runs follow those of the kinetic theory, one a run."""
    one, other = np.array(tracked(made)), column(truth, "tracked")
    return (np.linalg.norm(one - other, axis=1) / np.linalg.norm(other, axis=1)).tolist()


def column(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows])


def against(made: list[dict[str, Any]], truth: list[dict[str, Any]]) -> dict[str, float]:
    """Relative errors of means over the runs; of spectra the norm, where they hold 99 % of the energy."""
    one, other = column(made, "spectrum").mean(0), column(truth, "spectrum").mean(0)
    held = np.cumsum(other) < 0.99 * other.sum()
    held[0] = True
    means = {n: float(column(made, n).mean() / column(truth, n).mean() - 1.0) for n in ("u_rms", "order")}
    return means | {"spectrum": float(np.linalg.norm((one - other)[held]) / np.linalg.norm(other[held]))}


def spread(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How far means over the runs are known: relative standard errors, of the spectrum that of its norm."""
    found = {}
    for name in ("u_rms", "order", "spectrum"):
        values = column(rows, name).reshape(len(rows), -1)
        error = np.sqrt(values.var(axis=0, ddof=1).sum() / len(rows))
        found[name] = float(error / np.linalg.norm(values.mean(0)))
    return found


def statistics(closure: Any, count: int, found: dict[str, Any], keep: Callable[[], None]) -> None:
    """The kinetic theory, Bingham's closure and the learned one at `INSIDE`, for seeds 1, 2, ... that `found` lacks."""
    closings = {"bingham": "bingham", "learned": closure}
    for first, point in itertools.product(range(1, count + 1, TOGETHER), INSIDE):
        seeds = range(first, min(first + TOGETHER, count + 1))
        points = [point] * len(seeds)
        rows = found.setdefault(str(point), {})
        for name in ("kinetic", *closings):
            if len(rows.setdefault(name, [])) >= seeds[-1]:
                continue
            if name == "kinetic":
                made = record(Suspension().kinetic(points, seeds), DURATION, EVERY)
                extra: tuple[str, list] = ("tracked", tracked(made))
            else:
                made = record(Suspension().moments(points, seeds, closings[name], dt=CLOSED_DT), DURATION, EVERY)
                extra = ("early", early(made, rows["kinetic"][first - 1 : seeds[-1]]))
            rows[name] += [row | {extra[0]: value} for row, value in zip(late(made), extra[1], strict=True)]
            keep()
    for point in map(str, INSIDE):
        rows = {name: found[point][name][:count] for name in ("kinetic", *closings)}
        found[point]["known to"] = {name: spread(rows[name]) for name in rows}
        found[point]["error"] = {name: against(rows[name], rows["kinetic"]) for name in closings}
        report_statistics(point, rows, found[point])


def report_statistics(point: str, rows: dict[str, list], found: dict[str, Any]) -> None:
    means = ", ".join(f"{name} {column(rows['kinetic'], name).mean():.4f}" for name in ("u_rms", "order"))
    print(f"{point}, {len(rows['kinetic'])} runs: kinetic {means}, known to {_percent(found['known to']['kinetic'])}")
    for name, error in found["error"].items():
        worst = max(row["early"] for row in rows[name])
        known = _percent(found["known to"][name])
        print(f"  {name}: {_percent(error)}, known to {known}; u_rms until {TRACKED_UNTIL:g} s: at most {worst:.3f}", flush=True)


def _percent(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {100 * value:+.1f} %" for name, value in values.items())


def region(closure: Any, count: int, found: dict[str, Any], keep: Callable[[], None]) -> None:
    """Whether the seeds reach the end at each (alpha, zeta), with what means and dt, which is halved twice at most, and what they said."""
    seeds = range(1, count + 1)
    for point in itertools.product(ACTIVITIES, ALIGNMENTS):
        if str(point) in found:
            continue
        for dt in (CLOSED_DT, CLOSED_DT / 2, CLOSED_DT / 4):
            made = record(Suspension().moments([point] * count, seeds, closure, dt=dt), DURATION, 1.0, check=False)
            if made.status.code != sim.Code.CFL:
                break
        row = {"reached": float(made.moments.times[-1]), "dt": dt, "said": made.status.message}
        if made.status.ok:
            row |= {name: float(column(late(made), name).mean()) for name in ("u_rms", "order")}
        found[str(point)] = row
        print(f"{point}: {row}", flush=True)
        keep()


def recovery(closure: Any, count: int, found: dict[str, Any], keep: Callable[[], None]) -> None:
    """alpha and zeta from moments of the closure itself and of the kinetic theory, without and with noise."""
    suspension, duration = Suspension(), WINDOW * WINDOWS
    for source, seed in itertools.product(("kinetic", "closure"), range(1, count + 1)):
        make = suspension.kinetic if source == "kinetic" else suspension.moments
        options = {} if source == "kinetic" else {"closing": closure, "dt": CLOSED_DT}
        data = record(make([UNSEEN], [seed], **options), duration, EVERY).moments
        for noise in (0.0, NOISE):
            label = f"{source}, seed {seed}, noise {noise:g}"
            if label not in found:
                found[label] = recover(suspension, data, closure, noise, seed)
                print(f"{label}: {found[label]}", flush=True)
                keep()


def recover(suspension: Suspension, data: Moments, closure: Any, noise: float, seed: int) -> dict[str, Any]:
    """alpha and zeta that let the closure follow windows of recorded order, by L-BFGS through the moment solver.

    Noise is normal, independent at every frame and point, of `noise` times the root mean square of the order, by component.
    """
    rng, order = np.random.default_rng(seed), data.order[:, 0].astype(float)
    order = order + noise * np.sqrt(np.square(order).mean()) * rng.standard_normal(order.shape)
    frames = round(WINDOW / EVERY)
    starts = [frames * window for window in range(WINDOWS)]
    model = suspension.moments_from(
        [(GUESS["activity"][0], GUESS["alignment"][0])] * WINDOWS, data.concentration[starts, 0], order[starts], closure, CLOSED_DT
    )
    every = round(EVERY / CLOSED_DT)
    rollout = model.rollout(frames * every, record_every=every, record=("order",))
    reference = {"fluid.order": np.stack([order[start : start + frames + 1] for start in starts], axis=1)}
    objective = TrajectoryMatching(reference, scales={"fluid.order": 1.0})
    unknowns = [Unknown(name=f"fluid.{n}", initial=np.array(g), spread=s) for n, (g, s) in GUESS.items()]
    begun = time.perf_counter()
    result = solve(SimulationProblem(Simulator(rollout), objective, unknowns=unknowns), LBFGS(), Budget(iterations=12), 0)
    values = {u.name.removeprefix("fluid."): float(result.unknowns[u.name]) for u in unknowns}
    errors = {f"{n} off": v / true - 1.0 for (n, v), true in zip(values.items(), UNSEEN, strict=True)}
    return values | errors | {"seconds": time.perf_counter() - begun}


def architectures(closure: Any, count: int, found: dict[str, Any], keep: Callable[[], None]) -> None:
    """The error of S at `UNSEEN` of every kind of network, fitted to S alone on the runs at the first three points."""
    arguments = Arguments()
    data = simulate_kinetic(arguments, Suspension(), FIRST)
    truth = record(Suspension().kinetic([UNSEEN], [1]), 40.0, EVERY).moments
    for kind, seed in itertools.product(CLOSURES, range(count)):
        begun = time.perf_counter()
        made = fitted(dataclasses.replace(arguments, closure=kind), data, seed, iterations=600)
        errors = {name: row["error of S"] for name, row in a_priori(truth, made).items()}
        row = found.setdefault(kind, {"weights": sum(w.numel() for w in made.parameters()), "error": [], "over bingham": []})
        row["error"].append(errors["learned"])
        row["over bingham"].append(errors["learned"] / errors["bingham"])
        print(f"{kind}, seed {seed}: {errors}, {time.perf_counter() - begun:.1f} s", flush=True)
    keep()


def spacings(closure: Any, count: int, found: dict[str, Any], keep: Callable[[], None]) -> None:
    """The error of S over Bingham's at `UNSEEN` until `TRACKED_UNTIL`, on lattices of other spacings."""
    for resolution, seed in itertools.product(RESOLUTIONS, range(1, count + 1)):
        label = f"{resolution}^2 points, seed {seed}"
        if label in found:
            continue
        suspension = Suspension(resolution=resolution)
        truth = record(suspension.kinetic([UNSEEN], [seed]), TRACKED_UNTIL, EVERY).moments
        errors = {name: row["error of S"] for name, row in a_priori(truth, closure, suspension.spacing).items()}
        found[label] = errors | {"over bingham": errors["learned"] / errors["bingham"]}
        print(f"{label}: {found[label]}", flush=True)
        keep()


PARTS = {"statistics": statistics, "region": region, "recovery": recovery, "architectures": architectures, "spacings": spacings}
RUNS = {"statistics": 10, "region": 5, "recovery": 3, "architectures": 3, "spacings": 1}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.closures", description=__doc__)
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--closure", type=Path, default=CLOSURE, help=f"saved by `pliant train closure` (default: {CLOSURE})")
    parser.add_argument("--runs", type=int, help=f"seeds 1 to RUNS (default: {RUNS})")
    parser.add_argument("--output", type=Path, help="JSON file to write; what it holds already is not run again")
    options = parser.parse_args()
    torch.set_num_threads(1)
    held = json.loads(options.output.read_text()) if options.output and options.output.is_file() else {}
    digest = hashlib.sha256(options.closure.read_bytes()).hexdigest()
    if held.get("closure") != digest:  # only what no learned closure had a part in stays
        held = {"statistics": {p: rows | {"learned": []} for p, rows in held.get("statistics", {}).items()}}
    found: dict[str, Any] = held.get(options.part, {})

    def keep() -> None:
        if options.output:
            made = {**held, **describe(), "closure": digest, "duration": DURATION, "settled": SETTLED, options.part: found}
            write_atomically(options.output, (json.dumps(made, indent=1) + "\n").encode())

    PARTS[options.part](load_closure(options.closure), options.runs or RUNS[options.part], found, keep)
    keep()


if __name__ == "__main__":
    main()
