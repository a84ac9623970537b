"""Walls that the grid does not resolve: water gets through exactly where the status warns of it."""

import numpy as np
import pytest

from pliant import sim
from pliant.learn import TorchLaw
from pliant.learn.models.laws import HyperelasticNetwork, IsochoricReturnMap
from pliant.sim import materials, shapes

CELL, DEPTH = 0.04, 0.32
WATER = materials.Fluid(bulk_modulus=5e4, viscosity=0.0)
JELLY = materials.NeoHookean(youngs_modulus=1e4, poissons_ratio=0.3)


def tank(thickness, shift, bottom, *, law=WATER, surface="separating", floor=True):
    """Water on the left of a wall whose middle lies `shift` beside a plane of nodes; all in cells."""
    extent = ((-0.4, -0.08, -2 * CELL if floor else 0.0), (0.4, 0.08, 0.8))
    scene = sim.Scene(extent=extent, cell_size=CELL, walls="slip")
    width = 0.4 + (shift - thickness / 2) * CELL
    water = shapes.Box((width, 0.16, DEPTH), center=(-0.4 + width / 2, 0.0, DEPTH / 2))
    scene.add_mpm(water, law, density=1000.0, spacing=CELL / 2, name="water")
    height = 0.6 - bottom * CELL
    wall = shapes.Box((thickness * CELL, 0.6, height), center=(shift * CELL, 0.0, 0.6 - height / 2))
    scene.add_collider(wall, name="wall", surface=surface)
    if floor:
        scene.add_collider(shapes.Plane(), name="floor")
    return scene.build(dt=5e-4, threads=1)


def share_beyond(model, thickness, shift, steps=1600):
    """Share of the water on the other side after 0.8 s, and the warnings."""
    trajectory = model.rollout(steps, record_every=steps, gradient=False).forward()
    x = np.asarray(trajectory["water.position"])[-1, 0, :, 0]
    return float((x > (shift + thickness / 2) * CELL).mean()), trajectory.status.warnings


@pytest.mark.parametrize(
    ("thickness", "shift", "bottom", "words"),
    [
        (0.5, 0.75, -4.0, "collider 'wall' is thin: 0.5 cells of 0.04 m"),
        (1.0, 0.0, -4.0, "collider 'wall' is thin: 1 cells"),
        (1.25, 0.0, -4.0, "is thin: 1.2 cells of 0.04 m, so that material creeps through; make it 1.5 cells thick, 0.06 m"),
    ],
)
def test_where_water_gets_through_a_warning_says_so(thickness, shift, bottom, words):
    share, warnings = share_beyond(tank(thickness, shift, bottom), thickness, shift)
    assert share > 0.02
    assert len(warnings) == 1 and words in warnings[0]


@pytest.mark.parametrize("shift", [0.25, 0.5])
def test_water_creeps_past_a_wall_that_ends_on_the_floor_and_a_warning_says_so(shift):
    share, (sentence,) = share_beyond(tank(3.0, shift, 0.0), 3.0, shift)
    assert share > 0.01
    assert "collider 'wall' ends at 'floor': it reaches 0 cells into it" in sentence


@pytest.mark.parametrize(("thickness", "shift", "bottom"), [(1.5, 0.0, -4.0), (1.5, 0.5, -0.5), (2.0, 0.0, -0.5), (3.0, 0.25, -0.5)])
@pytest.mark.parametrize("floor", [True, False])
def test_where_no_warning_is_given_no_water_gets_through(thickness, shift, bottom, floor):
    share, warnings = share_beyond(tank(thickness, shift, bottom, floor=floor), thickness, shift)
    assert warnings == () and share <= 0.001


def test_the_walls_of_the_grid_are_floors_too():
    (sentence,) = tank(4.0, 0.25, 0.0, floor=False).warnings
    assert "collider 'wall' ends at the grid's lower wall along z" in sentence and "let it reach 0.5 cells, 0.02 m" in sentence


def test_a_learned_law_with_a_return_map_flows():
    for law, count in ((TorchLaw(HyperelasticNetwork()), 0), (TorchLaw(HyperelasticNetwork(), IsochoricReturnMap()), 1)):
        assert len(tank(4.0, 0.25, 0.0, law=law).warnings) == count


def test_what_does_not_flow_is_held_by_a_wall_that_ends_at_the_floor():
    assert tank(4.0, 0.25, 0.0, law=JELLY).warnings == ()
    assert tank(1.0, 0.25, 0.0, law=JELLY).warnings == ()  # nor by its thickness: a force from a position holds


@pytest.mark.parametrize("surface", ["slip", "stick"])
def test_a_wall_of_one_and_a_half_cells_that_does_not_let_go_is_tight(surface):
    share, warnings = share_beyond(tank(1.5, 0.0, -4.0, surface=surface), 1.5, 0.0)
    assert warnings == () and share == 0.0


def warned(*colliders):
    scene = sim.Scene(extent=((-1.0,) * 3, (1.0,) * 3), cell_size=0.1, walls="open")
    scene.add_mpm(shapes.Box(0.2, center=(0.8,) * 3), WATER, density=1000.0, spacing=0.05, name="water")
    for index, shape in enumerate(colliders):
        scene.add_collider(shape, name=f"c{index}")
    return scene.build(dt=1e-4, threads=1).warnings


@pytest.mark.parametrize(
    "shape",
    [
        shapes.Sphere(0.06),
        shapes.Capsule(0.06, 0.5),
        shapes.Cylinder(0.5, 0.12),
        shapes.Box((1.0, 1.0, 0.12), center=(0.0, 0.0, -0.5), rotation=(0.0, 0.5, 0.0, np.sqrt(0.75))),
    ],
)
def test_every_shape_has_a_thickness(shape):
    (sentence,) = warned(shape)
    assert "collider 'c0' is thin: 1." in sentence


def test_a_thin_mesh_is_told(tmp_path):
    import trimesh

    for thickness, count in ((0.12, 1), (0.4, 0)):
        path = tmp_path / f"{count}.stl"
        trimesh.creation.box((0.8, 0.8, thickness)).export(path)
        assert len(warned(shapes.Mesh(path))) == count


def test_the_thinnest_wall_of_a_mesh_counts_and_its_edges_do_not():
    """A tube whose wall is thin and not its height, and a cone."""
    import trimesh

    for thickness, count in ((0.12, 1), (0.2, 0)):
        tube = trimesh.creation.annulus(r_min=0.4 - thickness, r_max=0.4, height=0.6)
        assert len(warned(shapes.Mesh(vertices=tube.vertices, faces=tube.faces))) == count
    cone = trimesh.creation.cone(radius=0.4, height=0.4)
    assert warned(shapes.Mesh(vertices=cone.vertices, faces=cone.faces)) == ()


def test_a_plane_is_as_thick_as_can_be():
    assert warned(shapes.Plane()) == ()


def test_walls_that_pass_through_each_other_do_not_end_there():
    through = shapes.Box((0.3, 1.0, 1.0), center=(0.05, 0.0, 0.0))
    across = shapes.Box((1.0, 0.3, 1.0), center=(0.0, 0.05, 0.0))
    assert warned(through, across) == ()
    corner = shapes.Box((1.0, 0.3, 1.0), center=(0.05 - 0.15 + 0.5, 0.05, 0.0))  # to the other's far side
    assert warned(through, corner) == ()
    stopping = shapes.Box((1.0, 0.3, 1.0), center=(0.2 + 0.5, 0.05, 0.0))  # at its near side
    (sentence,) = warned(through, stopping)
    assert "collider 'c1' ends at 'c0'" in sentence
