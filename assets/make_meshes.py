"""Write the example meshes of this folder: `python assets/make_meshes.py`.

Each body is the zero level of a smooth union of ellipsoids, found by marching cubes. Lengths in m, x forward, z up.
"""

from pathlib import Path

import numpy as np
import trimesh
import warp as wp
from warp.geometry import IsoSurfaceMarchingCubes

from pliant.sim.shapes import Mesh

FOLDER = Path(__file__).resolve().parent
Ellipsoid = tuple[tuple[float, float, float], tuple[float, float, float]]  # center, half axes

SEGMENTS: list[Ellipsoid] = [((0.052 * k - 0.104, 0.0, 0.034), (0.04, 0.032 - 0.002 * k, 0.03)) for k in range(5)]
FOOT = (0.014, 0.012, 0.012)
FEET: list[Ellipsoid] = [((0.104 * k - 0.104, side, 0.008), FOOT) for k in range(3) for side in (-0.02, 0.02)]
HEAD: list[Ellipsoid] = [((0.14, 0.0, 0.045), (0.026, 0.024, 0.024))]
WORM = SEGMENTS + FEET + HEAD

DUCK: list[Ellipsoid] = [
    ((0.0, 0.0, 0.035), (0.055, 0.038, 0.033)),  # body
    ((-0.055, 0.0, 0.055), (0.022, 0.014, 0.012)),  # tail
    ((0.036, 0.0, 0.07), (0.016, 0.015, 0.026)),  # neck
    ((0.042, 0.0, 0.098), (0.025, 0.022, 0.022)),  # head
    ((0.07, 0.0, 0.094), (0.018, 0.012, 0.006)),  # bill
]

LEGS: list[Ellipsoid] = [((x, 0.04 * k, 0.065), (0.06, 0.05, 0.075)) for x in (0.065, 0.335) for k in (-2, -1, 0, 1, 2)]
TRUNK: list[Ellipsoid] = [((0.2, 0.035 * k, 0.14), (0.2, 0.06, 0.05)) for k in (-2, 0, 2)]
FACE: list[Ellipsoid] = [((0.37, 0.05 * k, 0.185), (0.03, 0.03, 0.03)) for k in (-1, 1)]
CRAWLER = LEGS + TRUNK + FACE


def distance(x: np.ndarray, ellipsoid: Ellipsoid) -> np.ndarray:
    """Distance to an ellipsoid, exact to first order at its surface: k (k - 1) / |grad k|, k = |(x - c) / a|."""
    arm = x - np.array(ellipsoid[0])
    axes = np.array(ellipsoid[1])
    scaled = np.linalg.norm(arm / axes, axis=-1)
    slope = np.linalg.norm(arm / axes**2, axis=-1)
    return scaled * (scaled - 1.0) / np.maximum(slope, 1e-9)


def blend(x: np.ndarray, parts: list[Ellipsoid], radius: float) -> np.ndarray:
    """Smooth minimum of the distances: -r log sum exp(-d / r)."""
    return -radius * np.logaddexp.reduce([-distance(x, part) / radius for part in parts], axis=0)


def body(parts: list[Ellipsoid], cell: float, radius: float) -> trimesh.Trimesh:
    """The closed surface of blended ellipsoids, its lowest point at z = 0, coordinates rounded to 10 micrometers."""
    lower = np.min([np.subtract(center, axes) for center, axes in parts], axis=0) - 3.0 * cell
    upper = np.max([np.add(center, axes) for center, axes in parts], axis=0) + 3.0 * cell
    counts = np.ceil((upper - lower) / cell).astype(int) + 1
    axes = [start + cell * np.arange(count) for start, count in zip(lower, counts, strict=True)]
    values = blend(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1), parts, radius)
    field = wp.array(values, dtype=wp.float32, device="cpu")
    upper = lower + cell * (counts - 1)
    vertices, index = IsoSurfaceMarchingCubes.extract(field, 0.0, lower=wp.vec3(*lower), upper=wp.vec3(*upper))
    points = vertices.numpy().astype(float)
    points[:, 2] -= points[:, 2].min()
    mesh = trimesh.Trimesh(np.round(points, 5), index.numpy().reshape(-1, 3))
    if mesh.volume < 0.0:
        mesh.invert()
    return mesh


def main() -> None:
    body(WORM, cell=0.006, radius=0.004).export(FOLDER / "worm.stl")
    body(DUCK, cell=0.004, radius=0.003).export(FOLDER / "duck_like.obj", digits=5, header="made by make_meshes.py")
    body(CRAWLER, cell=0.012, radius=0.008).export(FOLDER / "crawler.stl")
    for name in ("worm.stl", "duck_like.obj", "crawler.stl"):
        Mesh(FOLDER / name)  # raises unless it is watertight and encloses a volume


if __name__ == "__main__":
    main()
