"""A learned block of plasticine, molten to sand particle by particle, falls beside the true one.

From left to right ever more of the particles are sand, drawn at random: a composition that neither law was learned from.
Two bodies share the block, each with its own law, and the grid couples them.
"""

import numpy as np

from pliant import sim
from pliant.scenes.learned import add_twins, twin_distances
from pliant.scenes.registry import Settings
from pliant.sim import shapes

SETTINGS = Settings(dt=4e-4, steps=1500, record_every=30, camera=((1.7, -2.3, 1.3), (0.15, 0.0, 0.15)))
CELL, APART, SIDES = 0.04, 0.72, (0.6, 0.28, 0.28)


def molten(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """Which particles [items] are sand: with a probability that grows from 0 on the left to 1 on the right."""
    share = (points[:, 0] - points[:, 0].min()) / np.ptp(points[:, 0])
    return np.random.default_rng(seed).random(len(points)) < share


def build() -> sim.Scene:
    """The pair of blocks above a rough floor."""
    scene = sim.Scene(extent=((-0.8, -0.8, -0.08), (1.0, 0.8, 0.8)), cell_size=CELL, walls="open")
    block = shapes.Box(SIDES, center=(0.0, 0.0, 0.4))
    points = block.sample(CELL / 2)
    sand = molten(points)
    for material, chosen in (("plasticine", ~sand), ("sand", sand)):
        part = shapes.Points(points[chosen], volume=block.volume * chosen.mean(), center=block.center)
        add_twins(scene, part, material, apart=APART, spacing=CELL / 2, velocity=(0.0, 0.0, -2.0))
    scene.add_collider(shapes.Plane(), friction=0.5, name="floor")
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Mean squared difference of the coordinates between each part of the block and its twin."""
    return twin_distances(trajectory, APART)
