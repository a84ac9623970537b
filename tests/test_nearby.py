"""The list of particles near colliders, which alone are pushed: complete, in order, short; the force is that of all particles."""

import numpy as np
import pytest

from pliant import sim
from pliant.sim import materials, shapes
from pliant.sim.mpm.particle_contact import BLOCK

TURN = (0.2, -0.4, 0.3, 0.842615)
SOLIDS = {
    "sphere": shapes.Sphere(0.12, center=(0.31, 0.2, 0.6)),
    "capsule": shapes.Capsule(0.08, 0.3, center=(0.3, 0.24, 0.5), rotation=TURN),
    "cylinder": shapes.Cylinder(0.1, 0.2, center=(0.62, 0.3, 0.5), rotation=TURN),
    "box": shapes.Box((0.3, 0.2, 0.1), center=(0.66, 0.7, 0.44), rotation=TURN),
    "mesh": shapes.Mesh(
        vertices=[[0, 0, 0], [0.3, 0, 0], [0, 0.25, 0], [0, 0, 0.4]],
        faces=[[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]],
        center=(0.35, 0.68, 0.38),
        rotation=TURN,
    ),
    "plane": shapes.Plane(normal=(0.1, 0.2, 1.0), offset=0.55),
}


def one_substep(names, *, batch=1, values=None, **options):
    """A block of 1,728 particles among colliders, after a substep from rest without weight: rollout and trajectory."""
    scene = sim.Scene(gravity=(0, 0, 0), extent=((0, 0, 0), (1, 1, 1)), cell_size=0.08)
    soft = materials.NeoHookean(youngs_modulus=1e5, poissons_ratio=0.3)
    for name, x in (("left", 0.37), ("right", 0.62)):
        block = shapes.Box((0.24, 0.48, 0.24), center=(x, 0.5, 0.5))
        scene.add_mpm(block, soft, density=1000.0, spacing=0.04, name=name, contact_stiffness=1e5)
    for name in names:
        scene.add_collider(SOLIDS[name], friction=0.0, name=name)
    model = scene.build(dt=1e-5, dtype="float64", threads=1, batch=batch, **options)
    rollout = model.rollout(1, record_every=1)
    return rollout, rollout.forward(values or {})


def listed(rollout):
    """The particles in the lists of all blocks, in order."""
    contact, made = rollout.solver.contact, []
    entries, number = contact.listed.numpy(), contact.number.numpy()
    for body in contact.bodies:
        for begin in range(body.start, body.end, BLOCK):
            made.append(entries[begin : begin + number[begin]])
    return np.concatenate(made)


@pytest.mark.parametrize("name", list(SOLIDS))
def test_what_a_collider_can_push_is_listed_in_order_and_little_else(name):
    rollout, trajectory = one_substep([name])
    x = np.concatenate([trajectory[f"{body}.position"][0, 0] for body in ("left", "right")])
    distance, found = SOLIDS[name].signed_distance(x), listed(rollout)
    assert (distance < 0.02).sum() >= 10
    assert np.isin(np.flatnonzero(distance < 0.02), found).all()
    assert (np.diff(found) > 0).all()
    assert len(found) <= max(4 * (distance < 0.02).sum(), 60)


def test_every_environment_has_its_own_colliders():
    away = np.array([3.0, 3.0, 3.0, 0, 0, 0, 1.0])
    here = np.array([*SOLIDS["sphere"].center, 0, 0, 0, 1.0])
    poses = np.stack([away, here, away])[:, None].repeat(2, axis=1)
    rollout, _ = one_substep(["sphere"], batch=3, values={"sphere.pose": poses})
    alone = listed(one_substep(["sphere"])[0])
    expected = []
    for body in rollout.solver.contact.bodies:
        first = body.start // 3  # in a model of one environment
        own = alone[(alone >= first) & (alone < first + body.items)]
        expected.append(own - first + body.start + body.items)  # in the middle one of three
    assert len(alone) and np.array_equal(listed(rollout), np.concatenate(expected))


@pytest.mark.parametrize("name", ["sphere", "capsule", "plane"])
def test_the_force_on_a_collider_is_that_of_all_particles_it_touches(name):
    shape = SOLIDS[name]
    _, trajectory = one_substep(["plane", name] if name != "plane" else ["sphere", "plane"])
    x = np.concatenate([trajectory[f"{body}.position"][0, 0] for body in ("left", "right")])
    phi, h, step = shape.signed_distance(x), 0.04, 1e-6
    normal = np.stack(
        [shape.signed_distance(x + step * unit) - shape.signed_distance(x - step * unit) for unit in np.eye(3)], axis=1
    )
    push = 1e5 * h * np.maximum(0.5 * h - phi, 0.0)[:, None] * normal / (2 * step)
    force = -push.sum(axis=0)
    assert np.abs(force).max() > 1.0
    assert trajectory[f"{name}.wrench"][-1, 0, :3] == pytest.approx(force, rel=1e-6, abs=1e-6 * np.abs(force).max())
