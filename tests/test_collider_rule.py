"""Colliders on the grid stand where the user put them: levels, channels, resting bodies, buoyancy."""

import numpy as np
import pytest

from pliant import sim
from pliant.sim import materials, shapes

DENSITY, GRAVITY = 1000.0, 9.81
WIDE = {"x-": "open", "x+": "open", "y-": "slip", "y+": "slip", "z-": "open", "z+": "open"}


def water_over(floor, offset, cells, depth=0.16, seconds=0.8):
    """Loss of level of water over its floor [m], which lies `offset` cells above a node; elastic compression taken off."""
    dx, modulus = depth / cells, 5e4
    dt, low = 0.2 * dx / np.sqrt(modulus / DENSITY), -(3.0 + offset) * dx
    scene = sim.Scene(extent=((0, 0, low), (4 * dx, 2 * dx, low + (cells + 8) * dx)), cell_size=dx, walls="slip")
    water = materials.Fluid(bulk_modulus=modulus, viscosity=1.0)
    column = shapes.Box((4 * dx, 2 * dx, depth), center=(2 * dx, dx, depth / 2))
    scene.add_mpm(column, water, density=DENSITY, spacing=dx / 2, name="water")
    scene.add_collider(floor(dx), name="floor")
    steps = int(seconds / dt)
    trajectory = scene.build(dt=dt, threads=1).rollout(steps, record_every=steps // 20, gradient=False).forward()
    z = np.asarray(trajectory["water.position"], float)[10:, 0, :, 2]  # later half; the water still rings
    compressed = (
        2.0 * DENSITY * GRAVITY * depth**2 / (3.0 * modulus)
    )  # twice what the mean height loses by the pressure
    return depth - 2.0 * float(z.mean()) - compressed


FLOORS = {
    "plane": lambda dx: shapes.Plane(),
    "box": lambda dx: shapes.Box((20 * dx, 20 * dx, 6 * dx), center=(0, 0, -3 * dx)),
}


@pytest.mark.parametrize("floor", FLOORS)
@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5, 0.75])
def test_water_keeps_its_level_wherever_the_floor_lies_between_the_nodes(floor, offset):
    """Within .3 cell of ten (measured .03 to .26): the surface is felt at a layer of nodes."""
    assert abs(water_over(FLOORS[floor], offset, 10)) <= 0.3 * 0.016


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5, 0.75])
def test_water_keeps_its_level_within_two_percent_on_twenty_cells(offset):
    assert abs(water_over(FLOORS["plane"], offset, 20)) <= 0.02 * 0.16


def channel(offset, cells, *, share=1.0, pressed=False):
    """Viscous fluid between sticking box plates a height H apart, of which the lower face lies `offset` cells above a node.

    Returns the shear in the middle over U / H with the upper plate moving at U, or, `pressed`, the mean velocity over
    Poiseuille's g H^2 / (12 nu). `share` scales the time step.
    """
    height, viscosity, speed = 0.1, 0.01, 1e-3  # H [m], nu [m^2/s], U [m/s]; the fluid moves by a fraction of a cell
    dx, length = height / cells, 3 * height
    sound = 3.0 * viscosity / dx
    dt, low = 0.24 * dx / sound * share, -(4.0 + offset) * dx
    gravity = (12.0 * viscosity * speed / height**2, 0, 0) if pressed else (0, 0, 0)
    extent = ((-3 * dx, 0, low), (length + 3 * dx, 2 * dx, low + (cells + 9) * dx))
    scene = sim.Scene(gravity=gravity, extent=extent, cell_size=dx, walls=WIDE)
    syrup = materials.Fluid(bulk_modulus=DENSITY * sound**2, viscosity=DENSITY * viscosity)
    filling = shapes.Box((length, 2 * dx, height), center=(length / 2, dx, height / 2))
    scene.add_mpm(filling, syrup, density=DENSITY, spacing=dx / 2, name="syrup")
    for name, z in (("lower", -2 * dx), ("upper", height + 2 * dx)):
        plate = shapes.Box((length + 40 * dx, 20 * dx, 4 * dx), center=(length / 2, dx, z))
        scene.add_collider(plate, name=name, surface="stick")
    steps = int(0.35 * height**2 / viscosity / dt)
    rollout = scene.build(dt=dt, threads=1).rollout(steps, record_every=steps, gradient=False)
    pose = np.tile([length / 2, dx, height + 2 * dx, 0, 0, 0, 1.0], (1, rollout.intervals + 1, 1))
    pose[0, :, 0] += speed * np.linspace(0.0, steps * dt, rollout.intervals + 1)
    trajectory = rollout.forward({} if pressed else {"upper.pose": pose})
    x, _, z = np.asarray(trajectory["syrup.position"], float)[-1, 0].T
    u = np.asarray(trajectory["syrup.velocity"], float)[-1, 0, :, 0]
    middle = np.abs(x - length / 2) < height / 2
    if pressed:
        return float(u[middle].mean() / speed)
    core = middle & (np.abs(z - height / 2) < height / 4)
    return float(np.polyfit(z[core], u[core], 1)[0] * height / speed)


@pytest.mark.parametrize("offset", [0.0, 0.25, 0.4, 0.5, 0.75])
def test_couette_flow_between_sticking_plates_sees_their_distance_within_half_a_cell(offset):
    """mu U / H within 5 % at ten cells (measured .962 to .996)."""
    assert channel(offset, 10) == pytest.approx(1.0, abs=0.05)


@pytest.mark.slow
def test_couette_flow_hardly_depends_on_the_time_step():
    """On nodes not at all (measured .996, 1.000); between them the layer of a weight below one is felt the more."""
    assert channel(0.0, 10, share=0.3) == pytest.approx(channel(0.0, 10), abs=0.01)
    assert channel(0.25, 10, share=0.3) == pytest.approx(channel(0.25, 10), abs=0.04)


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5])
def test_couette_flow_converges(offset):
    assert channel(offset, 20) == pytest.approx(1.0, abs=0.025)


@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5])
def test_a_channel_of_sticking_plates_flows_as_poiseuille_says(offset):
    """Within 7 % at ten cells; half a cell on each side would be 33 %.

    Measured with the filter of pressures, at the last offset 1.065; without it .960, .996, 1.057.
    """
    assert channel(offset, 10, pressed=True) == pytest.approx(1.0, abs=0.07)


def resting(shape, offset, dx=0.02):
    """How far the lowest layer of a cube of six cells has sunk after half a second, in cells."""
    modulus, side = 2e5, 6 * dx
    dt, low = 0.3 * dx / np.sqrt(1.35 * modulus / DENSITY), -(4.0 + offset) * dx
    scene = sim.Scene(extent=((-6 * dx, -6 * dx, low), (6 * dx, 6 * dx, low + 16 * dx)), cell_size=dx, walls="open")
    jelly = materials.FixedCorotated(youngs_modulus=modulus, poissons_ratio=0.3)
    scene.add_mpm(shapes.Box(side, center=(0, 0, side / 2)), jelly, density=DENSITY, spacing=dx / 2, name="cube")
    scene.add_collider(shape(dx), friction=0.5, name="floor")
    steps = int(0.5 / dt)
    trajectory = scene.build(dt=dt, threads=1).rollout(steps, record_every=steps, gradient=False).forward()
    z = np.sort(np.asarray(trajectory["cube.position"], float)[-1, 0, :, 2])
    return float(dx / 4 - z[:144].mean()) / dx


def mesh_box(dx):
    sides = np.array((12 * dx, 12 * dx, 4 * dx))
    corners = np.stack(np.meshgrid(*[(-0.5, 0.5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * sides
    faces = [(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1),
             (2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)]  # fmt: skip
    return shapes.Mesh(vertices=corners, faces=np.array(faces), center=(0, 0, -2 * dx))


@pytest.mark.parametrize("shape", [*FLOORS.values(), mesh_box], ids=["plane", "box", "mesh"])
@pytest.mark.parametrize("offset", [0.0, 0.5, 0.75])
def test_a_body_laid_on_a_collider_stands_on_its_surface(shape, offset):
    """Within .15 cell (measured at most .03)."""
    assert abs(resting(shape, offset)) <= 0.15


@pytest.mark.slow
def test_the_gradient_with_respect_to_a_floors_height_has_the_mean_of_the_slope():
    """Water falls on a floor at 17 heights over a cell: no jump, and the mean adjoint within 5 % (measured 1.5 %)."""
    dx, depth, dt, steps = 0.016, 0.096, 5e-4, 240
    scene = sim.Scene(extent=((0, 0, -4 * dx), (4 * dx, 2 * dx, 12 * dx)), cell_size=dx, walls="slip")
    column = shapes.Box((4 * dx, 2 * dx, depth), center=(2 * dx, dx, depth / 2 + 1.2 * dx))
    water = materials.Fluid(bulk_modulus=2e4, viscosity=1.0)
    scene.add_mpm(column, water, density=DENSITY, spacing=dx / 2, name="water")
    scene.add_collider(shapes.Plane(), friction=0.4, name="floor")
    rollout = scene.build(dt=dt, threads=1, dtype="float64").rollout(steps, record_every=steps)
    height, adjoint, floors = [], [], np.linspace(0.0, dx, 17)
    for floor in floors:
        pose = np.tile([0, 0, floor, 0, 0, 0, 1.0], (1, rollout.intervals + 1, 1))
        z = np.asarray(rollout.forward({"floor.pose": pose})["water.position"])
        seed = np.zeros_like(z)
        seed[-1, 0, :, 2] = 1.0 / z.shape[2]
        height.append(z[-1, 0, :, 2].mean())
        adjoint.append(np.asarray(rollout.backward({"water.position": seed})["floor.pose"])[..., 2].sum())
    slope = (height[-1] - height[0]) / dx
    assert np.trapezoid(adjoint, floors) / dx == pytest.approx(slope, rel=0.05)


@pytest.mark.parametrize(("cells", "least"), [(4, 0.88), pytest.param(8, 0.93, marks=pytest.mark.slow)])
def test_a_fixed_ball_in_water_is_lifted_by_nearly_what_archimedes_says(cells, least):
    """Aim 1; measured .90, .92 and .94 of it at 4, 6 and 8 cells a radius: water comes a fifth of a cell too near."""
    radius, sound = 0.05, 8.0
    dx = radius / cells
    side = round(3.2 * cells) * dx
    scene = sim.Scene(extent=((0, 0, 0), (side, side, side + 6 * dx)), cell_size=dx, walls="slip")
    grid = (np.arange(round(2 * side / dx)) + 0.5) * dx / 2
    x = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), -1).reshape(-1, 3)
    x = x[np.linalg.norm(x - side / 2, axis=1) > radius]
    water = materials.Fluid(bulk_modulus=DENSITY * sound**2, viscosity=1.0)
    points = shapes.Points(x, volume=len(x) * (dx / 2) ** 3)
    scene.add_mpm(points, water, density=DENSITY, spacing=dx / 2, name="water")
    scene.add_collider(shapes.Sphere(radius, center=(side / 2,) * 3), name="ball")
    steps = round(0.3 * sound / (0.4 * dx))
    rollout = scene.build(dt=0.4 * dx / sound, threads=1).rollout(steps, record_every=steps // 30, gradient=False)
    volume = 4.0 / 3.0 * np.pi * radius**3
    depth = len(x) * (dx / 2) ** 3 / side**2 + volume / side**2 - x[:, 2]
    start = np.cbrt(1.0 - GRAVITY * depth / sound**2)[:, None, None] * np.eye(3)  # at rest but for the ball
    lift = np.asarray(rollout.forward({"water.deformation_gradient": start[None]})["ball.wrench"])[:, 0, 2]
    assert least <= lift[15:].mean() / (DENSITY * GRAVITY * volume) <= 1.03
