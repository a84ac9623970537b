"""Learned jelly and plasticine come down a slope beside the true ones: a boundary the laws never met."""

import math

from pliant import sim
from pliant.scenes.learned import add_twins, twin_distances
from pliant.scenes.registry import Settings
from pliant.sim import shapes

SETTINGS = Settings(dt=4e-4, steps=2500, record_every=50, camera=((2.9, -3.4, 2.0), (0.9, 0.0, 0.2)))
CELL, APART, LANE, ANGLE = 0.04, 0.56, 1.2, math.radians(20.0)
NORMAL = (math.sin(ANGLE), 0.0, math.cos(ANGLE))


def build() -> sim.Scene:
    """Two pairs of cubes that fall on a slope of 20 degrees and slide or roll down to the ground."""
    scene = sim.Scene(extent=((-0.8, -1.3, -0.08), (2.6, 1.3, 1.3)), cell_size=CELL, walls="open")
    for index, material in enumerate(("jelly", "plasticine")):
        cube = shapes.Box(0.28, center=(-0.3, (index - 0.5) * LANE, 0.75))
        add_twins(scene, cube, material, apart=APART, spacing=CELL / 2, velocity=(0.5, 0.0, -1.5))
    scene.add_collider(shapes.Plane(NORMAL, center=(0.0, 0.0, 0.3), extent=1.8), friction=0.25, name="slope")
    scene.add_collider(shapes.Plane(), friction=0.25, name="ground")
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Mean squared difference of the coordinates between each body and its twin."""
    return twin_distances(trajectory, APART)
