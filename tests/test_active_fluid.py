"""An active fluid: both models against the theory about isotropy and of the uniform nematic, and against tensors and quadrature."""

import numpy as np
import pytest
from scipy.special import ive

from pliant import sim
from pliant.sim.spectral import PeriodicBox, equations
from pliant.sim.spectral.active import BinghamClosure, Closure, inverse_bessel_ratio, limit, stokes
from pliant.sim.spectral.active.bingham import bessel_ratio, fourth_order
from pliant.sim.spectral.active.closures import Projection
from pliant.sim.spectral.active.defects import defects
from pliant.sim.spectral.active.flow import flow_of
from pliant.sim.spectral.arrays import HostArrays
from pliant.sim.spectral.equation import identity
from pliant.sim.spectral.integrators import INTEGRATORS, find_integrator
from pliant.sim.spectral.transform import LinearMap
from tests.spectral_boxes import smooth

ALPHA, ZETA, BETA, D_T, D_R = -1.5, 0.6, 0.8, 0.05, 0.05
OPTIONS = {"activity": ALPHA, "alignment": ZETA, "constraint": BETA, "translational_diffusivity": D_T}
SIDE, MODELS = 10.0, ["moments", "kinetic"]


def equation_of(kind: str, **options):
    if kind == "moments":
        return equations.ActiveFluid(**(OPTIONS | options))
    return equations.KineticActiveFluid(**(OPTIONS | {"directions": 31} | options))


def distribution(equation, c, order, fourth=0.0):
    """Psi at the directions with moments c and psi_2 = order, psi_4 = fourth (complex arrays), and no higher ones."""
    turn = np.exp(-2j * equation.angles)
    waves = np.multiply.outer(order, turn).real + np.multiply.outer(fourth + 0j * order, turn**2).real
    return (np.asarray(c)[..., None] + 2.0 * waves) / (2.0 * np.pi)


def model_of(kind: str, order, c=1.0, fourth=0.0, resolution: int = 16, dt: float = 0.02, **options):
    """The model of a kind that starts from c and psi_2 = order, a function of (x, y)."""
    built = {name: options.pop(name) for name in ("integrator", "batch") if name in options}
    equation, box = equation_of(kind, **options), PeriodicBox((SIDE, SIDE), (resolution, resolution))
    psi2 = order(*box.coordinates) + 0j * box.coordinates[0]
    density = np.broadcast_to(c, psi2.shape)
    if kind == "moments":
        box.add_field(equation, concentration=density, order=np.stack([psi2.real, psi2.imag], axis=-1))
    else:
        box.add_field(equation, distribution=distribution(equation, density, psi2, fourth))
    return box.build(dt=dt, dtype="float64", **built)


def waves(seed: int, resolution: int = 16) -> np.ndarray:
    box = PeriodicBox((SIDE, SIDE), (resolution, resolution))
    return smooth(box, seed) + 1j * smooth(box, seed + 1)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("mode", ["shear", "splay"])
def test_waves_about_isotropy_grow_at_the_rates_of_linear_theory(kind, mode):
    k, direction = 2.0 * np.pi * 2 / SIDE, 1j if mode == "shear" else 1.0
    expected = ZETA - 4.0 * D_R - D_T * k**2
    if mode == "shear":
        expected += (ZETA * BETA / 2.0 - ALPHA) / (4.0 + BETA / 2.0)
    model = model_of(kind, lambda x, y: 1e-6 * direction * np.cos(k * x), dt=0.01)
    made = model.rollout(100, record_every=100, record=("order",)).forward()["field.order"]
    size = np.abs(made).max(axis=(1, 2, 3, 4))
    assert np.log(size[1] / size[0]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_the_uniform_nematic_has_the_order_of_maier_saupe_theory(kind):
    model = model_of(kind, lambda x, y: 0.5 * np.exp(0.7j), resolution=8, dt=0.05)
    made = model.rollout(1000, record_every=1000, record=("order",)).forward()["field.order"][-1, 0, 0, 0]
    s = np.hypot(*made)
    half = 0.5 * (ZETA / D_R) * s
    assert s == pytest.approx(ive(1, half) / ive(0, half), abs=1e-6)
    assert np.arctan2(made[1], made[0]) == pytest.approx(0.7, abs=1e-9)  # nothing turns the director


@pytest.mark.parametrize("kind", MODELS)
def test_rods_are_neither_made_nor_lost(kind):
    density = 1.0 + 0.2 * waves(3).real / 3.0
    model = model_of(kind, lambda x, y: 0.2 * waves(5), c=density)
    made = model.rollout(100, record_every=50, record=("concentration",)).forward()["field.concentration"]
    assert np.ptp(made[-1]) < np.ptp(made[0])
    assert made.mean(axis=(1, 2, 3)) == pytest.approx(density.mean(), rel=1e-13)


class GivenClosure(Closure):
    """psi_4 as it is told."""

    def __init__(self, psi4):
        self.psi4 = psi4

    def evaluate(self, xp, c, psi2, e, spacing):
        return self.psi4

    def linearise(self, xp, c, psi2, e, spacing):
        raise NotImplementedError


def rate_of(model) -> np.ndarray:
    """d/dt of the components but for the linear terms, on the points."""
    solver = model.rollout(1).solver
    solver.binding.set({})
    solver.states.write(0, solver.binding.initial_state())
    state = solver.states.coefficients[0][0]
    out = np.zeros_like(state)
    transform, count = solver.basis.transform, len(out)
    solver.rate.evaluate(state, None, transform.empty(solver.rate.inputs), out)
    return LinearMap(identity(count), count, transform).to_points(out, transform.empty(count))[:, 0]


def test_moments_of_the_kinetic_rate_are_the_rate_of_the_moments_with_its_own_closure():
    density, order, fourth = 1.0 + 0.1 * waves(1).real, 0.2 * waves(2), 0.1 * waves(4)
    kinetic = model_of("kinetic", lambda x, y: order, c=density, fourth=fourth)
    moments = model_of("moments", lambda x, y: order, c=density, closing=GivenClosure(fourth[None]))
    assert np.abs(rate_of(kinetic)[:3] - rate_of(moments)).max() < 1e-12


def test_the_kinetic_rate_is_that_of_tensors_summed_over_directions():
    """Everything from the definitions: tensors by sums over p, Stokes by Picard, fluxes in theta by Fourier's method."""
    n, equation = 16, equation_of("kinetic")
    density, order, fourth = 1.0 + 0.05 * waves(1).real, 0.1 * waves(2), 0.05 * waves(4)
    model = model_of("kinetic", lambda x, y: order, c=density, fourth=fourth)
    theta = 2.0 * np.pi * np.arange(62) / 62
    turn = np.exp(-2j * theta)
    psi = (density[..., None] + 2.0 * (order[..., None] * turn + fourth[..., None] * turn**2).real) / (2.0 * np.pi)
    p, weight = np.stack([np.cos(theta), np.sin(theta)]), 2.0 * np.pi / 62
    D = weight * np.einsum("yxt,it,jt->yxij", psi, p, p)
    S = weight * np.einsum("yxt,it,jt,kt,lt->yxijkl", psi, p, p, p, p)
    k = 2.0 * np.pi * np.fft.fftfreq(n, 1.0 / n) / SIDE
    kept = np.abs(np.fft.fftfreq(n, 1.0 / n)) <= model.grid.cuts[0]
    K = np.stack(np.broadcast_arrays(k[None, :], k[:, None]))
    K2 = (K**2).sum(0)
    K2[0, 0] = np.inf
    mask = (kept[:, None] & kept[None, :])[..., None, None]
    A = np.zeros((n, n, 2, 2))
    for _ in range(60):
        E = 0.5 * (A + np.swapaxes(A, -1, -2))
        DD, SD, SE = D @ D, np.einsum("yxijkl,yxkl->yxij", S, D), np.einsum("yxijkl,yxkl->yxij", S, E)
        stress = np.fft.fft2(ALPHA * D + BETA * SE - 2.0 * ZETA * BETA * (DD - SD), axes=(0, 1)) * mask
        force = 1j * np.einsum("jyx,yxij->iyx", K, stress)
        u_hat = (force - K * np.einsum("iyx,iyx->yx", K, force) / K2) / K2
        A = np.fft.ifft2(1j * np.einsum("iyx,jyx->yxij", u_hat, K), axes=(0, 1)).real
    u = np.fft.ifft2(u_hat, axes=(1, 2)).real
    perp = np.stack([-p[1], p[0]])
    turning = np.einsum("it,yxij,jt->yxt", perp, A + 2.0 * ZETA * D, p)
    flux = np.fft.ifft(1j * np.fft.fftfreq(62, 1 / 62) * np.fft.fft(turning * psi)).real
    gradient = [np.fft.ifft2(1j * K[i][..., None] * np.fft.fft2(psi, axes=(0, 1)), axes=(0, 1)).real for i in (0, 1)]
    rate = -(u[0][..., None] * gradient[0] + u[1][..., None] * gradient[1]) - flux
    rate = np.fft.ifft2(np.fft.fft2(rate, axes=(0, 1)) * mask[..., 0], axes=(0, 1)).real
    expected = [weight * (rate * np.exp(2j * m * theta)).sum(-1) for m in range(4)]
    made = rate_of(model)
    got = [made[0] + 0j, *(made[2 * m - 1] + 1j * made[2 * m] for m in range(1, 4))]
    assert max(np.abs(a - b).max() for a, b in zip(expected, got, strict=True)) < 1e-11
    found = flow_of(model, {"concentration": density[None, None], "order": pair(order), "fourth": pair(fourth)})
    assert np.abs(np.moveaxis(found.velocity[0, 0], -1, 0) - u).max() < 1e-11
    assert equation.directions == 31


def pair(z: np.ndarray) -> np.ndarray:
    return np.stack([z.real, z.imag], axis=-1)[None, None]


def test_evolving_the_trace_apart_from_the_concentration_would_add_a_growing_mode():
    """About isotropy, with S : I = D for c = 1 only, tr D - c grows at 2 zeta - 4 D_R: why (c, psi_2) is what evolves."""
    excess = 1e-6
    D = 0.5 * (1.0 + excess) * np.eye(2)
    S = sum(np.einsum(f"{pairs}->ijkl", np.eye(2), np.eye(2)) for pairs in ("ij,kl", "ik,jl", "il,jk")) / 8.0
    D_t = 4.0 * ZETA * (D @ D - np.einsum("ijkl,kl->ij", S, D)) - 4.0 * D_R * (D - 0.5 * np.eye(2))
    assert np.trace(D_t) / excess == pytest.approx(2.0 * ZETA - 4.0 * D_R, rel=1e-5)


def test_the_inverse_of_the_bessel_ratio_is_accurate_up_to_perfect_order_and_so_is_its_derivative():
    s = np.r_[0.0, 1e-9, np.linspace(1e-3, 0.999, 300), 0.9999, 1.0 - 1e-6]
    delta, slope = inverse_bessel_ratio(s)
    assert np.abs(bessel_ratio(delta)[0] - s).max() < 1e-14
    h = 1e-6
    inner = s[2:-2]
    difference = (inverse_bessel_ratio(inner + h)[0] - inverse_bessel_ratio(inner - h)[0]) / (2.0 * h)
    assert slope[2:-2] == pytest.approx(difference, rel=1e-5)


def test_binghams_polynomial_is_the_ratio_of_bessel_functions():
    delta = np.r_[np.linspace(1e-2, 50.0, 200), 1e4]
    s, c4 = ive(1, delta) / ive(0, delta), ive(2, delta) / ive(0, delta)
    assert np.abs(fourth_order(s) - c4).max() < 1e-11
    assert np.abs(s**2 * BinghamClosure().factor(HostArrays(), s**2)[0] - c4).max() < 1e-9


@pytest.mark.parametrize("name", ["bingham", "quadratic"])
def test_closures_are_realisable(name):
    s = np.linspace(0.0, 1.0, 101)
    closure = equation_of("moments", closing=name).closure
    psi4 = closure.evaluate(HostArrays(), np.ones_like(s), s + 0j, 0j * s, (1.0, 1.0))
    assert (np.abs(psi4 - s**2) <= 1.0 - s**2 + 1e-9).all()


def test_what_lies_outside_the_realisable_set_is_projected_counted_and_said():
    model = model_of("moments", lambda x, y: 1.02 * np.exp(2j * np.pi * x / SIDE), dt=1e-3)
    trajectory = model.rollout(2, record_every=1).forward()
    assert trajectory.status.ok
    assert "left the realisable set" in trajectory.status.message
    inside = model_of("moments", lambda x, y: 0.5 + 0j * x).rollout(2, record_every=1).forward()
    assert inside.status.message == "completed"


def test_a_distribution_that_too_few_directions_let_become_negative_is_said():
    """At zeta / D_R = 40 the uniform nematic has the order 0.974 and needs 50 directions."""
    said = []
    for directions in (7, 51):
        model = model_of("kinetic", lambda x, y: 0.5 + 0j * x, resolution=8, dt=0.005, alignment=2.0, directions=directions)
        said.append(model.rollout(800, record_every=800).forward().status.message)
    assert "left the realisable set" in said[0] and "raise `directions`" in said[0]
    assert said[1] == "completed"


def test_gradients_through_the_projection_agree_with_finite_differences():
    rng = np.random.default_rng(0)
    c, psi2 = 1.0 + 0.1 * rng.standard_normal(40), 1.0 * (rng.standard_normal(40) + 1j * rng.standard_normal(40))
    weight = rng.standard_normal(40) + 1j * rng.standard_normal(40)

    def value(c, psi2):
        seen = Projection.of(HostArrays(), c, psi2)
        return (np.conj(weight) * seen.psi2).real.sum() + (seen.c**2).sum(), seen

    _, seen = value(c, psi2)
    assert 0 < seen.count < 40
    by_c, by_psi2 = seen.pull(HostArrays(), 2.0 * seen.c, weight)
    dc, dpsi, h = rng.standard_normal(40), rng.standard_normal(40) + 1j * rng.standard_normal(40), 1e-6
    difference = (value(c + h * dc, psi2 + h * dpsi)[0] - value(c - h * dc, psi2 - h * dpsi)[0]) / (2.0 * h)
    assert (by_c * dc).sum() + (np.conj(by_psi2) * dpsi).real.sum() == pytest.approx(difference, rel=1e-7)


def test_a_flow_that_was_not_found_is_a_status(monkeypatch):
    monkeypatch.setattr(stokes, "CG_STEPS", 2)
    model = model_of("moments", lambda x, y: 0.2 * waves(7))
    with pytest.raises(sim.SimulationError, match="Stokes flow of 'field' did not converge"):
        model.rollout(2, record_every=1).forward()


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("integrator", ["SBDF2", "ETDRK4"])
def test_a_step_beyond_what_the_flow_allows_is_refused_with_the_limit_and_the_last_good_state_is_kept(kind, integrator):
    """Looks are 64 steps apart; the excess lies between two of them."""
    model = model_of(kind, lambda x, y: 0.01 * waves(7), dt=0.2, integrator=integrator, activity=-6.0)
    rollout = model.rollout(256, record_every=64, gradient=False)
    trajectory = rollout.forward(check=False)
    status = trajectory.status
    assert status.code == sim.Code.CFL
    assert 0 < status.step < 64
    assert "the flow of 'field' is too fast for dt = 0.2 s" in status.message
    state, step = rollout.last_good_state()
    assert step == status.step
    with pytest.raises(sim.SimulationError, match="too fast for dt"):  # the next step is what is refused
        model.rollout(2).forward(state=state, first_step=step)
    assert model.rollout(step).forward().status.ok


def test_the_environment_whose_flow_is_too_fast_is_named():
    model = model_of("moments", lambda x, y: 0.1 * waves(7), dt=0.2, activity=np.array([0.0, -30.0]), batch=2)
    with pytest.raises(sim.SimulationError, match="the flow of 'field' in environment 1 is too fast"):
        model.rollout(100).forward()


def test_turning_alone_limits_the_step_of_the_kinetic_theory():
    """A uniform nematic does not flow; without the limit, steps of 0.3 s end with an order beyond one."""
    model = model_of("kinetic", lambda x, y: 0.8 + 0.0 * x, resolution=8, dt=0.3, alignment=2.0)
    with pytest.raises(sim.SimulationError, match="move at 0 m/s and turn at"):
        model.rollout(100).forward()


@pytest.mark.parametrize("name", list(INTEGRATORS))
def test_what_the_limit_allows_at_most_doubles_in_a_step(name):
    method = find_integrator(name)
    for damping in (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0):
        fastest = method.reach + limit.RELIEF[name] * damping
        assert max(growth(method, damping, y) for y in np.linspace(0.0, fastest, 60)) < 2.02
    assert growth(method, 0.0, 1.1 * method.reach) > 2.0


def growth(method, damping: float, frequency: float) -> float:
    """The largest factor of a step of length one of u' = -damping u + i frequency u, the second term explicit."""
    table, rate = method.table(np.array([-damping], complex), 1.0), 1j * frequency
    kept = ["u", *(source for source, _ in method.history if source.startswith("u"))]
    matrix = np.eye(len(kept), k=-1, dtype=complex)
    for column in range(len(kept)):
        known = {source: float(row == column) for row, source in enumerate(kept)}
        known |= {f"M{row}": rate * known[f"u{row}"] for row in range(1, len(kept))} | {"N0": rate * known["u"]}

        def total(terms, known=known):
            return sum(complex(f.value.item()) * known[source] for source, f in terms.items())

        for stage, terms in enumerate(table.stages, start=1):
            known[f"N{stage}"] = rate * total(terms)
        matrix[0, column] = total(table.result)
    return np.abs(np.linalg.eigvals(matrix)).max()


@pytest.mark.parametrize("closing", ["cubic", 3])
def test_an_unknown_closure_is_refused(closing):
    with pytest.raises(sim.InputError, match="closing: expected one of"):
        equations.ActiveFluid(activity=-1.0, alignment=0.5, closing=closing)


@pytest.mark.parametrize("directions", [4, 32, 3, 7.5, True])
def test_an_even_or_small_number_of_directions_is_refused(directions):
    with pytest.raises(sim.InputError, match="directions: expected an odd number"):
        equations.KineticActiveFluid(activity=-1.0, alignment=0.5, directions=directions)


def test_defects_are_found_where_the_director_turns_by_half_a_turn_and_their_charges_cancel():
    """sin x + i sin y has four zeros, two around which its phase turns either way."""
    y, x = np.mgrid[0:32, 0:32] * 2.0 * np.pi / 32
    psi2 = np.sin(x - 0.03) + 1j * np.sin(y + 0.02)
    charges = defects(np.stack([psi2.real, psi2.imag], axis=-1))
    assert (charges == 0.5).sum() == (charges == -0.5).sum() == 2
    assert np.abs(charges).sum() == 2.0
    assert (defects(np.broadcast_to([0.3, -0.4], (8, 8, 2))) == 0.0).all()
