"""What a periodic box refuses, what a failing run says, and the ways to the same numbers: files, restarts, devices, torch."""

import json

import numpy as np
import pytest
import torch

from pliant import sim
from pliant.learn import Adam, Budget, SimulationProblem, Simulator, Unknown, simulate, solve
from pliant.learn.objectives import TrajectoryMatching
from pliant.sim.spectral import INTEGRATORS, Equation, PeriodicBox, equations, fft
from pliant.sim.spectral import model as spectral_model
from pliant.sim.spectral.arrays import HostArrays, TorchArrays
from tests.spectral_boxes import EQUATIONS, SIDE, box_of, model_of, weighted_loss


def refused(call, *words: str, kind: type = sim.InputError) -> None:
    """The call raises the kind of error whose sentence holds the words."""
    with pytest.raises(kind) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def flow_box(**options) -> PeriodicBox:
    box = PeriodicBox((SIDE, SIDE), (16, 16))
    box.add_field(equations.NavierStokes2D(viscosity=0.1), **({"vorticity": 0.0} | options))
    return box


@pytest.mark.parametrize(
    ("lengths", "resolution", "words"),
    [
        ((1.0, 1.0), (15, 16), ("even", "15", "64 or 96")),
        ((1.0, 1.0), (4, 16), ("at least 8", "4")),
        ((1.0, 1.0), 16.0, ("resolution", "16.0")),
        ((1.0, 1.0), (16,), ("2 numbers for 2 sides",)),
        ((1.0, -1.0), (16, 16), ("lengths", "positive", "-1.0")),
        ((1.0, np.inf), (16, 16), ("lengths", "inf")),
        ((1.0,) * 4, (16,) * 4, ("one to three sides", "4")),
        ("wide", 16, ("lengths", "wide")),
    ],
)
def test_a_box_refuses_what_is_no_periodic_grid(lengths, resolution, words):
    refused(lambda: PeriodicBox(lengths, resolution), *words)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((16, 16), complex), ("real numbers", "complex")),
        (np.zeros((8, 8)), ("[16, 16]", "[8, 8]")),
        (np.zeros((0, 16, 16)), ("[16, 16]", "[0, 16, 16]")),
        (np.full((16, 16), np.nan), ("finite", "nan")),
        (np.zeros((16, 16), bool), ("dtype bool",)),
        ("fast", ("dtype",)),
        (lambda x: x, ("function of x, y",)),
        (lambda x, y: 0.1 * x + np.sin(y), ("periodic along x", "0.589", "taper")),
        (lambda x, y: np.sin(x) + np.tanh(y - 3.0), ("periodic along y",)),
    ],
)
def test_a_box_refuses_initial_fields_that_do_not_fit(given, words):
    refused(lambda: flow_box(vorticity=given), "vorticity", *words)


def test_a_box_larger_than_the_memory_is_refused_before_it_is_sampled():
    box = PeriodicBox((SIDE, SIDE), (10**6, 10**6))
    flow = equations.NavierStokes2D(viscosity=0.1)
    refused(lambda: box.add_field(flow, vorticity=0.0), "1000000 x 1000000 points", "8e+03 GB", "lower")


def test_a_rollout_refuses_what_is_no_table_of_values_and_no_substep():
    rollout = flow_box().build(dt=0.1).rollout(2)
    refused(lambda: rollout.forward([0.1]), "values", "by name", "list")
    for step in (-1, 1.5, True):
        refused(lambda step=step: rollout.forward(first_step=step), "first_step", "from 0 on", repr(step))
    rollout.forward()
    refused(lambda: rollout.backward(None), "adjoints by name", "NoneType")
    refused(lambda: rollout.backward({}, names="field.viscosity"), "names", "a list", "write ['field.viscosity']")


def test_fronts_and_noise_inside_a_box_are_not_refused():
    noise = np.random.default_rng(0).standard_normal((16, 16))
    for given in (noise, lambda x, y: np.where(x > 3.0, 1.0, 0.0), lambda x, y: 1.0 + 1e-9 * x, 3.0):
        flow_box(vorticity=given)


def test_a_box_refuses_equations_and_names_that_do_not_fit():
    box = PeriodicBox((SIDE, SIDE), (16, 16))
    refused(lambda: box.add_field("water"), "sim.spectral.equations", "str")
    refused(lambda: box.add_field(equations.Burgers(viscosity=1.0), velocity=0.0), "Burgers", "1 axes", "2")
    flow = equations.NavierStokes2D(viscosity=1.0)
    refused(lambda: box.add_field(flow, name="a.b", vorticity=0.0), "without dots", "a.b")
    refused(lambda: box.add_field(flow), "['vorticity']", "got []")
    refused(lambda: box.add_field(flow, vorticity=0.0, speed=1.0), "speed")
    refused(lambda: box.build(dt=0.1), "add_field first")
    box.add_field(flow, vorticity=0.0)
    refused(lambda: box.add_field(flow, vorticity=0.0), "one equation a box")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: equations.NavierStokes2D(viscosity=-1.0), ("viscosity", "0 <= value", "-1")),
        (lambda: equations.Burgers(viscosity=1j), ("viscosity", "real numbers", "1j")),
        (lambda: equations.Burgers(viscosity="thick"), ("viscosity", "thick")),
        (lambda: flow_box_forced(7), ("forcing_wavenumber", "1 to 5", "7")),
        (lambda: flow_box_forced(2.0), ("forcing_wavenumber", "whole number", "2.0")),
    ],
)
def test_equations_refuse_parameters_that_make_no_sense(make, words):
    refused(make, *words)


def flow_box_forced(wavenumber) -> None:
    equation = equations.NavierStokes2D(viscosity=1.0, forcing_wavenumber=wavenumber)
    PeriodicBox((SIDE, SIDE), (16, 16)).add_field(equation, vorticity=0.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dt": 0.0}, ("dt", "positive")),
        ({"dt": "fast"}, ("dt", "fast")),
        ({"integrator": "RK4"}, ("integrator", "ETDRK4", "RK4")),
        ({"batch": 0}, ("batch",)),
        ({"dtype": "float16"}, ("dtype", "float16")),
        ({"device": "tpu"}, ("device", "tpu")),
    ],
)
def test_build_refuses_bad_options(options, words):
    refused(lambda: flow_box().build(**({"dt": 0.1} | options)), *words)


def test_a_batch_must_fit_the_initial_fields_and_parameters():
    box = flow_box(vorticity=np.zeros((3, 16, 16)))
    refused(lambda: box.build(dt=0.1, batch=2), "field.vorticity", "[3, 16, 16]")
    box = PeriodicBox((SIDE, SIDE), (16, 16))
    box.add_field(equations.NavierStokes2D(viscosity=[0.1, 0.2]), vorticity=0.0)
    refused(lambda: box.build(dt=0.1, batch=3), "field.viscosity", "[2]")
    assert box.build(dt=0.1, batch=2).parameters()["field.viscosity"].value.tolist() == pytest.approx([0.1, 0.2])


def test_rollouts_refuse_values_and_records_that_do_not_fit():
    model = flow_box().build(dt=0.1)
    refused(lambda: model.rollout(3, record=("pressure",)), "record", "pressure", "vorticity")
    rollout = model.rollout(6, control_every=2)
    refused(lambda: rollout.forward({"field.visosity": 1.0}), "did you mean 'field.viscosity'")
    refused(lambda: rollout.forward({"field.viscosity": 1j}), "field.viscosity", "complex")
    refused(lambda: rollout.forward({"field.vorticity": np.zeros((16, 8))}), "field.vorticity", "[16, 8]")
    refused(lambda: rollout.forward({"field.forcing": np.zeros((1, 2))}), "3 control intervals", "2")
    rollout.forward()
    refused(lambda: rollout.backward({}, names=["field.color"]), "field.color")


def fast_flow(dt: float, speed: float = 10.0):
    box = PeriodicBox((SIDE, SIDE), (32, 32))
    box.add_field(
        equations.NavierStokes2D(viscosity=1e-3), vorticity=lambda x, y: speed * (np.cos(x) + np.cos(2 * y + x))
    )
    return box.build(dt=dt, dtype="float64")


def test_a_step_beyond_the_advective_limit_is_refused_with_the_limit():
    rollout = fast_flow(0.1).rollout(50, record_every=1)
    refused(
        rollout.forward, "too fast for dt = 0.1 s", "limit of ETDRK4 is 0.0", "lower `dt`", kind=sim.SimulationError
    )
    trajectory = rollout.forward(check=False)
    assert trajectory.status.code == sim.Code.CFL
    assert trajectory.frame_count == trajectory.status.step + 1


def steep(convection: float):
    box = PeriodicBox(SIDE, 64)
    equation = equations.KortewegDeVries(dispersion=1e-3, convection=convection)
    box.add_field(equation, elevation=lambda x: np.sin(x), name="wave")
    return box.build(dt=0.05, dtype="float64").rollout(3)


def test_the_advective_limit_is_that_of_the_values_given():
    """Not of those the equation was made with: a flow of speed a u whose a is handed to `forward`."""
    assert steep(100.0).forward({"wave.convection": 1.0}).status.ok
    status = steep(1.0).forward({"wave.convection": 100.0}, check=False).status
    assert (status.code, status.step) == (sim.Code.CFL, 0)
    assert "at a speed of 100 m/s" in status.message
    box = PeriodicBox((SIDE, SIDE), (16, 16))
    fluids = equations.StokesTransport(viscosity=[1.0, 1.0], diffusivity=0.1)
    box.add_field(fluids, concentration=1.0, stress=lambda x, y: np.stack([np.sin(y), np.sin(x), np.cos(x)], axis=-1))
    rollout = box.build(dt=0.1, dtype="float64", batch=2).rollout(3)
    assert rollout.forward().status.ok
    status = rollout.forward({"field.viscosity": [1.0, 1e-3]}, check=False).status
    assert (status.code, status.step, status.index) == (sim.Code.CFL, 0, 1)


def test_a_blow_up_is_traced_to_the_first_step_that_was_too_long():
    """The speeds are looked at every 32 steps; this run is over after ten, and was too fast from the start."""
    box = PeriodicBox(60.0, 256)
    box.add_field(equations.KuramotoSivashinsky(), velocity=lambda x: 40.0 * np.cos(2.0 * np.pi * 5.0 / 60.0 * x))
    rollout = box.build(dt=0.5, integrator="SBDF3", dtype="float64").rollout(300, record_every=50)
    status = rollout.forward(check=False).status
    assert status.code == sim.Code.CFL
    assert (status.step, status.item) == (0, "field.velocity")
    assert "at a speed of 40 m/s" in status.message
    state, step = rollout.last_good_state()
    assert step == 0
    assert np.abs(state.arrays()["velocity"]).max() == pytest.approx(40.0)


def blown_up():
    """A focusing wave in one environment whose step is far too long; the other rests."""
    box = PeriodicBox(SIDE, 32)
    start = np.stack([np.zeros(32), 3.0 + np.cos(np.arange(32))])
    box.add_field(equations.Schroedinger(nonlinearity=50.0), real=start, imaginary=0.0, name="wave")
    return box.build(dt=0.05, batch=2, dtype="float64").rollout(400, record_every=10)


def test_a_run_that_blows_up_names_step_field_and_environment_and_keeps_the_last_good_state():
    rollout = blown_up()
    refused(rollout.forward, "'wave.real' of environment 1 is no longer finite", "lower `dt`", kind=sim.SimulationError)
    trajectory = rollout.forward(check=False)
    status = trajectory.status
    assert status.code == sim.Code.NOT_FINITE
    assert (status.item, status.index) == ("wave.real", 1)
    assert f"(at substep {status.step})" in status.message
    assert np.isfinite(trajectory["wave.real"]).all()
    state, step = rollout.last_good_state()
    assert step == status.step
    assert all(np.isfinite(array).all() for array in state.arrays().values())
    after = rollout.model.rollout(1)
    refused(lambda: after.forward(state=state), "no longer finite", kind=sim.SimulationError)
    refused(rollout.final_state, "completed")
    assert rollout.forward({"wave.real": np.zeros(32)}).status.ok  # nothing of the failure is left


def test_the_last_good_state_of_a_good_run_is_its_last():
    rollout = model_of("Burgers").rollout(7)
    refused(rollout.last_good_state, "forward run")
    trajectory = rollout.forward()
    state, step = rollout.last_good_state()
    assert step == 7
    assert np.array_equal(state.arrays()["velocity"], trajectory["field.velocity"][-1])


@pytest.mark.parametrize("name", EQUATIONS)
def test_a_saved_box_is_the_same_box(name, tmp_path):
    box = box_of(name)
    box.save(tmp_path / "box.json")
    again = PeriodicBox.load(tmp_path / "box.json")
    assert again.to_dict() == box.to_dict()
    runs = [b.build(dt=0.01, dtype="float64").rollout(3).forward() for b in (box, again)]
    assert all(np.array_equal(runs[0][field], runs[1][field]) for field in runs[0])


def test_damaged_descriptions_are_refused(tmp_path):
    path = tmp_path / "box.json"
    refused(lambda: PeriodicBox.load(path), "cannot read", "box.json")
    path.write_text("{")
    refused(lambda: PeriodicBox.load(path), "complete JSON")
    box_of("Burgers").save(path)
    data = json.loads(path.read_text())
    for changed, words in [
        ({**data, "family": "mpm"}, ("description of format",)),
        ({**data, "lengths": None}, ("lengths",)),
        ({**data, "fields": [{}]}, ("lacks",)),
    ]:
        path.write_text(json.dumps(changed))
        refused(lambda: PeriodicBox.load(path), *words)
    refused(lambda: Equation.from_dict({"kind": "Boussinesq"}), "Boussinesq", "Burgers")
    refused(lambda: Equation.from_dict({"kind": "Burgers", "thickness": 1.0}), "Burgers", "thickness")


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("name", sorted(set(EQUATIONS) - {"ActiveFluid", "KineticActiveFluid"}))  # these take their time
def test_a_run_continued_from_its_state_is_the_run(name, integrator):
    """An equation without a nonlinear term has no history of one."""
    model = model_of(name, integrator=integrator)
    whole = model.rollout(12).forward()
    half = model.rollout(6)
    half.forward()
    rest = half.forward(state=half.final_state(), first_step=6)
    assert rest.times[0] == pytest.approx(6 * model.dt)
    for field in whole:
        assert np.abs(rest[field][-1] - whole[field][-1]).max() < 1e-12 * np.abs(whole[field]).max()


@pytest.mark.parametrize("integrator", ["ETDRK2", "SBDF3"])
@pytest.mark.parametrize("name", EQUATIONS)
def test_nothing_is_read_before_it_is_written(name, integrator, monkeypatch):
    """Forward, backward and on from the last state, where all fresh memory is not a number."""
    monkeypatch.setattr(HostArrays, "empty", lambda self, shape, dtype: np.full(shape, np.nan, dtype))
    rollout = model_of(name, integrator=integrator).rollout(4, record_every=2)
    trajectory = rollout.forward()
    gradients = rollout.backward(weighted_loss(trajectory)[1])
    state = rollout.final_state()
    rollout.forward(state=state, first_step=4)
    held = (*trajectory.values(), *gradients.values(), *gradients.state.arrays().values(), *state.arrays().values())
    assert all(np.isfinite(array).all() for array in held)


@pytest.mark.parametrize("name", ["KortewegDeVries", "NavierStokes2D", "NavierStokes3D"])
def test_public_transforms_give_the_same_numbers(name, monkeypatch):
    made = []
    for direct in (fft.DIRECT, False):
        monkeypatch.setattr(fft, "DIRECT", direct)
        rollout = model_of(name).rollout(4)
        trajectory = rollout.forward()
        made.append((trajectory, rollout.backward(weighted_loss(trajectory)[1])))
    for one, other in zip(*made, strict=True):
        assert all(np.allclose(one[key], other[key], rtol=1e-12, atol=1e-13) for key in one)


@pytest.mark.parametrize("name", EQUATIONS)
def test_torch_arrays_give_the_same_numbers(name, monkeypatch):
    """What runs on CUDA, with the tensors on the CPU."""
    made = []
    for arrays in (None, TorchArrays("cpu")):
        if arrays is not None:
            monkeypatch.setattr(spectral_model, "arrays_of", lambda device, arrays=arrays: arrays)
        rollout = model_of(name, batch=2, integrator="SBDF3").rollout(5, record_every=2)
        trajectory = rollout.forward()
        made.append((trajectory, rollout.backward(weighted_loss(trajectory)[1])))
    for one, other in zip(*made, strict=True):
        assert all(np.allclose(one[key], other[key], rtol=1e-10, atol=1e-12) for key in one)


def test_the_modes_that_are_stored_twice_stay_conjugate():
    rollout = model_of("SwiftHohenberg").rollout(400)
    rollout.forward()
    column = rollout.solver.states.coefficients[rollout.steps - rollout._segments[-1]][0][0, 0, :, 0]
    mirrored = np.conj(column[-np.arange(len(column)) % len(column)])
    assert np.array_equal(column, mirrored)


def test_simulate_gives_tensors_with_gradients():
    rollout = model_of("NavierStokes2D").rollout(8, record=("velocity",))
    viscosity = torch.tensor(0.03, dtype=torch.float64, requires_grad=True)
    trajectory = simulate(rollout, {"field.viscosity": viscosity})
    assert trajectory["field.velocity"].shape == (9, 1, 16, 16, 2)
    loss = trajectory["field.velocity"][-1].square().mean()
    loss.backward()
    values = [
        float((rollout.forward({"field.viscosity": 0.03 + d})["field.velocity"][-1] ** 2).mean()) for d in (1e-5, -1e-5)
    ]
    assert float(viscosity.grad) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("integrator", ["ETDRK4", "SBDF2"])
def test_a_policy_that_forces_the_flow_gets_the_gradient_of_the_open_loop(integrator):
    model = model_of("NavierStokes2D", integrator=integrator)
    rollout = model.rollout(12, control_every=4, record_every=4)
    forces = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, requires_grad=True)

    def policy(seen):
        assert seen["field.vorticity"].shape == (1, 16, 16)
        return {"field.forcing": forces[round(seen.time / model.dt) // 4].reshape(1)}

    closed = simulate(rollout, policy=policy)
    (by_policy,) = torch.autograd.grad(closed["field.vorticity"][-1].square().mean(), forces)
    opened = simulate(rollout, {"field.forcing": forces.reshape(1, 3)})
    (direct,) = torch.autograd.grad(opened["field.vorticity"][-1].square().mean(), forces)
    assert torch.allclose(closed["field.vorticity"], opened["field.vorticity"], rtol=1e-11, atol=1e-13)
    assert torch.allclose(by_policy, direct, rtol=1e-9)


def test_the_viscosity_of_a_flow_is_identified_from_its_trajectory():
    rollout = model_of("Burgers").rollout(40, record_every=10)
    objective = TrajectoryMatching(rollout.forward({"field.viscosity": 0.17}), scales={"field.velocity": 1.0})
    start = Unknown(name="field.viscosity", initial=torch.tensor(0.05, dtype=torch.float64), scale="log")
    problem = SimulationProblem(Simulator(rollout), objective, unknowns=[start])
    result = solve(problem, Adam(learning_rate=0.2), Budget(iterations=60), 0)
    assert float(result.unknowns["field.viscosity"]) == pytest.approx(0.17, rel=1e-2)
