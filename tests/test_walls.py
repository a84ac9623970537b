"""The grid's walls: they stand on the faces of the extent, nothing passes them, and each kind does what it is called."""

import numpy as np
import pytest

from pliant.sim import Scene
from pliant.sim.materials import Fluid, NeoHookean
from pliant.sim.mpm.grid import WALL_CELLS
from pliant.sim.shapes import Box

WATER = Fluid(bulk_modulus=5e4, viscosity=1e-3)
JELLY = NeoHookean(youngs_modulus=2e4, poissons_ratio=0.3)


def walls_of(scene: Scene) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Where the lower and the upper walls stand [3] m, and the model's warnings."""
    model = scene.build(dt=1e-5, threads=1)
    grid = model.grid_spec
    return (
        grid.lower + WALL_CELLS * grid.spacing,
        grid.lower + grid.spacing * (np.asarray(grid.counts) - 1 - WALL_CELLS),
        model.warnings,
    )


def small_block(spacing: float = 0.02, **options) -> Scene:
    scene = Scene(**options)
    scene.add_mpm(Box(0.06), JELLY, density=1000.0, spacing=spacing, name="block")
    return scene


@pytest.mark.parametrize("surface", ["separating", "slip", "stick"])
@pytest.mark.parametrize("cells", [10, 20])
def test_water_at_rest_keeps_its_level_and_stays_within_the_extent(surface, cells):
    """Its own weight presses it by g H^2 rho / (2 K) = 1.6 %, to 0.158 m; the level within 2 % of that after half a second."""
    side, depth, cell = 0.2, 0.16, 0.2 / cells
    around = dict.fromkeys(("x-", "x+", "z-", "z+"), surface) | {"y-": "slip", "y+": "slip"}
    scene = Scene(extent=((-side / 2, -cell, 0.0), (side / 2, cell, 0.3)), cell_size=cell, walls=around)
    tank = Box((side, 2 * cell, depth), center=(0.0, 0.0, depth / 2))
    scene.add_mpm(tank, WATER, density=1000.0, spacing=cell / 2, name="water")
    steps = round(0.5 / (0.04 * cell))
    rollout = scene.build(dt=0.04 * cell, threads=1).rollout(steps, record_every=steps // 50, gradient=False)
    x = np.asarray(rollout.forward()["water.position"], float)[:, 0]
    level = np.quantile(x[25:, :, 2], 0.99, axis=1).mean() / 0.99  # over a period of the sloshing
    assert level == pytest.approx(0.158, rel=0.02)
    assert np.abs(x[..., 0]).max() <= side / 2 and np.abs(x[..., 1]).max() <= cell and x[..., 2].min() >= 0.0


@pytest.mark.parametrize("surface", ["separating", "slip", "stick"])
def test_each_of_the_six_walls_holds_a_body_that_falls_on_it(surface):
    """Six environments with gravity along each axis up and down, one mirror image of the other."""
    scene = small_block(0.01, extent=((-0.1,) * 3, (0.1,) * 3), cell_size=0.02, walls=surface)
    model = scene.build(dt=1e-3, dtype="float64", threads=1, batch=6)
    gravity = 9.81 * np.concatenate([-np.eye(3), np.eye(3)])
    x = model.rollout(400, record_every=20, gradient=False).forward({"gravity": gravity})["block.position"]
    assert np.abs(x).max() <= 0.1
    reach = np.array([(x[:, e] @ gravity[e]).max() / 9.81 for e in range(6)]) + 0.005  # of the surface of the body
    assert np.ptp(reach) <= 1e-9 and reach[0] >= 0.09  # within half a cell of the wall, on all six


def test_a_sticking_wall_holds_what_touches_it_and_a_slipping_or_separating_one_lets_it_slide():
    speeds = {}
    for surface in ("separating", "slip", "stick"):
        scene = Scene(extent=((-0.1, -0.1, -0.03), (0.3, 0.1, 0.17)), cell_size=0.02, walls=surface)
        scene.add_mpm(Box(0.06), JELLY, density=1000.0, spacing=0.01, name="block", velocity=(0.3, 0.0, 0.0))
        v = scene.build(dt=1e-3, threads=1).rollout(200, record_every=200, gradient=False).forward()["block.velocity"]
        speeds[surface] = float(v[-1, 0, :, 0].mean())
    assert abs(speeds["stick"]) < 0.1 and speeds["slip"] > 0.25 and speeds["separating"] > 0.25


def test_a_separating_wall_lets_a_body_leave_and_a_slipping_one_does_not():
    ways = {}
    for surface in ("separating", "slip"):
        scene = Scene(gravity=(0, 0, 0), extent=((-0.1, -0.1, -0.03), (0.1, 0.1, 0.17)), cell_size=0.02, walls=surface)
        scene.add_mpm(Box(0.06), JELLY, density=1000.0, spacing=0.01, name="block", velocity=(0.0, 0.0, 0.3))
        x = scene.build(dt=1e-3, threads=1).rollout(200, record_every=200, gradient=False).forward()["block.position"]
        ways[surface] = float(np.diff(x[:, 0, :, 2].min(axis=1))[0])
    assert ways["separating"] > 0.04 and ways["slip"] < 0.01


def test_a_body_leaves_through_an_open_face_and_not_through_its_neighbour():
    scene = small_block(extent=((-0.1,) * 3, (0.1,) * 3), cell_size=0.02, walls={"x+": "open"}, gravity=(0, 0, 0))
    model = scene.build(dt=1e-3, threads=1, batch=2)
    velocity = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    start = {"block.velocity": np.repeat(velocity[:, None], 27, axis=1)}
    x = model.rollout(110, record_every=110, gradient=False).forward(start)["block.position"][-1]
    assert x[0, :, 0].max() > 0.1 and x[1, :, 0].min() >= -0.1


def test_the_cell_divides_the_extent_where_it_was_left_to_be_chosen():
    for upper, cell in ((0.17, 0.34 / 9), (0.15, 0.0375), (0.2, 0.04)):  # wanted 0.04
        scene = small_block(extent=((-upper,) * 3, (upper,) * 3))
        assert scene.build(dt=1e-5, threads=1).grid_spec.spacing == pytest.approx(cell, rel=1e-12)
        low, high, warnings = walls_of(scene)
        assert np.allclose(low, -upper, atol=1e-12) and np.allclose(high, upper, atol=1e-9) and warnings == ()


def test_a_side_without_walls_at_both_ends_does_not_bind_the_cell():
    scene = small_block(extent=((-0.1, -0.1, -0.1), (0.1, 0.1, 0.171)), walls={"z+": "open"})
    low, high, warnings = walls_of(scene)
    assert scene.build(dt=1e-5, threads=1).grid_spec.spacing == pytest.approx(0.04) and warnings == ()
    hung = small_block(extent=((-0.1, -0.1, -0.171), (0.1, 0.1, 0.1)), walls={"z-": "open"})
    assert walls_of(hung)[1] == pytest.approx(np.full(3, 0.1), abs=1e-12) and walls_of(hung)[2] == ()


def test_a_wall_that_cannot_stand_where_it_was_put_is_told():
    for options in ({"cell_size": 0.03}, {}):
        upper = (0.1, 0.1 * np.pi / 3, 0.1)
        scene = small_block(extent=((-0.1, -0.1, -0.1), upper), **options)
        _, high, warnings = walls_of(scene)
        off = np.flatnonzero(high - upper > 1e-9)
        assert len(off) == len(warnings) > 0 and (high - upper >= -1e-9).all()
        for axis, sentence in zip(off, warnings, strict=True):
            assert (
                f"upper wall along {'xyz'[axis]} stands at {high[axis]:.4g} m instead of {upper[axis]:.4g} m"
                in sentence
            )


def test_an_extent_that_was_not_given_warns_of_nothing():
    assert walls_of(small_block(cell_size=0.037))[2] == ()
