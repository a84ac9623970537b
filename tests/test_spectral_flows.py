"""Incompressible flow in two and three dimensions: exact flows, budgets, and Taylor and Green's series."""

import numpy as np
import pytest

from pliant.sim.precision import precision
from pliant.sim.spectral import PeriodicBox, equations
from pliant.sim.spectral.arrays import HostArrays
from pliant.sim.spectral.equation import identity
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.stokes import stokes_velocity, tensor_index
from pliant.sim.spectral.transform import LinearMap, Transform
from tests.spectral_boxes import SIDE, smooth

ROUND_OFF = 1e-12


def flow(
    equation, resolution: int, steps: int, *, dt: float, every: int = 0, record=("vorticity", "velocity"), **initial
):
    """The trajectory of a flow in a square or a cube, in float64."""
    axes = equation.DIMENSIONS[0]
    box = PeriodicBox((SIDE,) * axes, (resolution,) * axes)
    box.add_field(equation, name="fluid", **initial)
    rollout = box.build(dt=dt, dtype="float64").rollout(
        steps, record_every=every or steps, record=record, gradient=False
    )
    return rollout.forward()


def mean_square(array: np.ndarray) -> np.ndarray:
    """Mean over the points of the square at every frame of environment 0, summed over components."""
    axes = tuple(range(1, array[:, 0].ndim))
    return (array[:, 0] ** 2).mean(axis=axes) * (array.shape[-1] if array.shape[-1] < 4 else 1)


def vorticity_of(resolution: int = 32, seed: int = 3) -> np.ndarray:
    return 2.0 * smooth(PeriodicBox((SIDE, SIDE), (resolution, resolution)), seed, waves=3)


def test_vorticity_is_dv_dx_minus_du_dy():
    def vorticity(x, y):
        return 2.0 * np.cos(2.0 * x) - np.cos(y) - 2.0 * np.sin(x + 2.0 * y)

    trajectory = flow(equations.NavierStokes2D(viscosity=0.1), 16, 1, dt=1e-3, vorticity=vorticity)
    x, y = PeriodicBox((SIDE, SIDE), (16, 16)).coordinates
    wave = -2.0 / 5.0 * np.cos(x + 2.0 * y)  # u = dpsi/dy, v = -dpsi/dx with psi = -2/5 sin(x + 2 y)
    expected = np.stack([np.sin(y) + 2.0 * wave, np.sin(2.0 * x) - wave], axis=-1)
    assert np.abs(trajectory["fluid.velocity"][0, 0] - expected).max() < ROUND_OFF


def test_positive_vorticity_turns_anticlockwise():
    def blob(x, y):
        return np.exp(-4.0 * ((x - np.pi) ** 2 + (y - np.pi) ** 2))

    velocity = flow(equations.NavierStokes2D(viscosity=0.1), 64, 1, dt=1e-3, vorticity=blob)["fluid.velocity"][0, 0]
    assert velocity[32, 40, 1] > 0.02  # to the right of it, upwards
    assert velocity[40, 32, 0] < -0.02  # above it, to the left


def test_two_dimensional_taylor_green_vortices_decay_exactly():
    nu, duration = 0.05, 2.0
    trajectory = flow(
        equations.NavierStokes2D(viscosity=nu),
        16,
        20,
        dt=duration / 20,
        vorticity=lambda x, y: 2 * np.cos(x) * np.cos(y),
    )
    x, y = PeriodicBox((SIDE, SIDE), (16, 16)).coordinates
    exact = 2.0 * np.cos(x) * np.cos(y) * np.exp(-2.0 * nu * duration)
    assert np.abs(trajectory["fluid.vorticity"][-1, 0] - exact).max() < ROUND_OFF


def test_the_derivative_of_a_decaying_energy_by_viscosity_is_exact():
    """E = exp(-4 nu T) / 4 of Taylor and Green's vortices, so dE/dnu = -4 T E."""
    nu, duration, steps = 0.05, 2.0, 20
    box = PeriodicBox((SIDE, SIDE), (16, 16))
    box.add_field(
        equations.NavierStokes2D(viscosity=nu), name="fluid", vorticity=lambda x, y: 2 * np.cos(x) * np.cos(y)
    )
    rollout = box.build(dt=duration / steps, dtype="float64").rollout(steps, record=("velocity",), record_every=steps)
    velocity = rollout.forward()["fluid.velocity"]
    adjoint = np.zeros_like(velocity)
    adjoint[-1] = velocity[-1] / 256
    energy = 0.5 * float((velocity[-1] ** 2).sum()) / 256
    assert energy == pytest.approx(0.25 * np.exp(-4.0 * nu * duration), rel=ROUND_OFF)
    gradient = rollout.backward({"fluid.velocity": adjoint}, names=["fluid.viscosity"])
    assert gradient["fluid.viscosity"][0] == pytest.approx(-4.0 * duration * energy, rel=ROUND_OFF)


def test_a_forced_flow_from_rest_approaches_the_laminar_one():
    """w = -k F / (nu k^2 + d) cos(k y) (1 - exp(-(nu k^2 + d) t))."""
    nu, drag, force, k, duration = 0.1, 0.2, 0.7, 2, 1.5
    equation = equations.NavierStokes2D(viscosity=nu, drag=drag, forcing=force, forcing_wavenumber=k)
    made = flow(equation, 16, 300, dt=duration / 300, vorticity=0.0)["fluid.vorticity"][-1, 0]
    _, y = PeriodicBox((SIDE, SIDE), (16, 16)).coordinates
    rate = nu * k**2 + drag
    assert np.abs(made + k * force / rate * (1.0 - np.exp(-rate * duration)) * np.cos(k * y)).max() < 1e-11


def test_energy_and_enstrophy_of_two_dimensional_flow_balance():
    """dE/dt = -2 nu W - 2 d E + <f . u> and dW/dt = -2 nu P - 2 d W + <w curl f>, by Simpson's rule over the frames."""
    nu, drag, force, k, dt, steps = 5e-3, 0.1, 0.5, 2, 5e-3, 200
    equation = equations.NavierStokes2D(viscosity=nu, drag=drag, forcing=force, forcing_wavenumber=k)
    trajectory = flow(equation, 64, steps, dt=dt, every=1, vorticity=vorticity_of(64))
    _, y = PeriodicBox((SIDE, SIDE), (64, 64)).coordinates
    w, u = trajectory["fluid.vorticity"][:, 0], trajectory["fluid.velocity"][:, 0]
    energy, enstrophy = 0.5 * (u**2).sum(-1).mean(axis=(1, 2)), 0.5 * (w**2).mean(axis=(1, 2))
    mode = np.fft.fftfreq(64, 1 / 64)
    spectrum = np.abs(np.fft.fft2(w) / 64**2) ** 2
    palinstrophy = 0.5 * (spectrum * (mode**2 + mode[:, None] ** 2)).sum(axis=(1, 2))
    gain = force * (np.sin(k * y) * u[..., 0]).mean(axis=(1, 2)) - 2 * nu * enstrophy - 2 * drag * energy
    growth = -k * force * (np.cos(k * y) * w).mean(axis=(1, 2)) - 2 * nu * palinstrophy - 2 * drag * enstrophy
    simpson = dt / 3.0 * np.r_[1.0, np.tile([4.0, 2.0], steps // 2)[:-1], 1.0]
    assert energy[-1] - energy[0] == pytest.approx(float(simpson @ gain), abs=1e-9 * energy[0])
    assert enstrophy[-1] - enstrophy[0] == pytest.approx(float(simpson @ growth), abs=1e-8 * enstrophy[0])
    assert abs(energy[-1] - energy[0]) > 1e-2 * energy[0]  # so that the balance means something


def test_a_flow_without_viscosity_keeps_energy_and_enstrophy():
    """The truncated equations conserve both; what is lost is the fourth-order error of the step."""
    lost = []
    for steps in (50, 100):
        trajectory = flow(equations.NavierStokes2D(viscosity=0.0), 32, steps, dt=1.0 / steps, vorticity=vorticity_of())
        values = np.stack([mean_square(trajectory["fluid.vorticity"]), mean_square(trajectory["fluid.velocity"])])
        lost.append(np.abs(values[:, -1] / values[:, 0] - 1.0).max())
    assert lost[0] < 1e-5
    assert lost[1] < lost[0] / 14.0


def test_vorticity_as_a_passive_scalar_follows_itself():
    """With D = nu the vorticity obeys the scalar's equation, though its term is computed from other products."""
    start = vorticity_of()
    equation = equations.PassiveScalar(viscosity=0.01, diffusivity=0.01)
    trajectory = flow(
        equation, 32, 50, dt=0.01, record=("vorticity", "concentration"), vorticity=start, concentration=start
    )
    apart = trajectory["fluid.vorticity"][-1] - trajectory["fluid.concentration"][-1]
    assert np.abs(apart).max() < ROUND_OFF * np.abs(start).max()


def abc_flow(x, y, z):
    """Arnold, Beltrami and Childress: curl u = u, so that it decays as exp(-nu t)."""
    return np.stack(
        [np.sin(z) + 0.7 * np.cos(y), 0.8 * np.sin(x) + np.cos(z), 0.7 * np.sin(y) + 0.8 * np.cos(x)], axis=-1
    )


def test_a_beltrami_flow_decays_exactly():
    trajectory = flow(equations.NavierStokes3D(viscosity=0.1), 12, 20, dt=0.05, velocity=abc_flow)
    start = trajectory["fluid.velocity"][0]
    assert np.abs(trajectory["fluid.vorticity"][0] - start).max() < ROUND_OFF
    assert np.abs(trajectory["fluid.velocity"][-1] - np.exp(-0.1) * start).max() < ROUND_OFF


def test_a_flow_that_is_the_same_along_z_is_two_dimensional():
    start, n = vorticity_of(16), 16
    flat = flow(
        equations.NavierStokes2D(viscosity=0.02, forcing=0.3, forcing_wavenumber=2), n, 40, dt=0.02, vorticity=start
    )
    velocity = np.zeros((n, n, n, 3))
    velocity[..., :2] = flat["fluid.velocity"][0, 0]
    equation = equations.NavierStokes3D(viscosity=0.02, forcing=0.3, forcing_wavenumber=2)
    deep = flow(equation, n, 40, dt=0.02, velocity=velocity)
    assert np.abs(deep["fluid.vorticity"][-1, 0, 5, ..., 2] - flat["fluid.vorticity"][-1, 0]).max() < 1e-11
    assert np.abs(deep["fluid.velocity"][-1, 0, ..., 2]).max() < ROUND_OFF


def test_what_diverges_is_projected_away_and_stays_away():
    box = PeriodicBox((SIDE,) * 3, (12,) * 3)
    trajectory = flow(equations.NavierStokes3D(viscosity=0.05), 12, 20, dt=0.02, velocity=smooth(box, 0, components=3))
    k = np.fft.fftfreq(12, 1 / 12)
    for frame in (0, -1):
        u = np.fft.fftn(trajectory["fluid.velocity"][frame, 0], axes=(0, 1, 2))
        divergence = k * u[..., 0] + k[:, None] * u[..., 1] + k[:, None, None] * u[..., 2]
        assert np.abs(divergence).max() < ROUND_OFF * np.abs(u).max()


def test_a_shear_stress_drives_a_shear_flow_that_shears_what_it_carries():
    """mu u'' = -d(stress_xy)/dy, so stress_xy = -mu A cos y drives u = A sin y, and c = cos(x - A t sin y)."""
    amplitude, viscosity, duration = 0.8, 0.4, 1.0
    box = PeriodicBox((SIDE, SIDE), (64, 64))
    x, y = box.coordinates
    stress = np.stack([0.3 * np.sin(x), -viscosity * amplitude * np.cos(y), 0.0 * x], axis=-1)  # xx is a pressure's
    equation = equations.StokesTransport(viscosity=viscosity, diffusivity=0.0)
    box.add_field(equation, concentration=np.cos(x), stress=stress)
    rollout = box.build(dt=duration / 100, dtype="float64").rollout(100, record=("concentration", "stress"))
    trajectory = rollout.forward()
    exact = np.cos(x - amplitude * duration * np.sin(y))
    assert np.abs(trajectory["field.concentration"][-1, 0] - exact).max() < 1e-8
    assert np.abs(trajectory["field.stress"][-1, 0] - stress).max() < ROUND_OFF


@pytest.mark.parametrize("axes", [2, 3])
def test_stokes_flow_balances_its_stress_and_does_not_diverge(axes):
    """-lap u + grad q = div stress for some q, so the curls of lap u and -div stress agree."""
    grid = Grid.resolving((SIDE,) * axes, (12,) * axes, 2)
    transform = Transform(grid, HostArrays(), precision("float64"), batch=1, most=6)
    rng, count = np.random.default_rng(0), axes * (axes + 1) // 2
    stress = np.empty((count, 1, *grid.modes), complex)
    LinearMap(identity(count), count, transform).from_points(rng.standard_normal((count, 1, *grid.shape)), stress)
    velocity = [sum(s * stress[j] for j, s in row.items()) for row in stokes_velocity(grid)]
    k, place = grid.wavenumbers, tensor_index(axes)
    force = [sum(1j * k[m] * stress[place[i, m]] for m in range(axes)) for i in range(axes)]
    assert np.abs(sum(k[i] * velocity[i] for i in range(axes))).max() < ROUND_OFF
    for i in range(axes):
        for j in range(i):
            residual = grid.squared * (k[i] * velocity[j] - k[j] * velocity[i]) - (k[i] * force[j] - k[j] * force[i])
            assert np.abs(residual).max() < 1e-11


def taylor_green(x, y, z):
    return np.stack([np.sin(x) * np.cos(y) * np.cos(z), -np.cos(x) * np.sin(y) * np.cos(z), 0.0 * x], axis=-1)


def series(t, R):
    """Mean square vorticity of the Taylor-Green vortex over its initial value, to the fourth power of time.

    Source: Taylor and Green, Mechanism of the production of small eddies from large ones, Proc. R. Soc. Lond. A 158
    (1937), for a = b = c.
    """
    return (
        1.0 - 6.0 * t / R + (5.0 / 48.0 + 18.0 / R**2) * t**2 - (5.0 / 3.0 + 36.0 / R**2) * t**3 / R
        + (50.0 / (99.0 * 64.0) + 1835.0 / (9.0 * 16.0 * R**2) + 54.0 / R**4) * t**4
    )  # fmt: skip


@pytest.mark.parametrize("R", [20.0, 300.0])
def test_the_taylor_green_vortex_dissipates_as_taylor_and_green_calculated(R):
    """The difference from their series is of the fifth order in time."""
    errors = []
    for duration in (0.3, 0.15):
        equation = equations.NavierStokes3D(viscosity=1.0 / R)
        trajectory = flow(equation, 24, 30, dt=duration / 30, record=("vorticity",), velocity=taylor_green)
        vorticity = mean_square(trajectory["fluid.vorticity"])
        assert vorticity[0] == pytest.approx(0.75, rel=ROUND_OFF)
        errors.append(abs(vorticity[-1] / vorticity[0] - series(duration, R)))
    assert errors[0] < 1e-3 * abs(series(0.3, R) - 1.0)
    assert errors[1] < errors[0] / 24.0


PUBLISHED = {  # time: energy, -dE/dt, enstrophy
    1.0: (0.124515267367, 0.000518820935, 0.415054960369),
    2.0: (0.12391676584, 0.00070756353, 0.566047789484),
    3.0: (0.123023878593, 0.001126516665, 0.901208116699),
}
"""The Taylor-Green vortex at Reynolds number 1600, by a spectral code on 512^3 points.

Source: spectral_Re1600_512.gdiag, the reference of case C3.5 of the International Workshop on High-Order CFD Methods, as the
examples of PetIBM carry it; its dissipation is a difference quotient over 0.02.
"""


@pytest.mark.parametrize(
    ("points", "bounds"),
    [
        (48, {1.0: 1e-7, 2.0: 3e-4}),
        pytest.param(64, {1.0: 1e-7, 2.0: 4e-5, 3.0: 4e-3}, marks=pytest.mark.slow),  # by then eddies leave the grid
    ],
)
def test_the_taylor_green_vortex_dissipates_as_published(points, bounds):
    """Energy, enstrophy and dissipation at Reynolds number 1600, as long as the grid holds the eddies: they double it."""
    steps = round(max(bounds) / 0.05)
    trajectory = flow(
        equations.NavierStokes3D(viscosity=1.0 / 1600.0), points, steps, dt=0.05, every=20, velocity=taylor_green
    )
    energy, enstrophy = (0.5 * mean_square(trajectory[f"fluid.{n}"]) for n in ("velocity", "vorticity"))
    for frame, (time, bound) in enumerate(bounds.items(), start=1):
        assert trajectory.times[frame] == pytest.approx(time)
        published = PUBLISHED[time]
        assert energy[frame] == pytest.approx(published[0], rel=1e-2 * bound)
        assert enstrophy[frame] == pytest.approx(published[2], rel=bound)
        assert 2.0 / 1600.0 * enstrophy[frame] == pytest.approx(published[1], rel=bound + 6e-6)  # of the quotient


@pytest.mark.slow
def test_the_taylor_green_vortex_at_reynolds_100_spends_what_it_dissipates():
    """-dE/dt = 2 nu W through the peak of dissipation."""
    nu, dt, steps = 0.01, 0.04, 160
    trajectory = flow(equations.NavierStokes3D(viscosity=nu), 40, steps, dt=dt, every=5, velocity=taylor_green)
    energy = 0.5 * mean_square(trajectory["fluid.velocity"])
    dissipation = nu * mean_square(trajectory["fluid.vorticity"])
    spent = 5 * dt * (dissipation[:-1] + dissipation[1:]) / 2.0
    assert energy[0] - energy[-1] == pytest.approx(spent.sum(), rel=2e-4)  # the trapezoidal rule's
    print(f"peak dissipation {dissipation.max():.5f} at t = {trajectory.times[dissipation.argmax()]:.2f}")
    assert 4.0 < trajectory.times[dissipation.argmax()] < 5.5
