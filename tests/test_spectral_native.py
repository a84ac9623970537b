"""Steps replayed by compiled code: its transforms and operations, and the same numbers as without it."""

import warnings

import numpy as np
import pytest

from pliant.sim.precision import precision
from pliant.sim.spectral import INTEGRATORS, PeriodicBox, equations
from pliant.sim.spectral import model as spectral_model
from pliant.sim.spectral.native.operations import Operation
from pliant.sim.spectral.native.player import Player
from pliant.sim.spectral.native.recording import NotRecordable, RecordingArrays, Traced, has_fast_rows
from pliant.sim.spectral.native.tape import Tape
from tests.spectral_boxes import SIDE, smooth, weighted_loss

LINES = {  # every equation that lives in one dimension, and its step [s]
    "AdvectionDiffusion": (equations.AdvectionDiffusion(velocity=(0.7,), diffusivity=0.1), 0.02),
    "AllenCahn": (equations.AllenCahn(diffusivity=0.05), 0.05),
    "Burgers": (equations.Burgers(viscosity=0.1), 0.02),
    "CahnHilliard": (equations.CahnHilliard(gradient_energy=0.2), 0.02),
    "GrayScott": (equations.GrayScott(diffusivity_u=0.02, diffusivity_v=0.01), 0.05),
    "KortewegDeVries": (equations.KortewegDeVries(dispersion=0.1), 0.01),
    "KuramotoSivashinsky": (equations.KuramotoSivashinsky(hyperdiffusion=0.3), 0.02),
    "Schroedinger": (equations.Schroedinger(dispersion=0.5, nonlinearity=0.7), 0.02),
    "SwiftHohenberg": (equations.SwiftHohenberg(growth=0.4, quadratic=0.3), 0.05),
}


def test_every_equation_in_one_dimension_is_among_these():
    assert {n for n in equations.__all__ if 1 in getattr(equations, n).DIMENSIONS} == set(LINES)


def line(equation, dt: float, *, batch: int = 1, points: int = 32, **options):
    """The model of an equation in a line, every environment of which starts from another field."""
    box = PeriodicBox(SIDE, points)
    first = {f.name: 10 * i for i, f in enumerate(equation.FIELDS)}
    fields = {n: np.stack([0.4 + 0.3 * smooth(box, s + env) for env in range(batch)]) for n, s in first.items()}
    box.add_field(equation, **(fields if batch > 1 else {n: f[0] for n, f in fields.items()}))
    return box.build(dt=dt, batch=batch, **({"dtype": "float64"} | options))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("points", [8, 10, 12, 16, 18, 30, 48, 50, 90, 128, 250, 256, 450, 1024])
def test_compiled_transforms_are_fourier_transforms(points, dtype):
    """Any number of rows, any number of coefficients, with and without a factor, written or added."""
    rng, p, rows = np.random.default_rng(points), precision(dtype), 11
    tolerance = 8.0 * p.epsilon * np.log2(points)
    for kept in {1, 2, 3, (points - 1) // 3 + 1, points // 2}:
        values = rng.standard_normal((rows, points)).astype(p.numpy)
        factor = (rng.standard_normal(kept) + 1j * rng.standard_normal(kept)).astype(np.result_type(p.numpy, 1j))
        exact = np.fft.rfft(values.astype(float), norm="forward")[:, :kept]
        modes, more, back = exact.astype(factor.dtype), exact.astype(factor.dtype), np.empty_like(values)
        modes[...] = np.nan
        tape = Tape(p, rows)
        tape.transform(Operation.TO_MODES, modes, values, None)
        tape.transform(Operation.TO_MODES, more, values, factor, add=True)
        tape.transform(Operation.TO_POINTS, back, modes, factor)
        tape.replay()
        assert np.abs(modes - exact).max() < tolerance
        assert np.abs(more - exact * (1.0 + factor)).max() < 4.0 * tolerance
        expected = np.fft.irfft(exact * factor, points, norm="forward")
        assert np.abs(back - expected).max() < tolerance * np.abs(exact * factor).sum(axis=1).max()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 3, 16, 171])
def test_noted_operations_are_those_of_numpy(count, dtype):
    """Real and complex, numbers and rows, in place and not."""
    rng, p, batch = np.random.default_rng(count), precision(dtype), 19
    pair = np.result_type(p.numpy, 1j)
    real = rng.standard_normal((3, 2, batch, count)).astype(p.numpy)
    a, b, c = (rng.standard_normal((2, batch, count)) + 1j * real[i] for i in range(3))
    a, b, c, shared = (x.astype(pair) for x in (a, b, c, a[:1, :1]))
    column = rng.standard_normal((batch, 1)).astype(p.numpy)
    out = [np.zeros((2, batch, count), t) for t in (pair,) * 8 + (p.numpy,) * 5]
    tape, total = Tape(p, batch), np.ones(batch)
    notes = [
        (Operation.MULTIPLY, (a, b), a * b),
        (Operation.MULTIPLY, (a, real[0]), a * real[0]),
        (Operation.MULTIPLY, (a, 0.3 - 2j), a * pair.type(0.3 - 2j)),
        (Operation.COMBINE, (a, shared, b, real[1], c, c), a * shared + b * real[1] + c * c),
        (Operation.CONJUGATE, (a,), np.conj(a)),
        (Operation.SUBTRACT, (a, b), a - b),
        (Operation.COPY, (0.0,), 0.0 * a),
        (Operation.MULTIPLY_ADD, (a, shared), a * shared),
        (Operation.MULTIPLY, (real[0], column), real[0] * column),
        (Operation.ADD, (real[0], 2.5), real[0] + p.numpy(2.5)),
        (Operation.SUBTRACT, (column, real[1]), column - real[1]),
        (Operation.COPY, (column,), column + 0.0 * real[0]),
        (Operation.MULTIPLY_ADD, (real[0], real[1]), real[0] * real[1]),
    ]
    for target, (operation, operands, _) in zip(out, notes, strict=True):
        tape.note(operation, target, *operands)
    turned = a.copy()
    tape.note(Operation.MULTIPLY, turned, turned, b)  # in place
    tape.note(Operation.COPY, turned[..., 0].imag, 0.0)
    tape.add_means(total, real[0, 0])
    tape.replay()
    for target, (operation, _, expected) in zip(out, notes, strict=True):
        assert np.allclose(target, expected, rtol=4 * p.epsilon, atol=8 * p.epsilon), operation.name
    expected = a * b
    expected[..., 0].imag = 0.0
    assert np.allclose(turned, expected, rtol=4 * p.epsilon, atol=8 * p.epsilon)
    assert np.allclose(total, 1.0 + real[0, 0].mean(axis=1, dtype=float), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spent", [True, False])
@pytest.mark.parametrize("points", [8, 50, 256])
def test_a_product_that_only_its_transform_reads_is_made_on_the_way(points, spent, dtype):
    """By another field or itself, times a number or one an environment; the room for it is not written."""
    rng, p, rows = np.random.default_rng(points), precision(dtype), 19
    a, b = rng.standard_normal((2, rows, points)).astype(p.numpy)
    column = rng.standard_normal((rows, 1)).astype(p.numpy)
    for one, other, number in ((a, b, None), (a, a, None), (a, b, -0.5), (b, a, column)):
        room, modes = np.full_like(a, np.nan), np.empty((rows, points // 2), np.result_type(p.numpy, 1j))
        tape = Tape(p, rows)
        tape.note(Operation.MULTIPLY, room, one, other)
        if number is not None:
            tape.note(Operation.MULTIPLY, room, room, number)
        tape.transform(Operation.TO_MODES, modes, room, None, spent=spent)
        tape.replay()
        made = one * other if number is None else one * other * p.numpy(number)
        expected = np.fft.rfft(made.astype(float), norm="forward")[:, : points // 2]
        assert np.abs(modes - expected).max() < 8.0 * p.epsilon * np.log2(points) * np.abs(made).max()
        assert np.isnan(room).all() == spent
        assert len(tape.part(lambda operation: operation == Operation.MULTIPLY)) == (
            0 if spent else 1 + (number is not None)
        )


def test_what_is_read_again_is_written_before_its_transform():
    p, values = precision("float64"), np.linspace(0.0, 1.0, 16).reshape(2, 8)
    room, modes = np.zeros_like(values), np.zeros((2, 4), complex)
    tape = Tape(p, 2)
    tape.note(Operation.MULTIPLY, room, values, values)
    tape.note(Operation.ADD, room, room, values)
    tape.transform(Operation.TO_MODES, modes, room, None, spent=True)  # a sum is no product
    tape.replay()
    assert np.allclose(room, values**2 + values)
    assert np.allclose(modes, np.fft.rfft(room, norm="forward")[:, :4])


def both_ways(model, values=None) -> tuple:
    rollout = model.rollout(13, record_every=4, control_every=5)
    trajectory = rollout.forward(values)
    return trajectory, rollout.backward(weighted_loss(trajectory)[1])


@pytest.mark.parametrize("integrator", ["ETDRK4", "IMEXRK4", "SBDF3"])
@pytest.mark.parametrize("name", LINES)
def test_replayed_steps_are_the_steps(name, integrator, monkeypatch):
    """Fields and gradients by everything, for a batch that fills no register, with parameters of one value and of many."""
    made = []
    for fast in (True, False):
        if not fast:
            monkeypatch.setattr(spectral_model, "has_fast_rows", lambda points: False)
        model = line(*LINES[name], batch=11, integrator=integrator)
        assert isinstance(model.arrays, RecordingArrays) == fast
        several = {
            n: p.value * np.linspace(1.0, 1.1, 11) for n, p in model.parameters().items() if p.value.shape == (11,)
        }
        made.append([array for v in (None, several) for run in both_ways(model, v) for array in run.values()])
    for one, other in zip(*made, strict=True):
        assert np.allclose(one, other, rtol=1e-11, atol=1e-12 * np.abs(other).max())


def test_replayed_steps_are_used_and_the_same_every_time(monkeypatch):
    played, advance = [], Player.advance
    monkeypatch.setattr(Player, "advance", lambda *a: played.append(advance(*a)) or played[-1])
    runs = [both_ways(line(*LINES["KuramotoSivashinsky"], batch=37, integrator=i)) for i in ("ETDRK2",) * 2]
    assert played
    assert all(played)
    for one, other in zip(*runs, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_an_environment_alone_has_the_same_bits_as_in_a_batch(integrator):
    equation, dt = LINES["Burgers"]
    together = line(equation, dt, batch=21, integrator=integrator)
    start = together.parameters()["field.velocity"].value
    many = together.rollout(9).forward()["field.velocity"]
    alone = line(equation, dt, integrator=integrator).rollout(9)
    for env in (0, 8, 20):
        assert np.array_equal(alone.forward({"field.velocity": start[env]})["field.velocity"][:, 0], many[:, env])


def test_sizes_with_other_primes_run_without_compiled_code():
    assert not has_fast_rows(28)
    fields = []
    for points in (28, 30):
        model = line(*LINES["Burgers"], points=points)
        assert isinstance(model.arrays, RecordingArrays) == (points == 30)
        fields.append(np.fft.rfft(model.rollout(20).forward()["field.velocity"][-1, 0], norm="forward")[:5])
    assert np.abs(fields[0] - fields[1]).max() < 1e-5  # of two resolutions


def test_an_equation_that_cannot_be_noted_runs_as_it_is_and_says_so(monkeypatch):
    class Cubed(equations.AllenCahn, abstract=True):
        def products(self, xp, p, f, out):
            out[0][...] = p["saturation"] * f[0] ** 3

    noted, played, advance = [], [], Player.advance
    monkeypatch.setattr(Player, "advance", lambda *a: played.append(advance(*a)) or played[-1])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for kind in (equations.AllenCahn, Cubed):
            noted.append(both_ways(line(kind(diffusivity=0.05), 0.05, batch=3)))
    assert set(played) == {True, False}
    (said,) = (str(entry.message) for entry in caught)  # once, not at every step
    assert said.startswith("Cubed: its steps run without compiled code")
    assert "unsupported operand type(s) for **" in said
    for one, other in zip(*noted, strict=True):
        assert all(np.allclose(one[name], other[name], rtol=1e-11, atol=1e-13) for name in one)


def test_arithmetic_that_a_tape_cannot_hold_is_refused():
    field = Traced(Tape(precision("float64"), 2), np.ones((1, 2, 8)))
    for act in (
        lambda: field**2,
        lambda: np.sin(field),
        lambda: field[0] / field[0],
        lambda: field[0, 0],
        lambda: field.real,
    ):
        with pytest.raises((NotRecordable, TypeError)):
            act()
    with pytest.raises(NotRecordable):
        field[0][0] = 1.0
    tape, out = Tape(precision("float64"), 2), np.zeros((2, 8))
    with pytest.raises(ValueError, match="has gaps"):
        tape.note(Operation.COPY, out, np.ones((2, 16))[:, ::2])
    with pytest.raises(ValueError, match="2 environments"):
        tape.note(Operation.COPY, np.zeros((3, 8)), 0.0)
