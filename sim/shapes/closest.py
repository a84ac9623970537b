"""Signed distance to a closed triangle mesh: Warp finds the nearest triangle, NumPy measures it in float64."""

import functools

import numpy as np
import warp as wp

BLOCK = 2**17  # points measured at once, which bounds the memory to about 100 MiB


def signed_distance(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, skin: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """Signed distance [n] of points [n, 3] to the surface, negative inside; its sign is that of winding number 1/2.

    The search runs in float32 on coordinates divided by the mesh's extent L: a point closer than about 1e-6 L to the
    surface may get the wrong sign. The distance to the triangle found is exact to float64.

    Args:
        skin: vertices and faces to measure the distance to, where they are not all of the surface that decides the sign.
    """
    near, within = _nearest(points, vertices, faces)
    if skin is not None:
        near, _ = _nearest(points, *skin, winding=False)
        vertices, faces = skin
    blocks = [slice(start, start + BLOCK) for start in range(0, len(points), BLOCK)]
    distance = np.concatenate([np.zeros(0), *(_triangle_distance(points[b], vertices[faces[near[b]]]) for b in blocks)])
    return np.where(within, -distance, distance)


def inside(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, *, number: int = 0) -> np.ndarray:
    """Whether the surface winds about each point [n, 3] more often than a number of times."""
    return _nearest(points, vertices, faces, threshold=number + 0.5)[1]


def _triangle_distance(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Distance [n] from each point [n, 3] to its triangle [n, 3, 3]: to the plane over the inside, else to an edge."""
    edges = np.roll(triangles, -1, axis=1) - triangles
    arms = points[:, None] - triangles
    along = np.einsum("nei,nei->ne", arms, edges) / np.einsum("nei,nei->ne", edges, edges)
    to_edge = np.linalg.norm(arms - np.minimum(np.maximum(along, 0.0), 1.0)[:, :, None] * edges, axis=2).min(axis=1)
    normal = np.cross(edges[:, 0], edges[:, 1])
    area = np.linalg.norm(normal, axis=1)
    over = (np.einsum("nei,nei->ne", np.cross(normal[:, None], edges), arms) > 0.0).all(axis=1)
    height = np.abs(np.einsum("ni,ni->n", normal, arms[:, 0]))
    return np.where(over, height / np.where(over, area, 1.0), to_edge)


def _nearest(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, *, winding: bool = True, threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Number [n] of the triangle nearest to each point, and whether the point is inside [n], if the winding is asked for."""
    if not len(points):
        return np.zeros(0, int), np.zeros(0, bool)
    lower, upper = vertices.min(axis=0), vertices.max(axis=0)
    middle, extent = 0.5 * (lower + upper), float((upper - lower).max())
    scaled = (points - middle) / extent
    mesh = wp.Mesh(
        points=wp.array((vertices - middle) / extent, dtype=wp.vec3, device="cpu"),
        indices=wp.array(faces.ravel(), dtype=int, device="cpu"),
        support_winding_number=winding,
    )
    where = wp.array(scaled, dtype=wp.vec3, device="cpu")
    found = wp.empty(len(points), dtype=int, device="cpu")
    sign = wp.zeros(len(points), dtype=float, device="cpu")
    reach = float(np.abs(scaled).max()) * 2.0 + 2.0
    kernel = _query() if winding else _query_unsigned()
    wp.launch(kernel, dim=len(points), inputs=[mesh.id, where, reach, threshold], outputs=[found, sign], device="cpu")
    return found.numpy(), sign.numpy() < 0.0


@functools.cache
def _query() -> wp.Kernel:
    @wp.kernel(enable_backward=False, module="unique")
    def nearest(
        mesh: wp.uint64,
        points: wp.array(dtype=wp.vec3),
        reach: float,
        threshold: float,
        found: wp.array(dtype=int),
        sign: wp.array(dtype=float),
    ):
        i = wp.tid()
        query = wp.mesh_query_point_sign_winding_number(mesh, points[i], reach, 2.0, threshold)
        found[i] = query.face
        sign[i] = query.sign

    return nearest


@functools.cache
def _query_unsigned() -> wp.Kernel:
    @wp.kernel(enable_backward=False, module="unique")
    def nearest_unsigned(
        mesh: wp.uint64,
        points: wp.array(dtype=wp.vec3),
        reach: float,
        threshold: float,
        found: wp.array(dtype=int),
        sign: wp.array(dtype=float),
    ):
        i = wp.tid()
        found[i] = wp.mesh_query_point_no_sign(mesh, points[i], reach).face

    return nearest_unsigned
