"""A bird of learned jelly falls into a tank of learned water, beside one of true jelly in true water.

The two laws were learned apart; the grid couples them. The bird is half as dense as the water, so it comes up again.
"""

import numpy as np

import sim
from scenes.learned import add_twins, twin_distances
from scenes.registry import FOLDER, Settings
from sim import shapes

SETTINGS = Settings(dt=4e-4, steps=3000, record_every=60, camera=((1.9, -2.3, 1.7), (0.0, 0.0, 0.25)))
CELL, APART = 0.04, 0.96
TANK, DEPTH, WALL = 0.72, 0.32, 0.12  # inner side, depth of the water, thickness of the walls [m]


def build() -> sim.Scene:
    """Two open tanks side by side, a bird above each."""
    scene = sim.Scene(extent=((-0.6, -1.2, -0.12), (0.6, 1.2, 1.2)), cell_size=CELL, walls="slip")
    water = shapes.Box((TANK, TANK, DEPTH), center=(0.0, 0.0, DEPTH / 2))
    add_twins(scene, water, "water", apart=APART, spacing=CELL / 2)
    bird = shapes.Mesh(FOLDER.parent / "assets" / "duck_like.obj", scale=2.4, center=(0.0, 0.0, 0.6))
    add_twins(
        scene, bird, "jelly", name="bird", density=500.0, apart=APART, spacing=CELL / 2, velocity=(0.0, 0.0, -1.0)
    )
    scene.add_collider(shapes.Plane(), name="floor")
    for index, (x, y, sides) in enumerate(walls()):
        wall = shapes.Box((*sides, 0.7), center=(x, y, 0.35))
        scene.add_collider(wall, name=f"wall{index}", color=(0.75, 0.8, 0.86))
    return scene


def walls() -> list[tuple[float, float, tuple[float, float]]]:
    """Middle (x, y) and sides of the four walls of each tank."""
    half = 0.5 * (TANK + WALL)
    across = [(0.0, s * 0.5 * APART + t * half, (TANK + 2 * WALL, WALL)) for s in (-1, 1) for t in (-1, 1)]
    along = [(t * half, s * 0.5 * APART, (WALL, TANK)) for s in (-1, 1) for t in (-1, 1)]
    return across + along


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Squared differences between the twins, and how high both birds' middles float at the end [m]."""
    ends = {n: float(np.asarray(trajectory[f"{n}.position"], float)[-1, 0, :, 2].mean()) for n in ("bird", "bird_learned")}
    return {**twin_distances(trajectory, APART), **{f"height of {n} [m]": z for n, z in ends.items()}}
