"""Learned closures: what holds for any weights, and their gradients inside the moment solver."""

import numpy as np
import pytest
import torch

from pliant import learn, sim
from pliant.learn.models.closures import CLOSURES, closure_error, load_closure, save_closure, tensor_of
from pliant.learn.torch_closure import TorchClosure
from pliant.sim.spectral import PeriodicBox, equations
from tests.spectral_boxes import smooth

NAMES = list(CLOSURES)


def network_of(name: str, dtype: torch.dtype = torch.float64, gain: float = 3.0) -> torch.nn.Module:
    """Random weights, large enough that the network matters."""
    network = CLOSURES[name](hidden=(8, 8), dtype=dtype, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        network.layers[-1].weight *= gain
    return network


def fields(shape=(2, 12, 12)) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """c, a psi_2 that covers the realisable set with isotropy and perfect order, and e."""
    rng = torch.Generator().manual_seed(0)
    draw = lambda: torch.rand(shape, generator=rng, dtype=torch.float64)  # noqa: E731
    c, s, phase = 0.5 + draw(), draw(), 2.0 * torch.pi * draw()
    s.view(-1)[:4], s.view(-1)[4:8] = 0.0, 1.0
    return c, torch.polar(c * s, phase), torch.polar(2.0 * draw(), 2.0 * torch.pi * draw())


def smooth_fields(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """c, psi_2 and e of a few long waves, sampled on [1, count, count] points."""
    angle = 2.0 * torch.pi * torch.arange(count, dtype=torch.float64) / count
    y, x = torch.meshgrid(angle, angle, indexing="ij")
    psi2 = 0.4 * torch.exp(1j * x) + 0.3 * torch.cos(y + 0.5)
    e = 0.05 * torch.exp(1j * (x - y)) + 0.02 * torch.sin(y)
    return torch.ones(1, count, count, dtype=torch.float64), psi2[None], e[None]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("angle", [0.3, 1.0, 2.5])
def test_a_closure_turns_with_the_fluid(name, angle):
    network, (c, psi2, e) = network_of(name), fields()
    turn = complex(np.exp(2j * angle))
    gap = network(c, turn * psi2, turn * e) - turn**2 * network(c, psi2, e)
    assert gap.abs().max() < 1e-13


@pytest.mark.parametrize("name", NAMES)
def test_a_closure_is_mirrored_with_the_fluid(name):
    network, (c, psi2, e) = network_of(name), fields()
    gap = network(c, psi2.conj(), e.conj()) - network(c, psi2, e).conj()
    assert gap.abs().max() < 1e-13


@pytest.mark.parametrize("move", [lambda f: f.rot90(1, (1, 2)), lambda f: f.flip(2)], ids=["turned", "mirrored"])
def test_the_convolutional_closure_moves_with_the_lattice(move):
    network, (c, psi2, e) = network_of("convolutional"), fields()
    gap = network(move(c), move(psi2), move(e)) - move(network(c, psi2, e))
    assert gap.abs().max() < 1e-13


def test_the_convolutional_closure_sees_how_the_order_varies_around_a_point():
    network, (c, psi2, e) = network_of("convolutional"), fields()
    other = psi2.clone()
    other[:, 6, 7] *= 0.5
    changed = (network(c, other, e) - network(c, psi2, e)).abs()[0]
    assert changed[6, 6] > 1e-6  # the point beside it
    assert changed[0, 0] < 1e-13  # and one no average reaches


def test_the_convolutional_closure_averages_the_same_neighbourhood_on_closer_points():
    network, (c, psi2, e) = network_of("convolutional"), smooth_fields(24)
    finer = smooth_fields(48)
    gap = network(*finer, (0.125, 0.125))[:, ::2, ::2] - network(c, psi2, e, (0.25, 0.25))
    assert gap.abs().max() < 1e-13
    assert (network(*finer)[:, ::2, ::2] - network(c, psi2, e)).abs().max() > 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_a_closure_is_realisable_whatever_its_weights(name):
    network, (c, psi2, e) = network_of(name, gain=300.0), fields()
    q, x = network(c, psi2, e) / c, (psi2 / c).abs().square()
    assert ((q - (psi2 / c) ** 2).abs() <= 1.0 - x + 1e-12).all()


@pytest.mark.parametrize("name", NAMES)
def test_s_is_symmetric_and_its_trace_is_d(name):
    network, (c, psi2, e) = network_of(name), fields()
    S = tensor_of(c, psi2, network(c, psi2, e))
    for order in [(1, 0, 2, 3), (2, 1, 0, 3), (3, 1, 2, 0)]:
        assert (S == S.permute(0, 1, 2, *(3 + i for i in order))).all()
    D11, D12 = (c + psi2.real) / 2.0, psi2.imag / 2.0
    D = torch.stack([D11, D12, D12, c - D11], dim=-1).reshape(*c.shape, 2, 2)
    assert (torch.einsum("...ijkk->...ij", S) - D).abs().max() < 1e-15


def test_the_error_of_a_closure_is_that_of_all_components_of_s():
    c, psi2, e = fields()
    one, other = (network_of(name)(c, psi2, e).detach() for name in ("order", "strain"))
    S, made = tensor_of(c, psi2, one), tensor_of(c, psi2, other)
    assert float(closure_error(c, psi2, one, other)) == pytest.approx(float((made - S).norm() / S.norm()), rel=1e-12)


def model_of(closure: TorchClosure, dtype: str = "float64", resolution: int = 12, batch: int = 1):
    box = PeriodicBox((10.0, 10.0), (resolution, resolution))
    order = np.array([0.5, 0.1]) + 0.15 * smooth(box, 3, components=2)
    equation = equations.ActiveFluid(activity=-1.5, alignment=0.6, constraint=0.8, closing=closure)
    box.add_field(equation, concentration=1.0 + 0.05 * smooth(box, 2), order=order)
    return box.build(dt=0.05, integrator="ETDRK2", dtype=dtype, batch=batch)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_by_state_and_parameters_agree_with_finite_differences_through_a_closure(name):
    rollout = model_of(TorchClosure(network_of(name))).rollout(4, record_every=2)
    report = learn.check_gradients(
        rollout, lambda t: sum(a.square().sum() for a in t.values()), probes=1, sweep=(1e-4, 1e-5)
    )
    assert report.ok and max(p.error for p in report.parameters) <= 1e-6, f"{report}"


@pytest.mark.parametrize("name", NAMES)
def test_gradients_by_weights_agree_with_finite_differences(name):
    closure = TorchClosure(network_of(name))
    rollout = model_of(closure).rollout(10, record_every=10, checkpoint_every=4)
    weight = closure.network.layers[0].weight
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(2), dtype=weight.dtype)

    def loss() -> torch.Tensor:
        return learn.simulate(rollout)["field.order"][-1].square().sum()

    def difference(h: float) -> torch.Tensor:
        values = []
        for step in (h, -h):
            with torch.no_grad():
                weight.add_(direction, alpha=step)
                values.append(loss())
                weight.sub_(direction, alpha=step)
        return (values[0] - values[1]) / (2.0 * h)

    loss().backward()
    slope = (weight.grad * direction).sum()
    extrapolated = (4.0 * difference(1e-4) - difference(2e-4)) / 3.0  # of fourth order
    assert float(slope) == pytest.approx(float(extrapolated), rel=1e-6)


def test_a_closure_survives_the_disk(tmp_path):
    closure, (c, psi2, e) = TorchClosure(network_of("strain", torch.float32)), fields()
    given = c.float(), psi2.to(torch.complex64), e.to(torch.complex64)
    save_closure(closure, tmp_path / "closure.pt", notes={"data": "none"})
    assert (load_closure(tmp_path / "closure.pt").network(*given) == closure.network(*given)).all()
    with pytest.raises(sim.InputError, match="save_closure: expected one of"):
        save_closure(TorchClosure(torch.nn.Linear(1, 1)), tmp_path / "other.pt")
    with pytest.raises(sim.InputError, match="found no file"):
        load_closure(tmp_path / "missing.pt")


def test_weights_of_another_precision_than_the_solver_are_refused():
    model = model_of(TorchClosure(network_of("strain", torch.float32)))
    with pytest.raises(sim.InputError, match="closure: expected weights of the solver's precision"):
        model.rollout(1).forward()
