"""Every shape, by discovery: its host and device distances agree, its derivative is right, its particles fill it."""

import copy
import functools
import json
import math
import re

import numpy as np
import pytest
import warp as wp

from pliant.sim import shapes
from pliant.sim.errors import InputError
from pliant.sim.precision import precision
from pliant.sim.shapes.base import FAR
from pliant.sim.shapes.dispatch import shape_distance

POSE = {"center": (0.3, -0.2, 0.5), "rotation": (0.1, 0.5, -0.3, 0.8)}
EXAMPLES = {
    "Plane": shapes.Plane((0.2, -0.4, 0.7), center=POSE["center"]),
    "Sphere": shapes.Sphere(0.35, **POSE),
    "Box": shapes.Box((0.5, 0.8, 0.3), **POSE),
    "Capsule": shapes.Capsule(0.2, 0.6, **POSE),
    "Cylinder": shapes.Cylinder(0.3, 0.7, **POSE),
}
ANALYTIC = list(EXAMPLES.values())
BOUNDED = [shape for shape in ANALYTIC if math.isfinite(shape.volume)]
ROUND = [shape for shape in BOUNDED if not isinstance(shape, shapes.Box)]


def every(given):
    """Parametrise a test over shapes, named by their class."""
    return pytest.mark.parametrize("shape", given, ids=lambda shape: type(shape).__name__)


@functools.cache
def probe(dtype):
    """Kernel: distance and normal of shape `kind` at x, and the gradient of their contraction with A.

    The value comes first: Warp drops the adjoints of nested functions in that order unless they are forced.
    """
    p = precision(dtype)
    vec3, vec4, real, distance = p.vec3, p.vec4, p.real, shape_distance(p)

    @wp.func
    def contracted(kind: int, x: vec3, size: vec3, A: vec4) -> real:
        return wp.dot(distance(kind, x, size), A)

    @wp.kernel(enable_backward=False, module="unique")
    def kernel(
        kind: int,
        x: wp.array(dtype=vec3),
        size: vec3,
        A: wp.array(dtype=vec4),
        gx: wp.array(dtype=vec3),
        gsize: wp.array(dtype=vec3),
        value: wp.array(dtype=vec4),
    ):
        i = wp.tid()
        value[i] = distance(kind, x[i], size)
        _kind, gx_i, gsize_i, _A = wp.grad(contracted)(kind, x[i], size, A[i])
        gx[i] = gx_i
        gsize[i] = gsize_i

    return kernel


def on_device(shape, x, A=None, size=None, dtype="float64"):
    """Values [n, 4], and the gradients [n, 3] of A . value with respect to x and size, in the shape's own frame."""
    p = precision(dtype)
    size = shape.size if size is None else size
    A = np.zeros((len(x), 4)) if A is None else A
    given = [shape.KIND, wp.array(x, dtype=p.vec3), p.vec3(*size.tolist()), wp.array(A, dtype=p.vec4)]
    made = [wp.zeros(len(x), dtype=kind, device="cpu") for kind in (p.vec3, p.vec3, p.vec4)]
    given = [a.to("cpu") if isinstance(a, wp.array) else a for a in given]
    wp.launch(probe(dtype), dim=len(x), inputs=given, outputs=made, device="cpu")
    gx, gsize, value = (array.numpy() for array in made)
    return value, gx, gsize


def scattered(count=400, reach=0.8, seed=0):
    return np.random.default_rng(seed).uniform(-reach, reach, (count, 3))


def turn(shape):
    """The matrix of a shape's rotation, from the quaternion's definition."""
    x, y, z, w = shape.rotation
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + 2.0 * w * cross + 2.0 * cross @ cross


def test_every_analytic_shape_has_an_example():
    solids = {name: getattr(shapes, name) for name in shapes.__all__ if name not in ("Shape", "DistanceVolume")}
    analytic = {name: kind for name, kind in solids.items() if "distance_and_normal" in vars(kind)}
    assert set(analytic) == set(EXAMPLES)
    assert sorted(kind.KIND for kind in analytic.values()) == list(range(5))


@every(ANALYTIC)
def test_device_distance_equals_the_host_distance_in_the_world(shape):
    x = scattered()
    value, _, _ = on_device(shape, x)
    # the world point passes through a rotation and back: a few round-offs of numbers near 1
    np.testing.assert_allclose(value[:, 3], shape.signed_distance(x @ turn(shape).T + shape.center), atol=2e-15)


@every(ANALYTIC)
def test_float32_agrees_with_float64(shape):
    x = scattered()
    single, double = on_device(shape, x, dtype="float32")[0], on_device(shape, x)[0]
    np.testing.assert_allclose(single[:, 3], double[:, 3], atol=5e-7)  # four round-offs of numbers near 1
    # a normal is a difference of numbers near 1 divided by the distance from the edge or the center
    np.testing.assert_allclose(single, double, atol=1e-4)


@every(ANALYTIC)
def test_the_normal_is_a_unit_vector_and_the_gradient_of_the_distance(shape):
    x, h = scattered(), 1e-6
    value, _, _ = on_device(shape, x)
    np.testing.assert_allclose(np.linalg.norm(value[:, :3], axis=1), 1.0, atol=1e-14)
    for axis, step in enumerate(h * np.eye(3)):
        slope = (on_device(shape, x + step)[0][:, 3] - on_device(shape, x - step)[0][:, 3]) / (2.0 * h)
        # truncation h^2 times the third derivative, and round-off 1e-16 / h
        np.testing.assert_allclose(value[:, axis], slope, atol=1e-8)


@every(ANALYTIC)
def test_the_derivative_of_distance_and_normal_equals_finite_differences(shape):
    x, h, rng = scattered(seed=3), 1e-6, np.random.default_rng(4)
    A, dx, ds = rng.normal(size=(len(x), 4)), rng.normal(size=x.shape), rng.normal(size=3)
    _, gx, gsize = on_device(shape, x, A)
    exact = (gx * dx).sum(axis=1) + gsize @ ds
    sides = [on_device(shape, x + s * h * dx, size=shape.size + s * h * ds)[0] for s in (1.0, -1.0)]
    slope = ((sides[0] - sides[1]) * A).sum(axis=1) / (2.0 * h)
    # curvature makes the normal's derivatives large near an edge or a center: compare in proportion
    error = np.abs(exact - slope) / (1.0 + np.abs(slope))
    assert np.quantile(error, 0.99) < 1e-7
    assert error.max() < 1e-4


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every(ANALYTIC)
def test_value_and_derivative_are_finite_at_centers_axes_edges_and_faces(shape, dtype):
    one = np.array([-1.0, 0.0, 1.0])
    special = np.stack(np.meshgrid(one, one, one, indexing="ij"), axis=-1).reshape(-1, 3)
    radius, half = shape.size[0], shape.size[1]
    x = np.concatenate([special * shape.size, special * radius, special * [radius, 0, half], special * [0, 0, half]])
    value, gx, gsize = on_device(shape, x, np.ones((len(x), 4)), dtype=dtype)
    assert np.isfinite(value).all() and np.isfinite(gx).all() and np.isfinite(gsize).all()
    np.testing.assert_allclose(np.linalg.norm(value[:, :3], axis=1), 1.0, atol=1e-6)


def test_an_unknown_kind_is_far_away_and_has_no_derivative():
    class Unknown:
        KIND, size = 77, np.ones(3)

    value, gx, gsize = on_device(Unknown, scattered(5), np.ones((5, 4)))
    assert (value[:, 3] == FAR).all() and not gx.any() and not gsize.any()


@every(BOUNDED)
def test_particles_are_inside_within_the_bounds_and_fill_the_volume(shape):
    spacing = 0.02
    x = shape.sample(spacing)
    lower, upper = shape.bounds()
    assert (shape.signed_distance(x) < 0.0).all()
    assert (x > lower).all() and (x < upper).all()
    # a lattice misses at most a fraction of the layer of cells on the surface, here about 20 % of them
    assert abs(len(x) * spacing**3 / shape.volume - 1.0) < 0.02


@every(BOUNDED)
def test_particles_lie_on_a_lattice_that_follows_the_shape_and_is_symmetric(shape):
    spacing = 0.05
    local = (shape.sample(spacing) - shape.center) @ turn(shape)
    steps = (local - local[0]) / spacing
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-12)
    np.testing.assert_allclose(local.mean(axis=0), 0.0, atol=1e-14)


def test_a_box_whose_sides_are_multiples_of_the_spacing_is_filled_exactly():
    x = shapes.Box((0.2, 0.1, 0.3), center=(1.0, 2.0, 3.0)).sample(0.01)
    assert len(x) == 20 * 10 * 30
    np.testing.assert_allclose(x.min(axis=0), [0.905, 1.955, 2.855], atol=1e-14)


@every(BOUNDED)
def test_bounds_are_the_extremes_of_the_surface(shape):
    vertices, _ = shape.surface(400)
    lower, upper = shape.bounds()
    # a chord of 400 segments stays r (1 - cos(pi / 400)) = 3e-5 r inside the circle
    np.testing.assert_allclose(vertices.min(axis=0), lower, atol=4e-5)
    np.testing.assert_allclose(vertices.max(axis=0), upper, atol=4e-5)


def volume_of(shape, resolution):
    vertices, faces = shape.surface(resolution)
    return shapes.Mesh(vertices=vertices, faces=faces).volume


@every(BOUNDED)
def test_the_surface_is_closed_and_points_outwards(shape):
    assert volume_of(shape, 7) > 0.0
    np.testing.assert_allclose(shape.signed_distance(shape.surface(16)[0])[:-2], 0.0, atol=1e-15)


@every(ROUND)
def test_the_volume_of_the_surface_converges_at_second_order(shape):
    coarse, fine = (abs(volume_of(shape, n) - shape.volume) for n in (64, 128))
    assert abs(math.log2(coarse / fine) - 2.0) < 0.02


@every(ANALYTIC)
def test_a_shape_survives_json_unchanged(shape):
    again = shapes.Shape.from_dict(json.loads(json.dumps(shape.to_dict())))
    assert again == shape and hash(again) == hash(shape)
    assert copy.deepcopy(shape) == shape
    x = scattered(20)
    assert (again.signed_distance(x) == shape.signed_distance(x)).all()


def test_a_plane_is_given_by_a_point_or_by_an_offset():
    plane = shapes.Plane((0.0, 3.0, 4.0), 0.5)
    np.testing.assert_allclose(
        plane.signed_distance(np.array([[7.0, 0.0, 0.0], [0.0, 0.6, 0.8]])), [-0.5, 0.5], atol=1e-15
    )
    np.testing.assert_allclose(plane.center, [0.0, 0.3, 0.4])
    assert shapes.Plane(center=(1.0, 2.0, 3.0)).offset == 3.0
    assert shapes.Plane(offset=0.2).bounds()[1].tolist() == [math.inf, math.inf, 0.2]
    downward = shapes.Plane((0.0, 0.0, -1.0), center=(0.0, 0.0, 2.0))
    np.testing.assert_allclose(downward.signed_distance(np.array([[5.0, 5.0, 1.5], [5.0, 5.0, 2.5]])), [0.5, -0.5])
    assert downward.bounds()[0].tolist() == [-math.inf, -math.inf, 2.0]


def test_given_points_are_sampled_as_they_are_and_survive_json():
    x = scattered(10)
    points = shapes.Points(x, 0.001)
    again = shapes.Shape.from_dict(json.loads(json.dumps(points.to_dict())))
    assert (points.sample(0.01) == x).all() and (again.sample(0.01) == x).all()
    assert again.volume == points.volume == 0.001 and again.center == points.center
    np.testing.assert_allclose(points.center, x.mean(axis=0))
    assert (points.bounds()[0] == x.min(axis=0)).all()


def test_a_shape_cannot_be_changed():
    with pytest.raises(AttributeError):
        shapes.Sphere(1.0).radius = 2.0
    with pytest.raises(ValueError):
        shapes.Points(scattered(3), 1.0).positions[0] = 0.0


NAN, INFINITY = math.nan, math.inf
BAD = {
    "no radius": lambda: shapes.Sphere(0.0),
    "a negative radius": lambda: shapes.Sphere(-1.0),
    "a radius that is NaN": lambda: shapes.Sphere(NAN),
    "an infinite radius": lambda: shapes.Sphere(INFINITY),
    "a radius whose cube is zero": lambda: shapes.Sphere(1e-200),
    "a radius whose cube is infinite": lambda: shapes.Sphere(1e200),
    "a radius that is a word": lambda: shapes.Sphere("big"),
    "a radius that is true": lambda: shapes.Sphere(True),
    "a radius that is a list": lambda: shapes.Sphere([1.0]),
    "a flat box": lambda: shapes.Box((1.0, 0.0, 1.0)),
    "a box with two sides": lambda: shapes.Box((1.0, 1.0)),
    "a box whose side is NaN": lambda: shapes.Box((1.0, NAN, 1.0)),
    "a box of unequal rows": lambda: shapes.Box((1.0, [1.0, 2.0], 1.0)),
    "a box of words": lambda: shapes.Box("abc"),
    "a box of nothing": lambda: shapes.Box(None),
    "a capsule without length": lambda: shapes.Capsule(0.1, 0.0),
    "a cylinder of negative height": lambda: shapes.Cylinder(0.1, -1.0),
    "a center of two numbers": lambda: shapes.Sphere(1.0, center=(0.0, 0.0)),
    "a center that is NaN": lambda: shapes.Sphere(1.0, center=(0.0, 0.0, NAN)),
    "a center beyond the sky": lambda: shapes.Sphere(1.0, center=(0.0, 0.0, 1e300)),
    "a ragged center": lambda: shapes.Sphere(1.0, center=([0.0], 0.0, [1.0, 2.0])),
    "a rotation of zeros": lambda: shapes.Sphere(1.0, rotation=(0.0, 0.0, 0.0, 0.0)),
    "a rotation that is a vector": lambda: shapes.Sphere(1.0, rotation=(0.0, 0.0, 1.0)),
    "a plane without normal": lambda: shapes.Plane((0.0, 0.0, 0.0)),
    "a plane with a center and an offset": lambda: shapes.Plane(offset=0.1, center=(0.0, 0.0, 0.2)),
    "a plane whose offset is NaN": lambda: shapes.Plane(offset=NAN),
    "a plane of extent zero": lambda: shapes.Plane(extent=0.0),
    "a plane to fill": lambda: shapes.Plane().sample(0.1),
    "too coarse a spacing": lambda: shapes.Sphere(0.1).sample(0.5),
    "a box thinner than half a spacing": lambda: shapes.Box((1.0, 1.0, 0.04)).sample(0.1),
    "far too fine a spacing": lambda: shapes.Box(1.0).sample(1e-4),
    "a spacing of zero": lambda: shapes.Box(1.0).sample(0.0),
    "a negative spacing": lambda: shapes.Box(1.0).sample(-0.1),
    "a spacing that is NaN": lambda: shapes.Box(1.0).sample(NAN),
    "a spacing that is None": lambda: shapes.Box(1.0).sample(None),
    "points in the plane": lambda: shapes.Box(1.0).signed_distance(np.zeros((3, 2))),
    "one point": lambda: shapes.Box(1.0).signed_distance(np.zeros(3)),
    "ragged points": lambda: shapes.Box(1.0).signed_distance([[0.0, 1.0], [2.0]]),
    "points that are NaN": lambda: shapes.Box(1.0).signed_distance(np.full((1, 3), NAN)),
    "a surface of two segments": lambda: shapes.Sphere(1.0).surface(2),
    "a surface of 8.5 segments": lambda: shapes.Sphere(1.0).surface(8.5),
    "an unknown kind": lambda: shapes.Shape.from_dict({"kind": "Teapot"}),
    "a kind that is a list": lambda: shapes.Shape.from_dict({"kind": []}),
    "no kind": lambda: shapes.Shape.from_dict({}),
    "a shape that is a number": lambda: shapes.Shape.from_dict(3),
    "an unknown entry": lambda: shapes.Shape.from_dict({"kind": "Sphere", "radius": 1.0, "colour": 3}),
    "a missing entry": lambda: shapes.Shape.from_dict({"kind": "Sphere"}),
    "no particles": lambda: shapes.Points(np.zeros((0, 3)), 1.0),
    "particles that are NaN": lambda: shapes.Points(np.full((2, 3), NAN), 1.0),
    "particles without volume": lambda: shapes.Points(np.zeros((2, 3)), 0.0),
    "the distance to separate points": lambda: shapes.Points(np.zeros((2, 3)), 1.0).signed_distance(np.zeros((1, 3))),
    "the surface of separate points": lambda: shapes.Points(np.zeros((2, 3)), 1.0).surface(),
}  # fmt: skip


@pytest.mark.parametrize("made", BAD.values(), ids=BAD)
def test_bad_input_gets_its_sentence(made):
    with pytest.raises(InputError) as caught:
        made()
    assert re.fullmatch(r"[^\n]+(expected|needs) [^\n]+; [^\n]+\.", str(caught.value))
