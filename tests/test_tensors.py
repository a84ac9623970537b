"""What a policy, a caller and torch.compile hand to `simulate`: accepted and right, or one sentence."""

import numpy as np
import pytest
import torch

from pliant import sim
from pliant.learn import simulate
from pliant.sim import InputError, materials, shapes


@pytest.fixture(scope="module")
def rollout():
    scene = sim.Scene()
    law = materials.NeoHookean(youngs_modulus=2e4, poissons_ratio=0.3)
    scene.add_mpm(shapes.Box(0.1, center=(0, 0, 0.06)), law, density=1000.0, spacing=0.05, name="j")
    scene.add_muscle("j", fibre=(0, 0, 1), group=0, strength=1e3)
    scene.add_collider(shapes.Plane(), friction=0.4, name="floor")
    return scene.build(dt=5e-4, dtype="float64", threads=1).rollout(20, record_every=10, control_every=10)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ({"j.activation": np.zeros((1, 1))}, "a tensor for j.activation, got ndarray"),
        ({"j.activation": [[0.0]]}, "a tensor for j.activation, got list"),
        ({"j.activation": torch.tensor(0.5)}, r"j.activation of shape \[1, 1\], got \[\]"),
        ({"j.activation": torch.zeros(1)}, r"j.activation of shape \[1, 1\], got \[1\]"),
        ({"j.activation": torch.zeros(1, 1, dtype=torch.complex64)}, "got one of complex64"),
        ({"floor.pose": torch.zeros(1, 6)}, r"floor.pose of shape \[1, 7\], got \[1, 6\]"),
        (None, "controls by name .* got nothing"),
        (torch.zeros(1, 1), "controls by name .* got Tensor"),
    ],
)
def test_what_a_policy_returns_by_mistake_gets_its_sentence(rollout, action, words):
    with pytest.raises(InputError, match=f"policy: expected .*{words}"):
        simulate(rollout, policy=lambda seen: action)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_actions_and_values_of_other_precisions_are_converted(rollout, dtype):
    def run(kind):
        action = torch.full((1, 1), 0.5, dtype=kind, requires_grad=True)
        modulus = torch.tensor(16384.0, dtype=kind, requires_grad=True)
        made = simulate(rollout, {"j.youngs_modulus": modulus}, policy=lambda seen: {"j.activation": action})
        made["j.position"][-1].square().sum().backward()
        return made["j.position"].detach(), action.grad, modulus.grad

    (moved, *slopes), (expected, *exact) = run(dtype), run(torch.float64)
    assert torch.equal(moved, expected)
    for slope, right in zip(slopes, exact, strict=True):
        rounding = 2 * torch.finfo(dtype).eps  # of each control interval's part
        assert slope.dtype == dtype and torch.allclose(slope.double(), right, rtol=rounding, atol=0.0)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.empty((), device="meta"), "got one on the device 'meta'"),
        (torch.ones(1).to_sparse(), "got one of layout sparse_coo"),
        (torch.ones((), dtype=torch.complex64), "got one of complex64"),
        ("stiff", "expected numbers of one shape, got 'stiff'"),
    ],
)
def test_values_that_hold_no_numbers_get_their_sentence(rollout, value, words):
    with pytest.raises(InputError, match=words):
        simulate(rollout, {"j.youngs_modulus": value})
    with pytest.raises(InputError, match="parameter values by name, got list"):
        simulate(rollout, [1.0])


def test_an_adjoint_that_torch_keeps_as_its_negative_is_taken(rollout):
    modulus = torch.tensor(2e4, dtype=torch.float64, requires_grad=True)
    position = simulate(rollout, {"j.youngs_modulus": modulus})["j.position"]
    plain = torch.ones_like(position)
    lazy = torch.full(position.shape, 1 - 1j, dtype=torch.complex128).conj().imag
    found = [torch.autograd.grad(position, modulus, seed, retain_graph=True)[0] for seed in (plain, lazy)]
    assert lazy.is_neg() and torch.equal(*found) and found[0] != 0


def test_torch_compile_leaves_a_rollout_as_it_is(rollout):
    def loss(modulus):
        return simulate(rollout, {"j.youngs_modulus": modulus * 1.0})["j.position"][-1].square().sum()

    found = []
    for function in (loss, torch.compile(loss, backend="eager")):
        modulus = torch.tensor(2e4, dtype=torch.float64, requires_grad=True)
        value = function(modulus)
        value.backward()
        found.append((float(value.detach()), float(modulus.grad)))
    assert found[0] == found[1]


def test_directions_that_hold_no_numbers_get_their_sentence_and_nothing_recorded_has_no_derivative(rollout):
    rollout.forward()
    with pytest.raises(InputError, match="directions by name, got list"):
        rollout.tangent([1.0])
    with pytest.raises(InputError, match="directions of numbers, got 'x'"):
        rollout.tangent({"j.velocity": "x"})
    silent = rollout.model.rollout(3, record=())
    silent.forward()
    assert not [name for name in silent.tangent({"j.velocity": np.ones((1, 3))}) if name.startswith("j.")]
