"""Rollouts as autograd nodes: policies in the loop and laws written in torch, in float64 against finite differences."""

import pytest
import torch

from pliant.learn import TorchLaw, simulate
from pliant.sim import InputError, Scene
from pliant.sim.materials import NeoHookean
from pliant.sim.shapes import Box, Plane, Sphere

E, NU = 2e4, 0.3


def model_of(law):
    """A soft block with two muscles, a floor and a ball, in two environments."""
    scene = Scene(extent=((0, 0, -0.1), (1, 1, 1)), cell_size=0.1)
    block = Box(0.3, center=(0.4, 0.5, 0.17))
    scene.add_mpm(block, law, density=1e3, spacing=0.05, name="body", velocity=(1, 0.3, -1), contact_stiffness=2e4)
    scene.add_muscle("body", fibre=(1, 0.2, 0), group=lambda x: (x[:, 0] > 0.4).astype(int), strength=2e3)
    scene.add_collider(Plane(), friction=0.3, name="floor")
    scene.add_collider(Sphere(0.15, center=(0.5, 0.5, 0.45)), friction=0.5, name="ball")
    return scene.build(dt=3e-4, dtype="float64", batch=2, threads=1)


@pytest.fixture(scope="module")
def rollout():
    return model_of(NeoHookean(youngs_modulus=E, poissons_ratio=NU)).rollout(60, record_every=10, control_every=20)


def difference(loss, tensor, direction, step):
    """Central difference of a loss along a direction of a leaf tensor."""
    values = []
    with torch.no_grad():
        for sign in (1, -2):
            tensor += sign * step * direction
            values.append(float(loss()))
        tensor += step * direction
    return (values[0] - values[1]) / (2 * step)


def test_the_gradient_flows_through_observation_and_action(rollout):
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(2, 3, generator=generator, dtype=torch.float64).requires_grad_()
    stiffness = torch.tensor(E, dtype=torch.float64, requires_grad=True)
    start = torch.tensor(rollout.parameters()["body.position"].value, requires_grad=True)

    def policy(seen):
        place, speed = seen["body.position"].mean(1), seen["body.velocity"].mean(1)
        pose = torch.tensor([[0.5, 0.5, 0.45, 0, 0, 0, 1.0]], dtype=torch.float64).repeat(2, 1)
        drop = torch.zeros_like(pose)
        drop[:, 2] = 1.0
        pose = pose - (0.5 * seen.time + 0.02 * torch.tanh(speed[:, :1])) * drop
        action = torch.sigmoid(torch.stack([place @ weights[0], speed @ weights[1]], dim=1))
        return {"body.activation": action, "ball.pose": pose}

    def loss():
        made = simulate(rollout, {"body.youngs_modulus": stiffness, "body.position": start}, policy=policy)
        return (
            made["body.position"][-1].square().sum()
            + made["body.velocity"][3].square().sum()
            + 1e-3 * made["ball.wrench"].sum()
        )

    value = loss()
    value.backward(retain_graph=True)
    first = weights.grad.clone()
    value.backward()
    assert torch.equal(weights.grad, 2 * first), "a second backward must add the same bits"
    for tensor, step in ((weights, 1e-5), (stiffness, 1.0), (start, 1e-6)):
        direction = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        expected = difference(loss, tensor, direction, step)
        assert float((tensor.grad * direction).sum()) / 2 == pytest.approx(expected, rel=1e-6)


class TorchNeoHookean(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.mu = torch.nn.Parameter(torch.tensor(E / (2 * (1 + NU)), dtype=torch.float64))
        self.lam = torch.nn.Parameter(torch.tensor(E * NU / ((1 + NU) * (1 - 2 * NU)), dtype=torch.float64))

    def forward(self, F):
        identity = torch.eye(3, dtype=F.dtype)
        return self.mu * (F @ F.mT - identity) + self.lam * torch.log(torch.linalg.det(F))[:, None, None] * identity


def test_a_torch_law_is_the_built_in_one_and_its_weights_have_gradients(rollout):
    law = TorchLaw(TorchNeoHookean())
    twin = model_of(law).rollout(60, record_every=10, control_every=20)
    mine, theirs = simulate(twin)["body.position"], simulate(rollout)["body.position"]
    assert float((mine - theirs).detach().abs().max()) <= 1e-14

    def loss():
        return simulate(twin)["body.position"][-1].square().sum()

    loss().backward()
    expected = difference(loss, law.kirchhoff.mu, torch.ones((), dtype=torch.float64), 1.0)
    assert float(law.kirchhoff.mu.grad) == pytest.approx(expected, rel=1e-6)


def test_a_policy_that_returns_something_else_gets_its_sentence(rollout):
    with pytest.raises(InputError, match="expected activations and poses"):
        simulate(rollout, policy=lambda seen: {"body.density": seen["body.position"]})


def test_an_unknown_name_of_an_observation_or_a_gradient_gets_a_sentence(rollout):
    with pytest.raises(KeyError, match="^observation: expected one of .*got 'body.colour'"):
        simulate(rollout, policy=lambda seen: seen["body.colour"])
    gradients = rollout.backward({"body.position": torch.ones_like(simulate(rollout)["body.position"])})
    with pytest.raises(KeyError, match="^gradients: expected one of .*got 'body.colour'"):
        gradients["body.colour"]


@pytest.mark.parametrize(("steps", "control_every", "record_every"), [(400, 50, 2), (1000, 4, 8), (700, 7, 7), (60, 20, 1)])
def test_frames_keep_step_with_the_controls_unless_told_otherwise(rollout, steps, control_every, record_every):
    made = rollout.model.rollout(steps, control_every=control_every)
    assert made.record_every == record_every and made.frame_steps == list(range(0, steps + 1, record_every))
