"""A million particles of learned plasticine in one block: the law is local, so it does not care how many there are.

Meant for a GPU: `pliant run learned_million --device cuda`. On a CPU the same command with `--steps` shows the start.
"""

import numpy as np

from pliant import sim
from pliant.scenes.learned import COLORS, learned_law
from pliant.scenes.registry import Settings
from pliant.scenes.tumble import DENSITY
from pliant.sim import shapes

SETTINGS = Settings(dt=1e-4, steps=4000, record_every=100, camera=((1.9, -2.1, 1.3), (0.4, 0.0, 0.2)))
CELL, SIDE, SPEED = 0.01, 0.5, 3.0  # 100^3 particles of half a cell


def build() -> sim.Scene:
    """The block, thrown onto the floor."""
    scene = sim.Scene(extent=((-0.4, -0.6, -0.02), (1.4, 0.6, 0.9)), cell_size=CELL, walls="separating")
    scene.add_mpm(
        shapes.Box(SIDE, center=(0.0, 0.0, 0.3)),
        learned_law("plasticine"),
        density=DENSITY,
        spacing=SIDE / 100,
        name="plasticine",
        velocity=(SPEED, 0.0, -SPEED),
        color=COLORS["plasticine"],
    )
    scene.add_collider(shapes.Plane(), friction=0.5, name="floor")
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Number of particles, and the kinetic energy left over the first."""
    velocity = np.asarray(trajectory["plasticine.velocity"])[[0, -1], 0].astype(float)
    energy = (velocity**2).sum(axis=(1, 2))
    return {"particles": float(velocity.shape[1]), "kinetic energy left": float(energy[1] / energy[0])}
