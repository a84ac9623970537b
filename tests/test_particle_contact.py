"""Contact of particles with colliders by a force from a position: textbook cases at two resolutions, robustness, gradients."""

import json
import math

import numpy as np
import pytest

from pliant import sim
from pliant.sim import InputError, materials, shapes

OFFSET = 0.0137  # m; surfaces lie on no node
SLAB = np.array([[x, y, z] for x in (-0.2, 0.2) for y in (-0.2, 0.2) for z in (-0.1, 0.0)])
FACES = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]]
FACES += [[2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
FLOORS = {
    "plane": shapes.Plane(offset=OFFSET),
    "box": shapes.Box((0.4, 0.4, 0.1), center=(0.0, 0.0, OFFSET - 0.05)),
    "mesh": shapes.Mesh(vertices=SLAB + [0.0, 0.0, OFFSET], faces=FACES),
}


def jelly(E=1e5, nu=0.3):
    return materials.NeoHookean(youngs_modulus=E, poissons_ratio=nu)


def scene_of(shape, side, count, material=None, *, cells=2.0, gravity=(0.0, 0.0, -9.81), **options):
    """A body with `count` particles along `side` [m], `cells` of them in a cell, in open space."""
    h = side / count
    scene = sim.Scene(gravity=gravity, extent=((-0.3, -0.3, -0.25), (1.0, 0.3, 0.4)), cell_size=cells * h, walls="open")
    scene.add_mpm(shape, material or jelly(), density=1000.0, spacing=h, name="body", **options)
    return scene


def run(scene, dt, seconds, frames=10, values=None, knots=1, **options):
    steps = round(seconds / dt / frames / knots) * frames * knots
    rollout = scene.build(dt=dt, threads=1, **options).rollout(
        steps, record_every=steps // frames, control_every=steps // knots, gradient=False
    )
    return rollout.forward(values or {})


@pytest.mark.parametrize(("floor", "count"), [("plane", 6), ("plane", 10), ("box", 6), ("mesh", 6)])
def test_a_body_at_rest_lies_on_a_surface_within_a_fiftieth_of_a_cell(floor, count):
    scene = scene_of(shapes.Box(0.1, center=(0.013, 0.007, 0.05 + OFFSET)), 0.1, count, contact_damping=50.0)
    scene.add_collider(FLOORS[floor], friction=0.5, name="floor")
    trajectory = run(scene, 6e-4 * 6 / count, 0.7)
    face = trajectory["body.position"][-1, 0, :, 2].min() - 0.05 / count
    assert abs(face - OFFSET) <= 0.02 * 0.2 / count
    assert trajectory["floor.wrench"][-2:, 0, 2].mean() == pytest.approx(-9.81, rel=3e-3)


@pytest.mark.parametrize("count", [6, 10])
def test_a_block_slides_as_coulomb_says_and_is_held_without_creep(count):
    for friction, share in ((0.3, 1.0), (0.8, 0.0)):
        angle = math.radians(30.0)
        gravity = (9.81 * math.sin(angle), 0.0, -9.81 * math.cos(angle))
        block = shapes.Box((0.12, 0.12, 0.08), center=(0.0, 0.0, 0.04))
        scene = scene_of(block, 0.08, count, jelly(3e5, 0.2), gravity=gravity, contact_damping=50.0)
        scene.add_collider(shapes.Plane(), friction=friction, name="floor")
        trajectory = run(scene, 3e-4 * 6 / count, 0.4, frames=20)
        speed = trajectory["body.velocity"][:, 0, :, 0].mean(axis=1)
        slope = np.polyfit(trajectory.times[6:], speed[6:], 1)[0]
        coulomb = 9.81 * (math.sin(angle) - 0.3 * math.cos(angle))
        assert slope / coulomb == pytest.approx(share, abs=0.01)
        if friction == 0.8:
            x = trajectory["body.position"][:, 0, :, 0].mean(axis=1)
            assert abs(x[-1] - x[10]) <= 3e-4  # in .2 s, while it still swings; the other one goes 140 mm


@pytest.mark.parametrize(
    ("count", "cells", "within"), [(6, 2.0, 0.04), (12, 2.0, 0.01), (8, 1.5, 0.015), (9, 3.0, 0.025)]
)
def test_a_cube_between_plates_pushes_back_with_e_a_strain(count, cells, within):
    scene = scene_of(shapes.Box(0.1), 0.1, count, cells=cells, gravity=(0, 0, 0), contact_damping=50.0)
    values, knots = {}, 10
    for name, sign in (("lower", -1.0), ("upper", 1.0)):
        scene.add_collider(shapes.Box((0.3, 0.3, 0.06), center=(0.0, 0.0, 0.08 * sign)), name=name)
        pose = np.tile([0.0, 0.0, 0.08 * sign, 0.0, 0.0, 0.0, 1.0], (knots + 1, 1))
        pose[:, 2] -= sign * 5e-4 * np.minimum(np.linspace(0.0, 2.5, knots + 1), 1.0)
        values[f"{name}.pose"] = pose
    force = run(scene, 4e-4 * 6 / count, 0.5, values=values, knots=knots)["upper.wrench"][-1, 0, 2]
    assert force / (1e5 * 0.01 * 0.01) == pytest.approx(1.0, abs=within)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "within"), [(8, 0.12), (16, 0.06)])
def test_a_rigid_ball_presses_with_hertzs_force(count, within):
    R, depth, E, nu = 0.05, 2.5e-3, 1e5, 0.3
    block = shapes.Box((0.12, 0.12, 0.08), center=(0.0, 0.0, 0.04))
    scene = scene_of(block, 0.08, count, jelly(E, nu), gravity=(0, 0, 0), contact_damping=10.0)
    scene.add_collider(shapes.Box((0.3, 0.3, 0.06), center=(0.0, 0.0, -0.03)), name="floor")
    scene.add_collider(shapes.Sphere(R, center=(0.0, 0.0, 0.08 + R)), name="ball")
    pose = np.tile([0.0, 0.0, 0.08 + R, 0.0, 0.0, 0.0, 1.0], (11, 1))
    pose[:, 2] -= depth * np.minimum(np.linspace(0.0, 2.0, 11), 1.0)
    force = run(scene, 4e-4 * 6 / count, 0.4, values={"ball.pose": pose}, knots=10)["ball.wrench"][-1, 0, 2]
    hertz = 4.0 / 3.0 * E / (1.0 - nu**2) * math.sqrt(R) * depth**1.5
    assert force / hertz == pytest.approx(1.0, abs=within)


@pytest.mark.parametrize("count", [10, 20])
@pytest.mark.parametrize("turns", [0.0, 1.0])
def test_a_ball_rolls_without_slip_whether_it_starts_turning_or_not(count, turns):
    """Friction judges the surface that touches; with the particles' centres or the nodes above, the ball turns 6 and 17 % too fast."""
    R = 0.1
    ball = shapes.Sphere(R, center=(0.0, 0.0, R))
    start = {"velocity": (0.8, 0.0, 0.0), "angular_velocity": (0.0, turns * 0.8 / R, 0.0), "contact_damping": 10.0}
    scene = scene_of(ball, 2 * R, count, jelly(2e5), **start)
    scene.add_collider(shapes.Plane(), friction=0.5, name="floor")
    trajectory = run(scene, 4e-4 * min(1.5, 20 / count), 0.6, frames=60)
    x, u = (trajectory[f"body.{name}"][30:, 0].astype(float) for name in ("position", "velocity"))
    r, v = x - x.mean(axis=1, keepdims=True), u.mean(axis=1)
    spin = np.cross(r, u - v[:, None]).sum(axis=1)[:, 1] / (r[..., 0] ** 2 + r[..., 2] ** 2).sum(axis=1)
    height = x[..., 2].mean(axis=1)  # a soft ball rolls on a radius between this and that at rest, 2 % more
    assert (spin * height).mean() / v[:, 0].mean() == pytest.approx(1.0, abs=0.02)


def test_the_impulse_on_a_floor_is_the_change_of_momentum():
    scene = scene_of(shapes.Sphere(0.05, center=(0.0, 0.0, 0.06)), 0.1, 8, gravity=(0, 0, 0), velocity=(0.3, 0.0, -0.5))
    scene.add_collider(shapes.Plane(), friction=0.4, name="floor")
    trajectory = run(scene, 4e-4, 0.1, frames=1, dtype="float64")
    mass = 1000.0 * 4.0 / 3.0 * math.pi * 0.05**3 / trajectory["body.velocity"].shape[2]
    change = mass * (trajectory["body.velocity"][-1, 0] - trajectory["body.velocity"][0, 0]).sum(axis=0)
    impulse = -trajectory["floor.wrench"][-1, 0, :3] * trajectory.times[-1]
    assert impulse == pytest.approx(change, rel=1e-12, abs=1e-14)
    assert change[2] > 0.4 * mass and change[0] < -0.01 * mass


def pads(thickness, squeeze, cell=0.0125, dt=5e-4, seconds=0.6):
    """Force [N] at .2 s and at the end of two pads that close on an elastic cube within .1 s."""
    scene = sim.Scene(extent=((-0.3, -0.15, 0), (0.3, 0.15, 0.3)), cell_size=cell)
    cube = materials.FixedCorotated(youngs_modulus=3e4, poissons_ratio=0.3)
    scene.add_mpm(shapes.Box(0.1, center=(0, 0, 0.05)), cube, density=1000.0, spacing=cell / 1.5, name="cube")
    scene.add_collider(shapes.Plane(), friction=0.3, name="floor")
    values, every = {}, round(0.1 / dt)
    for name, sign in (("left", -1), ("right", 1)):
        center = (sign * (0.052 + thickness / 2), 0, 0.05)
        scene.add_collider(shapes.Box((thickness, 0.1, 0.08), center=center), friction=1.0, name=name)
        pose = np.tile([*center, 0, 0, 0, 1.0], (round(seconds / 0.1) + 1, 1))
        pose[1:, 0] -= sign * squeeze
        values[f"{name}.pose"] = pose
    options = {"control_every": every, "record_every": every // 4, "gradient": False}
    trajectory = scene.build(dt=dt, threads=1).rollout(every * round(seconds / 0.1), **options).forward(values)
    assert trajectory.status.warnings == ()
    return -trajectory["left.wrench"][8, 0, 0], -trajectory["left.wrench"][-1, 0, 0]


@pytest.mark.parametrize(("thickness", "squeeze", "finer"), [(0.0125, 0.006, 26.0), (0.0375, 0.0125, 67.0)])
def test_pads_of_one_cell_and_of_three_hold_a_cube_for_good(thickness, squeeze, finer):
    """`finer` is the force at half the cell (see the slow test)."""
    first, last = pads(thickness, squeeze)
    assert last == pytest.approx(first, rel=0.03)
    assert last == pytest.approx(finer, rel=0.1)


@pytest.mark.slow
def test_pads_hold_with_the_force_of_a_finer_grid():
    for squeeze in (0.006, 0.0125, 0.025):
        finer = pads(0.03, squeeze, cell=0.00625, dt=2.5e-4, seconds=0.3)[1]
        for thickness in (0.0125, 0.025, 0.0375):
            assert pads(thickness, squeeze, seconds=0.3)[1] == pytest.approx(finer, rel=0.1)


def test_what_sinks_past_halfway_to_the_middle_is_warned_of_with_count_and_substep():
    scene = scene_of(shapes.Box(0.1, center=(0.0, 0.0, 0.06)), 0.1, 6, jelly(1e4), velocity=(0.0, 0.0, -6.0))
    scene.add_collider(shapes.Box((0.4, 0.4, 0.04), center=(0.0, 0.0, -0.02)), name="plate")
    (warning,) = run(scene, 5e-4, 0.05).status.warnings
    assert warning.startswith("collider 'plate': ") and "sank more than halfway to its middle" in warning
    assert "substep" in warning


def test_a_collider_that_jumps_over_its_own_thickness_is_warned_of():
    scene = scene_of(shapes.Box(0.1, center=(0.0, 0.0, 0.1)), 0.1, 6)
    scene.add_collider(shapes.Box((0.4, 0.4, 0.02), center=(0.0, 0.0, -0.1)), name="plate")
    pose = np.tile([0.0, 0.0, -0.1, 0.0, 0.0, 0.0, 1.0], (3, 1))
    pose[2, 2] = 0.9
    (warning,) = run(scene, 5e-4, 0.02, frames=2, values={"plate.pose": pose}, knots=2).status.warnings
    assert warning.startswith("collider 'plate': moves ") and "its thickness" in warning and "substep 20" in warning


def test_the_modulus_is_by_default_stable_at_the_longest_substep_and_refused_where_it_is_not():
    scene = scene_of(shapes.Box(0.1, center=(0.0, 0.0, 0.05)), 0.1, 6)
    scene.add_collider(shapes.Plane(), friction=0.5, name="floor")
    with pytest.raises(InputError, match="exceeds the elastic limit") as refused:
        scene.build(dt=1e-2)
    limit = 0.995 * float(str(refused.value).partition("limit ")[2].partition(" s")[0])
    trajectory = run(scene, limit, 1.0)
    assert np.abs(trajectory["body.velocity"][-1]).max() < 0.2
    scene.bodies[0]["contact_stiffness"] = 1e6
    with pytest.raises(
        InputError, match=r"exceeds the limit .* s of the contact of 'body' \(contact_stiffness 1e\+06 Pa"
    ) as stiff:
        scene.build(dt=limit)
    longest = 0.995 * float(str(stiff.value).partition("exceeds the limit ")[2].partition(" s")[0])
    trajectory = run(scene, longest, 0.5)
    assert np.abs(trajectory["body.velocity"][-1]).max() < 0.3


def test_solids_are_pushed_and_what_flows_keeps_the_grids_rule_unless_they_say_otherwise(tmp_path):
    def radius(material, **options):
        scene = scene_of(shapes.Box(0.1, center=(0, 0, 0.05)), 0.1, 6, material, **options)
        scene.add_collider(shapes.Plane(), name="floor")
        scene.save(tmp_path / "scene.json")
        again = sim.Scene.load(tmp_path / "scene.json").build(dt=1e-4)
        model = scene.build(dt=1e-4)
        assert again.bodies[0].radius == model.bodies[0].radius
        assert ("body.contact_stiffness" in model.parameters()) == (model.bodies[0].radius > 0.0)
        return model.bodies[0].radius

    clay = materials.VonMises(youngs_modulus=1e5, poissons_ratio=0.3, yield_stress=1e3)
    sand = materials.DruckerPrager(youngs_modulus=1e5, poissons_ratio=0.3, friction_angle=0.5)
    water = materials.Fluid(bulk_modulus=1e5, viscosity=1e-3)
    assert radius(jelly()) == radius(clay) == pytest.approx(0.1 / 12)
    assert radius(sand) == radius(water) == radius(jelly(), contact="grid") == 0.0
    assert radius(sand, contact="particle") == radius(water, contact_stiffness=1e5) == pytest.approx(0.1 / 12)


def test_a_description_from_before_is_read():
    scene = scene_of(shapes.Box(0.1, center=(0, 0, 0.05)), 0.1, 6)
    scene.add_collider(shapes.Plane(), name="floor")
    plain = json.loads(json.dumps(scene.to_dict()))
    for name in ("contact", "contact_stiffness", "contact_damping"):
        del plain["bodies"][0][name]
    assert "body.contact_stiffness" in sim.Scene.from_dict(plain).build(dt=1e-4).parameters()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"contact": "nodes"}, r"contact: expected one of \['particle', 'grid'\]"),
        ({"contact_stiffness": -1.0}, "body.contact_stiffness: expected 0 < value"),
        ({"contact_damping": -1.0}, "body.contact_damping: expected 0 <= value"),
    ],
)
def test_wrong_options_get_their_sentence(options, words):
    with pytest.raises(InputError, match=words):
        scene_of(shapes.Box(0.1), 0.1, 6, **options)
    with pytest.raises(InputError, match="`contact_stiffness`"):
        scene_of(shapes.Box(0.1), 0.1, 6, materials.Fluid(bulk_modulus=1e5, viscosity=0.0), contact="particle")


def busy(**options):
    """A soft block thrown on a floor, which it slides on and sticks to, under a ball that comes down and turns; and water."""
    scene = sim.Scene(extent=((0, 0, -0.2), (1, 1, 1)), cell_size=0.1)
    block, pool = shapes.Box(0.2, center=(0.4, 0.5, 0.13)), shapes.Box(0.2, center=(0.62, 0.5, 0.13))
    options = {"velocity": (1.0, 0.3, -1.0), "contact_damping": 0.2, **options}
    scene.add_mpm(block, jelly(2e4), density=1000.0, spacing=0.05, name="soft", **options)
    water = materials.Fluid(bulk_modulus=2e4, viscosity=3.0)
    scene.add_mpm(pool, water, density=1000.0, spacing=0.05, name="water", velocity=(-0.5, 0.3, -1.0))
    scene.add_collider(shapes.Plane(), friction=0.4, name="floor")
    scene.add_collider(shapes.Sphere(0.15, center=(0.45, 0.52, 0.38)), friction=0.5, name="ball")
    return scene


def weighted_sum(trajectory):
    rng = np.random.default_rng(1)
    weights = {n: rng.standard_normal(a.shape) for n, a in trajectory.arrays.items() if not n.endswith(".pose")}
    return sum(float((w * trajectory[n]).sum()) for n, w in weights.items()), weights


def descent(rollout):
    pose = np.tile([0.45, 0.52, 0.38, 0, 0, 0, 1.0], (rollout.model.batch, rollout.intervals + 1, 1))
    pose[..., 2] -= np.linspace(0, 0.12, rollout.intervals + 1)
    pose[..., 3] += np.linspace(0, 0.3, rollout.intervals + 1)
    return {"ball.pose": pose}


def test_every_parameter_agrees_with_finite_differences_and_with_the_tangent():
    rollout = (
        busy()
        .build(dt=5e-4, dtype="float64", threads=1)
        .rollout(200, control_every=50, record_every=25, checkpoint_every=15)
    )
    report = sim.check_gradients(rollout, weighted_sum, descent(rollout), probes=1, sweep=(1e-4, 1e-5, 1e-6, 1e-7))
    assert all(p.error <= 1e-6 for p in report.parameters), str(report)
    assert all(p.adjoint.any() for p in report.parameters)
    weights = weighted_sum(rollout.forward(descent(rollout)))[1]
    rng = np.random.default_rng(2)
    for name, gradient in rollout.backward(weights).items():
        direction = rng.standard_normal(gradient.shape)
        tangent = rollout.tangent({name: direction[None]})
        there = sum(float((w * tangent[n][0]).sum()) for n, w in weights.items())
        assert there == pytest.approx(float((gradient * direction).sum()), rel=1e-10), name


def test_the_modulus_follows_youngs_as_it_is_bound_and_so_does_the_gradient():
    """Who identifies a stiffness through a contact must not hold the contact at the first guess."""

    def built(E):
        scene = scene_of(shapes.Box(0.1, center=(0, 0, 0.06)), 0.1, 4, jelly(E=E))
        scene.add_collider(shapes.Plane(), friction=0.3, name="floor")
        return scene.build(dt=5e-4, dtype="float64", threads=1).rollout(60, record_every=60)

    rollout, name = built(2e4), "body.youngs_modulus"
    landing = {"body.velocity": np.array([0.0, 0.0, -1.0])}

    def height(value):
        return float(rollout.forward({**landing, name: value})["body.position"][-1, ..., 2].sum())

    slope = (height(3.0e4 + 10.0) - height(3.0e4 - 10.0)) / 20.0
    assert abs(slope) > 1e-8
    seed = np.zeros_like(rollout.forward({**landing, name: 3.0e4})["body.position"])
    seed[-1, ..., 2] = 1.0
    assert float(rollout.backward({"body.position": seed})[name]) == pytest.approx(slope, rel=1e-6)
    tangent = rollout.tangent({name: np.array([1.0])})["body.position"]
    assert float(tangent[0, -1, ..., 2].sum()) == pytest.approx(slope, rel=1e-6)
    there = built(3e4).forward(landing)["body.position"][-1, ..., 2].sum()
    assert float(there) == pytest.approx(height(3.0e4), rel=1e-12)
    held = rollout.forward({**landing, name: 3.0e4, "body.contact_stiffness": 3e4})["body.position"][-1, ..., 2].sum()
    assert abs(float(held) - float(there)) > 1e-4  # and it matters


def test_checkpoints_threads_and_environments_give_the_same_gradient():
    def gradients(batch=1, threads=1, **options):
        model = busy().build(dt=5e-4, dtype="float64", threads=threads, batch=batch)
        rollout = model.rollout(120, control_every=40, record_every=40, **options)
        trajectory = rollout.forward(descent(rollout))
        weights = {n: np.repeat(w, batch, axis=1) for n, w in weighted_sum(rollout_of_one)[1].items()}
        return rollout.backward(weights), trajectory

    single = busy().build(dt=5e-4, dtype="float64", threads=1).rollout(120, control_every=40, record_every=40)
    rollout_of_one = single.forward(descent(single))
    stored, _ = gradients()
    checkpointed, _ = gradients(checkpoint_every=7)
    assert all(np.array_equal(stored[n], checkpointed[n]) for n in stored)
    for other, _ in (gradients(threads=2), gradients(batch=2)):
        for name, gradient in stored.items():
            each = other[name].reshape(-1, *gradient.shape[1:]) if gradient.ndim else other[name]
            scale = max(np.abs(gradient).max(), 1e-12)
            assert np.abs(each - gradient).max() <= 1e-9 * scale, name
