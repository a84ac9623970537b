"""A closed triangle mesh, and the distance volume through which the device meets it."""

import dataclasses
import functools
import math
import os
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import warp as wp

from pliant.sim.errors import InputError
from pliant.sim.precision import Precision
from pliant.sim.shapes.base import FAR, MAX_POINTS, NEAR, Shape, Triangles, differentiable, positive
from pliant.sim.shapes.closest import signed_distance
from pliant.sim.shapes.mesh_file import check_triangles, read_mesh
from pliant.sim.shapes.volume import DistanceVolume, node_counts, sampled

CELLS = 48  # of a distance volume along the largest extent, at least
SURFACE_CELLS = 50_000  # of a distance volume finer than the grid: what can be measured in a second or two


@dataclasses.dataclass(frozen=True, eq=False)
class Mesh(Shape):
    """The solid inside a watertight triangle mesh; the origin of its own frame is its center of mass.

    Args:
        path: STL, OBJ or PLY file; saved with a scene by name and SHA-256. Or give both:
        vertices: [v, 3], in the unit that `scale` turns into m.
        faces: [f, 3] numbers of vertices, counter-clockwise seen from outside.
        scale: meters per unit of the vertices (0.001 for millimeters).
        center: where the center of mass lies, [3] m; default: where scale * vertices put it.
        sha256: of the file, if it must not have changed.

    Errors: `InputError` for a file that cannot be read or has changed, NaN, holes, faces turned inside out, no volume.
    """

    KIND: ClassVar[int] = 5
    path: str | os.PathLike | None = None
    vertices: Any = dataclasses.field(default=None, kw_only=True)
    faces: Any = dataclasses.field(default=None, kw_only=True)
    scale: float = dataclasses.field(default=1.0, kw_only=True)
    sha256: str | None = dataclasses.field(default=None, kw_only=True)
    center: Any = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if (self.path is None) == (self.vertices is None) or (self.vertices is None) != (self.faces is None):
            raise InputError("Mesh: expected a path, or vertices= and faces=; give one of the two.")
        triangles, digest = (self.vertices, self.faces), None
        if self.path is not None:
            triangles, digest = read_mesh(self.path, self.sha256)
            self._set(path=os.fspath(self.path))
        vertices, faces = check_triangles(f"Mesh {self.path or ''}".strip(), *triangles)
        vertices.setflags(write=False)
        faces.setflags(write=False)
        scale = positive("Mesh.scale", self.scale, unit="m per unit")
        self._set(vertices=vertices, faces=faces, scale=scale, sha256=digest)
        self._check_volume()
        if self.center is None:
            self._set(center=self._mass_center)
        super().__post_init__()

    @cached_property
    def volume(self) -> float:
        """Volume [m^3]: the sum of the tetrahedra between the triangles and one point."""
        return float(self._tetrahedra.sum())

    def distance_volume(self, spacing: float | None = None, *, reach: float = math.inf) -> DistanceVolume:
        """Signed distance on a grid that reaches two cells beyond the mesh.

        Args:
            spacing: of the grid [m]; default: 1/48 of the largest extent.
            reach: distance from the surface [m] up to which the nodes are exact; beyond, some are interpolated.
        """
        lower, upper = self._local.min(axis=0), self._local.max(axis=0)
        h = (
            float((upper - lower).max()) / CELLS
            if spacing is None
            else positive("Mesh.distance_volume: spacing", spacing)
        )
        nodes = node_counts(lower, upper, h).prod()
        if nodes > MAX_POINTS:
            raise InputError(
                f"Mesh.distance_volume: spacing = {h:g} m needs {nodes:.2g} nodes, expected at most {MAX_POINTS}; enlarge it."
            )
        return sampled(self._distance, lower, upper, h, reach)

    def volume_for(self, cell: float) -> DistanceVolume:
        """The distance volume with which a grid of that cell [m] meets the mesh.

        Its spacing is half the cell and at most 1/48 of the mesh's extent; up to a whole cell where the surface is large,
        and what 16 million nodes allow where the mesh is larger still.
        """
        lower, upper = self._local.min(axis=0), self._local.max(axis=0)
        share = min(max(0.5 * cell, math.sqrt(self.area / SURFACE_CELLS)), cell)
        h = min(share, float((upper - lower).max()) / CELLS)
        while (nodes := node_counts(lower, upper, h).prod()) > MAX_POINTS:
            h *= 1.01 * (nodes / MAX_POINTS) ** (1.0 / 3.0)
        key = (h, cell)
        if key not in self._made:
            self._made.clear()
            self._made[key] = self.distance_volume(h, reach=1.5 * max(cell, h))
        return self._made[key]

    @cached_property
    def area(self) -> float:
        """Of the surface [m^2]."""
        a, b, c = self._scaled[self.faces].swapaxes(0, 1)
        return 0.5 * float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())

    @cached_property
    def _made(self) -> dict[tuple[float, float], DistanceVolume]:
        """The last distance volume, for scenes that are built again and again."""
        return {}

    def to_dict(self) -> dict:
        source = {"path": self.path, "sha256": self.sha256}
        if self.path is None:
            source = {"vertices": self.vertices.tolist(), "faces": self.faces.tolist()}
        return {
            "kind": "Mesh",
            **source,
            "scale": self.scale,
            "center": list(self.center),
            "rotation": list(self.rotation),
        }

    def _distance(self, points: np.ndarray) -> np.ndarray:
        return signed_distance(points, self._local, self.faces)

    def _support(self, directions: np.ndarray) -> np.ndarray:
        return (directions @ self._local.T).max(axis=1)

    def _surface(self, resolution: int) -> Triangles:
        return self._local, self.faces

    def _check_volume(self) -> None:
        extent = float(np.ptp(self._scaled, axis=0).max())
        if not NEAR <= extent <= FAR:
            raise InputError(
                f"{self._name}: expected an extent from {NEAR:g} to {FAR:g} m, got {extent:g}; correct `scale`."
            )
        if abs(self.volume) <= 1e-12 * extent**3:
            raise InputError(f"{self._name}: expected a solid, got one of zero volume; give it thickness.")
        if self.volume < 0.0:
            raise InputError(
                f"{self._name}: expected faces counter-clockwise seen from outside, got volume {self.volume:g} m^3; "
                "reverse the faces."
            )

    @cached_property
    def _scaled(self) -> np.ndarray:
        return self.scale * self.vertices

    @cached_property
    def _local(self) -> np.ndarray:
        """Vertices in the mesh's own frame."""
        return self._scaled - self._mass_center

    @cached_property
    def _tetrahedra(self) -> np.ndarray:
        """Signed volume [f] between each triangle and the mean vertex, which keeps digits where zero is far."""
        a, b, c = (self._scaled - self._scaled.mean(axis=0))[self.faces].swapaxes(0, 1)
        return np.einsum("fi,fi->f", a, np.cross(b, c)) / 6.0

    @cached_property
    def _mass_center(self) -> np.ndarray:
        apex = self._scaled.mean(axis=0)
        centers = (self._scaled[self.faces] - apex).sum(axis=1) / 4.0
        return apex + self._tetrahedra @ centers / self.volume


@functools.cache
def trilinear(p: Precision) -> Callable:
    """Warp function (corners, fraction, spacing) -> (nx, ny, nz, d) of a distance volume within one of its cells.

    Args (of that function):
        corners: eight values of the cell [m]; corner number 4 i + 2 j + k lies at offset (i, j, k).
        fraction: position in the cell, from 0 to 1 along each axis.
        spacing: side of the cell [m]; the normal, a direction, does not depend on it.

    n is the normalised gradient of the interpolant d; (0, 0, 1) where that vanishes, as in a cell of equal corners.
    """
    real, vec3, vec4, vec8 = p.real, p.vec3, p.vec4, p.vector(8)

    @wp.func
    def interpolated(c: vec8, f: vec3, spacing: real) -> vec4:
        x00 = c[4] - c[0]
        x01 = c[5] - c[1]
        x10 = c[6] - c[2]
        x11 = c[7] - c[3]
        c00 = c[0] + x00 * f[0]
        c01 = c[1] + x01 * f[0]
        c10 = c[2] + x10 * f[0]
        c11 = c[3] + x11 * f[0]
        low = c00 + (c10 - c00) * f[1]
        high = c01 + (c11 - c01) * f[1]
        d = low + (high - low) * f[2]
        x0 = x00 + (x10 - x00) * f[1]
        x1 = x01 + (x11 - x01) * f[1]
        y0 = c10 - c00
        y1 = c11 - c01
        g = vec3(x0 + (x1 - x0) * f[2], y0 + (y1 - y0) * f[2], high - low)
        steepness = wp.length(g)
        if steepness == real(0.0):
            return vec4(real(0.0), real(0.0), real(1.0), d)
        return vec4(g[0] / steepness, g[1] / steepness, g[2] / steepness, d)

    return differentiable(interpolated)
