"""Triangle meshes: what is read, what is refused, and how well the distance volume stands for the surface."""

import functools
import hashlib
import json
import math
import re
import struct

import numpy as np
import pytest
import trimesh
import warp as wp

from pliant.sim import shapes
from pliant.sim.errors import InputError
from pliant.sim.point_files import read_points
from pliant.sim.precision import precision
from pliant.sim.shapes.mesh import trilinear

TETRAHEDRON = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def tetrahedron(**options):
    return shapes.Mesh(vertices=TETRAHEDRON, faces=FACES, **options)


def as_mesh(shape, resolution=32):
    vertices, faces = shape.surface(resolution)
    return shapes.Mesh(vertices=vertices, faces=faces)


def corner():
    """Three of the four quarters of a square, drawn upwards: a prism that is not convex, volume 0.75 x 0.4."""
    outline = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.5], [0.5, 0.5], [0.5, 1.0], [0.0, 1.0]])
    bottom = [[0, 3, 1], [1, 3, 2], [0, 5, 3], [3, 5, 4]]
    sides = [[[i, j, j + 6], [i, j + 6, i + 6]] for i, j in zip(range(6), [1, 2, 3, 4, 5, 0], strict=True)]
    vertices = np.concatenate([np.c_[outline, np.zeros(6)], np.c_[outline, np.full(6, 0.4)]])
    faces = np.concatenate([bottom, np.array(bottom)[:, ::-1] + 6, np.reshape(sides, (-1, 3))])
    return shapes.Mesh(vertices=vertices, faces=faces)


def scattered(count=400, reach=0.8, seed=0):
    return np.random.default_rng(seed).uniform(-reach, reach, (count, 3))


def test_volume_and_center_of_mass_of_a_tetrahedron_are_exact():
    mesh = tetrahedron()
    assert mesh.volume == pytest.approx(1.0 / 6.0, rel=1e-15)
    np.testing.assert_allclose(mesh.center, 0.25, rtol=1e-15)
    far = shapes.Mesh(vertices=TETRAHEDRON + 1e3, faces=FACES, scale=2.0)
    assert far.volume == pytest.approx(8.0 / 6.0, rel=1e-12)  # coordinates near 1000 keep 13 digits
    np.testing.assert_allclose(far.center, 2000.5, rtol=1e-15)


def test_the_center_of_mass_goes_where_it_is_told_and_the_rotation_turns_about_it():
    half_turn = tetrahedron(center=(1.0, 2.0, 3.0), rotation=(0.0, 0.0, 1.0, 0.0))
    lower, upper = half_turn.bounds()
    np.testing.assert_allclose(lower, [0.25, 1.25, 2.75], atol=1e-15)
    np.testing.assert_allclose(upper, [1.25, 2.25, 3.75], atol=1e-15)
    assert as_mesh(half_turn).center == pytest.approx((1.0, 2.0, 3.0), abs=1e-15)


def test_the_distance_to_a_meshed_box_is_that_of_the_box():
    box = shapes.Box((0.5, 0.8, 0.3), center=(0.3, -0.2, 0.5), rotation=(0.1, 0.5, -0.3, 0.8))
    x = scattered() + box.center
    np.testing.assert_allclose(as_mesh(box).signed_distance(x), box.signed_distance(x), atol=1e-15)


def test_the_distance_keeps_its_digits_in_millimeters_and_kilometers():
    for scale in (1e-3, 1e3):
        box = shapes.Box(0.5 * scale)
        x = scattered() * scale
        np.testing.assert_allclose(as_mesh(box).signed_distance(x), box.signed_distance(x), atol=1e-15 * scale)


def test_particles_fill_a_mesh_that_is_not_convex():
    mesh, spacing = corner(), 0.05
    assert mesh.volume == pytest.approx(0.3, rel=1e-15)
    x = mesh.sample(spacing)
    lower, upper = mesh.bounds()
    assert (x > lower).all() and (x < upper).all()
    assert not ((x[:, 0] > 0.5) & (x[:, 1] > 0.5)).any()
    # every cell of a lattice whose spacing divides the sides is wholly inside or wholly outside
    assert len(x) == round(0.3 / spacing**3)


@pytest.mark.parametrize("name", ["worm.stl", "duck_like.obj"])
def test_particles_fill_the_example_meshes(name, repository):
    mesh = shapes.Mesh(repository / "assets" / name)
    x = mesh.sample(0.004)
    assert (mesh.signed_distance(x) < 0.0).all()
    # the lattice misses a fraction of the cells on the surface, here a third of all; their errors mostly cancel
    assert abs(len(x) * 0.004**3 / mesh.volume - 1.0) < 0.01


@pytest.mark.parametrize("suffix", ["stl", "obj", "ply"])
def test_every_format_gives_the_same_solid(suffix, tmp_path):
    path = tmp_path / f"solid.{suffix.upper()}"
    solid = trimesh.Trimesh(TETRAHEDRON, FACES)
    path.write_bytes(solid.export(file_type=suffix).encode() if suffix == "obj" else solid.export(file_type=suffix))
    mesh = shapes.Mesh(path, scale=0.5)
    assert mesh.volume == pytest.approx(0.125 / 6.0, rel=1e-15)
    assert len(mesh.vertices) == 4 and len(mesh.faces) == 4
    assert mesh.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def through_json(shape):
    return shapes.Shape.from_dict(json.loads(json.dumps(shape.to_dict())))


def test_a_mesh_survives_json_by_its_triangles_or_by_its_file(repository):
    placed = {"center": (0.1, 0.2, 0.3), "rotation": (0.1, 0.5, -0.3, 0.8), "scale": 0.7}
    for mesh in (tetrahedron(**placed), shapes.Mesh(repository / "assets" / "worm.stl", **placed)):
        again = through_json(mesh)
        assert (again.vertices == mesh.vertices).all() and (again.faces == mesh.faces).all()
        assert again.to_dict() == mesh.to_dict()
        assert again.volume == mesh.volume
        assert (again.sample(0.2 * mesh.volume ** (1 / 3)) == mesh.sample(0.2 * mesh.volume ** (1 / 3))).all()
    assert "vertices" not in again.to_dict()


def test_a_file_that_changed_or_vanished_since_it_was_saved_is_refused(tmp_path):
    path = tmp_path / "solid.stl"
    trimesh.Trimesh(TETRAHEDRON, FACES).export(path)
    saved = shapes.Mesh(path).to_dict()
    trimesh.Trimesh(2.0 * TETRAHEDRON, FACES).export(path)
    with pytest.raises(InputError, match="changed since the scene was saved"):
        shapes.Shape.from_dict(saved)
    path.unlink()
    with pytest.raises(InputError, match="cannot read"):
        shapes.Shape.from_dict(saved)


def test_the_distance_volume_holds_the_distance_at_its_nodes_and_a_margin_outside():
    mesh = as_mesh(shapes.Box((0.4, 0.2, 0.1), rotation=(0.1, 0.5, -0.3, 0.8), center=(1.0, 2.0, 3.0)))
    volume = mesh.distance_volume()
    far = volume.origin + volume.spacing * (np.array(volume.values.shape) - 1)
    extent = np.ptp(mesh.vertices, axis=0)
    assert volume.spacing == pytest.approx(extent.max() / 48, rel=1e-12)
    assert (far - volume.origin >= extent + 4.0 * volume.spacing * (1.0 - 1e-6)).all()
    assert all(
        side.min() >= 1.9 * volume.spacing for axis in range(3) for side in np.take(volume.values, [0, -1], axis)
    )
    node = np.array([7, 20, 11])
    at_node = mesh.signed_distance((volume.origin + volume.spacing * node + mesh.center)[None])
    np.testing.assert_allclose(volume.values[tuple(node)], at_node[0], atol=1e-14)


@functools.cache
def probe(dtype):
    """Kernel: the interpolant and, after it (the harder order for Warp), the gradient of its contraction with A."""
    p = precision(dtype)
    real, vec3, vec4, vec8, interpolated = p.real, p.vec3, p.vec4, p.vector(8), trilinear(p)

    @wp.func
    def contracted(c: vec8, f: vec3, spacing: real, A: vec4) -> real:
        return wp.dot(interpolated(c, f, spacing), A)

    @wp.kernel(enable_backward=False, module="unique")
    def kernel(
        c: wp.array(dtype=vec8),
        f: wp.array(dtype=vec3),
        spacing: real,
        A: wp.array(dtype=vec4),
        gc: wp.array(dtype=vec8),
        gf: wp.array(dtype=vec3),
        value: wp.array(dtype=vec4),
    ):
        i = wp.tid()
        value[i] = interpolated(c[i], f[i], spacing)
        gc_i, gf_i, _spacing, _A = wp.grad(contracted)(c[i], f[i], spacing, A[i])
        gc[i] = gc_i
        gf[i] = gf_i

    return kernel


def interpolate(c, f, A=None, spacing=0.1, dtype="float64"):
    p = precision(dtype)
    A = np.zeros((len(f), 4)) if A is None else A
    kinds = (p.vector(8), p.vec3, p.vec4)
    c, f, A = (wp.array(a, dtype=kind, device="cpu") for a, kind in zip((c, f, A), kinds, strict=True))
    made = [wp.zeros(len(f), dtype=kind, device="cpu") for kind in kinds]
    wp.launch(probe(dtype), dim=len(f), inputs=[c, f, p.real(spacing), A], outputs=made, device="cpu")
    gc, gf, value = (array.numpy() for array in made)
    return value, gc, gf


CORNERS = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)


def in_volume(volume, x):
    """The interpolant [n, 4] of a distance volume at points [n, 3] of its frame, gathered as a solver does."""
    cell = (x - volume.origin) / volume.spacing
    node = np.floor(cell).astype(int)
    around = node[:, None] + CORNERS.astype(int)
    return interpolate(volume.values[tuple(np.moveaxis(around, 2, 0))], cell - node)[0]


def test_interpolation_of_a_linear_field_is_exact():
    rng = np.random.default_rng(1)
    slope, f = rng.normal(size=3), rng.uniform(size=(50, 3))
    value, _, _ = interpolate(np.tile(0.3 + CORNERS @ slope, (50, 1)), f)
    np.testing.assert_allclose(value[:, 3], 0.3 + f @ slope, atol=1e-15)
    np.testing.assert_allclose(value[:, :3], np.tile(slope / np.linalg.norm(slope), (50, 1)), atol=1e-14)


def test_the_derivative_of_the_interpolation_equals_finite_differences():
    rng, n, h = np.random.default_rng(2), 100, 1e-6
    c, f, A = rng.normal(size=(n, 8)), rng.uniform(size=(n, 3)), rng.normal(size=(n, 4))
    dc, df = rng.normal(size=c.shape), rng.normal(size=f.shape)
    _, gc, gf = interpolate(c, f, A)
    exact = (gc * dc).sum(axis=1) + (gf * df).sum(axis=1)
    sides = [interpolate(c + s * h * dc, f + s * h * df)[0] for s in (1.0, -1.0)]
    slope = ((sides[0] - sides[1]) * A).sum(axis=1) / (2.0 * h)
    # truncation h^2 divided by the cube of the gradient's length, which random corners can make small
    error = np.abs(exact - slope) / (1.0 + np.abs(slope))
    assert np.median(error) < 1e-9 and error.max() < 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_cell_of_equal_corners_has_a_normal_and_a_finite_derivative(dtype):
    value, gc, gf = interpolate(np.full((1, 8), 0.1), np.full((1, 3), 0.3), np.ones((1, 4)), dtype=dtype)
    np.testing.assert_allclose(value, [[0.0, 0.0, 1.0, 0.1]], rtol=1e-7)
    assert np.isfinite(gc).all() and not gf.any()


def test_the_interpolated_distance_converges_at_second_order():
    ball = shapes.Sphere(0.4)
    mesh = as_mesh(ball, 256)  # within 0.4 (1 - cos(pi / 256)) = 3e-5 of the ball, less than the error measured
    x = scattered(2000, 0.3)
    x = x[np.linalg.norm(x, axis=1) > 0.2]
    errors = []
    for h in (0.1, 0.05):
        error = in_volume(mesh.distance_volume(h), x)[:, 3] - ball.signed_distance(x)
        errors.append(math.sqrt((error**2).mean()))
    assert 1.8 < math.log2(errors[0] / errors[1]) < 2.2


def test_the_interpolated_normal_is_the_ball_s_to_a_degree_at_the_default_spacing():
    mesh = as_mesh(shapes.Sphere(0.4), 128)
    directions = scattered(500)
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    value = in_volume(mesh.distance_volume(), 0.39 * directions)
    assert np.degrees(np.arccos((value[:, :3] * directions).sum(axis=1).min())) < 2.0


def test_a_binary_ply_file_of_triangles_quads_and_more_is_read(tmp_path):
    box = shapes.Box((0.4, 0.2, 0.1))
    corners, _ = box.surface()
    polygons = [[0, 1, 3], [0, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    for order, sign in (("little", "<"), ("big", ">")):
        head = f"ply\nformat binary_{order}_endian 1.0\nelement vertex 8\n" + "".join(
            f"property double {axis}\n" for axis in "xyz"
        )
        head += "property uchar red\nelement face 7\nproperty list uchar int vertex_indices\nproperty float quality\nend_header\n"
        body = b"".join(struct.pack(f"{sign}3dB", *corner, 7) for corner in corners)
        body += b"".join(struct.pack(f"{sign}B{len(p)}if", len(p), *p, 0.5) for p in polygons)
        path = tmp_path / f"{order}.ply"
        path.write_bytes(head.encode() + body)
        assert shapes.Mesh(path).volume == pytest.approx(0.008, rel=1e-12)
        frame = read_points(path)
        np.testing.assert_array_equal(frame.points, corners)
        for cut in (len(head) + 5, len(head) + 8 * 25 + 9, len(head) + len(body) - 2):
            path.write_bytes((head.encode() + body)[:cut])
            with pytest.raises(InputError, match="export it anew"):
                shapes.Mesh(path)
    path.write_bytes(head.replace("face 7", "face 999999999999").encode() + body)
    with pytest.raises(InputError, match="claims 999999999999 rows"):
        shapes.Mesh(path)


def test_what_a_program_appends_to_a_binary_stl_file_is_left_alone(tmp_path):
    content = trimesh.Trimesh(TETRAHEDRON, FACES).export(file_type="stl")
    path = tmp_path / "tail.stl"
    for head in (content[:80], b"solid by a program" + bytes(62)):
        path.write_bytes(head + content[80:] + b"\0" * 37 + b"MATERIAL")
        assert shapes.Mesh(path).volume == pytest.approx(1.0 / 6.0, rel=1e-6)


def test_a_glb_file_is_turned_to_z_up_and_its_parts_are_placed(tmp_path):
    scene = trimesh.Scene()
    scene.add_geometry(trimesh.creation.box((0.1, 0.4, 0.2)))
    above = np.eye(4)
    above[1, 3] = 1.0  # along the file's y
    scene.add_geometry(trimesh.creation.box((0.1, 0.2, 0.1)), transform=above)
    path = tmp_path / "two.glb"
    path.write_bytes(scene.export(file_type="glb"))
    mesh = shapes.Mesh(path)
    assert mesh.volume == pytest.approx(0.008 + 0.002, rel=1e-6) and mesh.parts.max() == 1
    np.testing.assert_allclose(mesh.bounds(), [[-0.05, -0.1, -0.2], [0.05, 0.1, 1.1]], atol=1e-6)


def test_a_mesh_in_millimetres_is_told_of_the_scale():
    with pytest.raises(InputError, match="scale=0.001 if the mesh is in millimetres"):
        shapes.Mesh(vertices=1000.0 * TETRAHEDRON, faces=FACES).sample(0.02)


HOLE = FACES[:-1]
FLAT = TETRAHEDRON * [1.0, 1.0, 0.0]
BROKEN = np.where(np.eye(4, 3) > 0, np.nan, TETRAHEDRON)
SQUARE = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
BAD = {
    "nothing": lambda: shapes.Mesh(),
    "vertices without faces": lambda: shapes.Mesh(vertices=TETRAHEDRON),
    "a file and vertices": lambda: shapes.Mesh("a.stl", vertices=TETRAHEDRON, faces=FACES),
    "a hole": lambda: shapes.Mesh(vertices=TETRAHEDRON, faces=HOLE),
    "one triangle": lambda: shapes.Mesh(vertices=SQUARE, faces=[[0, 1, 2]]),
    "a triangle without area": lambda: shapes.Mesh(vertices=SQUARE, faces=[[0, 0, 2]]),
    "a face turned over": lambda: shapes.Mesh(vertices=TETRAHEDRON, faces=[*HOLE.tolist(), [2, 1, 3]]),
    "all faces turned over": lambda: shapes.Mesh(vertices=TETRAHEDRON, faces=FACES[:, ::-1]),
    "no thickness": lambda: shapes.Mesh(vertices=FLAT, faces=FACES),
    "a vertex that is NaN": lambda: shapes.Mesh(vertices=BROKEN, faces=FACES),
    "an infinite vertex": lambda: shapes.Mesh(vertices=TETRAHEDRON + [0.0, 0.0, math.inf], faces=FACES),
    "vertices in the plane": lambda: shapes.Mesh(vertices=TETRAHEDRON[:, :2], faces=FACES),
    "vertices that are words": lambda: shapes.Mesh(vertices=[["a", "b", "c"]], faces=FACES),
    "no faces": lambda: shapes.Mesh(vertices=TETRAHEDRON, faces=np.zeros((0, 3), int)),
    "faces of reals": lambda: shapes.Mesh(vertices=TETRAHEDRON, faces=FACES + 0.5),
    "ragged faces": lambda: shapes.Mesh(vertices=TETRAHEDRON, faces=[[0, 1, 2], [1]]),
    "a face beyond the vertices": lambda: shapes.Mesh(vertices=TETRAHEDRON, faces=FACES + 1),
    "a scale of zero": lambda: tetrahedron(scale=0.0),
    "a scale that is NaN": lambda: tetrahedron(scale=math.nan),
    "a mesh larger than the Earth": lambda: shapes.Mesh(vertices=1e9 * TETRAHEDRON, faces=FACES),
    "a mesh smaller than an atom": lambda: shapes.Mesh(vertices=1e-12 * TETRAHEDRON, faces=FACES),
    "a center of words": lambda: tetrahedron(center=("a", "b", "c")),
    "a volume of spacing zero": lambda: tetrahedron().distance_volume(0.0),
    "a volume of too many nodes": lambda: tetrahedron().distance_volume(1e-5),
    "too coarse a spacing": lambda: tetrahedron().sample(3.0),
    "a path that is a number": lambda: shapes.Mesh(3),
    "a format that is not read": lambda: shapes.Mesh("body.step"),
    "a missing file": lambda: shapes.Mesh("nowhere/body.stl"),
    "a path with a zero byte": lambda: shapes.Mesh("body\0.stl"),
}  # fmt: skip


@pytest.mark.parametrize("made", BAD.values(), ids=BAD)
def test_bad_input_gets_its_sentence(made):
    with pytest.raises(InputError) as caught:
        made()
    assert re.fullmatch(r"[^\n]+(expected|needs|cannot) [^\n]+; [^\n]+\.", str(caught.value))


def test_a_folder_is_not_a_mesh(tmp_path):
    (tmp_path / "body.stl").mkdir()
    with pytest.raises(InputError, match="cannot read"):
        shapes.Mesh(tmp_path / "body.stl")


@pytest.mark.parametrize("suffix", ["stl", "obj", "ply", "glb"])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 0.9])
def test_an_empty_or_truncated_file_gets_its_sentence(suffix, share, tmp_path):
    content = trimesh.creation.icosphere(subdivisions=1).export(file_type=suffix)
    content = content.encode() if isinstance(content, str) else content
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"; [^\n]+\.$"):
        shapes.Mesh(path)


@pytest.mark.parametrize("suffix", ["stl", "obj", "ply", "glb"])
def test_a_file_of_random_bytes_gets_its_sentence(suffix, tmp_path):
    path = tmp_path / f"noise.{suffix}"
    path.write_bytes(np.random.default_rng(5).bytes(5000))
    with pytest.raises(InputError, match=r"; [^\n]+\.$"):
        shapes.Mesh(path)


def test_a_file_with_a_vertex_that_is_nan_gets_its_sentence(tmp_path):
    path = tmp_path / "nan.obj"
    lines = [f"v {x} {y} {z}" for x, y, z in BROKEN] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in FACES]
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match="NaN"):
        shapes.Mesh(path)
