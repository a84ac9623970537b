"""A soft crawler learns to crawl: a neural controller trained by gradients through MPM, muscles and frictional ground.

The body is any watertight mesh, scaled to `length`. Its lower half is cut into columns along x, left and right; each
column is a muscle group whose fibres stand upright at rest, so that the halves of a leg can swing it. A small network is called 25 times a
second; it sees a clock, the groups' places in the body, and the body's velocity, and sets the activations in [-1, 1].

The gradient through the state is cut every 0.8 s, because contact makes the motion chaotic over longer horizons, and after
each such window Adam makes a step: an episode simulated forward and backward is eight steps of the optimiser. What a
window does to the next ones its gradient cannot see, so it also pays for a body that tips over or leaves its course. The
baselines are given the distance alone, of whole episodes, and as many of them as Adam simulates, a backward counting
like a forward.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from pliant import sim
from pliant.learn import CEM, Adam, AugmentedRandomSearch, Budget, Method, RandomSearch, Result
from pliant.learn.arguments import option
from pliant.learn.autograd import Observation, Simulator
from pliant.learn.control import WindowedProblem
from pliant.learn.models import Controller, MLPPolicy
from pliant.learn.objectives import DistanceTravelled, KeepOrientation
from pliant.learn.objectives.base import centers
from pliant.learn.run import Run
from pliant.learn.simulation import SimulationProblem
from pliant.sim.model import MuscleModel
from pliant.sim.mpm.state import FIELDS
from pliant.sim.shapes import Mesh, Plane

CRAWLER = Path(__file__).resolve().parent.parent / "assets" / "crawler.stl"
COLUMNS, SIDES = 4, 2  # muscle groups along and across the body
MUSCLE_HEIGHT = 0.55  # share of the body's height, from below, that is muscle
CLOCK = (0.7, 1.1, 1.9, 3.1, 5.3)  # Hz, without a common period: nothing tells the network which one is useful
DT, CONTROL_EVERY, WINDOW = 1e-3, 40, 20  # substep [s], substeps a control step, control steps a gradient window
UPRIGHT = 0.5  # metres of way that one unit of turning costs in a window
CELL = 0.05  # of the grid [m], for a body of 0.4 m
STRENGTH = 1e4  # of the muscles [Pa]; at 1.5e4 they tore the body, neighbouring particles ten times as far apart


@dataclasses.dataclass(kw_only=True)
class Arguments:
    """Train a neural controller of a soft crawler by gradients through the simulation."""

    mesh: Path = option(CRAWLER, "watertight STL, OBJ or PLY file that becomes the body, x forward, z up")
    length: float = option(0.4, "length along x the mesh is scaled to [m]")
    duration: float = option(12.8, "length of an episode [s]; a multiple of 0.8")
    episodes: int = option(40, "simulated in all, whatever the method; a backward counts like a forward")
    method: Literal["adam", "cem", "random", "ars"] = option(
        "adam", "gradients, or a baseline at equal simulator calls"
    )
    learning_rate: float = option(3e-3, "of Adam, decayed to a twentieth along a cosine")
    seed: int = option(0, "of the controller's first weights and of whatever the method draws")
    device: str = option("cpu", "cpu or cuda")
    dtype: Literal["float32", "float64"] = option("float32", "precision of the simulation")
    folder: Path = option(Path("runs/crawler"), "the run folder")
    resume: bool = option(False, "continue the run in the folder, bit for bit on the CPU", may_change=True)
    pictures: bool = option(True, "render the strip and the film at the end", may_change=True)
    progress: bool = option(True, "draw a progress bar", may_change=True)


def muscle_columns(points: np.ndarray) -> np.ndarray:
    """Muscle group of every particle [items]: its column along x and side if it lies low in the body, otherwise -1."""
    lower, upper = points.min(axis=0), points.max(axis=0)
    share = (points - lower) / (upper - lower)
    column = np.minimum((share[:, :2] * (COLUMNS, SIDES)).astype(int), (COLUMNS - 1, SIDES - 1)) @ (SIDES, 1)
    groups = np.where(share[:, 2] < MUSCLE_HEIGHT, column, -1)
    used = [g for g in range(COLUMNS * SIDES) if (groups == g).sum() >= 4]
    renamed = np.full(COLUMNS * SIDES + 1, -1)
    renamed[used] = np.arange(len(used))
    return renamed[groups]


def load_body(path: Path, length: float) -> Mesh:
    """The mesh scaled to a length along x, resting 5 mm above the ground, its middle at y = 0."""
    raw = Mesh(path)
    lower, upper = (np.asarray(b) for b in raw.bounds())
    scale = length / float(upper[0] - lower[0])
    body = Mesh(path, scale=scale)
    lower, upper = (np.asarray(b) for b in body.bounds())
    shift = np.array([-lower[0], -(lower[1] + upper[1]) / 2, 0.005 - lower[2]])
    return Mesh(path, scale=scale, center=tuple(np.asarray(body.center) + shift))


def build_scene(body: Mesh, length: float, duration: float) -> sim.Scene:
    """The body on frictional ground, with room to crawl, not always straight ahead."""
    cell = CELL * length / 0.4
    lower, upper = (np.asarray(b) for b in body.bounds())
    room = 2.5 * length * max(1.0, duration)
    side = 7 * length
    extent = ((-0.5 * room, lower[1] - side, -2 * cell), (room, upper[1] + side, upper[2] + length))
    scene = sim.Scene(extent=extent, cell_size=cell, walls="open")
    flesh = sim.materials.NeoHookean(youngs_modulus=6e4, poissons_ratio=0.3)
    scene.add_mpm(body, flesh, density=1000.0, spacing=cell / 2, name="crawler", color=(0.93, 0.42, 0.33))
    scene.add_muscle("crawler", fibre=(0, 0, 1), group=muscle_columns, strength=STRENGTH)
    scene.add_collider(Plane(), friction=2.0, name="ground")
    return scene


def muscle_of(model: sim.Model) -> MuscleModel:
    """The crawler's muscles."""
    muscle = model.bodies[0].muscle
    if muscle is None:
        raise sim.InputError("crawler: expected a body with muscles, got none; call add_muscle.")
    return muscle


class Senses:
    """What the network sees [batch, size]: a clock, the groups' places relative to the centre, and the velocity."""

    def __init__(self, model: sim.Model, dtype: torch.dtype):
        body, muscle = model.bodies[0], muscle_of(model)
        groups = torch.tensor(muscle.group)
        members = torch.stack([groups == g for g in range(muscle.groups)]).to(dtype)
        self.mean = (members / members.sum(dim=1, keepdim=True)).to(str(model.device).replace("cuda:0", "cuda"))
        points = body.parameters[0].value[0]
        self.size_of_body = float(np.ptp(points[:, 0]))
        self.size = 2 * len(CLOCK) + 3 * muscle.groups + 3

    def __call__(self, observation: Observation) -> torch.Tensor:
        x, v = observation["crawler.position"], observation["crawler.velocity"]
        phases = [2.0 * math.pi * frequency * observation.time for frequency in CLOCK]
        clock = x.new_tensor([f(phase) for phase in phases for f in (math.sin, math.cos)])
        center = x.mean(dim=1, keepdim=True)
        places = (self.mean.to(x) @ (x - center)) / self.size_of_body
        return torch.cat([clock.expand(len(x), -1), places.flatten(1), v.mean(dim=1)], dim=1)


def make_method(arguments: Arguments, steps: int) -> Method:
    """Adam with so many steps, or a baseline."""
    rate = arguments.learning_rate
    return {
        "adam": Adam(learning_rate=rate, decay_iterations=steps, final_learning_rate=rate / 20, clip_norm=1.0),
        "cem": CEM(population=8, elite_fraction=0.25, initial_std=0.5),
        "random": RandomSearch(samples=8, std=0.5),
        "ars": AugmentedRandomSearch(directions=4, std=0.2, learning_rate=0.2),
    }[arguments.method]


def windows_of(arguments: Arguments) -> int:
    """Gradient windows in an episode; `InputError` for a duration that is no multiple of theirs."""
    length = DT * CONTROL_EVERY * WINDOW
    count = round(arguments.duration / length) if math.isfinite(arguments.duration) else 0
    if count < 1 or abs(count * length - arguments.duration) > 1e-6 * arguments.duration:
        raise sim.InputError(f"duration: expected a multiple of {length:g} s, got {arguments.duration:g}; correct it.")
    return count


def make_model(arguments: Arguments) -> sim.Model:
    """The crawler on its ground."""
    body = load_body(arguments.mesh, arguments.length)
    scene = build_scene(body, arguments.length, arguments.duration)
    return scene.build(dt=DT, device=arguments.device, dtype=arguments.dtype, seed=arguments.seed, threads=1)


def make_controller(arguments: Arguments, model: sim.Model) -> Controller:
    """A fresh network from senses to activations."""
    dtype = getattr(torch, arguments.dtype)
    senses = Senses(model, dtype)
    network = MLPPolicy(
        senses.size,
        muscle_of(model).groups,
        hidden=(32,),
        bounds="symmetric",
        output_gain=1.0,
        dtype=dtype,
        generator=torch.Generator().manual_seed(arguments.seed),
    )
    return Controller(network, "crawler.activation", observe=senses).to(arguments.device)


def make_simulator(model: sim.Model, controller: Controller, windows: int, **options: Any) -> Simulator:
    """The model's rollout over so many windows, with the controller in its loop."""
    steps = windows * WINDOW * CONTROL_EVERY
    rollout = model.rollout(steps, control_every=CONTROL_EVERY, record_every=CONTROL_EVERY, **options)
    return Simulator(rollout, controller, smooth=False)


def shares(episodes: int) -> tuple[int, int]:
    """Of a budget of episodes: those trained on, two each, and how many of them go by before every one is judged, one each."""
    trained = max(1, (2 * episodes) // 5)
    return trained, max(0, 3 * trained - episodes)


def train(arguments: Arguments) -> Run:
    """Train and leave a run folder: checkpoint, metrics, loss plot, best trajectory, strip and film."""
    torch.set_num_threads(1)
    windows, model = windows_of(arguments), make_model(arguments)  # first, so that a bad mesh leaves no folder
    run = Run(
        arguments.folder, arguments=arguments, resume=arguments.resume, show=("distance",), progress=arguments.progress
    )
    controller, objective = make_controller(arguments, model), DistanceTravelled("crawler.position")
    episode = make_simulator(model, controller, windows, gradient=False)
    problem, budget = SimulationProblem(episode, objective), Budget(simulator_calls=arguments.episodes)
    steps = arguments.episodes
    if arguments.method == "adam":
        trained, unjudged = shares(arguments.episodes)
        upright = KeepOrientation("crawler.position", model.bodies[0].parameters[0].value[0])
        problem = WindowedProblem(
            make_simulator(model, controller, 1, record=FIELDS),
            objective + UPRIGHT * upright,
            windows=windows,
            totals=("distance",),
            judge=problem,
            judged_from=unjudged,
        )
        steps = trained * windows
        budget = Budget(iterations=steps)
    result = run.solve(problem, make_method(arguments, steps), budget, arguments.seed)
    leave_trajectory(run, episode, arguments, result)
    return run


def leave_trajectory(run: Run, episode: Simulator, arguments: Arguments, result: Result) -> None:
    """Roll the controller that was found out; save the motion and its pictures."""
    with torch.no_grad():
        trajectory = episode()
        distance = float(DistanceTravelled("crawler.position").distance(trajectory).mean())
    trajectory.save(run.path("best.npz"))
    print(
        f"{arguments.method}: {distance:.3f} m = {distance / arguments.length:.2f} body lengths in {trajectory.duration:.1f} s "
        f"after {arguments.episodes} episodes of simulation; everything is in {run.folder}."
    )
    for sentence in result.report:
        print(f"  {sentence}")
    if arguments.pictures:
        sim.view(trajectory, output=run.path("strip.png"), strip=5)
        film = trajectory.select(times=slice(None, None, 2))
        look = {"camera": side_view(trajectory), "size": (1280, 368), "progress": arguments.progress}
        sim.view(film, output=run.path("crawl.mp4"), **look)


def side_view(trajectory: sim.Trajectory) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """A camera (position, target) that sees the whole way from the side."""
    way = centers(trajectory, "crawler.position")[:, 0]
    middle, span = float(way[:, 0].mean()), float(way[:, 0].max() - way[:, 0].min())
    away = 0.9 * span + 0.6
    return (middle, float(way[0, 1]) - away, 0.3 * away), (middle, float(way[0, 1]), 0.1)
