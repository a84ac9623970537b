"""A bird of learned jelly falls into a tank of learned water, beside one of true jelly in true water.

The two laws were learned apart; the grid couples them. The bird is half as dense as the water, so it comes up again.
"""

import numpy as np

from pliant import sim
from pliant.scenes.learned import add_twins, twin_distances
from pliant.scenes.registry import FOLDER, Settings
from pliant.sim import shapes

SETTINGS = Settings(dt=4e-4, steps=3000, record_every=60, camera=((2.0, -1.5, 1.5), (0.0, 0.0, 0.2)))
CELL, APART = 0.04, 0.96
TANK, DEPTH = 0.72, 0.32  # inner side of a tank, depth of the water [m]


def build() -> sim.Scene:
    """Two tanks, each between two blocks and two walls of the grid, and a bird above each."""
    half = 0.5 * TANK
    extent = ((-half, -APART - 3 * CELL, 0.0), (half, APART + 3 * CELL, 1.2))
    scene = sim.Scene(extent=extent, cell_size=CELL, walls="slip")
    water = shapes.Box((TANK, TANK, DEPTH), center=(0.0, 0.0, DEPTH / 2))
    add_twins(scene, water, "water", apart=APART, spacing=CELL / 2)
    bird = shapes.Mesh(FOLDER.parent / "assets" / "duck_like.obj", scale=2.4, center=(0.0, 0.0, 0.6))
    add_twins(
        scene, bird, "jelly", name="bird", density=500.0, apart=APART, spacing=CELL / 2, velocity=(0.0, 0.0, -1.0)
    )
    for index in (-1, 0, 1):  # faces lie between nodes and reach below the floor, or water would creep through
        block = shapes.Box((TANK + 0.4, 5 * CELL, 0.8), center=(0.0, index * APART, 0.1))
        scene.add_collider(block, name=f"block_{index + 1}", color=(0.75, 0.8, 0.86))
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Squared differences between the twins, and how high both birds' middles float at the end [m]."""
    ends = {
        n: float(np.asarray(trajectory[f"{n}.position"], float)[-1, 0, :, 2].mean()) for n in ("bird", "bird_learned")
    }
    return {**twin_distances(trajectory, APART), **{f"height of {n} [m]": z for n, z in ends.items()}}
