"""A jelly cube falls, squashes and bounces; the floor's impulse is the change of momentum.

Over the whole run the floor must have pushed with the impulse m (g t + v(t)), whatever happened in between.
"""

import numpy as np

import sim
from scenes.registry import Settings
from sim import materials, shapes

SETTINGS = Settings(dt=5e-4, steps=1600, record_every=20, camera=((0.55, -1.1, 0.5), (0.0, 0.0, 0.14)))
SIDE, DENSITY = 0.2, 1000.0


def build() -> sim.Scene:
    """An 8 kg cube of 20 kPa, 15 cm above the floor and slightly turning."""
    scene = sim.Scene(extent=((-0.4, -0.4, -0.08), (0.4, 0.4, 0.6)), cell_size=0.04)
    jelly = materials.FixedCorotated(youngs_modulus=2e4, poissons_ratio=0.35)
    cube = shapes.Box(SIDE, center=(0, 0, 0.25))
    scene.add_mpm(
        cube, jelly, density=DENSITY, spacing=0.02, name="jelly", angular_velocity=(1, 2, 0), color=(0.2, 0.7, 0.5)
    )
    scene.add_collider(shapes.Plane(), friction=0.5, name="floor")
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Impulse of the floor over that of gravity and motion; 1 by Newton's second law."""
    mass, duration = DENSITY * SIDE**3, trajectory.duration
    frame = np.diff(trajectory.times)
    pushed = -float((np.asarray(trajectory["floor.wrench"])[1:, 0, 2] * frame).sum())
    velocity = float(np.asarray(trajectory["jelly.velocity"])[-1, 0, :, 2].mean())
    height = float(
        np.asarray(trajectory["jelly.position"])[:, 0, :, 2].mean(axis=1)[trajectory.frame_count // 2 :].max()
    )
    return {"floor impulse / momentum": pushed / (mass * (9.81 * duration + velocity)), "rebound height [m]": height}
