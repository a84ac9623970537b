"""Small scenes that several tests share, so that kernels are compiled once."""

import numpy as np

from pliant.sim import Scene
from pliant.sim.materials import DruckerPrager, Fluid, NeoHookean, VonMises
from pliant.sim.shapes import Box, Plane, Points, Sphere

REFERENCE_SPACING = 0.5 / 9


def reference_cube() -> np.ndarray:
    """The 10 x 10 x 10 points of the reference runs."""
    axis = np.linspace(-0.25, 0.25, 10)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3) + 0.5


def reference_scene(material, **options) -> Scene:
    """The common set-up of `reference/mpm`: a cube in a box of walls that block nodes 0 to 2 and 18 to 20, gravity along -y."""
    scene = Scene(gravity=(0, -9.8, 0), extent=((0.1,) * 3, (0.9,) * 3), cell_size=0.05, mass_floor=1e-7, **options)
    cube = Points(reference_cube(), volume=0.125)
    scene.add_mpm(cube, material, density=1000.0, spacing=REFERENCE_SPACING, name="body", pressure_filter=False)
    return scene


def busy_scene() -> Scene:
    """Contact with friction, a moving sphere, yielding, flow and muscles, in 200 substeps of a few hundred particles."""
    scene = Scene(extent=((-0.1, -0.1, -0.2), (1.1, 1.1, 1.1)), cell_size=0.1)
    soft = NeoHookean(youngs_modulus=2e4, poissons_ratio=0.3)
    clay = VonMises(youngs_modulus=3e4, poissons_ratio=0.3, yield_stress=300.0)
    scene.add_mpm(
        Box(0.2, center=(0.35, 0.5, 0.12)), soft, density=1000.0, spacing=0.05, name="soft", velocity=(1.0, 0.3, -1.0)
    )
    scene.add_mpm(
        Box(0.2, center=(0.7, 0.5, 0.15)), clay, density=800.0, spacing=0.05, name="clay", velocity=(-1.0, 0, -1.0)
    )
    sand = DruckerPrager(youngs_modulus=3e4, poissons_ratio=0.3, friction_angle=0.5, cohesion=30.0)
    scene.add_mpm(
        Box(0.15, center=(0.3, 0.25, 0.1)), sand, density=900.0, spacing=0.05, name="sand", velocity=(0.2, 0.1, -1.5)
    )
    water = Fluid(bulk_modulus=2e4, viscosity=3.0)
    scene.add_mpm(
        Box(0.15, center=(0.7, 0.2, 0.12)), water, density=900.0, spacing=0.05, name="water", velocity=(0.1, 0.4, -1.0)
    )
    scene.add_muscle("soft", fibre=(1, 0.2, 0), group=lambda x: (x[:, 0] > 0.35).astype(int), strength=2e3)
    scene.add_collider(Plane(), friction=0.3, name="floor")
    scene.add_collider(Sphere(0.15, center=(0.5, 0.5, 0.4)), friction=0.5, name="ball")
    return scene


def busy_values(model, intervals: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Values of every parameter of the busy scene: random activations, the ball coming down and turning."""
    rng = np.random.default_rng(seed)
    values = {name: parameter.value.astype(float) for name, parameter in model.parameters().items()}
    values["soft.activation"] = rng.uniform(0, 1, (model.batch, intervals, 2))
    pose = np.tile([0.5, 0.5, 0.4, 0, 0, 0, 1.0], (model.batch, intervals + 1, 1))
    pose[..., 2] -= np.linspace(0, 0.15, intervals + 1)
    pose[..., 3:] += 0.2 * rng.standard_normal(pose[..., 3:].shape)
    values["ball.pose"] = pose / np.concatenate(
        [np.ones_like(pose[..., :3]), np.linalg.norm(pose[..., 3:], axis=-1, keepdims=True).repeat(4, -1)], axis=-1
    )
    return values
