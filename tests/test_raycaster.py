"""The ray caster against closed forms, and the triangles it is given."""

import numpy as np
import pytest

from pliant.sim import shapes
from pliant.sim.errors import InputError
from pliant.sim.view import geometry
from pliant.sim.view.camera import Camera
from pliant.sim.view.raycaster import Ground, Spheres, Triangles, raycast


def rays(camera: Camera, width: int, height: int) -> np.ndarray:
    """Unit directions [h, w, 3] through the middles of the pixels."""
    x = (np.arange(width) + 0.5 - 0.5 * width) * 2.0 * camera.slope / height
    y = (0.5 * height - np.arange(height) - 0.5) * 2.0 * camera.slope / height
    right, up, forward = camera.axes
    d = forward + x[None, :, None] * right + y[:, None, None] * up
    return d / np.linalg.norm(d, axis=2, keepdims=True)


def meet_sphere(camera: Camera, d: np.ndarray, center, radius: float) -> np.ndarray:
    o = np.asarray(camera.position) - center
    b, c = d @ o, o @ o - radius**2
    with np.errstate(invalid="ignore"):
        return -b - np.sqrt(b * b - c)


@pytest.mark.parametrize("distance", [2.0, 50.0])
def test_depth_and_normal_of_a_sphere_are_those_of_the_closed_form(distance):
    center, radius = np.array([0.1, 0.2, 0.3]), 0.5
    way = np.array([1.0, -2.0, 0.7]) / np.linalg.norm([1.0, -2.0, 0.7])
    camera = Camera(center + distance * way, center, field_of_view=2.0 * np.degrees(np.arctan(0.8 / distance)))
    image = raycast(camera, (61, 47), spheres=[Spheres(center[None], np.array([radius]), np.ones((1, 3)))])
    d = rays(camera, 61, 47)
    t = meet_sphere(camera, d, center, radius)
    hit = np.isfinite(image.depth)
    sure = np.isnan(t) | (meet_sphere(camera, d, center, 0.999 * radius) > 0)  # all but the very rim
    assert (hit == np.isfinite(t))[sure].all() and hit.any() and not hit.all()
    inside = hit & sure & np.isfinite(t)
    # Single precision of the distance, times the slope of the sphere near its rim.
    np.testing.assert_allclose(image.depth[inside], (t * (d @ camera.axes[2]))[inside], rtol=0, atol=3e-5 * distance)
    points = np.asarray(camera.position) + t[..., None] * d
    exact = (points - center) / radius
    np.testing.assert_allclose(image.normal[inside], exact[inside], rtol=0, atol=6e-5 * distance)
    assert (image.normal[~hit] == 0).all()


def test_depth_of_a_triangle_and_of_the_ground_are_flat():
    camera = Camera((0.0, -3.0, 2.0), (0.0, 0.0, 0.0))
    corners = np.array([[-9.0, 0.5, -9.0], [9.0, 0.5, -9.0], [0.0, 0.5, 9.0]])
    wall = Triangles(corners, np.array([[0, 1, 2]]), np.tile([0.0, -1.0, 0.0], (3, 1)), np.ones((3, 3)))
    ground = Ground(np.zeros(3), np.eye(3), 0.2, 50.0)
    image = raycast(camera, (40, 30), triangles=[wall], grounds=[ground])
    d = rays(camera, 40, 30)
    o = np.asarray(camera.position)
    with np.errstate(divide="ignore"):
        to_wall, to_ground = (0.5 - o[1]) / d[..., 1], np.where(d[..., 2] < 0, -o[2] / d[..., 2], np.inf)
    depth = np.minimum(to_wall, to_ground) * (d @ camera.axes[2])
    np.testing.assert_allclose(image.depth, depth, rtol=2e-6)
    flat = np.where((to_wall < to_ground)[..., None], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0])
    np.testing.assert_allclose(image.normal, flat, atol=1e-6)


def test_a_ball_shades_the_ground_below_it_and_the_same_picture_comes_twice():
    camera = Camera((0.0, -3.0, 2.0), (0.0, 0.0, 0.0))
    ground = Ground(np.zeros(3), np.eye(3), 100.0, 1000.0)
    ball = Spheres(np.array([[0.0, 0.0, 0.5]]), np.array([0.3]), np.ones((1, 3)))
    bare, shaded, again = (raycast(camera, (64, 48), spheres=s, grounds=[ground]) for s in ([], [ball], [ball]))
    same_place = np.isclose(bare.depth, shaded.depth)
    darker = bare.color.sum(axis=2).astype(int) - shaded.color.sum(axis=2) > 100
    assert (darker & same_place).sum() > 20
    np.testing.assert_array_equal(shaded.color, again.color)


def test_an_empty_world_is_the_sky():
    image = raycast(Camera((0, -1, 0), (0, 0, 0)), (8, 6))
    assert np.isinf(image.depth).all() and (image.color[0, 0] < image.color[-1, 0]).all()


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (100_000, 100_000)])
def test_a_size_that_cannot_be_is_refused(size):
    with pytest.raises(InputError, match="pixels"):
        raycast(Camera((0, -1, 0), (0, 0, 0)), size)


# Triangles


def test_a_skin_follows_an_affine_motion_exactly():
    rng = np.random.default_rng(0)
    ball = shapes.Sphere(0.3)
    rest = ball.sample(0.05)
    vertices, _ = ball.surface(24)
    weights = geometry.skin_weights(vertices, rest)
    motion, shift = np.eye(3) + 0.5 * rng.normal(size=(3, 3)), rng.normal(size=3)
    # Not to round-off: the moments carry a floor of 1e-6 for neighbours that lie in a plane.
    np.testing.assert_allclose(weights @ (rest @ motion.T + shift), vertices @ motion.T + shift, atol=1e-6)


def test_creases_split_a_box_and_leave_a_ball_whole():
    source, faces = geometry.split_creases(*shapes.Box(1.0).surface())
    assert len(source) == 24
    vertices = shapes.Box(1.0).surface()[0][source]
    normals = geometry.vertex_normals(vertices, faces)
    assert np.isclose(np.abs(normals).max(axis=1), 1.0).all()
    ball = shapes.Sphere(1.0).surface(48)
    source, _ = geometry.split_creases(*ball)
    assert len(source) == len(ball[0])


def test_subdividing_keeps_the_surface_and_bounds_its_edges():
    vertices, faces = geometry.subdivided(*shapes.Box(1.0).surface(), longest=0.3)
    edges = np.linalg.norm(vertices[faces] - vertices[np.roll(faces, -1, axis=1)], axis=2)
    assert edges.max() <= 0.3
    assert np.isclose(0.5 * np.linalg.norm(geometry.face_normals(vertices, faces), axis=1).sum(), 6.0)
