"""A cube of jelly, plasticine, sand or water tumbles into the corner of a smooth box: the motion that laws are learned from.

The set-up is that of the paper on learned constitutive laws (Ma et al., ICML 2023), turned about x so that gravity is
along -z: side 0.5 m, 10 x 10 x 10 particles, a grid of 20 cells in 1 m, free-slip walls that the body can leave. Until
it touches a wall the body flies as a whole, and only gravity changes its momentum.
"""

import numpy as np

from pliant import sim
from pliant.scenes.registry import Settings
from pliant.sim import materials, shapes

SETTINGS = Settings(dt=5e-4, steps=1000, record_every=20, camera=((2.2, -1.4, 1.3), (0.5, 0.5, 0.4)))
MATERIALS = {
    "jelly": materials.FixedCorotated(youngs_modulus=1e5, poissons_ratio=0.2),
    "plasticine": materials.VonMises(youngs_modulus=3e5, poissons_ratio=0.25, yield_stress=5e3),
    "sand": materials.DruckerPrager(
        youngs_modulus=1e6, poissons_ratio=0.2, friction_angle=float(np.radians(25.0)), cohesion=0.0
    ),
    "water": materials.Fluid(bulk_modulus=1e5 * 0.3 / (1.3 * 0.4), viscosity=0.0),
}
VARIANTS = tuple(MATERIALS)
GRAVITY, DENSITY, SIDE, POINTS = 9.8, 1000.0, 0.5, 10
VELOCITY, ANGULAR_VELOCITY = (1.0, 2.0, -1.5), (4.0, -4.0, 4.0)
FLIGHT = 0.01  # s, before the first touch


def lattice() -> np.ndarray:
    """The particles [1000, 3], some of them on the cube's faces."""
    axis = 0.5 + np.linspace(-0.5 * SIDE, 0.5 * SIDE, POINTS)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def box_scene() -> sim.Scene:
    """The box without a body; its walls are the paper's, which blocks nodes 0 to 2 and 18 to 20."""
    return sim.Scene(gravity=(0, 0, -GRAVITY), extent=((0.1,) * 3, (0.9,) * 3), cell_size=0.05)


def build(material: str = "jelly") -> sim.Scene:
    """The tumbling cube of one of the four materials."""
    scene = box_scene()
    scene.add_mpm(
        shapes.Points(lattice(), volume=SIDE**3),
        MATERIALS[material],
        density=DENSITY,
        spacing=SIDE / (POINTS - 1),
        name="cube",
        color=(0.36, 0.72, 0.53),
        velocity=VELOCITY,
        angular_velocity=ANGULAR_VELOCITY,
        pressure_filter=False,  # a learned law has none
    )
    return scene


def measure(trajectory: sim.Trajectory) -> dict[str, float]:
    """Acceleration of the centre in free flight over that of gravity, and how thin the body gets (1: as at rest)."""
    velocity = np.asarray(trajectory["cube.velocity"], float)[:, 0].mean(axis=1)
    frame = int(np.searchsorted(trajectory.times, FLIGHT + 1e-9)) - 1
    fall = -(velocity[frame, 2] - velocity[0, 2]) / trajectory.times[frame]
    arms = np.asarray(trajectory["cube.position"], float)[:, 0]
    arms = arms - arms.mean(axis=1, keepdims=True)
    thickness = np.sqrt(np.linalg.eigvalsh(arms.transpose(0, 2, 1) @ arms)[:, 0])
    return {"fall by gravity / reference": fall / GRAVITY, "least thickness [1]": thickness.min() / thickness[0]}
