"""Jelly, plasticine, sand and water collide in mid-air; their momentum does not change."""

import numpy as np

import sim
from scenes.registry import Settings
from sim import materials, shapes

SETTINGS = Settings(dt=2e-4, steps=1500, record_every=25, camera=((0.5, -1.3, 0.7), (0.0, 0.0, 0.0)))
BODIES = ("jelly", "plasticine", "sand", "water")
SIDE, DENSITY, SPEED = 0.16, 1000.0, 1.0


def build() -> sim.Scene:
    """Four cubes that fly at each other from four sides without gravity."""
    scene = sim.Scene(gravity=(0, 0, 0), extent=((-0.7,) * 3, (0.7,) * 3), cell_size=0.04, walls="open")
    laws = (
        materials.FixedCorotated(youngs_modulus=1e5, poissons_ratio=0.3),
        materials.VonMises(youngs_modulus=2e5, poissons_ratio=0.3, yield_stress=3e3),
        materials.DruckerPrager(youngs_modulus=2e5, poissons_ratio=0.3, friction_angle=0.6),
        materials.Fluid(bulk_modulus=1e5, viscosity=1.0),
    )
    colors = ((0.2, 0.7, 0.5), (0.85, 0.35, 0.3), (0.9, 0.75, 0.4), (0.25, 0.5, 0.9))
    for turn, (name, law, color) in enumerate(zip(BODIES, laws, colors, strict=True)):
        way = np.array([np.cos(np.pi / 2 * turn), np.sin(np.pi / 2 * turn), 0.05 * (-1) ** turn])
        cube = shapes.Box(SIDE, center=tuple(-0.22 * way))
        scene.add_mpm(
            cube, law, density=DENSITY, spacing=0.02, name=name, velocity=tuple(SPEED * way + (0.2, 0, 0)), color=color
        )
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Largest change of the total momentum over the momentum of one body."""
    mass = DENSITY * SIDE**3
    total = sum(mass * np.asarray(trajectory[f"{n}.velocity"], float)[:, 0].mean(axis=1) for n in BODIES)
    change = float(np.abs(total - total[0]).max())
    return {"change of momentum / momentum of a body": change / (mass * SPEED)}
