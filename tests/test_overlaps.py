"""Bodies that start inside a collider, a wall or each other are told of, with counts; so are meshes finer than their volume."""

import time

import numpy as np
import pytest

from pliant import sim
from pliant.sim import materials, shapes
from pliant.sim.mpm.overlaps import overlaps

JELLY = materials.FixedCorotated(youngs_modulus=2e4, poissons_ratio=0.3)
REACH = ((-0.4,) * 3, (0.4,) * 3)


def warnings(bodies, colliders=(), *, surface="separating", **options):
    """What the model of these shapes warns of; bodies are called b0, b1, ... and colliders c0, c1, ..."""
    scene = sim.Scene(extent=REACH, cell_size=0.04, **options)
    for index, shape in enumerate(bodies):
        scene.add_mpm(shape, JELLY, density=1000.0, spacing=0.02, name=f"b{index}")
    for index, shape in enumerate(colliders):
        scene.add_collider(shape, surface=surface, name=f"c{index}")
    return scene.build(dt=1e-4, threads=1).warnings


def as_mesh(shape):
    vertices, faces = shape.surface(24)
    return shapes.Mesh(vertices=vertices, faces=faces)


def test_a_body_half_inside_the_floor_is_told_in_the_status_of_a_run():
    scene = sim.Scene(extent=REACH, cell_size=0.04)
    scene.add_mpm(shapes.Box(0.2), JELLY, density=1000.0, spacing=0.02, name="jelly")
    scene.add_collider(shapes.Plane(), friction=0.4, name="floor")
    status = scene.build(dt=4e-4, threads=1).rollout(2, gradient=False).forward().status
    (sentence,) = status.warnings
    assert "500 of 1,000 particles of 'jelly' start inside 'floor', up to 0.09 m deep" in sentence


@pytest.mark.parametrize(
    "solid", [shapes.Box(0.2), shapes.Sphere(0.13), shapes.Cylinder(0.1, 0.3), as_mesh(shapes.Box(0.2))]
)
def test_every_collider_counts_the_particles_inside_it(solid):
    body = shapes.Box(0.2, center=(0.1, 0.0, 0.0))
    (sentence,) = warnings([body], [solid])
    inside = (solid.signed_distance(body.sample(0.02)) < 0.0).sum()
    assert sentence.startswith(f"{inside:,} of 1,000 particles of 'b0' start inside 'c0'")


def test_what_lies_on_a_collider_or_ends_at_a_wall_is_no_overlap():
    body = shapes.Box(0.2, center=(0.0, 0.0, 0.1))
    for floor in (
        shapes.Plane(),
        shapes.Box((0.6, 0.6, 0.2), center=(0.0, 0.0, -0.1)),
        as_mesh(shapes.Box((0.6, 0.6, 0.4), center=(0, 0, -0.2))),
    ):
        assert warnings([body], [floor]) == ()
    assert warnings([shapes.Box(0.8)]) == ()


def test_a_body_in_the_hollow_of_a_mesh_is_not_inside_it():
    vertices, faces = shapes.Box(0.7).surface()
    inner, turned = shapes.Box(0.3).surface()
    shell = shapes.Mesh(
        vertices=np.concatenate([vertices, inner]), faces=np.concatenate([faces, turned[:, ::-1] + len(vertices)])
    )
    assert warnings([shapes.Box(0.2)], [shell]) == ()
    (sentence,) = warnings([shapes.Box(0.2, center=(0.14, 0.0, 0.0))], [shell])
    assert "400 of 1,000" in sentence  # four of ten layers


def test_a_clamped_end_within_a_sticking_collider_is_no_mistake():
    assert warnings([shapes.Box(0.2)], [shapes.Box(0.2, center=(-0.1, 0.0, 0.0))], surface="stick") == ()


def test_what_starts_beyond_a_wall_is_told_unless_the_wall_is_open_or_sticks():
    body = shapes.Box(0.2, center=(0.0, 0.0, -0.34))
    (sentence,) = warnings([body])
    assert "200 of 1,000 particles of 'b0' start beyond the wall 'z-' of `extent`, up to 0.03 m" in sentence
    assert warnings([body], walls="open") == () == warnings([body], walls="stick")


def test_bodies_that_overlap_are_told_with_the_number_of_particles():
    one, other = shapes.Box(0.2), shapes.Box(0.2, center=(0.1, 0.0, 0.0))
    for pair in ([one, other], [as_mesh(one), as_mesh(other)]):
        (sentence,) = warnings(pair)
        assert "500 of 1,000 particles of" in sentence and "the material of both counts" in sentence
    (sentence,) = warnings([shapes.Sphere(0.06), one])  # wholly inside
    assert "of 'b0' start inside 'b1'" in sentence
    assert warnings([one, shapes.Box(0.2, center=(0.2, 0.0, 0.0))]) == ()  # they touch


def test_clouds_of_points_overlap_where_their_particles_are_close():
    x = shapes.Box(0.2).sample(0.02)

    def cloud(shift):
        return shapes.Points(x + np.array([shift, 0.003, 0.0]), volume=0.008)

    (sentence,) = warnings([cloud(0.0), cloud(0.1)])
    assert "500 of 1,000 particles" in sentence
    assert warnings([cloud(0.0), cloud(0.2)]) == ()


def test_particles_that_do_not_fill_their_shape_are_told():
    (sentence,) = warnings([shapes.Box((0.2, 0.2, 0.011))])
    assert "the 100 particles of 'b0' fill 1.8 of its volume" in sentence


def test_a_mesh_too_large_for_a_volume_as_fine_as_the_grid_is_told(monkeypatch):
    long = shapes.Mesh(
        **dict(zip(("vertices", "faces"), shapes.Box((4.0, 0.2, 0.2), center=(2.0, 0.0, -0.3)).surface(), strict=True))
    )
    monkeypatch.setattr("pliant.sim.shapes.mesh.MAX_POINTS", 2_000)
    found = warnings([shapes.Box(0.1)], [long])
    assert (
        "collider 'c0' is met through a distance volume of spacing 0.116 m, coarser than the grid's 0.04 m" in found[0]
        and "leaks" in found[0]
    )


def test_a_million_particles_are_checked_in_little_time():
    scene = sim.Scene(extent=REACH, cell_size=0.04)
    scene.add_mpm(shapes.Box(0.2), JELLY, density=1000.0, spacing=0.02, name="many")
    scene.add_collider(as_mesh(shapes.Box(0.2, center=(0.15, 0.0, 0.0))), name="mesh")
    scene.add_collider(shapes.Plane((1.0, 0.0, 0.0), -0.2), name="plane")
    model, entry = scene.build(dt=1e-4, threads=1), {**scene.bodies[0], "spacing": 0.002}
    x = entry["shape"].sample(0.002)
    started = time.process_time()
    found = overlaps([entry], [x], model.colliders, model._volumes, model.grid_spec)
    assert time.process_time() - started < 2.0  # .3 s were measured
    assert len(found) == 1 and "250,000 of 1,000,000 particles of 'many' start inside 'mesh'" in found[0]
