"""Second derivatives of a rollout: right by every route that torch has, or refused with a sentence; never zero."""

import numpy as np
import pytest
import torch
from torch.autograd.functional import hessian, hvp, vhp

from pliant import sim
from pliant.learn import TorchLaw, simulate
from pliant.sim import InputError, materials, shapes

LAW = materials.NeoHookean(youngs_modulus=1e4, poissons_ratio=0.3)
E, V = torch.tensor(1e4, dtype=torch.float64), torch.tensor([0.2, 0.1, -1.0], dtype=torch.float64)


def make(law=LAW, dtype: str = "float64", **options) -> sim.Rollout:
    scene = sim.Scene(extent=((0, 0, 0), (1, 1, 1)), cell_size=0.1, **options)
    scene.add_mpm(shapes.Box(0.2, center=(0.5, 0.5, 0.21)), law, density=1000.0, spacing=0.05, name="jelly")
    scene.add_collider(shapes.Plane(center=(0, 0, 0.1)), friction=0.4, name="floor")
    if law is LAW:
        scene.add_muscle("jelly", fibre=(0, 0, 1), group=0, strength=1e3)
    return scene.build(dt=5e-4, dtype=dtype, threads=1).rollout(
        30, record_every=15, checkpoint_every=8, control_every=15
    )


@pytest.fixture(scope="module")
def rollout():
    return make()


def mean_height(rollout, stiffness, velocity):
    made = simulate(rollout, {"jelly.youngs_modulus": stiffness, "jelly.velocity": velocity})
    return (made["jelly.position"][-1, ..., 2] + 0.1 * made["jelly.velocity"][-1, ..., 2] ** 2).mean()


def gradient(rollout, *point):
    leaves = [p.clone().requires_grad_() for p in point]
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(mean_height(rollout, *leaves), leaves)])


def test_the_hessian_is_that_of_differences_of_gradients_and_symmetric(rollout):
    blocks = hessian(lambda e, v: mean_height(rollout, e, v), (E, V))
    found = torch.cat([torch.cat([b.reshape(n, -1) for b in row], 1) for n, row in zip((1, 3), blocks, strict=True)])
    expected, flat = [], torch.cat([E.reshape(1), V])
    for axis, step in enumerate((0.3, 3e-5, 3e-5, 3e-5)):
        shift = torch.zeros(4, dtype=torch.float64)
        shift[axis] = step
        ends = [gradient(rollout, (flat + s * shift)[0], (flat + s * shift)[1:]) for s in (1, -1)]
        expected.append((ends[0] - ends[1]) / (2 * step))
    scale = torch.tensor([1e4, 1.0, 1.0, 1.0], dtype=torch.float64)  # derivatives by the logarithm of the modulus
    expected, found = (scale[:, None] * m * scale for m in (torch.stack(expected), found))
    assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())
    assert float((found - found.T).abs().max()) <= 1e-5 * float(found.abs().max())


def test_products_with_the_hessian_agree_by_both_of_torchs_routes(rollout):
    along = (torch.tensor(100.0, dtype=torch.float64), torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64))
    loss = lambda e, v: mean_height(rollout, e, v)  # noqa: E731
    _, forward = hvp(loss, (E, V), along)
    _, backward = vhp(loss, (E, V), along)
    for a, b in zip(forward, backward, strict=True):
        assert torch.allclose(a, b, rtol=1e-9)
        assert a.abs().max() > 0


def test_a_penalty_on_the_gradient_has_its_gradient(rollout):
    def penalised(stiffness):
        (slope,) = torch.autograd.grad(mean_height(rollout, stiffness, V), stiffness, create_graph=True)
        return (1e4 * slope).square()

    stiffness = E.clone().requires_grad_()
    penalised(stiffness).backward()
    ends = [float(penalised((E + s).requires_grad_()).detach()) for s in (1.0, -1.0)]
    assert float(stiffness.grad) == pytest.approx((ends[0] - ends[1]) / 2.0, rel=1e-5)


def slope_of(rollout, **options):
    """A gradient that can be differentiated, as far as autograd knows."""
    dtype = getattr(torch, rollout.model.precision.name)
    velocity = V.to(dtype, copy=True).requires_grad_()
    made = simulate(rollout, {"jelly.velocity": velocity}, **options)
    (slope,) = torch.autograd.grad(made["jelly.position"][-1, ..., 2].square().sum(), velocity, create_graph=True)
    return slope.sum()


def policy(seen):
    return {"jelly.activation": seen["jelly.position"].mean(1)[:, 2:]}


class Law(torch.nn.Module):
    def forward(self, F):
        return 1e4 * (F @ F.transpose(1, 2) - torch.eye(3, dtype=F.dtype))


def test_what_has_no_second_derivative_is_refused_with_a_sentence(rollout):
    for made, options, words in (
        (make(dtype="float32"), {}, "a model in float64"),
        (rollout, {"policy": policy}, "a run without a policy"),
        (make(TorchLaw(Law())), {}, "built-in laws"),
    ):
        slope = slope_of(made, **options)
        with pytest.raises(InputError, match=words):
            slope.backward()


def test_a_third_derivative_is_refused(rollout):
    stiffness = E.clone().requires_grad_()
    (first,) = torch.autograd.grad(mean_height(rollout, stiffness, V), stiffness, create_graph=True)
    (second,) = torch.autograd.grad(first, stiffness, create_graph=True)
    with pytest.raises(InputError, match="got a third"):
        second.backward()


def test_a_kink_has_no_second_derivative():
    """At rest on the floor without gravity: a body that is pushed down stays, one that is pulled up leaves."""
    rollout = make(gravity=(0, 0, 0))
    flat = rollout.parameters()["jelly.position"].value.copy()
    velocity = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    low = flat - np.array([0, 0, flat[..., 2].min() - 0.125])
    made = simulate(rollout, {"jelly.velocity": velocity, "jelly.position": low})
    (slope,) = torch.autograd.grad(made["jelly.position"][-1, ..., 2].sum(), velocity, create_graph=True)
    with pytest.raises(InputError, match="kink"):
        slope[2].backward()


def test_weights_of_a_law_that_changed_before_backward_are_refused():
    class Weighted(Law):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones((), dtype=torch.float64))

        def forward(self, F):
            return self.scale * super().forward(F)

    law = Weighted()
    rollout = make(TorchLaw(law))
    loss = simulate(rollout)["jelly.velocity"][-1, ..., 2].mean()
    with torch.no_grad():
        law.scale.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    swapped = {"0.kirchhoff.scale": torch.full((), 3.0, dtype=torch.float64, requires_grad=True)}
    holder = torch.nn.ModuleList([rollout.binding.external_laws[0]])
    holder.forward = lambda: simulate(rollout)["jelly.velocity"][-1, ..., 2].mean()
    loss = torch.func.functional_call(holder, swapped, ())
    with pytest.raises(InputError, match="as they were in forward"):
        loss.backward()
