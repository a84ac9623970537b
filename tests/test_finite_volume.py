"""Nonlinear diffusion by finite volumes: exact solutions, masses and fronts from first principles, and exact gradients."""

import imageio.v3 as imageio
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import erf

from pliant import sim
from pliant.sim.errors import InputError
from pliant.sim.finite_volume import Heat, Interval, PorousMedium, Stefan
from pliant.sim.status import SimulationError


def melting(threshold: float) -> tuple[float, float]:
    """a and c of the exact Stefan solution."""
    a = brentq(lambda a: (1 - threshold) / np.sqrt(np.pi) - threshold * a * erf(a) * np.exp(a * a), 1e-9, 10.0)
    return a, (1 - threshold) / erf(a)


def run_porous(exponent: float, cells: int, until: float = 0.5) -> tuple[Interval, np.ndarray, float]:
    """From rest with (m t)^(1/m) held on the left."""
    width, highest = 1.0 / cells, exponent * until
    steps = int(np.ceil(until * highest / (0.3 * width**2)))
    dt = until / steps
    interval = Interval(1.0, cells)
    interval.add_field(PorousMedium(exponent=exponent), name="gas", left=0.0)
    rollout = interval.build(dt=dt, dtype="float64").rollout(steps, record_every=steps, control_every=1)
    held = (exponent * dt * (np.arange(steps) + 0.5)) ** (1 / exponent)
    trajectory = rollout.forward({"gas.left": held})
    return interval, trajectory["gas.concentration"][-1, 0], float(trajectory["gas.inflow"][-1, 0])


@pytest.mark.parametrize("exponent", [1.0, 3.0])
def test_a_porous_medium_fills_with_its_exact_front_and_mass(exponent):
    """u = (m (t - x))^(1/m); mass m^(1 + 1/m) / (m + 1) t^(1 + 1/m), the integral of u."""
    errors, until = [], 0.5
    for cells in (40, 80):
        interval, u, _ = run_porous(exponent, cells)
        exact = np.maximum(exponent * (until - interval.centers), 0.0) ** (1 / exponent)
        errors.append(float(np.abs(u - exact).mean()))
        front = interval.centers[u > 1e-3][-1]
        assert front == pytest.approx(until, abs=2.0 / cells)
    mass = exponent ** (1 + 1 / exponent) / (exponent + 1) * until ** (1 + 1 / exponent)
    assert float(u.mean()) == pytest.approx(mass, rel=0.01)
    assert errors[1] < errors[0] / 1.8


def test_a_stefan_front_moves_by_the_square_root_of_time_with_its_exact_mass():
    """Front 2 a sqrt t, mass 2 c sqrt(t / pi); the error of the mass falls by four as the cells are halved."""
    threshold, until, errors, masses = 0.6, 0.05, [], []
    a, c = melting(threshold)
    for cells in (50, 100):
        interval, dt = Interval(1.0, cells), 0.3 / cells**2
        interval.add_field(Stefan(threshold=threshold), name="ice", left=1.0)
        steps = round(until / dt)
        u = interval.build(dt=until / steps, dtype="float64").rollout(steps).forward()["ice.concentration"][-1, 0]
        x = interval.centers
        fine = (
            x[:, None] + (np.arange(64) + 0.5) / (64 * cells) - 0.5 / cells
        )  # means over the cells: one holds the jump
        exact = np.where(fine < 2 * a * np.sqrt(until), 1 - c * erf(fine / (2 * np.sqrt(until))), 0.0).mean(axis=1)
        errors.append(float(np.abs(u - exact).mean()))
        masses.append(float(u.mean()) - 2 * c * np.sqrt(until / np.pi))
        assert x[u > threshold / 2][-1] == pytest.approx(2 * a * np.sqrt(until), abs=2.0 / cells)
    assert np.log2(masses[0] / masses[1]) == pytest.approx(2.0, abs=0.2) and abs(masses[1]) < 1e-4
    assert max(errors) < 3e-4


def test_heat_decays_at_second_order():
    """cos(pi x) exp(-k pi^2 t) + 2 between walls that let nothing through."""
    errors, k, until = [], 0.3, 0.2
    for cells in (20, 40):
        interval = Interval(1.0, cells)
        mean = lambda x, n=cells: 2 + np.cos(np.pi * x) * np.sinc(1 / (2 * n))  # noqa: E731  over a cell
        interval.add_field(Heat(coefficient=k), name="rod", initial=mean)
        steps = cells**2 // 2
        u = interval.build(dt=until / steps, dtype="float64").rollout(steps).forward()["rod.concentration"][-1, 0]
        errors.append(float(np.abs(u - 2 - (mean(interval.centers) - 2) * np.exp(-k * np.pi**2 * until)).max()))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("law", [PorousMedium(exponent=6.0), Stefan(threshold=0.6)], ids=["porous", "stefan"])
def test_values_stay_between_the_least_and_the_greatest_at_the_largest_step(law):
    interval = Interval(1.0, 16)
    interval.add_field(law, name="u", left=1.0)
    u = interval.build(dt=1 / 16**2 / 3, dtype="float64").rollout(400).forward()["u.concentration"]
    assert u.min() >= 0.0 and u.max() <= 1.0 and (np.diff(u, axis=0) >= -1e-15).all() and u[-1].mean() > 0.3


LAWS = [Heat(coefficient=0.5), PorousMedium(exponent=2.0), Stefan(threshold=0.3)]


def built(law, batch: int = 2, dtype: str = "float64"):
    interval = Interval(1.0, 16)
    start = 0.2 + 0.7 * np.random.default_rng(0).random((batch, 16))
    interval.add_field(law, name="u", initial=start, left=0.9, right=0.1)
    return interval.build(dt=5e-4, batch=batch, dtype=dtype)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mass_changes_by_the_inflow_to_round_off(law, dtype):
    trajectory = built(law, dtype=dtype).rollout(200).forward()
    mass = trajectory["u.concentration"].mean(axis=-1)
    assert np.abs(mass - mass[0]).max() > 1e-3
    assert np.abs(mass - mass[0] - trajectory["u.inflow"]).max() < (1e-14 if dtype == "float64" else 2e-6)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_gradients_agree_with_central_differences_checkpoints_and_float32(law):
    random, shapes = np.random.default_rng(1), {}
    rollout = built(law).rollout(40, record_every=10, control_every=20)
    trajectory = rollout.forward()
    seeds = {name: random.standard_normal(trajectory[name].shape) for name in trajectory}
    loss = lambda values: sum(float((seeds[n] * a).sum()) for n, a in rollout.forward(values).items())  # noqa: E731
    base = {n: p.value.copy() for n, p in rollout.parameters().items()}
    base |= {name: np.repeat(base[name], 2, axis=1) for name in ("u.left", "u.right")}
    rollout.forward(base)
    gradients = rollout.backward(seeds)
    for name, value in base.items():
        shapes[name] = value.shape
        direction, step = random.standard_normal(value.shape), 1e-6
        ahead, behind = (loss(base | {name: value + s * direction}) for s in (step, -step))
        expected = (ahead - behind) / (2 * step)
        assert float((gradients[name] * direction).sum()) == pytest.approx(expected, rel=1e-6, abs=1e-8), name
    assert set(shapes) == {"u.left", "u.right", "u.concentration", f"u.{law.PARAMETERS[0].name}"}
    for dtype, every, tolerance in (("float64", 7, 1e-13), ("float32", 40, 1e-4)):
        other = built(law, dtype=dtype).rollout(40, record_every=10, control_every=20, checkpoint_every=every)
        other.forward(base)
        found = other.backward({n: s.astype(dtype) for n, s in seeds.items()})
        for name, gradient in gradients.items():
            assert np.abs(found[name] - gradient).max() <= tolerance * max(1.0, np.abs(gradient).max()), name


def test_environments_do_not_see_each_other():
    law, batch = PorousMedium(exponent=2.0), built(PorousMedium(exponent=2.0))
    both = batch.rollout(50).forward({"u.exponent": np.array([1.0, 3.0])})["u.concentration"]
    for row, exponent in enumerate((1.0, 3.0)):
        interval = Interval(1.0, 16)
        start = (0.2 + 0.7 * np.random.default_rng(0).random((2, 16)))[row]
        interval.add_field(law, name="u", initial=start, left=0.9, right=0.1)
        alone = interval.build(dt=5e-4, dtype="float64").rollout(50).forward({"u.exponent": exponent})
        np.testing.assert_allclose(
            alone["u.concentration"][:, 0], both[:, row], rtol=1e-13
        )  # powers round alike or not


def test_a_step_beyond_the_limit_ends_with_a_sentence():
    interval = Interval(1.0, 16)
    interval.add_field(Heat(coefficient=1.0), name="rod", initial=1.0)
    with pytest.raises(SimulationError, match="would be unstable: dt = 0.01 s exceeds 0.00195 s.*lower dt"):
        interval.build(dt=0.01).rollout(10).forward()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Interval(1.0, 2), "at least 4"),
        (lambda: Interval(-1.0, 8), "positive"),
        (lambda: Interval(1.0, 8).add_field("heat", name="u"), "got str"),
        (lambda: Interval(1.0, 8).add_field(Heat(), name="u", initial=np.ones(7)), r"\[8\]"),
        (lambda: Interval(1.0, 8).add_field(Heat(), name="u", initial=np.ones((1, 1, 8))), r"\[8\]"),
        (lambda: Interval(1.0, 8).add_field(Heat(), name="u", left=-1.0), "u.left: expected 0 <= value"),
        (lambda: Interval(1.0, 8).add_field(Heat(), name="a.b"), "without dots"),
        (lambda: Interval(1.0, 8).build(dt=1e-3), "call add_field"),
    ],
)
def test_bad_input_gets_a_sentence(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_an_interval_s_trajectory_is_saved_loaded_and_drawn(tmp_path):
    trajectory = built(PorousMedium(exponent=2.0)).rollout(20, record_every=5).forward()
    trajectory.save(tmp_path / "gas.npz")
    trajectory.save(tmp_path / "gas.png", size=(160, 120))
    again = sim.Trajectory.load(tmp_path / "gas.npz")
    assert np.array_equal(again["u.concentration"], trajectory["u.concentration"])
    picture = imageio.imread(tmp_path / "gas.png")
    assert picture.shape[:2] == (120, 160) and picture.std() > 5.0


def test_an_interval_is_a_node_of_autograd():
    torch = pytest.importorskip("torch")
    from pliant.learn import simulate

    rollout = built(PorousMedium(exponent=2.0)).rollout(30)
    mass = lambda m: simulate(rollout, {"u.exponent": m})["u.concentration"][-1].mean()  # noqa: E731
    exponent = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    mass(exponent).backward()
    with torch.no_grad():
        difference = (mass(exponent + 1e-5) - mass(exponent - 1e-5)) / 2e-5
    assert float(exponent.grad) == pytest.approx(float(difference), rel=1e-6)
