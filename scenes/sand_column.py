"""A column of layered sand collapses along a channel and runs as far as columns in experiments do.

For a column of length L and height H = a L against a wall, a < 1.8, experiments found (l - L) / L = 1.2 a for the
final length l with sand, rice and sugar alike. Other experiments found constants that depend on the
material (Balmforth and Kerswell) and 1.8 a with glass beads (Lajeunesse and others). Here it depends on the friction
angle: 1.39 a, 1.30 a and 1.18 a at 30, 32 and 35 degrees in plane strain.

The law's friction angle phi is that of triaxial compression. In a channel the sand flows in plane strain, at constant
volume the middle stress is then the mean of the other two, and the Drucker-Prager cone gives the angle theta with

    sin(theta) = 2 sqrt(3) sin(phi) / (3 - sin(phi)),   so   sin(phi) = 3 sin(theta) / (2 sqrt(3) + sin(theta))

32 degrees are a choice that makes the run-out right. Such sand rests on slopes of up to 28 degrees; the 34 degrees of
repose that experiments report need 42 degrees in plane strain, and the column then runs 0.93 a only
(tests/test_repose.py derives and measures the angle of repose). With 34 degrees of triaxial compression it runs 0.75 a.

Sources: Lube, Huppert, Sparks and Freundt, Collapses of two-dimensional granular columns, Phys. Rev. E 72, 041301 (2005),
and Lajeunesse, Monnier and Homsy, Phys. Fluids 17, 103302 (2005): both coefficients as quoted by others after Lagree,
Staron and Popinet, J. Fluid Mech. 686 (2011) 378; Balmforth and Kerswell, J. Fluid Mech. 538 (2005) 399: abstract.
"""

import math

import numpy as np

from pliant import sim
from pliant.scenes.registry import Settings
from pliant.sim import materials, shapes

SETTINGS = Settings(dt=4e-4, steps=1600, record_every=40, camera=((0.29, -0.52, 0.19), (0.145, 0.024, 0.045)))
LENGTH, HEIGHT, WIDTH, CELL = 0.12, 0.12, 0.048, 0.008
PLANE_STRAIN_ANGLE = math.radians(32.0)  # chosen, see above
LAYERS = ((0.93, 0.78, 0.47), (0.72, 0.42, 0.25), (0.95, 0.86, 0.66), (0.80, 0.52, 0.29), (0.93, 0.78, 0.47))


def build() -> sim.Scene:
    """Five coloured layers of the same sand between smooth walls, on a rough floor."""
    walls = {"x-": "slip", "y-": "slip", "y+": "slip"}
    scene = sim.Scene(extent=((0.0, 0.0, -0.024), (0.4, WIDTH, 0.152)), cell_size=CELL, walls=walls)
    sine = math.sin(PLANE_STRAIN_ANGLE)
    angle = math.asin(3.0 * sine / (2.0 * math.sqrt(3.0) + sine))
    sand = materials.DruckerPrager(youngs_modulus=2e5, poissons_ratio=0.2, friction_angle=angle)
    thickness = HEIGHT / len(LAYERS)
    for index, color in enumerate(LAYERS):
        layer = shapes.Box((LENGTH, WIDTH, thickness), center=(LENGTH / 2, WIDTH / 2, (index + 0.5) * thickness))
        scene.add_mpm(layer, sand, density=1600.0, spacing=CELL / 2, name=f"layer{index}", color=color)
    scene.add_collider(shapes.Plane(), friction=0.6, name="floor")
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Run-out of 99.5 % of the sand, its ratio to the law of Lube and others, and the slope of the flank."""
    names = [f"layer{index}.position" for index in range(len(LAYERS))]
    x, _, z = np.concatenate([np.asarray(trajectory[name], float)[-1, 0] for name in names]).T
    length = float(np.quantile(x, 0.995))
    runout = (length - LENGTH) / LENGTH
    places = np.linspace(0.25, 0.75, 9) * length
    top = [np.quantile(z[np.abs(x - place) < CELL], 0.98) for place in places]
    return {
        "run-out (l - L) / L": runout,
        "run-out by the law of Lube et al. / reference": runout / (1.2 * HEIGHT / LENGTH),
        "slope of the flank [degree]": math.degrees(math.atan(-np.polyfit(places, top, 1)[0])),
    }
