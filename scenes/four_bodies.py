"""Jelly, plasticine, sand and water collide in mid-air: momentum stays what it was, kinetic energy does not.

Without gravity and walls the four only push each other, so the sum of m v is constant to round-off; plastic flow,
viscosity and waves can only take kinetic energy from the flight.
"""

import dataclasses

import numpy as np

from pliant import sim
from pliant.scenes.registry import Settings
from pliant.sim import materials, shapes

SETTINGS = Settings(dt=4e-4, steps=1000, record_every=25, camera=((0.6, -0.72, 0.8), (0.04, 0.0, -0.01)))
DENSITY, SPEED, DISTANCE, DRIFT = 1000.0, 1.2, 0.2, (0.2, 0.0, 0.0)
BODIES = {
    "jelly": (
        shapes.Sphere(0.09),
        materials.FixedCorotated(youngs_modulus=5e4, poissons_ratio=0.3),
        (0.36, 0.72, 0.53),
    ),
    "plasticine": (
        shapes.Box(0.15),
        materials.VonMises(youngs_modulus=2e5, poissons_ratio=0.3, yield_stress=3e3),
        (0.89, 0.42, 0.38),
    ),
    "sand": (
        shapes.Cylinder(0.085, 0.15),
        materials.DruckerPrager(youngs_modulus=2e5, poissons_ratio=0.3, friction_angle=0.6),
        (0.92, 0.76, 0.42),
    ),
    "water": (shapes.Sphere(0.09), materials.Fluid(bulk_modulus=1e5, viscosity=1.0), (0.26, 0.54, 0.87)),
}


def build() -> sim.Scene:
    """Four bodies that fly at each other from four sides, all drifting along x."""
    scene = sim.Scene(gravity=(0, 0, 0), extent=((-0.7,) * 3, (0.8, 0.7, 0.7)), cell_size=0.025, walls="open")
    for index, (name, (shape, law, color)) in enumerate(BODIES.items()):
        way = np.array([np.cos(np.pi / 2 * index), np.sin(np.pi / 2 * index), 0.06 * (-1) ** index])
        scene.add_mpm(
            dataclasses.replace(shape, center=tuple(-DISTANCE * way)),
            law,
            density=DENSITY,
            spacing=0.0125,
            name=name,
            velocity=tuple(SPEED * way + DRIFT),
            color=color,
        )
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Largest change of the total momentum over the sum of all |m v|, and the kinetic energy left over the first."""
    momentum, energy, total = np.zeros(3), np.zeros(1), 0.0
    for name, (shape, _, _) in BODIES.items():
        velocity, mass = np.asarray(trajectory[f"{name}.velocity"], float)[:, 0], DENSITY * shape.volume
        momentum = momentum + mass * velocity.mean(axis=1)
        energy = energy + 0.5 * mass * (velocity**2).sum(axis=-1).mean(axis=1)
        total += mass * float(np.linalg.norm(velocity[0].mean(axis=0)))
    return {
        "change of momentum / sum of |m v|": float(np.abs(momentum - momentum[0]).max() / total),
        "kinetic energy left": float(energy[-1] / energy[0]),
        "largest kinetic energy / the first": float(energy.max() / energy[0]),
    }
