"""A rollout's memory goes with its name."""

import gc
import weakref

import numpy as np
import pytest
import torch

from pliant import sim
from pliant.learn import TorchLaw, simulate
from pliant.learn.models.laws import LAWS
from pliant.sim import materials, shapes
from pliant.sim.spectral import PeriodicBox, equations


class Law(torch.nn.Module):
    def forward(self, F):
        return 1e4 * (F @ F.transpose(1, 2) - torch.eye(3, dtype=F.dtype))


def cube(law=None, **options) -> sim.Model:
    scene = sim.Scene(extent=((-0.3, -0.3, -0.1), (0.3, 0.3, 0.4)), cell_size=0.05, **options)
    law = law or materials.NeoHookean(youngs_modulus=2e4, poissons_ratio=0.3)
    scene.add_mpm(shapes.Box(0.1, center=(0, 0, 0.1)), law, density=1000.0, spacing=0.05, name="cube")
    scene.add_collider(shapes.Plane(), friction=0.4, name="floor")
    return scene.build(dt=5e-4, threads=1)


def waves() -> sim.solver.BaseModel:
    box = PeriodicBox(2 * np.pi, 32)
    box.add_field(equations.Burgers(viscosity=0.1), name="u", velocity=np.sin)
    return box.build(dt=1e-3)


MODELS = {
    "solid": cube,
    "water": lambda: cube(materials.Fluid(bulk_modulus=1e4, viscosity=0.1)),
    "memory": lambda: cube(transfer_memory=0.1),
    "torch law": lambda: cube(TorchLaw(Law())),
    "native law": lambda: cube(TorchLaw(LAWS["hyperelastic"](stress_scale=1e4))),
    "field": waves,
}


@pytest.fixture
def without_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("kind", MODELS)
def test_the_memory_of_a_rollout_goes_with_its_name(kind, without_collector):
    model = MODELS[kind]()
    gc.collect()  # of what was built
    rollout = model.rollout(8)
    trajectory = rollout.forward()
    rollout.backward({n: np.ones_like(a) for n, a in trajectory.items() if not n.endswith("pose")})
    alive = [weakref.ref(rollout), weakref.ref(rollout.solver)]
    del rollout
    assert [r() for r in alive] == [None, None]


def test_the_memory_of_a_policys_rollout_goes_with_its_name(without_collector):
    rollout = cube().rollout(8, control_every=4)
    pose = torch.tensor([[0.0, 0, 0, 0, 0, 0, 1]])
    made = simulate(
        rollout, {"cube.velocity": torch.zeros(3, requires_grad=True)}, policy=lambda seen: {"floor.pose": pose}
    )
    made["cube.position"].sum().backward()
    alive = [weakref.ref(rollout), weakref.ref(rollout.solver)]
    del rollout, made
    assert [r() for r in alive] == [None, None]
