"""Spectral fields against exact solutions and published numbers, and the order of every integrator."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from pliant.sim.spectral import INTEGRATORS, PeriodicBox, equations
from pliant.sim.spectral.functions import phi, phi_values
from tests.spectral_boxes import EQUATIONS, SIDE, model_of, random_state, rate_of

ROUND_OFF = 1e-12  # of sums over a few thousand steps and points


def final(box: PeriodicBox, dt: float, steps: int, **options) -> np.ndarray:
    """The first field of environment 0 at the end, in float64."""
    rollout = box.build(**{"dt": dt, "dtype": "float64"} | options).rollout(steps, record_every=steps, gradient=False)
    return next(iter(rollout.forward().values()))[-1, 0]


def box_with(equation, lengths, resolution, **initial) -> PeriodicBox:
    box = PeriodicBox(lengths, resolution)
    box.add_field(equation, **initial)
    return box


@pytest.mark.parametrize("points", [14, 16, 18])
@pytest.mark.parametrize("name", sorted(set(EQUATIONS) - {"AdvectionDiffusion", "ActiveFluid", "KineticActiveFluid"}))
def test_products_are_not_aliased(name, points):
    """N of a state with all kept modes is the same on twice as many points along every axis."""
    coarse, fine = (model_of(name, resolution=n) for n in (points, 2 * points))
    cut, large = coarse.grid.cuts[0], fine.grid.cuts[0]
    ends = np.r_[0 : cut + 1, 2 * large + 1 - cut : 2 * large + 1]  # modes 0..cut and -cut..-1 of the fine grid
    kept = (slice(None), slice(None), *np.ix_(*[ends] * (coarse.grid.dimension - 1), np.arange(cut + 1)))
    state = random_state(coarse, np.random.default_rng(points))
    wide = np.zeros((coarse.components, 1, *fine.grid.modes), complex)
    wide[kept] = state
    made = []
    for model, values in ((coarse, state), (fine, wide)):
        solver = model.rollout(1).solver
        solver.binding.set({})
        made.append(rate_of(solver, values)[0])
    assert np.abs(made[1][kept] - made[0]).max() < ROUND_OFF * np.abs(made[0]).max()


@pytest.mark.parametrize("order", range(5))
def test_phi_functions_and_slopes_are_exact_everywhere(order):
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 80

    def exact(z):
        total = mpmath.exp(z) - sum(z**j / mpmath.factorial(j) for j in range(order))
        return total / z**order

    z = np.array([1e-8, 0.3, -0.999, 1.001, -4.0, -300.0, 2j, -0.7j, 1e-3 - 0.9j, 40j, -3 + 5j])
    values, slopes = phi_values(z, order)[order], phi(order, z).slope
    for point, value, slope in zip(z, values, slopes, strict=True):
        expected = complex(exact(mpmath.mpc(point)))
        assert abs(value - expected) < 2e-14 * abs(expected)
        if abs(point) > 1e-6:
            assert abs(slope - complex(mpmath.diff(exact, mpmath.mpc(point)))) < 1e-12 * abs(expected)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("name", ["KortewegDeVries", "NavierStokes2D"])
def test_integrators_converge_at_their_order(name, integrator):
    method, duration = INTEGRATORS[integrator], {"KortewegDeVries": 0.1, "NavierStokes2D": 0.4}[name]
    coarse = 40 if integrator.startswith("SBDF") else 20

    def at_end(steps: int, **options) -> np.ndarray:
        model = model_of(name, dt=duration / steps, **options)
        return next(iter(model.rollout(steps, record_every=steps, gradient=False).forward().values()))[-1]

    reference = at_end(1000, integrator="ETDRK4")
    errors = [np.abs(at_end(n, integrator=integrator) - reference).max() for n in (coarse, 2 * coarse, 4 * coarse)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] > method.order - 0.2, f"{errors}"


@pytest.mark.parametrize("method", INTEGRATORS.values(), ids=lambda method: method.name)
def test_the_reach_of_an_integrator_is_where_an_undamped_mode_doubles(method):
    """The largest eigenvalue of a step of u' = i s u, all of it explicit."""
    table, kept = method.table(np.zeros(1), 1.0), ["u", *(name for name, _ in method.history)]

    def growth(s: float) -> float:
        columns = []
        for unit in np.eye(len(kept), dtype=complex):
            values = dict(zip(kept, unit, strict=True))
            states = [{"u": None}, *table.stages]
            for j, stage in enumerate(states):
                state = values["u"] if j == 0 else sum(np.ravel(f.value)[0] * values[n] for n, f in stage.items())
                values[f"N{j}"] = 1j * s * state
            result = sum(np.ravel(f.value)[0] * values[n] for n, f in table.result.items())
            columns.append([result, *(values[origin] for _, origin in method.history)])
        return float(np.abs(np.linalg.eigvals(np.array(columns).T)).max())

    assert growth(0.99 * method.reach) < 2.0 < growth(1.01 * method.reach)


def test_advection_diffusion_is_exact_for_any_step():
    equation = equations.AdvectionDiffusion(velocity=(0.7, -0.4), diffusivity=0.05)
    box = box_with(equation, (SIDE, SIDE), (16, 16), concentration=lambda x, y: np.cos(2 * x - y))
    x, y = box.coordinates
    for integrator in ("ETDRK1", "ETDRK4"):
        exact = np.exp(-0.05 * 5 * 3.0) * np.cos(2 * (x - 0.7 * 3.0) - (y + 0.4 * 3.0))
        assert np.abs(final(box, 1.0, 3, integrator=integrator) - exact).max() < ROUND_OFF


def test_burgers_follows_cole_and_hopf():
    """u = -2 nu theta_x / theta with theta = 1 + a exp(-nu t) cos x, which obeys the heat equation."""
    nu, a, duration = 0.2, 0.9, 1.0

    def exact(x, t):
        decay = a * np.exp(-nu * t)
        return 2.0 * nu * decay * np.sin(x) / (1.0 + decay * np.cos(x))

    box = box_with(equations.Burgers(viscosity=nu), SIDE, 128, velocity=lambda x: exact(x, 0.0))
    (x,) = box.coordinates
    assert np.abs(final(box, duration / 400, 400) - exact(x, duration)).max() < 1e-9  # what ETDRK4 leaves


def test_a_soliton_keeps_its_shape_and_speed():
    """u = c/2 sech^2(sqrt(c)/2 (x - c t)) of u_t + 6 u u_x + u_xxx = 0, in a box whose ends it does not feel."""
    c, length, duration = 4.0, 40.0, 1.0

    def exact(x, t):
        return 0.5 * c / np.cosh(0.5 * np.sqrt(c) * (x - 15.0 - c * t)) ** 2

    box = box_with(equations.KortewegDeVries(), length, 256, elevation=lambda x: exact(x, 0.0))
    (x,) = box.coordinates
    assert np.abs(final(box, duration / 1000, 1000) - exact(x, duration)).max() < 1e-6


def two_solitons(x, t, a=1.0, b=0.6, meet=20.0):
    """Hirota's solution of two solitons 2 k^2 sech^2 with k = a and b; they meet at x = meet, t = 0.

    Source: Drazin and Johnson, Solitons (1989), sec. 5.3.
    """
    ea, eb = (np.exp(2.0 * k * (x - meet - 4.0 * k**2 * t)) for k in (a, b))
    overlap = ((a - b) / (a + b)) ** 2
    f = 1.0 + ea + eb + overlap * ea * eb
    fx = 2.0 * a * ea + 2.0 * b * eb + 2.0 * (a + b) * overlap * ea * eb
    fxx = 4.0 * a**2 * ea + 4.0 * b**2 * eb + 4.0 * (a + b) ** 2 * overlap * ea * eb
    return 2.0 * (fxx * f - fx**2) / f**2


def test_two_solitons_pass_and_shift_their_phases():
    """The faster is ahead by log((a + b) / (a - b)) / a of where it would have been alone."""
    length, before, after, a, b = 60.0, -2.5, 4.5, 1.0, 0.6
    box = box_with(equations.KortewegDeVries(), length, 384, elevation=lambda x: two_solitons(x, before))
    (x,) = box.coordinates
    steps = 4000
    made = final(box, (after - before) / steps, steps)
    assert np.abs(made - two_solitons(x, after)).max() < 2e-6
    spectrum, k = np.fft.fft(made) / len(x), 2.0 * np.pi / length * np.fft.fftfreq(len(x), 1.0 / len(x))
    fine = np.linspace(x[made.argmax()] - 0.3, x[made.argmax()] + 0.3, 6001)
    peak = fine[np.real(np.exp(1j * np.outer(fine, k)) @ spectrum).argmax()]
    shift = np.log((a + b) / (a - b)) / a  # between the asymptotes before and after
    assert peak == pytest.approx(20.0 + 4.0 * a**2 * after + shift, abs=1e-2)  # the slower's tail still adds a little


def test_a_moving_wave_packet_solves_the_nonlinear_schroedinger_equation():
    """psi = sech(x - v t) exp(i (v x + (1 - v^2) t / 2)) for d = g = 1."""
    length, duration = 16.0 * np.pi, 2.0
    v = 2.0 * np.pi / length * 6

    def exact(x, t):
        s = x - 20.0
        return np.exp(1j * (v * s + 0.5 * (1.0 - v**2) * t)) / np.cosh(s - v * t)

    box = box_with(
        equations.Schroedinger(), length, 512, real=lambda x: exact(x, 0.0).real, imaginary=lambda x: exact(x, 0.0).imag
    )
    (x,) = box.coordinates
    rollout = box.build(dt=duration / 800, dtype="float64").rollout(800, record_every=400, gradient=False)
    trajectory = rollout.forward()
    made = trajectory["field.real"][-1, 0] + 1j * trajectory["field.imaginary"][-1, 0]
    assert np.abs(made - exact(x, duration)).max() < 1e-7
    mass = (trajectory["field.real"] ** 2 + trajectory["field.imaginary"] ** 2).mean(axis=-1)
    assert np.abs(mass / mass[0] - 1.0).max() < 1e-9


def test_a_mixed_state_parts_as_the_ordinary_equation_says():
    """Without gradients u' = u - u^3, so u / sqrt(1 - u^2) grows as exp(t)."""
    box = box_with(equations.AllenCahn(diffusivity=0.01), (1.0, 1.0), (8, 8), order=0.1)
    made = final(box, 0.01, 300)
    ratio = 0.1 / np.sqrt(1 - 0.01) * np.exp(3.0)
    assert np.abs(made - ratio / np.sqrt(1.0 + ratio**2)).max() < 1e-9


def test_reactions_without_gradients_follow_their_ordinary_equations():
    equation = equations.GrayScott(feed=0.04, kill=0.06)
    box = box_with(equation, (1.0, 1.0), (8, 8), u=0.6, v=0.3)
    rollout = box.build(dt=0.1, dtype="float64").rollout(200, record_every=200, gradient=False)
    trajectory = rollout.forward()

    def rates(_, y):
        u, v = y
        return [-u * v**2 + 0.04 * (1 - u), u * v**2 - 0.1 * v]

    exact = solve_ivp(rates, (0, 20.0), [0.6, 0.3], rtol=1e-12, atol=1e-14).y[:, -1]
    for name, value in zip("uv", exact, strict=True):
        assert np.abs(trajectory[f"field.{name}"][-1] - value).max() < 1e-8


def test_a_demixing_alloy_loses_energy_and_keeps_its_mass():
    rng = np.random.default_rng(0)
    box = box_with(
        equations.CahnHilliard(gradient_energy=0.02),
        (SIDE, SIDE),
        (64, 64),
        composition=0.1 * rng.standard_normal((64, 64)),
    )
    rollout = box.build(dt=1e-3, dtype="float64", integrator="ETDRK2").rollout(1000, record_every=100, gradient=False)
    u = rollout.forward()["field.composition"][:, 0]
    k = np.fft.fftfreq(64, 1 / 64)
    gradients = np.abs(np.fft.fft2(u)) ** 2 * (k**2 + k[:, None] ** 2)
    energy = (0.25 * (u**2 - 1.0) ** 2).mean(axis=(1, 2)) + 0.5 * 0.02 * gradients.sum(axis=(1, 2)) / 64**4
    assert (np.diff(energy) < 0).all()
    assert energy[-1] < 0.8 * energy[0]
    assert np.abs(u.mean(axis=(1, 2)) - u[0].mean()).max() < ROUND_OFF


def test_rolls_grow_to_the_amplitude_of_weakly_nonlinear_theory():
    """u = 2 sqrt(r / 3) cos x near onset; the third harmonic takes a share of order r / 64."""
    r = 0.05
    box = box_with(equations.SwiftHohenberg(growth=r), 4.0 * SIDE, 64, amplitude=lambda x: 0.01 * np.cos(x))
    made = final(box, 0.5, 600)
    assert made.max() == pytest.approx(2.0 * np.sqrt(r / 3.0), rel=2e-3)


def test_kuramoto_sivashinsky_is_as_chaotic_as_published():
    """The largest Lyapunov exponent of L = 22, by 24 pairs of neighbouring runs whose distance is reset every 4 s.

    Published: 0.048, Cvitanovic, Davidchack and Siminos, SIAM J. Appl. Dyn. Syst. 9 (2010); 0.043, Edson, Bunder,
    Mattner and Roberts, ANZIAM J. 61 (2019). Both from memory: neither paper could be read, and no other text that has them.
    """
    pairs, span, resets, size = 24, 40, 500, 1e-7
    rng = np.random.default_rng(1)
    start = 0.1 * rng.standard_normal((2 * pairs, 64))
    box = box_with(equations.KuramotoSivashinsky(), 22.0, 64, velocity=start - start.mean(axis=1, keepdims=True))
    rollout = box.build(dt=0.1, batch=2 * pairs, dtype="float64").rollout(span, record_every=span, gradient=False)
    fields, growth = start - start.mean(axis=1, keepdims=True), []
    for reset in range(resets):
        apart = fields[pairs:] - fields[:pairs]
        distance = np.linalg.norm(apart, axis=1, keepdims=True)
        if reset:
            growth.append(np.log(distance[:, 0] / (size * 8.0)))
        fields[pairs:] = fields[:pairs] + apart / distance * size * 8.0
        fields = rollout.forward({"field.velocity": fields})["field.velocity"][-1].copy()
    exponent = np.mean(growth[50:]) / (span * 0.1)
    print(f"Lyapunov exponent {exponent:.4f} per second")
    assert 0.040 < exponent < 0.051, exponent
