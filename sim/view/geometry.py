"""Shapes made of triangles: moved, shaded smoothly, stretched over particles, drawn along paths."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

CREASE = np.cos(np.radians(40.0))  # edges sharper than this stay sharp
NEIGHBOURS = 16  # particles a skin vertex follows


def placed(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """World points [n, 3] of points in the frame of a pose [7]."""
    return points @ Rotation.from_quat(pose[3:]).as_matrix().T + pose[:3]


def unplaced(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [n, 3] in the frame of a pose [7] of world points."""
    return (points - pose[:3]) @ Rotation.from_quat(pose[3:]).as_matrix()


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Normals [f, 3], as long as twice the area of the face."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals [v, 3]: the mean of the faces around each vertex, by area; up where there is none."""
    flat = face_normals(vertices, faces)
    total = np.zeros((len(vertices), 3))
    for axis in range(3):
        for corner in range(3):
            total[:, axis] += np.bincount(faces[:, corner], flat[:, axis], len(vertices))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 0.0, total / np.where(length > 0.0, length, 1.0), (0.0, 0.0, 1.0))


def split_creases(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which vertex each new vertex copies [w], and faces [f, 3] over the new ones: faces share a vertex only where smooth.

    The corners of two faces with a common edge are tied at both its ends if their normals differ by less than 40
    degrees; each group of tied corners becomes a vertex.
    """
    count = len(faces)
    normals = face_normals(vertices, faces)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / np.where(length > 0.0, length, 1.0)
    start = faces.ravel()
    following = np.roll(faces, -1, axis=1).ravel()
    corner = np.arange(3 * count)
    after = corner + np.where(corner % 3 == 2, -2, 1)  # the corner at the other end of the half-edge
    edges = np.stack([np.minimum(start, following), np.maximum(start, following)], axis=1)
    order = np.lexsort(edges.T)
    same = np.flatnonzero((edges[order][1:] == edges[order][:-1]).all(axis=1))
    one, other = order[same], order[same + 1]
    smooth = np.einsum("ij,ij->i", normals[one // 3], normals[other // 3]) > CREASE
    one, other = one[smooth], other[smooth]
    aligned = start[one] == start[other]
    ties_one = np.concatenate([one, after[one]])
    ties_other = np.concatenate([np.where(aligned, other, after[other]), np.where(aligned, after[other], other)])
    ties = sparse.coo_matrix((np.ones(len(ties_one)), (ties_one, ties_other)), shape=(3 * count, 3 * count))
    _, group = connected_components(ties, directed=False)
    source = np.empty(group.max(initial=-1) + 1, dtype=np.int64)
    source[group] = start
    return source, group.reshape(-1, 3)


def skin_weights(vertices: np.ndarray, particles: np.ndarray) -> sparse.csr_matrix:
    """Fixed weights W [v, n] with which vertices follow particles: x_v = W x.

    A vertex follows the affine motion that fits its nearest particles best (moving least squares), so that W keeps
    every translation, rotation and shear of the whole. With c the weighted mean of the neighbours' rest positions X_i,
    W_i = w_i (1 + (X_v - c)^T M^-1 (X_i - c)), M = sum w_i (X_i - c)(X_i - c)^T.
    """
    neighbours = min(NEIGHBOURS, len(particles))
    distance, index = cKDTree(particles).query(vertices, k=neighbours)
    distance, index = distance.reshape(len(vertices), -1), index.reshape(len(vertices), -1)
    reach = 1.2 * distance[:, -1:] + 1e-12
    weight = (1.0 - (distance / reach) ** 2) ** 2
    weight /= weight.sum(axis=1, keepdims=True)
    center = np.einsum("vk,vkd->vd", weight, particles[index])
    arm = particles[index] - center[:, None]
    moment = np.einsum("vk,vki,vkj->vij", weight, arm, arm)
    floor = 1e-6 * np.trace(moment, axis1=1, axis2=2) + 1e-30  # neighbours in a plane say nothing across it
    moment += floor[:, None, None] * np.eye(3)
    slope = np.linalg.solve(moment, (vertices - center)[:, :, None])[:, :, 0]
    values = weight * (1.0 + np.einsum("vkd,vd->vk", arm, slope))
    rows = np.repeat(np.arange(len(vertices)), neighbours)
    return sparse.csr_matrix((values.ravel(), (rows, index.ravel())), shape=(len(vertices), len(particles)))


def subdivided(vertices: np.ndarray, faces: np.ndarray, longest: float) -> tuple[np.ndarray, np.ndarray]:
    """The surface with every edge at most `longest` [m], at most a million faces."""
    for _ in range(20):
        edges = np.linalg.norm(vertices[faces] - vertices[np.roll(faces, -1, axis=1)], axis=2)
        if edges.max(initial=0.0) <= longest or len(faces) > 250_000:
            break
        vertices, faces = _halved(vertices, faces)
    return vertices, faces


def _halved(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every face cut into four at the middles of its edges."""
    ends = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2).reshape(-1, 2), axis=1)
    unique, index = np.unique(ends, axis=0, return_inverse=True)
    middle = index.reshape(-1, 3) + len(vertices)
    a, b, c = faces.T
    ab, bc, ca = middle.T
    cut = np.concatenate([np.stack(f, axis=1) for f in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))])
    return np.concatenate([vertices, vertices[unique].mean(axis=1)]), cut


def tube(path: np.ndarray, radius: float, sides: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of a tube around a path [k, 3] of at least two points."""
    along = np.gradient(path, axis=0)
    length = np.linalg.norm(along, axis=1, keepdims=True)
    along = np.where(length > 0.0, along / np.where(length > 0.0, length, 1.0), (0.0, 0.0, 1.0))
    aside = np.cross(along, np.eye(3)[np.argmin(np.abs(along), axis=1)])
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    third = np.cross(along, aside)
    angle = 2.0 * np.pi * np.arange(sides) / sides
    ring = np.cos(angle)[:, None] * aside[:, None] + np.sin(angle)[:, None] * third[:, None]
    return (path[:, None] + radius * ring).reshape(-1, 3), _bands(len(path), sides)


def arrow(start: np.ndarray, vector: np.ndarray, radius: float, sides: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of an arrow from a point along a vector; its parts meet in creases."""
    length = float(np.linalg.norm(vector))
    head = min(5.0 * radius, 0.5 * length)
    profile = np.array(
        [(0.0, 0.0), (radius, 0.0), (radius, length - head), (2.4 * radius, length - head), (0.0, length)]
    )
    direction = vector / length
    aside = np.cross(direction, np.eye(3)[np.argmin(np.abs(direction))])
    aside /= np.linalg.norm(aside)
    third = np.cross(direction, aside)
    angle = 2.0 * np.pi * np.arange(sides) / sides
    around = np.cos(angle)[:, None] * aside + np.sin(angle)[:, None] * third
    rings = start + profile[:, 1, None, None] * direction + profile[:, 0, None, None] * around
    return rings.reshape(-1, 3), _bands(len(profile), sides)


def _bands(rings: int, sides: int) -> np.ndarray:
    """Faces between neighbouring rings of vertices."""
    here = np.arange(sides)
    there = (here + 1) % sides
    band = np.concatenate([np.stack([here, there, there + sides], 1), np.stack([here, there + sides, here + sides], 1)])
    return np.concatenate([band + sides * ring for ring in range(rings - 1)])
