"""Learned jelly, plasticine, sand and water, thrown faster and for longer than they were ever seen, beside the true ones.

The laws saw 0.5 s of one cube that tumbled into the corner of a smooth box. Here each is thrown onto a rough floor, with other
velocities, for three times as long.
"""

import sim
from scenes.learned import add_twins, twin_distances
from scenes.registry import Settings
from sim import shapes

SETTINGS = Settings(dt=4e-4, steps=3750, record_every=75, camera=((6.2, -3.2, 3.0), (1.0, -0.1, 0.1)))
CELL, APART, LANE = 0.05, 0.6, 1.3
THROWS = {
    "jelly": ((2.0, 0.0, -1.0), (0.0, 5.0, 0.0)),
    "plasticine": ((1.5, 0.0, -2.0), (0.0, -3.0, 0.0)),
    "sand": ((1.0, 0.0, -1.0), (0.0, 2.0, 0.0)),
    "water": ((0.5, 0.0, -1.0), (0.0, 0.0, 0.0)),
}


def build() -> sim.Scene:
    """Four pairs of cubes above a rough floor, in lanes along x."""
    scene = sim.Scene(extent=((-1.6, -3.8, -0.1), (3.8, 3.8, 1.6)), cell_size=CELL, walls="open")
    for index, (material, (velocity, spin)) in enumerate(THROWS.items()):
        cube = shapes.Box(0.3, center=(0.0, (index - 1.5) * LANE, 0.5))
        add_twins(
            scene, cube, material, apart=APART, spacing=CELL / 2, velocity=velocity, angular_velocity=spin
        )
    scene.add_collider(shapes.Plane(), friction=0.5, name="floor")
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Mean squared difference of the coordinates between each body and its twin."""
    return twin_distances(trajectory, APART)
