"""A cylinder of dry sand collapses into a heap; its run-out follows the law measured by Lube and others.

For an initial height over radius a < 1.7 they found (r - r0) / r0 = 1.24 a.
Source: Lube, Huppert, Sparks and Hallworth, Axisymmetric collapses of granular columns, J. Fluid Mech. 508 (2004).
"""

import numpy as np

import sim
from scenes.registry import Settings
from sim import materials, shapes

SETTINGS = Settings(dt=2e-4, steps=3500, record_every=50, camera=((0.5, -0.8, 0.4), (0.0, 0.0, 0.03)))
RADIUS, HEIGHT = 0.1, 0.1


def build() -> sim.Scene:
    """Sand of 32 degrees of internal friction on a rough floor."""
    scene = sim.Scene(extent=((-0.36, -0.36, -0.04), (0.36, 0.36, 0.2)), cell_size=0.02)
    sand = materials.DruckerPrager(youngs_modulus=5e5, poissons_ratio=0.2, friction_angle=float(np.radians(32.0)))
    column = shapes.Cylinder(RADIUS, HEIGHT, center=(0, 0, HEIGHT / 2))
    scene.add_mpm(column, sand, density=1600.0, spacing=0.01, name="sand", color=(0.9, 0.75, 0.4))
    scene.add_collider(shapes.Plane(), friction=0.6, name="floor")
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Run-out, its ratio to Lube's law, and the slope of the heap's flank."""
    x = np.asarray(trajectory["sand.position"], float)[-1, 0]
    radius = np.hypot(x[:, 0], x[:, 1])
    reach = float(np.percentile(radius, 99.0))
    runout = (reach - RADIUS) / RADIUS
    rings = np.linspace(0.3, 0.8, 8) * reach
    top = [np.percentile(x[np.abs(radius - r) < 0.012, 2], 98.0) for r in rings]
    slope = float(np.degrees(np.arctan(-np.polyfit(rings, top, 1)[0])))
    law = 1.24 * HEIGHT / RADIUS
    return {"run-out (r - r0) / r0": runout, "run-out / Lube's law": runout / law, "flank [degrees]": slope}
