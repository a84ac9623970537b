"""A beam of material points, clamped in a sticking wall, swings about the sag that Timoshenko's theory gives it.

Let go level, it swings between nothing and about twice its sag under its own weight; the mean over a swing is the sag. Between
smooth walls it is in plane strain. For load q a length, height h and area A a width,

    w(x) = q (x^4 - 4 L x^3 + 6 L^2 x^2) / (24 E' I) + q (L x - x^2 / 2) / (k G A),   E' = E / (1 - nu^2),  I = h^3 / 12,  k = 5/6

Source: Timoshenko and Gere, Mechanics of Materials, chapter 9 and the shear of section 9 with the factor of a rectangle.
"""

import numpy as np

from pliant import sim
from pliant.scenes.registry import Settings
from pliant.sim import materials, shapes

SETTINGS = Settings(dt=6e-5, steps=3900, record_every=30, camera=((0.17, -0.58, 0.02), (0.17, 0.0, -0.01)))
VARIANTS = ("walls", "colliders")
LENGTH, HEIGHT, GRAVITY, DENSITY = 0.3, 0.06, 9.81, 1000.0
YOUNG, POISSON, CELLS = 2e6, 0.3, 6  # Pa, 1, across the height
TIP = 0.02  # m from the end: the particles whose sag is measured


def build(clamp: str = "walls", cells: int = CELLS) -> sim.Scene:
    """The beam, one cell wide, its left end on the clamp.

    Args:
        clamp: what it is, one of `VARIANTS`: a wall of the grid or a sticking box.
        cells: across the beam; dt wants to go with their inverse, 6e-5 s at 6.
    """
    cell = HEIGHT / cells
    behind = 0.0 if clamp == "walls" else 8 * cell
    walls = {"x-": "stick" if clamp == "walls" else "open", "x+": "open", "y-": "slip", "y+": "slip"}
    scene = sim.Scene(
        gravity=(0.0, 0.0, -GRAVITY),
        extent=((-behind, 0.0, -0.12), (LENGTH + 0.06, cell, 0.12)),
        cell_size=cell,
        walls=walls | {"z-": "open", "z+": "open"},
    )
    beam = shapes.Box((LENGTH, cell, HEIGHT), center=(0.5 * LENGTH, 0.5 * cell, 0.0))
    rubber = materials.NeoHookean(youngs_modulus=YOUNG, poissons_ratio=POISSON)
    scene.add_mpm(beam, rubber, density=DENSITY, spacing=cell / 2, name="beam", color=(0.25, 0.52, 0.86))
    if clamp == "colliders":
        box = shapes.Box((6 * cell, 9 * cell, 0.2), center=(-3 * cell, 0.5 * cell, 0.0))
        scene.add_collider(box, surface="stick", name="clamp")
    return scene


def sag(x: np.ndarray) -> np.ndarray:
    """Timoshenko's deflection [m] at distances x from the clamp."""
    load, modulus = DENSITY * GRAVITY * HEIGHT, YOUNG / (1.0 - POISSON**2)
    bending = load * (x**4 - 4.0 * LENGTH * x**3 + 6.0 * LENGTH**2 * x**2) / (2.0 * modulus * HEIGHT**3)
    shearing = load * (LENGTH * x - 0.5 * x**2) / (5.0 / 6.0 * 0.5 * YOUNG / (1.0 + POISSON) * HEIGHT)
    return bending + shearing


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Mean sag near the tip over one swing, down and back up, and by the theory."""
    x = np.asarray(trajectory["beam.position"], float)[:, 0]
    tip = x[0, :, 0] > LENGTH - TIP
    down = x[0, tip, 2].mean() - x[:, tip, 2].mean(axis=1)
    lowest = int(down.argmax())
    back = lowest + int(down[lowest:].argmin())
    mean = float(np.trapezoid(down[: back + 1], trajectory.times[: back + 1]) / trajectory.times[back])
    return {
        "mean sag of the tip [m]": mean,
        "sag by Timoshenko's theory / reference": mean / float(sag(x[0, tip, 0]).mean()),
    }
