"""Learning from what was seen: start, times, correspondence or none, files on the way in, and sentences for what cannot be."""

import dataclasses
import types

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from pliant.learn import LBFGS, Budget, Unknown, solve
from pliant.learn.identify.alignment import check_rows, check_speed
from pliant.learn.identify.initial_velocity import estimated_velocity, recorded_velocity
from pliant.learn.identify.motion import Curriculum
from pliant.learn.identify.observation import (
    MATCHES,
    ObservationProblem,
    observing_rollout,
    seen_objective,
    squared_errors,
)
from pliant.learn.models.laws.card import read_card
from pliant.learn.run import read_metrics
from pliant.scenes import tumble
from pliant.scenes.motion_data import Origin, load_motion
from pliant.scenes.registry import find_problem
from pliant.sim import InputError, Recording, Scene, Trajectory
from tests.test_laws import _stop_after
from tests.test_recording import write_ply, write_pvd, write_vtk

torch.set_num_threads(1)
E, DT, STEPS = 2e4, 1e-3, 60
SCENE = '''"""A soft block falls on the wall of its box."""

from pliant import sim
from pliant.scenes.registry import Settings
from pliant.sim import materials, shapes

SETTINGS = Settings(dt=1e-3, steps=60)


def build():
    scene = sim.Scene(extent=((-0.05,) * 3, (0.4,) * 3), cell_size=0.05)
    material = materials.NeoHookean(youngs_modulus=2e4, poissons_ratio=0.3)
    block = shapes.Box(0.15, center=(0.2, 0.2, 0.1))
    scene.add_mpm(block, material, density=1000.0, spacing=0.025, name="block", velocity=(0.5, 0, -2))
    return scene


def measure(trajectory):
    return {}
'''


def build() -> Scene:
    module = types.ModuleType("block_scene")
    exec(SCENE, module.__dict__)
    return module.build()


@pytest.fixture(scope="module")
def motion() -> Trajectory:
    """The block's motion with half the substep, so that every frame lies between two substeps of those who look at it."""
    rollout = build().build(dt=DT / 2, dtype="float64", threads=1).rollout(2 * STEPS, record_every=15, gradient=False)
    return rollout.forward()


@pytest.fixture(scope="module")
def recording(motion) -> Recording:
    return Recording.of(motion)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, recording):
    """The recording in all kinds of files, in millimetres and with its y axis up where it can be told; and its scene."""
    path = tmp_path_factory.mktemp("recorded")
    (path / "block.py").write_text(SCENE)
    turned = [1e3 * np.stack([x[:, 0], x[:, 2], -x[:, 1]], axis=1) for x in recording.points]
    for name in ("vtk", "ply"):
        (path / name).mkdir()
    write_pvd(path / "vtk" / "all.pvd", write_vtk(path / "vtk", turned), recording.times + 3.0)
    rng = np.random.default_rng(0)
    write_ply(path / "ply", [rng.permutation(cloud) for cloud in turned])
    np.savez(path / "plain.npz", x=turned, t=recording.times, v0=1e3 * recording.velocity[:, [0, 2, 1]] * [1, 1, -1])
    return path


FILES = {"vtk": "vtk", "ply": "ply/*.ply", "npz": "plain.npz"}
INTERVAL = 7.5 * DT


def arguments_for(files, kind, **options):
    problem = find_problem("law")
    given = {
        "data": str(files / FILES[kind]),
        "scene": str(files / "block.py"),
        "units": "mm",
        "up": "y",
        "interval": INTERVAL if kind == "ply" else None,
        "stress_scale": E,
        "epochs": 6,
        "pictures": False,
        "progress": False,
    }
    return problem, problem.arguments(**{**given, **options})


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("vtk", {"supervision": "positions", "tracked": 40}),
        ("npz", {"supervision": "positions", "velocity": "recorded"}),
        ("ply", {"supervision": "clouds", "match": "chamfer"}),
    ],
)
def test_a_law_is_learned_from_files(folder, tmp_path, kind, options, capsys):
    problem, arguments = arguments_for(folder, kind, folder=tmp_path / "run", **options)
    run = problem.train(arguments)
    losses = [record["loss"] for record in read_metrics(run.path("metrics.jsonl"))]
    assert min(losses) < 0.3 * losses[0] and run.path("law.safetensors").is_file()
    assert f"over {STEPS} substeps." in capsys.readouterr().out


def test_a_law_that_does_not_last_the_motion_says_how_to_begin(folder, tmp_path, capsys):
    problem, arguments = arguments_for(
        folder, "vtk", supervision="positions", folder=tmp_path / "run", stress_scale=1e9
    )
    problem.train(dataclasses.replace(arguments, law="elastic"))
    told = capsys.readouterr().out
    assert f"begin with fewer, for example --windows 12 {STEPS}" in told and "the initial unknowns fail" in told


def test_a_training_from_clouds_resumes_bit_for_bit_in_its_second_stage(folder, tmp_path):
    weights = []
    for name in ("whole", "part"):
        problem, arguments = arguments_for(
            folder, "ply", supervision="clouds", windows=(30, 60), epochs=4, folder=tmp_path / name
        )
        if name == "part":
            _stop_after(problem, arguments, iterations=5)
            arguments = dataclasses.replace(arguments, resume=True)
        run = problem.train(arguments)
        weights.append(torch.load(run.path("checkpoint.pt"), weights_only=True)["method"]["theta"])
    assert torch.equal(*weights)


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_file_places_the_body_in_its_scene(folder, recording, kind):
    origin = Origin(scene=str(folder / "block.py"), unit="mm", up="y", interval=INTERVAL if kind == "ply" else None)
    motion = load_motion(str(folder / FILES[kind]), None, 0, "cpu", "float64", origin=origin)
    assert np.allclose(motion.recording.times, recording.times, atol=1e-12)
    for mine, theirs in zip(motion.recording.points, recording.points, strict=True):
        distance, nearest = KDTree(theirs).query(mine)
        assert distance.max() <= 1e-7 and len(set(nearest)) == len(theirs)  # PLY holds single precision


def test_the_true_law_follows_the_recording_between_the_substeps(recording):
    """The first seen frame is in flight, 7.5 substeps after the start: half a substep off would be 1 mm, and it is 0.02 mm.

    Later the recording's substep, which is half as long, makes itself felt in the contact: a difference of first order.
    """
    model = build().build(dt=DT, dtype="float64", threads=1)
    particles = recording.points[0]
    trajectory = observing_rollout(model, recording, gradient=False).forward()
    assert trajectory.frame_count == 1 + 8 + 4  # every second of the eight frames lies between two substeps
    errors = squared_errors(trajectory, recording, "block", particles)
    assert errors[0] <= 1e-30 and np.sqrt(errors[1]) < 2e-5 and np.sqrt(errors.max()) < 2e-3
    for match in ("chamfer", "wasserstein"):
        clouds = dataclasses.replace(recording, points=[x[::-1] for x in recording.points], correspondence=False)
        assert (squared_errors(trajectory, clouds, "block", particles, match=match) <= 1.000001 * errors + 1e-18).all()


@pytest.mark.parametrize("match", MATCHES)
def test_the_gradient_of_a_stiffness_agrees_with_finite_differences(recording, match):
    model = build().build(dt=DT, dtype="float64", threads=1)
    objective = seen_objective(recording.until(0.03), "block", recording.points[0], match=match, length=0.15)
    unknown = Unknown(name="block.youngs_modulus", initial=np.float64(1.3 * E), scale="log")
    problem = ObservationProblem(observing_rollout(model, recording.until(0.03)), objective, unknowns=[unknown])
    theta = problem.space.initial.clone().requires_grad_()
    loss = problem.evaluate(theta, gradient=True).loss.mean()
    (gradient,) = torch.autograd.grad(loss, theta)
    plus, minus = (problem.evaluate(theta.detach() + h).value for h in (1e-5, -1e-5))
    assert float(gradient) == pytest.approx((plus - minus) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("match", MATCHES)
def test_residuals_are_linearised_as_finite_differences_say(recording, match):
    """The Jacobian by forward mode through the substeps, the interpolation and the match, for Gauss-Newton methods."""
    model = build().build(dt=DT, dtype="float64", threads=1)
    seen = recording.until(0.03)
    objective = seen_objective(seen, "block", seen.points[0], match=match, length=0.15)
    unknown = Unknown(name="block.youngs_modulus", initial=np.float64(1.3 * E), scale="log")
    problem = Curriculum([ObservationProblem(observing_rollout(model, seen), objective, unknowns=[unknown])])
    theta = problem.space.initial
    evaluation, jacobian = problem.linearise(theta)
    plus, minus = (problem.evaluate(theta + h).residuals.flatten() for h in (1e-5, -1e-5))
    assert evaluation.value == pytest.approx(problem.evaluate(theta).value, rel=1e-12)
    difference = (plus - minus) / 2e-5
    assert (jacobian.flatten() - difference).norm() <= 1e-6 * difference.norm()


@pytest.mark.parametrize("match", MATCHES)
def test_a_stiffness_is_found_from_what_was_seen(recording, match):
    """Seen by the interpolation that looks at it, the true value is the exact optimum."""
    model = build().build(dt=DT, dtype="float64", threads=1)
    trajectory = model.rollout(STEPS, record_every=1, gradient=False).forward()
    seen = Recording.of(trajectory.resample(recording.times))
    objective = seen_objective(seen, "block", seen.points[0], match=match, length=0.15)
    unknown = Unknown(name="block.youngs_modulus", initial=np.float64(0.5 * E), scale="log")
    problem = ObservationProblem(observing_rollout(model, seen), objective, unknowns=[unknown])
    result = solve(problem, LBFGS(), Budget(iterations=15), 0)
    assert float(result.unknowns["block.youngs_modulus"]) == pytest.approx(E, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "options",
    [
        {"supervision": "positions", "tracked": 100},
        {"supervision": "clouds", "match": "wasserstein"},
        {"supervision": "clouds", "match": "chamfer"},
    ],
)
def test_a_law_learned_from_what_was_seen_predicts_the_motion(seed, options, tmp_path):
    """The table of docs/measurements.md: 30 epochs of 250 substeps; the bounds are the aims for full states."""
    problem = find_problem("law")
    given = {"seed": seed, "folder": tmp_path / "law", "pictures": False, "progress": False}
    run = problem.train(problem.arguments(**given, **options))
    errors = read_card(run.path("law.safetensors"))["notes"]["errors [m^2]"]
    print(f"{options}, seed {seed}: {errors['reconstruction']:.1e}, {errors['time x2.5']:.1e}")
    assert errors["reconstruction"] <= 5e-6 and errors["time x2.5"] <= 1e-3


def flight(shuffled=False, frames=5):
    """Points that fly and turn: v = (1, -2, 3) m/s, w = (2, -1, 1.5) rad/s, gravity along -z."""
    times, rest = 2e-3 * np.arange(frames), np.random.default_rng(0).random((200, 3))
    v, w, g = np.array([1.0, -2.0, 3.0]), np.array([2.0, -1.0, 1.5]), np.array([0.0, 0.0, -9.8])
    center, rng, points = rest.mean(axis=0), np.random.default_rng(1), []
    for t in times:
        moved = Rotation.from_rotvec(w * t).apply(rest - center) + center + v * t + g * t**2 / 2
        points.append(rng.permutation(moved) if shuffled and t else moved)
    velocity = v + np.cross(w, rest - center)
    return Recording(times=times, points=points, velocity=velocity, correspondence=not shuffled)


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_velocity_of_a_flying_body_is_estimated_from_its_first_frames(shuffled):
    """Shift and rotation vector are quadratic in time, so only rounding is left, divided by the 2 ms between frames."""
    seen = flight(shuffled)
    assert np.abs(estimated_velocity(seen).at(seen.points[0]) - seen.velocity).max() <= 1e-9


def test_recorded_velocities_are_carried_to_other_points():
    seen = flight()
    elsewhere = np.random.default_rng(5).random((7, 3))
    w, center = np.array([2.0, -1.0, 1.5]), seen.points[0].mean(axis=0)
    expected = np.array([1.0, -2.0, 3.0]) + np.cross(w, elsewhere - center)
    assert np.abs(recorded_velocity(seen).at(elsewhere) - expected).max() <= 1e-12
    start = recorded_velocity(seen).start("block", elsewhere)
    assert np.array_equal(start["block.velocity"][0], recorded_velocity(seen).at(elsewhere))
    assert np.abs(start["block.velocity_gradient"][0] @ np.array([1.0, -2.0, 0.5]) - np.cross(w, [1.0, -2.0, 0.5])).max() <= 1e-12


def test_the_reference_trajectory_is_followed_from_its_own_velocities(reference):
    """Another code's jelly (float32, y up): read, placed, started and compared, 300 substeps agree to 1e-9 m^2."""
    origin = Origin(scene="tumble:jelly", up="y", offset=(0.0, 1.0, 0.0), interval=5e-4)
    path = str(reference / "mpm" / "jelly_vel_seed1.npz")
    motion = load_motion(path, None, 0, "cpu", "float32", origin=origin)
    seen = motion.recording.until(0.15)
    model = motion.scene.build(dt=motion.dt, threads=1)
    start = {**motion.start("recorded"), "cube.velocity_gradient": np.zeros((3, 3))}  # as that code begins
    trajectory = observing_rollout(model, seen, gradient=False).forward(start)
    assert squared_errors(trajectory, seen, "cube", motion.particles).max() <= 1e-9


def test_a_motion_that_ends_early_is_infinitely_wrong_afterwards(motion, recording):
    errors = squared_errors(motion.select(times=slice(0, 4)), recording, "block", recording.points[0])
    assert np.isfinite(errors[:4]).all() and np.isinf(errors[4:]).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"supervision": "state"},
            "expected states at equal intervals, got none or others; learn from positions or clouds",
        ),
        ({"scene": None, "units": "m", "up": "z"}, r"got a recording without one; name the scene it is of \(scene\)"),
        ({"scene": None}, r"unit, up: expected with the scene .* alone; name it \(scene\) or leave out unit, up"),
        (
            {"data": "tumble", "units": "m", "up": "z"},
            r"scene: expected with a recording, got the scene 'tumble'; leave out scene",
        ),
        ({"units": "m"}, r"1e\+03 times as much; are they in mm\?"),
        ({"units": "furlong"}, "expected one of"),
        ({"up": "z"}, "an offset of"),
        ({"substeps": 61}, "substeps: expected 1 to 60, as long as the recording, got 61"),
        ({"windows": (70,)}, "windows: expected lengths from 1 to 60"),
        ({"windows": (5,)}, "expected frames up to 0.005 s, got the second at 0.0075 s"),
        ({"velocity": "recorded"}, "found none; take the scene's or estimate them"),
        ({"tracked": 1000}, "tracked: expected 0 to 216 points"),
        ({"body": "cube"}, r"expected one of \['block'\], got 'cube'"),
        ({"data": "missing.pvd"}, "found nothing at missing.pvd"),
        ({"tracked": 1000, "supervision": "clouds"}, "expected 0 to 216 points of a cloud, got 1000"),
        ({"batch": 0}, "batch: expected a number of at least 1, got 0"),
        ({"epochs": 0}, "epochs: expected a number of at least 1, got 0"),
        ({"substeps": 0}, "substeps: expected a number of at least 1, got 0"),
        ({"seen_every": 0}, "seen_every: expected a number of at least 1, got 0"),
        ({"noise": -1.0}, "noise: expected a number of at least 0"),
        ({"dt": 0.0}, "dt: expected a number above 0"),
        ({"dt": float("nan")}, "dt: expected a number above 0, got nan"),
        ({"strain_scale": 0.0}, "strain_scale: expected a number above 0"),
        ({"seed": -1}, "seed: expected a number of at least 0"),
        ({"seed": 2**64}, "seed: expected a number of at least 0 and at most"),
        ({"device": "tpu"}, "device: expected one of"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_a_sentence(folder, tmp_path, options, sentence):
    given = {"supervision": "positions", "folder": tmp_path / "run", **options}
    problem, arguments = arguments_for(folder, "vtk", **given)
    with pytest.raises(InputError, match=sentence):
        problem.train(arguments)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("tumble:honey", "variant: expected one of jelly, plasticine, sand, water of the scene tumble, got 'honey'"),
        ("jelly_drop:honey", "variant: expected none of the scene jelly_drop, got 'honey'"),
        ("turbulence", "scene: expected one of bodies, got 'turbulence', which is of fields"),
    ],
)
def test_a_scene_or_a_variant_that_cannot_be_learned_from_is_refused(data, sentence, tmp_path):
    problem = find_problem("law")
    with pytest.raises(InputError, match=sentence):
        problem.train(problem.arguments(data=data, folder=tmp_path / "run"))


def test_frames_to_look_at_are_refused_where_all_states_are_used(tmp_path):
    problem = find_problem("law")
    options = {"data": "specimen:jelly", "substeps": 20, "windows": (5,), "seen_every": 5, "progress": False}
    with pytest.raises(InputError, match="seen_every: expected with positions or clouds, got states"):
        problem.train(problem.arguments(folder=tmp_path / "run", **options))


def test_a_law_learned_from_few_substeps_is_judged_at_the_last_of_them(tmp_path, capsys):
    problem = find_problem("law")
    options = {"data": "specimen:jelly", "substeps": 20, "windows": (10,), "epochs": 1, "stress_scale": 3e4}
    run = problem.train(problem.arguments(**options, folder=tmp_path / "run", pictures=False, progress=False))
    errors = read_card(run.path("law.safetensors"))["notes"]["errors [m^2]"]
    assert 0.0 < errors["reconstruction"] < 1e-4 and "nan" not in capsys.readouterr().out


def save(path, points, times):
    np.savez(path, x=points, t=times)
    return str(path)


@pytest.mark.parametrize("factor", [1e3, 10.0, 0.1, 1e-3])
@pytest.mark.parametrize("supervision", ["positions", "clouds"])
def test_a_wrong_clock_is_told_by_the_speed_at_the_start(folder, recording, tmp_path, factor, supervision):
    data = save(tmp_path / "a.npz", recording.positions, factor * recording.times)
    problem, arguments = arguments_for(folder, "npz", data=data, supervision=supervision, folder=tmp_path / "run")
    arguments = dataclasses.replace(arguments, units="m", up="z")
    hint = "are the times in ms" if factor == 1e3 else "correct the times"
    with pytest.raises(InputError, match=f"expected points that set out at 2.06 m/s .* got .*; {hint}"):
        problem.train(arguments)


def test_a_wrong_clock_is_told_where_parameters_are_identified(folder, recording, tmp_path):
    data = save(tmp_path / "a.npz", recording.positions, 10.0 * recording.times)
    problem = find_problem("material")
    options = {"data": data, "scene": str(folder / "block.py"), "progress": False, "folder": tmp_path / "run"}
    with pytest.raises(InputError, match="expected points that set out at 2.06 m/s"):
        problem.train(problem.arguments(**options))


def test_the_clock_is_not_judged_by_what_is_not_known_or_did_not_move(recording):
    slow = dataclasses.replace(recording, times=10.0 * recording.times)
    size, gravity = 0.125, np.array([0.0, 0.0, -9.81])
    check_speed(recording, np.array([0.5, 0.0, -2.0]), gravity, size)
    check_speed(slow, np.zeros(3), gravity, size)  # at rest: nothing to compare
    still = dataclasses.replace(recording, points=[recording.points[0]] * recording.frame_count)
    check_speed(still, np.array([1e-3, 0.0, 0.0]), gravity, size)


def test_rows_that_change_places_are_told(folder, recording, tmp_path):
    rng = np.random.default_rng(0)
    points = recording.positions
    points[3] = rng.permutation(points[3])
    data = save(tmp_path / "a.npz", points, recording.times)
    problem, arguments = arguments_for(folder, "npz", data=data, supervision="positions", folder=tmp_path / "run")
    with pytest.raises(InputError, match=r"points that change places from frame 2 to 3; .* compare clouds"):
        problem.train(dataclasses.replace(arguments, units="m", up="z"))


@pytest.mark.parametrize("material", ["jelly", "plasticine", "sand", "water"])
def test_rows_of_a_body_that_flows_are_accepted(material):
    """Frames every 25 ms of a cube that tumbles into a corner and, of water or sand, runs out there."""
    scene = tumble.build(material)
    rollout = scene.build(dt=5e-4, threads=1).rollout(1000, record_every=50, gradient=False)
    check_rows(Recording.of(rollout.forward()))


def test_unusable_observations_are_refused(recording):
    model = build().build(dt=DT, dtype="float64", threads=1)
    with pytest.raises(InputError, match="match: expected one of"):
        seen_objective(recording, "block", recording.points[0], match="icp")
    fast = Recording(times=1e-9 * recording.times, points=recording.points)
    with pytest.raises(InputError, match="at least a substep of 0.001 s apart"):
        observing_rollout(model, fast)
    with pytest.raises(InputError, match="expected three frames"):
        estimated_velocity(flight(frames=2))
    with pytest.raises(InputError, match="expected points that keep their row, got clouds"):
        flight(shuffled=True).items([0, 1])
