"""Learned jelly, plasticine, sand and water, thrown faster and for longer than they were ever seen, beside the true ones.

The laws saw 0.5 s of one cube that tumbled into the corner of a smooth box. Here each is thrown onto a rough floor, with other
velocities, for three times as long. Smooth walls keep what flows from meeting its twin, which the law it is held against
has no part in.
"""

from pliant import sim
from pliant.scenes.learned import add_twins, twin_distances
from pliant.scenes.registry import Settings
from pliant.sim import shapes

SETTINGS = Settings(dt=4e-4, steps=3750, record_every=75, camera=((6.2, -3.2, 3.0), (1.0, -0.1, 0.1)))
CELL, APART = 0.05, 0.6  # all eight bodies stand as far apart as twins
REACH = (-2.4, 3.8)  # along x [m]
THROWS = {
    "jelly": ((2.0, 0.0, -1.0), (0.0, 5.0, 0.0)),
    "plasticine": ((1.5, 0.0, -2.0), (0.0, -3.0, 0.0)),
    "sand": ((1.0, 0.0, -1.0), (0.0, 2.0, 0.0)),
    "water": ((0.5, 0.0, -1.0), (0.0, 0.0, 0.0)),
}


def build() -> sim.Scene:
    """Four pairs of cubes above a rough floor, each in its channel along x."""
    width = 4.5 * APART
    scene = sim.Scene(extent=((REACH[0], -width, -0.1), (REACH[1], width, 1.2)), cell_size=CELL, walls="open")
    for index, (material, (velocity, spin)) in enumerate(THROWS.items()):
        cube = shapes.Box(0.3, center=(0.0, (index - 1.5) * 2 * APART, 0.5))
        add_twins(scene, cube, material, apart=APART, spacing=CELL / 2, velocity=velocity, angular_velocity=spin)
    scene.add_collider(shapes.Plane(), friction=0.5, name="floor")
    for index in range(9):
        middle = (sum(REACH) / 2, (index - 4) * APART + CELL / 2, 0.0)  # between nodes, so that each is on one side
        wall = shapes.Box((REACH[1] - REACH[0], 2 * CELL, 0.4), center=middle)
        scene.add_collider(wall, friction=0.0, name=f"wall_{index}", color=(0.75, 0.8, 0.86))
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Mean squared difference of the coordinates between each body and its twin."""
    return twin_distances(trajectory, APART)
