"""Learned laws in scenes: beside analytic ones, several at once, one shared by two bodies; and as the law they imitate."""

import numpy as np
import pytest
import torch

from pliant import sim
from pliant.learn import TorchLaw, simulate
from pliant.learn.models.laws import AnisotropicNetwork, DissipativeReturnMap, HenckyLaw, HyperelasticNetwork
from pliant.sim import materials, shapes
from tests.law_samples import make

WATER = materials.Fluid(bulk_modulus=2e4, viscosity=0.5)
STEPS = 30


def pool(**laws):
    """Blocks of 27 particles of each law, side by side and thrown at each other, in contact from the first substep on."""
    scene = sim.Scene(gravity=(0, 0, -9.81), extent=((-0.3, -0.3, -0.3), (0.7, 0.4, 0.4)), cell_size=0.05)
    for index, (name, law) in enumerate(laws.items()):
        box = shapes.Box((0.1, 0.1, 0.1), center=(0.1 * index, 0.0, 0.0))
        speed = 1.0 if index == 0 else -1.0
        scene.add_mpm(box, law, density=1000.0, spacing=0.1 / 3, name=name, velocity=(speed, 0.3 * index, 0.0))
    return scene.build(dt=2e-4, dtype="float64", threads=1).rollout(STEPS, record_every=STEPS)


def loss_of(rollout, values=None):
    trajectory = simulate(rollout, values)
    return sum(trajectory[name][-1].square().sum() for name in trajectory if name.endswith("velocity"))


def jelly():
    return TorchLaw(make(HyperelasticNetwork, stress_scale=1e5))


def clay():
    return TorchLaw(make(HenckyLaw, stress_scale=2e5), make(DissipativeReturnMap, strain_scale=1e-2))


def fibres():
    return TorchLaw(make(AnisotropicNetwork, stress_scale=1e5, fibres=((1.0, 1.0, 0.0), (1.0, -1.0, 0.0))))


def shared():
    law = jelly()
    return {"left": law, "right": law}


@pytest.mark.parametrize(
    "laws",
    [
        lambda: {"jelly": jelly(), "water": WATER},
        lambda: {"jelly": jelly(), "water": WATER, "clay": clay(), "flesh": fibres()},
        shared,
    ],
    ids=["learned jelly in water", "three learned laws and water", "one law of two bodies"],
)
def test_gradients_reach_the_weights_of_every_learned_law_in_a_scene(laws):
    laws = laws()
    rollout = pool(**laws)
    learned = {id(law): law for law in laws.values() if isinstance(law, TorchLaw)}
    weights = [w for law in learned.values() for w in law.parameters()]
    loss_of(rollout).backward()
    rng = torch.Generator().manual_seed(0)
    direction = [torch.randn(w.shape, dtype=w.dtype, generator=rng) for w in weights]
    exact = sum(float((w.grad * d).sum()) for w, d in zip(weights, direction, strict=True))
    assert all(w.grad is not None and w.grad.abs().max() > 0 for w in weights)
    values = []
    for sign in (1.0, -1.0):
        with torch.no_grad():
            _move(weights, direction, sign * 1e-5)
            values.append(float(loss_of(rollout)))
            _move(weights, direction, -sign * 1e-5)
    assert exact == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6)


def _move(weights, direction, step):
    for w, d in zip(weights, direction, strict=True):
        w += step * d


def test_a_law_of_another_precision_is_refused_when_the_rollout_is_made():
    for law in (jelly(), clay(), fibres()):
        with pytest.raises(sim.InputError, match="body 'flesh': expected a law with weights in float64 .* got float32"):
            pool(flesh=law.to(torch.float32))
        pool(flesh=law.to(torch.float64))


def test_parameters_of_an_analytic_law_keep_their_gradient_beside_a_learned_one():
    rollout = pool(jelly=jelly(), water=WATER)
    bulk = torch.tensor(2e4, dtype=torch.float64, requires_grad=True)
    loss_of(rollout, {"water.bulk_modulus": bulk}).backward()
    with torch.no_grad():
        up, down = (float(loss_of(rollout, {"water.bulk_modulus": bulk + h})) for h in (1.0, -1.0))
    assert float(bulk.grad) == pytest.approx((up - down) / 2.0, rel=1e-6)


def test_a_learned_law_with_the_moduli_of_an_analytic_one_moves_the_same():
    law = TorchLaw(make(HenckyLaw))
    with torch.no_grad():
        law.kirchhoff.log_moduli.fill_(np.log(4e4))  # lambda = mu: a Poisson's ratio of 1/4, E = 2.5 mu
    true = materials.Hencky(youngs_modulus=1e5, poissons_ratio=0.25)
    learned, analytic = (pool(block=block, water=WATER).forward() for block in (law, true))
    for name in analytic:
        assert np.abs(learned[name] - analytic[name]).max() < 1e-12
