"""Four learned bodies of jelly, plasticine, sand and water collide in mid-air, beside four true ones.

Each law was learned alone, from a cube that met nothing but smooth walls; here all four meet in one grid. Nothing outside
acts, so the total momentum of the learned bodies stays what it was, whatever their laws have learned.
"""

import numpy as np

from pliant import sim
from pliant.scenes.learned import add_twins, twin_distances
from pliant.scenes.registry import Settings
from pliant.sim import shapes

SETTINGS = Settings(dt=4e-4, steps=1500, record_every=30, camera=((2.4, -2.4, 1.7), (0.0, 0.0, 0.0)))
CELL, APART, SPEED, DISTANCE, SIDE = 0.05, 1.6, 1.5, 0.4, 0.3
MATERIALS = ("jelly", "plasticine", "sand", "water")


def build() -> sim.Scene:
    """Two groups of four cubes; in each they fly at each other from four sides."""
    scene = sim.Scene(gravity=(0, 0, 0), extent=((-1.6, -2.4, -1.2), (1.6, 2.4, 1.2)), cell_size=CELL, walls="open")
    for index, material in enumerate(MATERIALS):
        way = np.array([np.cos(np.pi / 2 * index), np.sin(np.pi / 2 * index), 0.06 * (-1) ** index])
        cube = shapes.Box(SIDE, center=tuple(-DISTANCE * way))
        add_twins(scene, cube, material, apart=APART, spacing=CELL / 2, velocity=tuple(SPEED * way))
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Squared differences between the twins, and the change of the learned bodies' momentum over the sum of all |m v|.

    All bodies have the same mass, which drops out.
    """
    momentum = [np.asarray(trajectory[f"{n}_learned.velocity"], float)[:, 0].mean(axis=1) for n in MATERIALS]
    change = np.abs(np.sum(momentum, axis=0) - np.sum(momentum, axis=0)[0]).max()
    total = sum(float(np.linalg.norm(m[0])) for m in momentum)
    return {**twin_distances(trajectory, APART), "change of momentum / sum of |m v|": float(change / total)}
