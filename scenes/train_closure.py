"""The closure of an active fluid is learned from its kinetic theory: S as a function of D and of the strain rate around a point.

The moments c and D of a suspension of active rods obey equations that need the fourth moment S. Kinetic simulations at some
(alpha, zeta) give pairs to learn from. Where the next one is worth most is asked of an ensemble: candidates are run with the moments
and one member's closure, and the one on which the members disagree most is simulated in full (active learning). The
closure is fitted to S first (a priori), then also to the motion that it makes in the moment solver, over windows that grow (a
posteriori). In the end it is held against the kinetic theory at parameters between those it saw, beside Bingham's.
"""

import dataclasses
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from pliant import sim
from pliant.learn import Adam, Budget, TorchClosure, solve
from pliant.learn.arguments import option
from pliant.learn.identify.closure import FitClosure, FollowMoments, Moments, disagreement
from pliant.learn.identify.motion import Curriculum
from pliant.learn.models.closures import CLOSURES, closure_error, save_closure
from pliant.learn.run import Run
from pliant.scenes.closure_data import Point, Recording, Suspension, record
from pliant.scenes.nematic_pictures import write_film
from pliant.sim.atomic import write_atomically
from pliant.sim.spectral.active import BinghamClosure
from pliant.sim.spectral.arrays import HostArrays

GATHERED = ("closure", "hidden", "duration", "queries", "learning_rate", "seed")  # arguments that data depend on
EVERY = 0.2  # time between frames, a multiple of every dt
FIRST: tuple[Point, ...] = ((-1.0, 0.5), (-2.0, 0.3), (-1.0, 0.8))
UNSEEN: Point = (-1.5, 0.65)
CANDIDATES: tuple[Point, ...] = ((-2.0, 0.5), (-2.0, 0.8), (-1.0, 0.3), (-1.5, 0.5), (-1.5, 0.8))
MEMBERS, MEMBER_ITERATIONS = 3, 200  # of the ensemble that decides what is simulated next
TRACKED_UNTIL, SETTLED = 10.0, 15.0  # s: how long u_rms is compared in time, and from when its mean is


@dataclasses.dataclass(kw_only=True)
class Arguments:
    """Learn the closure of an active fluid from its kinetic theory."""

    closure: Literal[tuple(CLOSURES)] = option("convolutional", "what S depends on")  # type: ignore[valid-type]
    hidden: tuple[int, ...] = option((32, 32), "sizes of the hidden layers")
    resolution: int = option(40, "points along a side of the box")
    duration: float = option(25.0, "of a kinetic run [s]")
    queries: int = option(2, "kinetic runs asked for by the ensemble, beside the first three")
    iterations: int = option(4000, "of the fit to S")
    horizons: tuple[float, ...] = option(
        (0.4, 1.0, 2.0), "lengths of the windows of the fit to motion [s]; none: no such fit"
    )
    window_iterations: int = option(20, "on each of these")
    batch: int = option(3, "windows an iteration")
    learning_rate: float = option(1e-2, "of Adam on S, decayed to a twentieth, which is where the fit to motion stays")
    seed: int = option(0, "of weights, initial fields and draws")
    unseen_duration: float = option(40.0, "of the runs that are compared at the end [s]")
    folder: Path = option(Path("runs/closure"), "the run folder")
    resume: bool = option(False, "continue the run in the folder, bit for bit on the CPU", may_change=True)
    pictures: bool = option(True, "draw the comparison and a film of both nematics at the end", may_change=True)
    progress: bool = option(True, "draw a progress bar", may_change=True)


def make_closure(arguments: Arguments, seed: int | None = None) -> TorchClosure:
    """The network, drawn from a seed."""
    kind = CLOSURES[arguments.closure]
    options: dict[str, Any] = {"width": Suspension(resolution=arguments.resolution).spacing} if kind.sees_neighbourhood else {}
    generator = torch.Generator().manual_seed(arguments.seed if seed is None else seed)
    return TorchClosure(kind(hidden=arguments.hidden, generator=generator, **options))


def gather(arguments: Arguments, suspension: Suspension, path: Path) -> Moments:
    """Kinetic runs at the first points, and at those the ensemble asks for; kept in a file, which a resumed run reads.

    So does one that was stopped before its first checkpoint, if it has the arguments that the file was made with.
    """
    wanted = {name: getattr(arguments, name) for name in GATHERED} | {"suspension": dataclasses.asdict(suspension)}
    made_with = json.dumps(wanted)
    if path.is_file() and (arguments.resume or made_with_of(path) == made_with):
        return load_moments(path)
    data = simulate_kinetic(arguments, suspension, FIRST)
    left = list(CANDIDATES)
    for query in range(min(arguments.queries, len(left))):
        apart = rank(arguments, suspension, data, left)
        chosen = left.pop(int(np.argmax(apart)))
        print(f"query {query + 1}: disagreement {np.round(apart, 4)}; simulate (alpha, zeta) = {chosen}.", flush=True)
        data = data.joined(simulate_kinetic(arguments, suspension, [chosen]))
    save_moments(data, path, made_with)
    return data


def simulate_kinetic(arguments: Arguments, suspension: Suspension, points: Sequence[Point]) -> Moments:
    """Moments of kinetic runs at points of the parameter plane."""
    seeds = [arguments.seed + 10 + round(1000 * (point[1] - point[0])) for point in points]
    return record(suspension.kinetic(points, seeds), arguments.duration, EVERY).moments


def rank(arguments: Arguments, suspension: Suspension, data: Moments, points: Sequence[Point]) -> np.ndarray:
    """How far the members of an ensemble are apart at each of some points, on the moments that one of them makes there."""
    members = [fitted(arguments, data, 100 + member) for member in range(MEMBERS)]
    seeds = range(200, 200 + len(points))
    made = record(suspension.moments(points, seeds, members[0], dt=0.05), 0.5 * arguments.duration, 1.0).moments
    return disagreement([member.network for member in members], made, torch.float32)


def fitted(arguments: Arguments, data: Moments, seed: int, iterations: int | None = None) -> TorchClosure:
    """A closure fitted to S, by default in short."""
    closure, iterations = make_closure(arguments, seed), iterations or MEMBER_ITERATIONS
    problem = FitClosure(closure, data)
    method = Adam(learning_rate=arguments.learning_rate, decay_iterations=iterations)
    problem.install(solve(problem, method, Budget(iterations=iterations), seed).theta)
    return closure


def make_problem(arguments: Arguments, suspension: Suspension, data: Moments, closure: TorchClosure) -> Curriculum:
    """The fit to S, then to motion over growing windows."""
    stages: list[Any] = [FitClosure(closure, data)]
    for horizon in arguments.horizons:
        model = suspension.moments([FIRST[0]] * arguments.batch, [0] * arguments.batch, closure, dt=0.05)
        every = round(EVERY / model.dt)
        steps = max(1, round(horizon / EVERY)) * every
        stages.append(FollowMoments(closure, model.rollout(steps, record_every=every, record=("order",)), data))
    return Curriculum(stages, [arguments.iterations, *(arguments.window_iterations for _ in arguments.horizons)])


def train(arguments: Arguments) -> Run:
    """Train and leave a run folder: data, closure, checkpoint, metrics, comparison with the kinetic theory."""
    torch.set_num_threads(1)
    run = Run(
        arguments.folder, arguments=arguments, resume=arguments.resume, progress=arguments.progress, save_every=10
    )
    suspension = Suspension(resolution=arguments.resolution)
    data = gather(arguments, suspension, run.path("data.npz"))
    closure = make_closure(arguments)
    problem = make_problem(arguments, suspension, data, closure)
    rate = arguments.learning_rate
    method = Adam(
        learning_rate=rate, decay_iterations=arguments.iterations, final_learning_rate=rate / 20, clip_norm=1.0
    )
    total = sum(problem.iterations)
    result = run.solve(problem, method, Budget(iterations=total), arguments.seed, callbacks=[problem.advance])
    problem.install(result.theta)
    leave(run, arguments, suspension, closure)
    for sentence in result.report:
        print(f"  {sentence}")
    return run


def leave(run: Run, arguments: Arguments, suspension: Suspension, closure: TorchClosure) -> None:
    """Save the closure with its card and the comparison at parameters that it has not seen."""
    seeds = [arguments.seed + 1]
    truth = record(suspension.kinetic([UNSEEN], seeds), arguments.unseen_duration, EVERY)
    errors = a_priori(truth.moments, closure)
    found: dict[str, Recording] = {"kinetic": truth}
    for name, closing in (("bingham", "bingham"), ("learned", closure)):
        model = suspension.moments([UNSEEN], seeds, closing, dt=0.02)
        found[name] = record(model, arguments.unseen_duration, EVERY, check=False)
    numbers = {name: errors.get(name, {}) | compare(made, truth) for name, made in found.items()}
    save_closure(closure, run.path("closure.pt"), notes={"unseen": list(UNSEEN), "numbers": numbers})
    write_atomically(run.path("numbers.json"), (json.dumps(numbers, indent=2) + "\n").encode())
    print(f"At the unseen (alpha, zeta) = {UNSEEN}:")
    for name, values in numbers.items():
        print(f"  {name}: " + ", ".join(f"{key} {value:.4g}" for key, value in values.items()))
        if found[name].status.message != "completed":
            print(f"    {found[name].status.message}")
    if arguments.pictures:
        write_atomically(run.path("comparison.png"), comparison_plot(found))
        nematics = {name: made.moments.order[:, 0] for name, made in found.items() if name != "bingham"}
        for name in ("motion.mp4", "motion.gif"):
            write_film(run.path(name), nematics, truth.moments.times, suspension.side)


def a_priori(truth: Moments, closure: TorchClosure, spacing: float | None = None) -> dict[str, dict[str, float]]:
    """Relative error of S on the recorded moments, of Bingham's closure and of the learned one.

    The points are `spacing` [m] apart; default: as those of the training.
    """
    c, psi2, e, psi4 = truth.tensors(np.arange(len(truth.times)), 0, torch.float32)
    bingham = torch.from_numpy(BinghamClosure().evaluate(HostArrays(), c.numpy(), psi2.numpy(), None, (1.0, 1.0)))
    with torch.no_grad():
        made = {"bingham": bingham, "learned": closure.network(c, psi2, e, spacing and (spacing, spacing))}
    return {name: {"error of S": float(closure_error(c, psi2, psi4, value))} for name, value in made.items()}


def compare(made: Recording, truth: Recording) -> dict[str, float]:
    """u_rms in time, and means of what has settled; spectra are compared where they hold 99 % of the energy."""
    early = truth.moments.times <= TRACKED_UNTIL
    late = int(np.searchsorted(truth.moments.times, SETTLED))
    if len(made.speed) < len(truth.speed):
        return {"blew up at": float(made.moments.times[-1])}
    gap = np.linalg.norm((made.speed - truth.speed)[early]) / np.linalg.norm(truth.speed[early])
    numbers = {"error of u_rms until 10": float(gap)}
    if late < len(truth.speed):
        one, other = made.spectrum(late)[0], truth.spectrum(late)[0]
        held = np.cumsum(other) < 0.99 * other.sum()
        numbers |= {
            "late u_rms": float(made.speed[late:].mean()),
            "late order": float(made.scalar_order[late:].mean()),
            "error of the spectrum": float(np.linalg.norm((one - other)[held]) / np.linalg.norm(other[held])),
        }
    return numbers


def comparison_plot(found: dict[str, Recording]) -> bytes:
    """A PNG of u_rms and the scalar order over time, and of the late spectra."""
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 3.4), dpi=120, layout="constrained")
    speed, order, spectrum = figure.subplots(1, 3)
    for name, made in found.items():
        times, late = made.moments.times, int(np.searchsorted(made.moments.times, SETTLED))
        speed.plot(times, made.speed[:, 0], label=name)
        order.plot(times, made.scalar_order[:, 0])
        if late < len(times):
            energies = made.spectrum(late)[0]
            spectrum.loglog(np.arange(1, 1 + len(energies)), energies)
    for axes, x, y in ((speed, "t", "u_rms"), (order, "t", "scalar order"), (spectrum, "wave number", "energy")):
        axes.set(xlabel=x, ylabel=y)
        axes.grid(alpha=0.3)
    speed.legend(frameon=False)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return picture.getvalue()


def save_moments(data: Moments, path: Path, made_with: str = "") -> None:
    """Write the moments as .npz, replacing the file as a whole; `made_with` says by what arguments."""
    import io

    buffer = io.BytesIO()
    arrays: dict[str, Any] = {f"parameter.{name}": value for name, value in data.parameters.items()}
    arrays |= {f.name: getattr(data, f.name) for f in dataclasses.fields(data) if f.name != "parameters"}
    np.savez_compressed(buffer, made_with=made_with, **arrays)
    write_atomically(path, buffer.getvalue())


def made_with_of(path: Path) -> str:
    """By what arguments a file of moments was made; nothing where that cannot be read."""
    try:
        with np.load(path) as file:
            return str(file["made_with"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return ""


def load_moments(path: Path) -> Moments:
    """The moments that `save_moments` wrote; `InputError` for a damaged file."""
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files if name != "made_with"}
        parameters = {n.removeprefix("parameter."): arrays.pop(n) for n in list(arrays) if n.startswith("parameter.")}
        return Moments(parameters=parameters, **arrays)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise sim.InputError(f"{path}: expected recorded moments, found {error}; start in another folder.") from None
