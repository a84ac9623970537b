"""A bird, a worm and a crawler of learned jelly fall beside those of true jelly: geometries the law never saw.

The meshes are those of `assets`, scaled to 0.4 m; the law saw a cube.
"""

import numpy as np

from pliant import sim
from pliant.scenes.learned import add_twins, twin_distances
from pliant.scenes.registry import FOLDER, Settings
from pliant.sim import shapes

SETTINGS = Settings(dt=4e-4, steps=2000, record_every=40, camera=((2.6, -2.2, 1.5), (0.0, 0.0, 0.2)))
CELL, APART, LENGTH, LANE = 0.03, 0.48, 0.4, 1.02
MESHES = {"bird": "duck_like.obj", "worm": "worm.stl", "crawler": "crawler.stl"}


def body(file: str, y: float) -> shapes.Mesh:
    """The mesh scaled to `LENGTH` along x, its middle 0.5 m above the ground."""
    path = FOLDER.parent / "assets" / file
    lower, upper = (np.asarray(b) for b in shapes.Mesh(path).bounds())
    return shapes.Mesh(path, scale=LENGTH / float(upper[0] - lower[0]), center=(0.0, y, 0.5))


def build() -> sim.Scene:
    """Three pairs of bodies above a rough floor."""
    scene = sim.Scene(extent=((-0.9, -1.8, -0.06), (1.5, 1.8, 0.96)), cell_size=CELL, walls="open")
    for index, (name, file) in enumerate(MESHES.items()):
        add_twins(
            scene, body(file, (index - 1) * LANE), "jelly", name=name, apart=APART, spacing=CELL / 2,
            velocity=(0.5, 0.0, -1.0), angular_velocity=(0.0, 2.0, 0.0),
        )  # fmt: skip
    scene.add_collider(shapes.Plane(), friction=0.5, name="floor")
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Mean squared difference of the coordinates between each body and its twin."""
    return twin_distances(trajectory, APART)
