"""What integrators do to waves that the equation neither feeds nor damps, where its linear part is all there is."""

import numpy as np
import pytest

from pliant.sim.spectral import PeriodicBox, equations
from pliant.sim.spectral.integrators import INTEGRATORS
from pliant.sim.spectral.stability import amplification
from pliant.sim.status import SimulationError

SIZES = np.logspace(-3, 4, 4001)  # of z = h L along a ray


@pytest.mark.parametrize("angle", [90, 92, 100, 135, 180])
@pytest.mark.parametrize("name", [name for name in INTEGRATORS if name != "SBDF3"])
def test_no_other_method_makes_a_wave_grow(name, angle):
    z = SIZES * np.exp(1j * np.radians(angle))
    z.real = np.minimum(z.real, 0.0)  # cos(90 degrees) is 6e-17 here
    assert amplification(INTEGRATORS[name], z).max() <= 1.0 + 1e-9


def test_the_third_order_backward_differences_grow_between_nothing_and_two_and_within_four_degrees():
    """The root of BDF3 on the imaginary axis: |z| < 1.936, at most 1.0456 at 1.14; its angle of stability is 86.03 degrees."""
    method = INTEGRATORS["SBDF3"]
    y = np.linspace(0.05, 4.0, 7901)
    growth = amplification(method, 1j * y)
    assert y[growth > 1.0].max() == pytest.approx(1.936, abs=2e-3) and (growth[y < 1.93] > 1.0).all()
    assert growth.max() == pytest.approx(1.0456, abs=1e-4) and y[growth.argmax()] == pytest.approx(1.14, abs=5e-3)
    for angle, grows in ((93.9, True), (94.1, False), (120.0, False), (180.0, False)):
        z = SIZES * np.exp(1j * np.radians(angle))
        assert (amplification(method, z).max() > 1.0 + 1e-9) == grows


def kdv(integrator: str, steps: int, dt: float = 0.01, **options):
    """Waves of all lengths, of KdV's linear part in a box of 2 pi on 32 points, which keeps 10 of them."""
    box = PeriodicBox(2.0 * np.pi, 32)
    equation = equations.KortewegDeVries(**{"convection": 0.0, **options})
    box.add_field(equation, name="wave", elevation=lambda x: sum(0.1 * np.cos(k * x) for k in range(1, 11)))
    return box.build(dt=dt, dtype="float64", integrator=integrator).rollout(steps, record_every=steps, gradient=False)


def test_a_run_whose_waves_the_integrator_feeds_is_warned_and_told_what_to_take():
    rollout = kdv("SBDF3", 1000)
    trajectory = rollout.forward()
    grown = np.abs(trajectory["wave.elevation"][-1]).max()
    (sentence,) = trajectory.status.warnings
    assert grown > 1e10
    assert (
        "SBDF3 makes waves grow" in sentence and "wave number (5) 1/m" in sentence and "1e19 times in 1000" in sentence
    )
    assert "take ETDRK4 or IMEXRK4" in sentence and "lower `dt`" not in sentence


def test_a_smaller_step_does_not_help_and_is_not_advised():
    for dt in (0.002, 0.0005):
        trajectory = kdv("SBDF3", 1000, dt).forward()
        assert np.abs(trajectory["wave.elevation"][-1]).max() > 10.0 and len(trajectory.status.warnings) == 1
    with pytest.raises(SimulationError, match="SBDF3 makes waves grow") as raised:
        kdv("SBDF3", 30_000).forward()
    assert "lower `dt`" not in str(raised.value)


@pytest.mark.parametrize("integrator", [name for name in INTEGRATORS if name != "SBDF3"])
def test_other_methods_keep_or_damp_the_waves_and_say_nothing(integrator):
    trajectory = kdv(integrator, 1000).forward()
    assert np.abs(trajectory["wave.elevation"][-1]).max() <= 1.0 + 1e-9 and trajectory.status.warnings == ()


def test_what_a_run_is_too_short_to_grow_or_what_diffuses_is_not_warned_of():
    assert kdv("SBDF3", 10).forward().status.warnings == ()
    assert kdv("SBDF3", 1000, dispersion=1e-6).forward().status.warnings == ()
    box = PeriodicBox(2.0 * np.pi, 32)
    box.add_field(equations.Burgers(viscosity=0.1), name="field", velocity=lambda x: np.sin(x))
    assert box.build(dt=0.01, integrator="SBDF3").rollout(1000, gradient=False).forward().status.warnings == ()


def test_the_dispersion_given_at_a_run_is_what_counts():
    rollout = kdv("SBDF3", 1000, dispersion=1e-6)
    assert len(rollout.forward({"wave.dispersion": 1.0}).status.warnings) == 1
    assert rollout.forward().status.warnings == ()
