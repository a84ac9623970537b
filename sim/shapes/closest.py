"""Signed distance to a closed triangle mesh: Warp finds the nearest triangle, NumPy measures it in float64."""

import functools

import numpy as np
import trimesh
import warp as wp


def signed_distance(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Signed distance [n] of points [n, 3] to the surface, negative inside; its sign is that of winding number 1/2.

    The search runs in float32 on coordinates divided by the mesh's extent L: a point closer than about 1e-6 L to the
    surface may get the wrong sign. The distance to the triangle found is exact to float64.
    """
    lower, upper = vertices.min(axis=0), vertices.max(axis=0)
    middle, extent = 0.5 * (lower + upper), float((upper - lower).max())
    near, inside = _nearest((points - middle) / extent, (vertices - middle) / extent, faces)
    foot = trimesh.triangles.closest_point(vertices[faces[near]], points)
    distance = np.linalg.norm(points - foot, axis=1)
    return np.where(inside, -distance, distance)


def _nearest(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number [n] of the triangle nearest to each point, and whether the point is inside [n]."""
    if not len(points):
        return np.zeros(0, int), np.zeros(0, bool)
    mesh = wp.Mesh(
        points=wp.array(vertices, dtype=wp.vec3, device="cpu"),
        indices=wp.array(faces.ravel(), dtype=int, device="cpu"),
        support_winding_number=True,
    )
    where = wp.array(points, dtype=wp.vec3, device="cpu")
    found = wp.empty(len(points), dtype=int, device="cpu")
    sign = wp.empty(len(points), dtype=float, device="cpu")
    reach = float(np.abs(points).max()) * 2.0 + 2.0
    wp.launch(_query(), dim=len(points), inputs=[mesh.id, where, reach], outputs=[found, sign], device="cpu")
    return found.numpy(), sign.numpy() < 0.0


@functools.cache
def _query() -> wp.Kernel:
    @wp.kernel(enable_backward=False, module="unique")
    def nearest(
        mesh: wp.uint64,
        points: wp.array(dtype=wp.vec3),
        reach: float,
        found: wp.array(dtype=int),
        sign: wp.array(dtype=float),
    ):
        i = wp.tid()
        query = wp.mesh_query_point_sign_winding_number(mesh, points[i], reach)
        found[i] = query.face
        sign[i] = query.sign

    return nearest
