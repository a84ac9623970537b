"""A column of water is let go and runs along a dry bed, slower than Ritter's front.

Shallow water without friction would run ahead with 2 sqrt(g h) (Ritter 1892): an upper bound for a real front.
"""

import numpy as np

import sim
from scenes.registry import Settings
from sim import materials, shapes

SETTINGS = Settings(dt=4e-4, steps=1250, record_every=25, camera=((0.6, -1.9, 0.8), (0.55, 0.1, 0.05)))
HEIGHT, WIDTH = 0.3, 0.3


def build() -> sim.Scene:
    """A column 0.3 m high and wide at the left end of a basin."""
    scene = sim.Scene(extent=((0.0, 0.0, -0.06), (1.6, 0.2, 0.5)), cell_size=0.03, walls="separating")
    water = materials.Fluid(bulk_modulus=1e5, viscosity=1e-3)
    column = shapes.Box((WIDTH, 0.2, HEIGHT), center=(WIDTH / 2, 0.1, HEIGHT / 2))
    scene.add_mpm(column, water, density=1000.0, spacing=0.015, name="water", color=(0.25, 0.5, 0.9))
    scene.add_collider(shapes.Plane(), name="bed")
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Speed of the front over sqrt(g h) while it runs from 1.5 to 3 column widths; Ritter's bound is 2."""
    front = np.percentile(np.asarray(trajectory["water.position"])[:, 0, :, 0], 99.5, axis=1)
    running = (front > 1.5 * WIDTH) & (front < 3.0 * WIDTH)
    speed = float(np.polyfit(trajectory.times[running], front[running], 1)[0])
    return {"front speed / sqrt(g h)": speed / float(np.sqrt(9.81 * HEIGHT))}
