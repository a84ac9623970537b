"""A learned block of plasticine lands and melts to sand from its surface inwards, beside the true one.

Every 100 substeps the particles that heat has reached change their law, which `learn.stages` hands over: position, velocity,
its gradient and deformation go on as they were. At the end nothing is left of the plasticine.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pliant import sim
from pliant.learn.stages import Parts, Stage, regroup, simulate_stages
from pliant.scenes.learned import add_twins, twin_distances
from pliant.scenes.registry import Settings
from pliant.scenes.tumble import DENSITY
from pliant.sim import shapes
from pliant.sim.mpm.state import FIELDS

SETTINGS = Settings(dt=4e-4, steps=3000, record_every=50, camera=((1.5, -2.1, 1.2), (0.1, 0.0, 0.1)))
CELL, APART, GRAVITY = 0.04, 0.96, 9.81
BLOCK = shapes.Box((0.28, 0.28, 0.4), center=(0.0, 0.0, 0.3))
INTERVAL = 100  # substeps from one change of laws to the next
BEGIN, END = 600, 2000  # substeps between which all particles melt
SUFFIXES = ("", "_learned")


def melting_order(seed: int = 0) -> np.ndarray:
    """The particles [items, 3], those near the surface first, and about as deep ones in a random order."""
    points = BLOCK.sample(CELL / 2)
    depth = -BLOCK.signed_distance(points) + np.random.default_rng(seed).uniform(0.0, CELL / 2, len(points))
    return points[np.argsort(depth, kind="stable")]


POINTS = melting_order()
COUNT = len(POINTS)


def molten(step: int) -> int:
    """How many particles, of those in melting order, are sand from this substep on."""
    return round(COUNT * float(np.clip((step - BEGIN) / (END - BEGIN), 0.0, 1.0)))


def bodies(count: int) -> dict[str, tuple[int, int]]:
    """Material -> first item and end, when `count` particles are sand."""
    return {n: (a, b) for n, (a, b) in {"sand": (0, count), "plasticine": (count, COUNT)}.items() if b > a}


def parts(before: int, after: int) -> Parts:
    """Where the particles of every body come from, when the number of molten ones changes."""
    made: dict[str, dict[str, slice]] = {}
    for name, (first, end) in bodies(after).items():
        for suffix in SUFFIXES:
            made[name + suffix] = {
                source + suffix: slice(max(first, a) - a, min(end, b) - a)
                for source, (a, b) in bodies(before).items()
                if min(end, b) > max(first, a)
            }
    return made


def build(count: int = 0) -> sim.Scene:
    """The pair of blocks above a rough floor, with so many particles molten."""
    scene = sim.Scene(
        gravity=(0, 0, -GRAVITY), extent=((-0.8, -1.28, -0.08), (0.8, 1.28, 0.8)), cell_size=CELL, walls="open"
    )
    for material, (first, end) in bodies(count).items():
        part = shapes.Points(POINTS[first:end], volume=BLOCK.volume * (end - first) / COUNT, center=BLOCK.center)
        add_twins(scene, part, material, apart=APART, spacing=CELL / 2, velocity=(0.0, 0.0, -1.0))
    scene.add_collider(shapes.Plane(), friction=0.5, name="floor")
    return scene


def run(settings: Settings, **options: Any) -> sim.Trajectory:
    """One stage an interval; the blocks are "block" and "block_learned" in the result, with "molten" particle by particle."""
    starts = range(0, settings.steps, INTERVAL)
    stages = [_stage(settings, start, options) for start in starts]
    with torch.no_grad():
        made = simulate_stages(stages)
    wholes = [_whole(stage, molten(start)) for stage, start in zip(made, starts, strict=True)]
    return joined(made, wholes)


def _stage(settings: Settings, start: int, options: Mapping[str, Any]) -> Stage:
    steps, now, before = min(INTERVAL, settings.steps - start), molten(start), molten(start - INTERVAL)
    model = build(now).build(dt=settings.dt, dtype=settings.dtype, **options)
    every = min(settings.record_every, steps)
    return Stage(
        model.rollout(steps, record_every=every, record=FIELDS, gradient=False), parts(before, now) if start else {}
    )


def _whole(trajectory: sim.Trajectory, count: int) -> dict[str, torch.Tensor]:
    """All particles of each block in melting order, and what belongs to the floor."""
    made = {n: a for n, a in trajectory.items() if n.startswith("floor.")}
    for suffix in SUFFIXES:
        sources = {name + suffix: slice(None) for name in bodies(count)}
        made |= regroup(trajectory, {f"block{suffix}": sources}, ("position", "velocity"))
        position = made[f"block{suffix}.position"]
        is_sand = (torch.arange(COUNT) < count).to(position)
        made[f"block{suffix}.molten"] = is_sand.expand(*position.shape[:2], COUNT)
    return made


def joined(stages: Sequence[sim.Trajectory], wholes: Sequence[Mapping[str, torch.Tensor]]) -> sim.Trajectory:
    """One trajectory; a frame between two stages is the last of the earlier."""
    arrays = {n: torch.cat([w[n] if w is wholes[0] else w[n][1:] for w in wholes]).numpy() for n in wholes[0]}
    times = np.concatenate([s.times if s is stages[0] else s.times[1:] for s in stages])
    status = stages[0].status
    for stage in stages[1:]:
        status = stage.status.after(status)
    scene = dict(stages[0].metadata["scene"])
    scene["bodies"] = [{**b, "name": b["name"].replace("plasticine", "block")} for b in scene["bodies"]]
    return sim.Trajectory(times=times, arrays=arrays, metadata={**stages[0].metadata, "scene": scene}, status=status)


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Squared differences between the twins, the impulse of the floor over that of gravity and motion, and how far the
    true block's middle sinks once it melts."""
    velocity = np.asarray(trajectory["block.velocity"], float)[:, 0, :, 2].mean(axis=1)
    place = np.asarray(trajectory["block.position"], float)[:, 0, :, 2]
    height = place.mean(axis=1) - place.min(axis=1)  # above the lowest particle
    learned = np.asarray(trajectory["block_learned.velocity"], float)[:, 0, :, 2].mean(axis=1)
    push = -np.asarray(trajectory["floor.wrench"], float)[1:, 0, 2]  # mean force since the frame before [N]
    gained = 2 * GRAVITY * trajectory.duration + velocity[-1] - velocity[0] + learned[-1] - learned[0]
    impulse = float((push * np.diff(trajectory.times)).sum()) / (DENSITY * BLOCK.volume)
    landed = int(np.searchsorted(trajectory.times, BEGIN * SETTINGS.dt))
    return {
        **twin_distances(trajectory, APART),
        "floor impulse by the change of momentum / reference": impulse / float(gained),
        "height of the middle after / before melting": float(height[-1] / height[min(landed, len(height) - 1)]),
    }
