"""Native code of learned laws: the same numbers as torch, in a network alone, around it, and in a whole rollout."""

import copy

import numpy as np
import pytest
import torch
import warp as wp
from torch.nn.functional import gelu, relu, silu

from pliant.learn import TorchLaw, simulate
from pliant.learn.models.laws import ElasticNetwork, HenckyLaw, HyperelasticNetwork, IsochoricReturnMap, PlasticNetwork
from pliant.learn.models.laws.entries import NO_FEATURES
from pliant.learn.models.laws.logarithmic import HENCKY_STRESS, flow_law, strain_state
from pliant.learn.models.laws.strain import (
    INVARIANT_STRESS,
    ROTATED_CORRECTION,
    ROTATED_STRESS,
    STRETCH_INVARIANTS,
    STRETCHES_STRAIN_VOLUME,
)
from pliant.learn.native.dense import ROWS, DenseShape
from pliant.learn.native.gradient import ScalarGradient
from pliant.learn.native.network import NetworkRoom, NetworkWeights
from pliant.learn.native.packed import Dense
from pliant.learn.native.sequential import NativeSequences, dense_of
from pliant.learn.pointwise import Assembly, Features, law_stages
from pliant.scenes import tumble
from pliant.sim.precision import precision

torch.set_num_threads(1)


def exact_softplus(z):
    """Without torch's threshold."""
    return torch.nn.functional.softplus(z, threshold=1e3)


ACTIVATIONS = {"gelu": gelu, "silu": silu, "tanh": torch.tanh, "relu": relu, "softplus": exact_softplus}
# A sum of up to 100 rows of order-one numbers is exact to a few units of round-off, relative to its largest entry.
EXACT = {"float32": 1e-6, "float64": 1e-12}
PRECISIONS = ("float32", "float64")


def distance(made, expected) -> float:
    """Largest difference relative to the largest expected number, or where all are zero, itself."""
    made, expected = torch.as_tensor(made).detach().double(), torch.as_tensor(expected).detach().double()
    return float((made - expected).abs().max() / (expected.abs().max() or 1.0))


def random_network(sizes, activation, bias, dtype):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(getattr(torch, dtype))

    pairs = list(zip(sizes, sizes[1:], strict=False))
    weights = [1.5 * draw(b, a) / a**0.5 for a, b in pairs]
    return Dense(weights, [draw(b) for _, b in pairs] if bias else [], activation, 0.5), draw


def torch_network(network, x, parameters):
    """Value of the network in float64."""
    layers = len(network.weights)
    for layer in range(layers):
        x = x @ parameters[layer].T + (parameters[layers + layer] if network.biases else 0.0)
        x = ACTIVATIONS[network.activation](x) if layer < layers - 1 else network.scale * x
    return x


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(
    ("sizes", "activation", "bias", "rows"),
    [
        ((13, 64, 64, 9), "gelu", False, 75),
        ((9, 64, 64, 9), "silu", True, ROWS),
        ((3, 33, 17), "tanh", True, 1),
        ((3, 20, 5, 40, 2), "relu", False, 100),
    ],
)
def test_a_network_and_its_product_are_torchs(sizes, activation, bias, rows, dtype):
    network, draw = random_network(sizes, activation, bias, dtype)
    packed = NetworkWeights(network.shape, precision(dtype))
    network.pack(packed.layout, *(torch.from_numpy(a.numpy()) for a in (packed.weights, packed.transposed)))
    x, dy = draw(rows, sizes[0]), draw(rows, sizes[-1])
    exact = [t.double().clone().requires_grad_() for t in (x, *network.parameters)]
    value = torch_network(network, exact[0], exact[1:])
    dx, *dparameters = torch.autograd.grad(value, exact, dy.double())

    room = NetworkRoom(packed, rows, keep=True)
    room.x[:], room.dy[:] = x, dy
    room.evaluate()
    room.pull_back()
    made = network.unpack(packed.layout, torch.from_numpy(room.dweights))
    assert distance(room.y, value) <= EXACT[dtype]
    assert distance(room.dx, dx) <= EXACT[dtype]
    for gradient, expected in zip(made, dparameters, strict=True):
        assert distance(gradient, expected) <= 2 * EXACT[dtype]


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_and_its_slope_are_accurate_everywhere(activation, dtype):
    """Compared in float64, relative to 1 + |z|; also where the exponential under- and overflows."""
    shape, p = DenseShape((1, 1, 1), activation, False), precision(dtype)
    packed = NetworkWeights(shape, p)
    one = [torch.ones(1, 1, dtype=getattr(torch, dtype))] * 2
    arrays = [torch.from_numpy(a.numpy()) for a in (packed.weights, packed.transposed)]
    Dense(one, [], activation).pack(packed.layout, *arrays)
    z = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([-1e4, -90.0, -1e-6, 0.0, 1e-6, 90.0, 1e4])])
    z = z.to(getattr(torch, dtype))
    room = NetworkRoom(packed, len(z), keep=True)
    room.x[:], room.dy[:] = z[:, None], 1.0
    room.evaluate()
    room.pull_back()
    exact = z.double().clone().requires_grad_()
    value = ACTIVATIONS[activation](exact)
    (slope,) = torch.autograd.grad(value.sum(), exact)
    units = 20 * p.epsilon  # in float64 that of the polynomial behind gelu
    assert ((torch.from_numpy(room.y[:, 0]).double() - value).abs() <= units * (1 + value.abs())).all()
    assert ((torch.from_numpy(room.dx[:, 0]).double() - slope).abs() <= 2 * units).all()


def test_a_number_that_is_not_finite_stays_one():
    for activation in ACTIVATIONS:
        network, _ = random_network((2, 4, 3), activation, True, "float32")
        packed = NetworkWeights(network.shape, precision("float32"))
        network.pack(packed.layout, *(torch.from_numpy(a.numpy()) for a in (packed.weights, packed.transposed)))
        room = NetworkRoom(packed, 2, keep=False)
        room.x[:] = [[np.nan, 1.0], [1.0, 1.0]]
        room.evaluate()
        assert np.isnan(room.y[0]).all() and np.isfinite(room.y[1]).all()


class Body:
    """The two ends of a body's particles, as stages are given them."""

    def __init__(self, stages, F, k_width, c_width):
        self.stages, self.count = stages, len(F)
        p = precision(str(F.dtype).removeprefix("torch."))
        rows = -(-len(F) // ROWS) * ROWS
        self.p, self.clock = p, wp.array([0, 0, 1], dtype=int, device="cpu")
        self.F, self.C, self.T, self.dF = (wp.zeros(2 * len(F), dtype=p.mat33, device="cpu") for _ in range(4))
        self.k, self.dk = (wp.zeros(rows * k_width, dtype=p.real, device="cpu") for _ in range(2))
        self.c, self.dc = (wp.zeros(rows * c_width, dtype=p.real, device="cpu") for _ in range(2))
        self.widths, self.scratch = (k_width, c_width), stages.scratch(len(F))
        tensor(self.F)[: len(F)] = F

    def launch(self, kernel, *arguments):
        wp.launch(kernel, dim=-(-self.count // self.stages.group), inputs=list(arguments), device="cpu")


def tensor(array):
    return torch.from_numpy(array.numpy())


YIELD = 3e-2
PAIRS = {  # what surrounds a network, and the strain that is one to it: errors are as many times larger
    "paper's stress": (STRETCHES_STRAIN_VOLUME, ROTATED_STRESS, 1.0),
    "paper's return map": (STRETCHES_STRAIN_VOLUME, ROTATED_CORRECTION, 1.0),
    "energy": (STRETCH_INVARIANTS, INVARIANT_STRESS, 1.0),
    "hencky": (NO_FEATURES, HENCKY_STRESS, 1.0),
    "flow": (strain_state(YIELD), flow_law(YIELD, 0.1), YIELD),
}


def deformations(case: str, dtype, count=37):
    """Rest, near rest, ordinary, some of them inverted, and two equal stretches."""
    generator = torch.Generator().manual_seed(1)
    eye = torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
    noise = torch.randn(count, 3, 3, dtype=torch.float64, generator=generator)
    if case == "equal":
        return (eye * torch.tensor([1.2, 1.2, 0.7], dtype=torch.float64)).to(dtype)
    return (eye + {"rest": 0.0, "near": 1e-3, "far": 0.4}[case] * noise).to(dtype)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("case", ["rest", "near", "equal", "far"])
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("lanes", [True, False], ids=["lanes", "particles"])
def test_the_stages_around_a_network_are_the_functions_of_one_particle(lanes, pair, case, dtype):
    kind = getattr(torch, dtype)
    features, assembly, strain = PAIRS[pair]
    sizes = (features.size, assembly.size)
    if not lanes:
        features = Features(features.function, features.size, features.vjp)
        assembly = Assembly(assembly.function, assembly.size)
    F = deformations(case, kind)
    F = F[F.det() > 0.0] if pair == "energy" else F  # which has the logarithm of det F
    generator = torch.Generator().manual_seed(2)
    c, A, g = (
        torch.randn(len(F), *s, dtype=torch.float64, generator=generator).to(kind)
        for s in ((sizes[1],), (3, 3), (sizes[0],))
    )
    body = Body(law_stages(features, assembly, (16, 16), precision(dtype)), F, 16, 16)
    n, s = len(F), body.stages
    tensor(body.c).view(-1, 16)[:n, : sizes[1]] = c
    tensor(body.dk).view(-1, 16)[:n, : sizes[0]] = g
    body.launch(s.features, 0, n, n, 1, 0.0, body.clock, body.F, body.C, body.scratch, body.k)
    body.launch(s.assembly, 0, n, n, -1, body.clock, body.scratch, body.c, body.T)
    made = tensor(body.T)[:n].clone()
    tensor(body.T)[:n] = A
    body.launch(s.assembly_vjp, 0, n, body.scratch, body.c, body.T, body.dc)
    tensor(body.dF)[:n] = 1.0
    body.launch(s.features_vjp, 0, n, 1, body.scratch, body.dk, body.dF)

    F, c, A, g = (t.double() for t in (F, c, A, g))
    exact = assembly.pull_back(F, c, A)
    units = (32 if case != "far" else 500) * precision(dtype).epsilon / strain
    k, dc = tensor(body.k).view(-1, 16), tensor(body.dc).view(-1, 16)
    assert (k[:n, : sizes[0]] - features.value(F)).abs().max() <= units
    assert not k[n:].any() and not dc[n:].any(), "rows beyond the particles must not weigh on a gradient"
    assert distance(made, assembly.value(F, c)) <= units
    assert distance(dc[:n, : sizes[1]], exact[1]) <= units
    assert distance(tensor(body.dF)[:n], 1.0 + exact[0] + features.pull_back(F, g)) <= units


def test_the_matrix_of_a_trial_state_is_made_anew():
    F, C = deformations("far", torch.float64), deformations("near", torch.float64)
    body = Body(law_stages(STRETCHES_STRAIN_VOLUME, ROTATED_STRESS, (16, 16), precision("float64")), F, 16, 16)
    n = len(F)
    tensor(body.C)[n:] = C
    body.launch(body.stages.features, 0, n, n, 1, 0.25, body.clock, body.F, body.C, body.scratch, body.k)
    expected = STRETCHES_STRAIN_VOLUME.value(F + 0.25 * C @ F)
    assert distance(tensor(body.k).view(-1, 16)[:n, :13], expected) <= 1e-13


class CalledElastic(ElasticNetwork):
    """The same law, evaluated by torch."""

    def coefficients(self, k):
        return super().coefficients(k)


class CalledPlastic(PlasticNetwork):
    """Likewise."""

    def coefficients(self, k):
        return super().coefficients(k)


class CalledEnergy(HyperelasticNetwork):
    """Likewise."""

    def coefficients(self, k):
        return super().coefficients(k)


class CalledIsochoric(IsochoricReturnMap):
    """Likewise."""

    def coefficients(self, k):
        return super().coefficients(k)


def tumbling(law, dtype, threads=1, steps=20):
    """A rollout of the tumbling cube, its final positions and what a loss on them gives for the start and the weights."""
    model = tumble.build().with_material("cube", law).build(dt=5e-4, dtype=dtype, threads=threads, batch=2)
    rollout = model.rollout(steps, record_every=steps, checkpoint_every=7)
    start = torch.tensor(rollout.parameters()["cube.position"].value, requires_grad=True)
    F = torch.eye(3, dtype=start.dtype) * torch.tensor([1.1, 1.0, 0.9], dtype=start.dtype)
    F = F.repeat(*start.shape[:2], 1, 1).requires_grad_()
    law.zero_grad()
    made = simulate(rollout, {"cube.position": start, "cube.deformation_gradient": F})
    value = made["cube.position"][-1]
    (value - 0.3).square().sum().backward()
    return value, [start.grad, F.grad, *(w.grad for w in law.parameters())]


def paper_law(dtype, elastic=ElasticNetwork, plastic=PlasticNetwork):
    options = {"dtype": getattr(torch, dtype), "gain": 0.5}
    return TorchLaw(
        elastic(stress_scale=1e4, generator=torch.Generator().manual_seed(0), **options),
        plastic(generator=torch.Generator().manual_seed(1), **options),
    )


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_a_recorded_law_moves_and_learns_as_the_called_one(dtype):
    """Fifteen substeps amplify round-off a little: ten times the bounds of a single evaluation."""
    value, gradients = tumbling(paper_law(dtype), dtype, steps=15)
    called, expected = tumbling(paper_law(dtype, CalledElastic, CalledPlastic), dtype, steps=15)
    assert distance(value, called) <= EXACT[dtype]
    for mine, theirs in zip(gradients, expected, strict=True):
        assert distance(mine, theirs) <= 10 * EXACT[dtype]


@pytest.mark.parametrize("hidden", [32, 11])
def test_a_recorded_energy_moves_and_learns_as_the_called_one(hidden):
    """Single precision is held against double, because near rest most of a gradient cancels (measured: up to 4e-5 of its
    largest entry, 9e-5 where torch is called)."""

    def run(cls, dtype):
        law = cls(stress_scale=1e4, gain=1.0, hidden=hidden, generator=torch.Generator().manual_seed(0))
        return tumbling(TorchLaw(law.to(getattr(torch, dtype))), dtype)

    called, expected = run(CalledEnergy, "float64")
    for dtype, bound in (("float64", 10 * EXACT["float64"]), ("float32", 1e-4)):
        value, gradients = run(HyperelasticNetwork, dtype)
        assert distance(value, called) <= EXACT[dtype]
        for mine, theirs in zip(gradients, expected, strict=True):
            assert distance(mine, theirs) <= bound


def test_a_recorded_isochoric_map_moves_and_learns_as_the_called_one():
    runs = []
    for cls in (IsochoricReturnMap, CalledIsochoric):
        rng = torch.Generator().manual_seed(0)
        law = TorchLaw(HenckyLaw(stress_scale=1e4), cls(strain_scale=1e-2, generator=rng)).double()
        runs.append(tumbling(law, "float64"))
    (value, gradients), (called, expected) = runs
    assert distance(value, called) <= EXACT["float64"]
    for mine, theirs in zip(gradients, expected, strict=True):
        assert distance(mine, theirs) <= 10 * EXACT["float64"]


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(("size", "hidden", "rows"), [(3, 32, 75), (5, 11, ROWS), (17, 40, 1)])
def test_a_scalar_networks_gradient_and_its_product_are_torchs(size, hidden, rows, dtype):
    rng = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=rng, dtype=torch.float64).to(getattr(torch, dtype))

    network = ScalarGradient(
        draw(hidden, size), draw(hidden), draw(hidden, hidden) / hidden**0.5, draw(hidden), draw(hidden), draw(2),
        draw(2, size), draw(2, size), draw(size),
    )  # fmt: skip
    packed = NetworkWeights(network.shape, precision(dtype))
    network.pack(packed.layout, torch.from_numpy(packed.weights.numpy()))
    x, dy = draw(rows, size), draw(rows, size)
    k, *exact = (t.double().clone().requires_grad_() for t in (x, *network))
    net = ScalarGradient(*exact)

    def slope(k):
        scalar = (
            exact_softplus(exact_softplus(k @ net.first.T + net.first_bias) @ net.second.T + net.second_bias) @ net.last
        )
        return torch.autograd.grad(scalar.sum(), k, create_graph=True)[0]

    value = slope(k) + k * (net.factors @ net.slopes) + net.factors @ net.offsets
    at_rest = slope(torch.zeros_like(k[:1]).requires_grad_())[0] @ net.rest
    value = torch.cat([value[:, :-1], value[:, -1:] - at_rest], dim=1)
    dk, *dweights = torch.autograd.grad(value, [k, *exact[:6]], dy.double())

    room = NetworkRoom(packed, rows, keep=True)
    room.x[:], room.dy[:] = x, dy
    room.evaluate()
    room.pull_back()
    made = ScalarGradient.gradients(network.shape, packed.layout, torch.from_numpy(room.dweights))
    assert distance(room.y, value) <= 2 * EXACT[dtype]
    assert distance(room.dx, dk) <= 5 * EXACT[dtype]
    for gradient, expected in zip(made, dweights, strict=True):
        assert distance(gradient, expected) <= 10 * EXACT[dtype]
    slim = NetworkRoom(packed, rows, keep=False)
    slim.x[:] = x
    slim.evaluate()
    assert np.array_equal(slim.y, room.y)


def test_a_recorded_law_repeats_its_bits_and_shares_its_particles_among_threads():
    runs = [tumbling(paper_law("float64"), "float64", threads=threads) for threads in (1, 1, 2)]
    for first, again, shared in zip(*(gradients for _, gradients in runs), strict=True):
        assert torch.equal(first, again)
        assert distance(shared, first) <= EXACT["float64"]


def test_a_recorded_law_runs_with_the_weights_of_the_moment():
    law = paper_law("float64")
    model = tumble.build().with_material("cube", law).build(dt=5e-4, dtype="float64", threads=1)
    rollout = model.rollout(5, record_every=5)
    first = rollout.forward()["cube.position"][-1]
    with torch.no_grad():
        for weight in law.parameters():
            weight *= 1.5
    other = rollout.forward()["cube.position"][-1]
    law.load_state_dict(paper_law("float64").state_dict())
    assert not np.array_equal(first, other)
    assert np.array_equal(first, rollout.forward()["cube.position"][-1])


def test_a_class_that_changes_what_is_computed_is_not_recorded():
    assert (
        ElasticNetwork().dense() is not None
        and CalledElastic().dense() is None
        and HyperelasticNetwork().dense() is not None
        and CalledEnergy().dense() is None
    )


class Wrapped(torch.nn.Module):
    """F -> a network of F - I, symmetric, with whatever else a user writes around it."""

    def __init__(self, network, dtype=torch.float64):
        super().__init__()
        self.network = network.to(dtype)

    def forward(self, F):
        eye = torch.eye(3, dtype=F.dtype)
        rest = self.network(torch.zeros_like(F[:1]).flatten(1)).view(3, 3)
        made = self.network((F - eye).flatten(1)).view(-1, 3, 3) - 0.5 * rest
        return made + made.mT


class Potential(Wrapped):
    """F -> derivative of a scalar network, so that a gradient needs its second derivative."""

    def forward(self, F):
        with torch.enable_grad():
            F = F if F.requires_grad else F.detach().requires_grad_()
            (P,) = torch.autograd.grad(self.network(F.flatten(1)).sum(), F, create_graph=True)
        return P @ F.mT


def sequence(outputs=9, activation=torch.nn.SiLU, **options):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(9, 20, **options), activation(), torch.nn.Linear(20, 20, **options), activation(),
        torch.nn.Linear(20, outputs, **options),
    )  # fmt: skip


def value_and_gradients(module, F, installed=None):
    """The module's value, and the gradient of a contraction of it with respect to F and the parameters."""
    F = F.clone().requires_grad_()
    A = torch.randn(F.shape, dtype=F.dtype, generator=torch.Generator().manual_seed(4))
    packed = [s.weights for s in installed.known] if installed else []
    with installed.installed() if installed else torch.enable_grad():
        value = module(F)
        made = torch.autograd.grad(value, [F, *module.parameters(), *packed], A, allow_unused=True)
    own = [torch.zeros_like(w) if g is None else g for w, g in zip(module.parameters(), made[1:], strict=False)]
    if installed:
        installed.clear()
        installed.gather(made[len(made) - len(packed) :])
        slots = {id(w): i for i, w in enumerate(module.parameters())}
        for known in installed.known:
            for weight, gradient in zip(*known.gradients(), strict=True):
                own[slots[id(weight)]] += gradient
    return value, [made[0], *own]


@pytest.mark.parametrize(
    "module",
    [
        Wrapped(sequence()),
        Wrapped(sequence(bias=False)),
        Potential(sequence(1, torch.nn.GELU)),
        Wrapped(sequence(activation=torch.nn.Tanh), torch.float32),
    ],
    ids=["silu", "no bias", "potential", "float32"],
)
def test_a_sequence_in_a_users_module_gives_what_torch_gives(module):
    dtype = next(module.parameters()).dtype
    F = deformations("far", dtype)
    native = NativeSequences(module, precision(str(dtype).removeprefix("torch.")), used=True)
    native.load()
    assert len(native.known) == 1
    value, gradients = value_and_gradients(module, F, native)
    expected, theirs = value_and_gradients(module, F)
    limit = EXACT[str(dtype).removeprefix("torch.")]
    assert distance(value, expected) <= limit
    for mine, exact in zip(gradients, theirs, strict=True):
        assert distance(mine, exact) <= limit if exact.any() else not mine.any()
    with torch.no_grad(), native.installed():
        assert distance(module(F), expected) <= limit


def test_what_native_code_does_not_know_stays_with_torch():
    hooked = sequence()
    hooked[1].register_forward_hook(lambda module, inputs, output: 2 * output)
    mixed = sequence()
    mixed[3] = torch.nn.Tanh()
    approximate = sequence(activation=lambda: torch.nn.GELU(approximate="tanh"))
    normed = torch.nn.Sequential(torch.nn.Linear(9, 9), torch.nn.SiLU(), torch.nn.LayerNorm(9))
    for other in (hooked, mixed, approximate, normed, torch.nn.Sequential(torch.nn.Linear(9, 9)), sequence()[:4]):
        assert dense_of(other) is None
    assert dense_of(sequence()) is not None
    module = Wrapped(sequence())
    for p in ("float32", "float64"):
        native = NativeSequences(module, precision(p), used=True)
        native.load()
        assert len(native.known) == (p == "float64")


def test_transforms_of_torch_func_and_autocast_see_the_sequence_itself():
    module = Wrapped(sequence(1), torch.float32)
    native = NativeSequences(module, precision("float32"), used=True)
    native.load()
    F = deformations("far", torch.float32).flatten(1)
    slope = torch.func.vmap(torch.func.grad(lambda f: module.network(f)[0]))
    plain = slope(F)
    with native.installed():
        assert torch.equal(slope(F), plain)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert module.network(F).dtype == torch.bfloat16
    assert "forward" not in vars(module.network)


def test_a_users_law_moves_and_learns_as_before():
    """In a rollout, against the same module whose sequence has a hook that changes nothing and so is left to torch."""
    laws = [TorchLaw(Wrapped(sequence())) for _ in range(2)]
    laws[1].kirchhoff.network[1].register_forward_hook(lambda module, inputs, output: output)
    (value, gradients), (expected, theirs) = (tumbling(law, "float64") for law in laws)
    assert distance(value, expected) <= 1e-12
    for mine, exact in zip(gradients, theirs, strict=True):
        assert distance(mine, exact) <= 1e-11


def test_frozen_weights_of_a_sequence_get_no_gradient_and_the_state_does():
    module = Wrapped(sequence())
    module.requires_grad_(False)
    law = TorchLaw(module)
    model = tumble.build().with_material("cube", law).build(dt=5e-4, dtype="float64", threads=1)
    rollout = model.rollout(3, record_every=3)
    start = torch.tensor(rollout.parameters()["cube.velocity"].value, requires_grad=True)
    simulate(rollout, {"cube.velocity": start})["cube.position"][-1].square().sum().backward()
    assert start.grad.any() and all(w.grad is None for w in law.parameters())


def test_a_deep_copy_of_a_law_made_after_a_run_is_its_own():
    law = TorchLaw(Wrapped(sequence()))
    tumbling(law, "float64", steps=2)
    other = copy.deepcopy(law)
    with torch.no_grad():
        for weight in other.parameters():
            weight.zero_()
    F = deformations("far", torch.float64)
    assert not other.kirchhoff(F).any() and law.kirchhoff(F).any()
