"""The distance volume through which a grid meets a mesh: as fine as the grid, whatever the mesh's extent."""

import numpy as np
import pytest

from pliant import sim
from pliant.sim import materials, shapes
from pliant.sim.errors import InputError

CELL, SIDE, HIGH = 0.016, 0.192, 0.096  # m
WALL = 3 * CELL


def solid(*parts):
    """A mesh of closed parts (vertices, faces)."""
    counts = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    faces = [f + count for (_, f), count in zip(parts, counts, strict=False)]
    return shapes.Mesh(vertices=np.concatenate([vertices for vertices, _ in parts]), faces=np.concatenate(faces))


def cup(handle):
    """An open box with walls of three cells, its hollow standing on z = 0, and beside it a bar of that length [m]."""
    o, a = SIDE / 2, SIDE / 2 - WALL
    square = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    rings = ((o, -WALL), (o, HIGH), (a, HIGH), (a, 0.0))
    vertices = np.array([(r * x, r * y, z) for r, z in rings for x, y in square])
    quads = [(0, 3, 2, 1), (12, 13, 14, 15)]
    quads += [(r + i, r + (i + 1) % 4, r + 4 + (i + 1) % 4, r + 4 + i) for r in (0, 4, 8) for i in range(4)]
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    bar = shapes.Box((handle or 1.0, 0.05, 0.05), center=(SIDE / 2 + 0.02 + handle / 2, 0.0, HIGH / 2)).surface()
    return solid((vertices, faces), bar) if handle else solid((vertices, faces))


@pytest.mark.parametrize("handle", [0.0, 2.4])
def test_a_cup_holds_its_water_with_and_without_a_handle(handle):
    scene = sim.Scene(extent=((-0.128, -0.128, -0.16), (0.128, 0.128, 0.128)), cell_size=CELL)
    scene.add_collider(cup(handle), name="cup")
    inner = SIDE - 2 * WALL - 0.001
    water = materials.Fluid(bulk_modulus=1e4, viscosity=0.0)
    scene.add_mpm(
        shapes.Box((inner, inner, 0.06), center=(0, 0, 0.031)), water, density=1000.0, spacing=CELL / 2, name="water"
    )
    model = scene.build(dt=8e-4, threads=1)
    assert model._volumes[0].spacing <= CELL / 2 * (1.0 + 1e-9)
    trajectory = model.rollout(375, record_every=375, gradient=False).forward()
    x = np.asarray(trajectory["water.position"])[-1, 0]
    assert not (np.abs(x[:, :2]) > SIDE / 2).any() and not (x[:, 2] < -WALL).any()
    assert trajectory.status.warnings == ()


@pytest.mark.parametrize("thickness", [0.5, 1.0, 3.0])
def test_thin_plates_are_thin_to_the_grid_and_solid_all_through(thickness):
    cell, turn = 0.02, (0.1, 0.5, -0.3, 0.8)
    plate = shapes.Box((1.0, 0.8, thickness * cell), rotation=turn)
    volume = solid(plate.surface()).volume_for(cell)
    assert volume.spacing <= cell
    nodes = volume.origin + volume.spacing * np.indices(volume.values.shape).reshape(3, -1).T
    exact, values = plate.signed_distance(nodes), volume.values.ravel()
    near = np.abs(exact) <= 1.5 * cell
    np.testing.assert_allclose(values[near], exact[near], atol=1e-6)  # of ties the search takes either
    clear = np.abs(exact) > 1e-5  # nearer, the search in single precision may see either side
    assert (np.sign(values) == np.sign(exact))[clear].all()
    assert (np.abs(values[~near]) > 1.4 * cell).all()


def test_the_thinnest_place_of_a_mesh_is_seen_by_its_volume():
    """A thick block ends in a web of one cell: the deepest node in the web lies no further in than half of it."""
    cell = 0.02
    mesh = solid(shapes.Box(0.4).surface(), shapes.Box((0.4, 0.3, cell), center=(0.45, 0.0, 0.0)).surface())
    volume = mesh.volume_for(cell)
    nodes = volume.origin + volume.spacing * np.indices(volume.values.shape).reshape(3, -1).T + mesh.center
    web = (nodes[:, 0] > 0.25) & (nodes[:, 0] < 0.6) & (np.abs(nodes[:, 1]) < 0.1)
    depth = -volume.values.ravel()[web]
    assert 0.3 * cell < depth.max() <= 0.5 * cell


def test_what_is_not_near_the_surface_is_interpolated_without_losing_its_sign():
    ball = shapes.Sphere(0.5)
    mesh = solid(ball.surface(64))
    coarse = mesh.distance_volume(0.02, reach=0.03)
    nodes = coarse.origin + 0.02 * np.indices(coarse.values.shape).reshape(3, -1).T
    exact, values = mesh.signed_distance(nodes + mesh.center), coarse.values.ravel()
    near = np.abs(exact) <= 0.03
    np.testing.assert_allclose(values[near], exact[near], atol=1e-6)  # of ties the search takes either
    np.testing.assert_allclose(values, exact, atol=0.16)  # a cell of the coarse sampling, at the kink in the centre
    assert (np.sign(values) == np.sign(exact))[np.abs(exact) > 1e-5].all()


def test_the_same_mesh_keeps_its_volume_from_build_to_build():
    mesh = solid(shapes.Box(0.4).surface())
    assert mesh.volume_for(0.02) is mesh.volume_for(0.02)
    assert mesh.volume_for(0.01).spacing < mesh.volume_for(0.05).spacing
    with pytest.raises(InputError, match="enlarge it"):
        mesh.distance_volume(1e-4)
