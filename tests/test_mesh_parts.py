"""Meshes of several parts, with seams and holes: what is one solid, what is refused by name, and what `repair` changes."""

import numpy as np
import pytest

from pliant import sim
from pliant.sim import materials, shapes
from pliant.sim.errors import InputError


def turned(part):
    return part[0], part[1][:, ::-1]


def box(sides, center=(0.0, 0.0, 0.0)):
    return shapes.Box(sides, center=center).surface()


def mesh(*parts, **options):
    """A mesh of closed parts (vertices, faces)."""
    counts = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    faces = [f + count for (_, f), count in zip(parts, counts, strict=False)]
    vertices = np.concatenate([vertices for vertices, _ in parts])
    return shapes.Mesh(vertices=vertices, faces=np.concatenate(faces), **options)


TRUNK, LEFT = box((0.4, 0.2, 0.1), (0.0, 0.0, 0.15)), box((0.08, 0.08, 0.16), (0.0, 0.05, 0.08))
RIGHT = box((0.08, 0.08, 0.16), (0.0, -0.05, 0.08))
BODY = 0.4 * 0.2 * 0.1 + 2 * 0.08 * 0.08 * 0.1  # m^3, without what lies in the trunk twice


def test_a_part_that_is_inside_out_is_refused_by_its_number_and_place():
    with pytest.raises(
        InputError, match=r"part 3 of 3 \(12 faces from \(-0.04, -0.09, 0\).*inside out; reverse its faces"
    ):
        mesh(TRUNK, LEFT, turned(RIGHT))


def test_repair_turns_a_part_that_is_inside_out_and_says_so():
    solid = mesh(TRUNK, LEFT, turned(RIGHT), repair=True)
    assert len(solid.repairs) == 1 and "turned part 3 of 3" in solid.repairs[0]
    assert solid.volume == pytest.approx(BODY, rel=1e-4)
    again = shapes.Shape.from_dict(solid.to_dict())
    assert again.volume == solid.volume and again.repairs == ()
    whole = mesh(turned(TRUNK), repair=True)
    assert whole.volume == pytest.approx(0.008) and "turned all faces over" in whole.repairs[0]


def test_overlapping_parts_count_once_in_volume_mass_particles_and_distance():
    scene = sim.Scene(cell_size=0.02)
    solid = mesh(TRUNK, LEFT, RIGHT)
    law = materials.NeoHookean(youngs_modulus=1e4, poissons_ratio=0.3)
    scene.add_mpm(solid, law, density=1000.0, spacing=0.01, name="body")
    model = scene.build(dt=1e-4, threads=1)
    assert 1000.0 * model.bodies[0].volume.sum() == pytest.approx(1000.0 * BODY, rel=1e-4)
    assert model.bodies[0].items == pytest.approx(BODY / 0.01**3, rel=0.02)
    assert model.warnings == ()
    x = np.random.default_rng(0).uniform(-0.25, 0.25, (4000, 3)) + [0.0, 0.0, 0.1]
    parts = [mesh(part).signed_distance(x) for part in (TRUNK, LEFT, RIGHT)]
    expected, found = np.min(parts, axis=0), solid.signed_distance(x)
    np.testing.assert_allclose(found[expected > 0.0], expected[expected > 0.0], atol=1e-6)
    assert (found[expected < 0.0] <= expected[expected < 0.0] + 4e-4).all()  # creases are cut at 1/512
    middle = (TRUNK[0].mean(axis=0) * 0.008 + 2 * 0.00064 * np.array([0.0, 0.0, 0.05])) / BODY
    np.testing.assert_allclose(solid.center, middle, atol=1e-5)


def test_a_face_of_one_part_within_another_is_no_surface():
    solid = mesh(TRUNK, LEFT)
    top = np.array([[0.0, 0.05, 0.16]])  # the leg's upper face, 4 cm under the trunk's
    assert solid.signed_distance(top)[0] == pytest.approx(-0.04, abs=1e-6)


def test_bars_that_cross_without_a_corner_inside_each_other_count_once():
    solid = mesh(box((0.5, 0.1, 0.1)), box((0.1, 0.5, 0.1)))
    assert solid.volume == pytest.approx(2 * 0.005 - 0.001, rel=1e-3)
    twice = mesh(box((0.5, 0.5, 0.5)), box((0.2, 0.2, 0.2)))
    assert twice.volume == pytest.approx(0.125, rel=1e-6)  # one wholly within the other
    assert mesh(TRUNK, TRUNK).volume == pytest.approx(0.008, rel=1e-12)


def test_parts_whose_faces_lie_in_one_plane_count_once():
    solid = mesh(box((0.4, 0.2, 0.2)), box((0.4, 0.2, 0.2), (0.2, 0.0, 0.0)), box((0.4, 0.1, 0.2), (0.1, 0.0, 0.0)))
    assert solid.volume == pytest.approx(0.6 * 0.2 * 0.2, rel=1e-3)
    np.testing.assert_allclose(solid.center, (0.1, 0.0, 0.0), atol=1e-4)
    assert solid.area == pytest.approx(2 * (0.6 * 0.2 * 2 + 0.2 * 0.2), rel=2e-3)


def test_a_part_that_faces_inwards_is_a_cavity_if_it_lies_within_another():
    hollow = mesh(box(0.4), turned(box(0.2)))
    assert hollow.volume == pytest.approx(0.064 - 0.008, rel=1e-12)
    assert (np.abs(hollow.sample(0.05)).max(axis=1) > 0.1).all()
    clapper = mesh(box(0.4), turned(box(0.2)), box(0.1))
    assert clapper.volume == pytest.approx(0.064 - 0.008 + 0.001, rel=1e-12)
    for wrong in ((0.3, 0.0, 0.0), (0.5, 0.0, 0.0)):  # across the surface, beside it
        with pytest.raises(InputError, match="part 2 of 2 .* inside out"):
            mesh(box(0.4), turned(box(0.2, wrong)))
    with pytest.raises(InputError, match="part 3 of 3 .* inside out"):
        mesh(box(0.4), turned(box(0.2)), turned(box(0.1)))  # a hole in a hole


def test_parts_that_touch_in_an_edge_a_corner_or_a_face_are_one_solid():
    for shift in ((0.2, 0.2, 0.0), (0.2, 0.2, 0.2), (0.2, 0.0, 0.0)):
        solid = mesh(box(0.2), box(0.2, shift))
        assert solid.volume == pytest.approx(0.016, rel=1e-6)
        assert len(solid.sample(0.05)) == 128
    assert mesh(box(0.2), box(0.2, (0.2, 0.2, 0.0))).parts.max() == 1
    glued = mesh(box(0.2), box((0.2, 0.1, 0.1), (0.2, 0.0, 0.0)))
    assert glued.signed_distance(np.array([[0.1, 0.0, 0.0]]))[0] == pytest.approx(-0.05, abs=1e-3)


def test_a_surface_that_crosses_itself_encloses_what_it_encloses_once():
    """A ribbon of one and a quarter turns: its last quarter lies where its first does, face on face."""
    angle = np.linspace(0.0, 2.5 * np.pi, 41)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    profile = [(0.3, -0.05), (0.5, -0.05), (0.5, 0.05), (0.3, 0.05)]
    vertices = np.concatenate([np.c_[r * ring, np.full(41, z)] for r, z in profile])
    n = np.arange(40)
    quads = [
        np.stack([41 * a + n, 41 * a + n + 1, 41 * b + n + 1, 41 * b + n], axis=1)
        for a, b in ((1, 0), (2, 1), (3, 2), (0, 3))
    ]
    quads += [np.array([[123, 82, 41, 0]]), np.array([[40, 81, 122, 163]])]
    q = np.concatenate(quads)[:, ::-1]
    solid = shapes.Mesh(vertices=vertices, faces=np.concatenate([q[:, [0, 1, 2]], q[:, [0, 2, 3]]]))
    assert solid.volume == pytest.approx(16.0 * np.sin(np.pi / 16.0) * (0.25 - 0.09) * 0.1, rel=2e-3)


def split(part, gap):
    """The same triangles without a common vertex, each corner moved by up to `gap`."""
    corners = part[0][part[1]].reshape(-1, 3)
    corners = corners + gap * np.random.default_rng(0).uniform(-1.0, 1.0, corners.shape)
    return corners, np.arange(len(corners)).reshape(-1, 3)


def test_seams_narrower_than_rounding_are_closed_and_wider_ones_by_repair():
    assert mesh(split(TRUNK, 1e-11)).volume == pytest.approx(0.008, rel=1e-9)
    with pytest.raises(InputError, match="merge its vertices within 0.0001 of its extent, or give repair=True"):
        mesh(split(TRUNK, 1e-6))
    solid = mesh(split(TRUNK, 1e-6), repair=True)
    assert solid.volume == pytest.approx(0.008, rel=1e-4)
    assert solid.repairs == ("merged 28 of 36 vertices within 0.0001 of the extent",)


def test_repair_closes_holes_and_orders_faces_and_says_so():
    vertices, faces = TRUNK
    with pytest.raises(InputError, match="close its holes, or give repair=True"):
        mesh((vertices, faces[1:]))
    solid = mesh((vertices, faces[2:]), repair=True)
    assert solid.volume == pytest.approx(0.008, rel=1e-12)
    assert any("closed" in sentence for sentence in solid.repairs)
    faces = faces.copy()
    faces[3] = faces[3, ::-1]
    with pytest.raises(InputError, match="ordered alike"):
        mesh((vertices, faces))
    solid = mesh((vertices, faces), repair=True)
    assert solid.volume == pytest.approx(0.008, rel=1e-12) and "ordered the faces" in solid.repairs[0]
    assert mesh(TRUNK, repair=True).repairs == ()


def test_a_part_too_small_for_a_particle_is_told():
    scene = sim.Scene(cell_size=0.04)
    law = materials.NeoHookean(youngs_modulus=1e4, poissons_ratio=0.3)
    scene.add_mpm(mesh(TRUNK, box(0.004, (0.0, 0.0, 0.3))), law, density=1000.0, spacing=0.02, name="body")
    (sentence,) = scene.build(dt=1e-4, threads=1).warnings
    assert "no particle of 'body' lies in part 2 of the 2 parts of its mesh" in sentence


@pytest.mark.parametrize(
    "shape",
    [shapes.Sphere(0.05), shapes.Capsule(0.03, 0.1), shapes.Cylinder(0.05, 0.02), shapes.Box((0.2, 0.2, 0.012))],
)
@pytest.mark.parametrize("spacing", [0.01, 0.02])
def test_the_mass_of_a_body_is_that_of_its_shape_however_few_particles_it_has(shape, spacing):
    scene = sim.Scene(cell_size=0.04)
    scene.add_mpm(
        shape, materials.NeoHookean(youngs_modulus=1e4, poissons_ratio=0.3), density=700.0, spacing=spacing, name="b"
    )
    model = scene.build(dt=1e-4, threads=1)
    body = model.bodies[0]
    assert 700.0 * body.volume.sum() == pytest.approx(700.0 * shape.volume, rel=1e-12)
    share = body.items * spacing**3 / shape.volume
    assert bool(model.warnings) == (not 0.75 <= share <= 1.0 / 0.75)
