"""Every kind of bad input gets one sentence that says what, expected, got and the remedy, and the process lives on."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from pliant.sim import Code, InputError, RunInterrupted, Scene, SimulationError
from pliant.sim.materials import FixedCorotated, Fluid, NeoHookean
from pliant.sim.mpm.state import State
from pliant.sim.shapes import Box, Mesh, Plane, Points, Sphere

LAW = FixedCorotated(youngs_modulus=1e4, poissons_ratio=0.3)
GOOD_BODY = {"density": 1000.0, "spacing": 0.1}
STEPS = 20


def one_block(*, muscle: bool = False, **options) -> Scene:
    """Eight particles over a ball, in a box of one metre."""
    scene = Scene(**{"extent": ((0, 0, 0), (1, 1, 1)), "cell_size": 0.1, **options})
    scene.add_mpm(Box(0.2, center=(0.5, 0.5, 0.5)), LAW, **GOOD_BODY, name="block", velocity=(0, 0, -1))
    if muscle:
        scene.add_muscle("block", fibre=(1, 0, 0), group=lambda x: (x[:, 0] > 0.5).astype(int), strength=1e3)
    scene.add_collider(Sphere(0.1, center=(0.5, 0.5, 0.3)), friction=0.3, name="ball")
    return scene


@pytest.fixture(scope="module")
def model():
    return one_block(muscle=True).build(dt=1e-3, dtype="float64", threads=1)


@pytest.fixture(scope="module")
def rollout(model):
    return model.rollout(
        STEPS, record_every=5, control_every=5, record=("position", "velocity", "deformation_gradient")
    )


def sentence_of(caught) -> str:
    """The message, checked to be one line that ends and holds no traceback."""
    text = str(caught.value)
    assert text and "\n" not in text and len(text) <= 500, text
    assert text.endswith((".", "?")), text
    return text


def refused(call, *words: str, kind: type = InputError) -> None:
    """The call raises the kind of error whose one sentence holds the words."""
    with pytest.raises(kind) as caught:
        call()
    text = sentence_of(caught)
    for word in words:
        assert word in text, f"{word!r} is missing from: {text}"


def one_body(**changes):
    def call():
        scene, options = Scene(), {"density": 1000.0, "spacing": 0.1, **changes}
        shape, material = options.pop("shape", Box(0.2)), options.pop("material", LAW)
        scene.add_mpm(shape, material, **options)
        scene.build(dt=options.pop("dt", 1e-4))

    return call


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gravity": (0, 0)}, "gravity: expected three finite numbers"),
        ({"gravity": (0, 0, math.nan)}, "gravity"),
        ({"gravity": "down"}, "gravity"),
        ({"gravity": (0, 0, 10**400)}, "three finite numbers"),
        ({"extent": 3}, "extent: expected (lower [3], upper [3])"),
        ({"extent": ((0, 0, 0), (1, 1, 0))}, "expected lower < upper"),
        ({"extent": ((0, 0, 0), (1, math.inf, 1))}, "extent"),
        ({"cell_size": 0.0}, "cell_size"),
        ({"cell_size": -0.1}, "cell_size"),
        ({"cell_size": math.nan}, "cell_size"),
        ({"cell_size": 1e-300}, "from 1e-09"),
        ({"cell_size": "small"}, "cell_size"),
        ({"walls": "sticky"}, "walls: expected"),
        ({"walls": ["slip"]}, "walls: expected"),
        ({"walls": {"z-": 3}}, "walls: expected"),
        ({"walls": {"floor": "slip"}}, "walls: expected"),
        ({"mass_floor": -1.0}, "mass_floor"),
        ({"mass_floor": "none"}, "mass_floor"),
        ({"mass_floor": math.inf}, "mass_floor"),
        ({"mass_floor": 10**400}, "mass_floor"),
    ],
)
def test_a_scene_refuses_bad_options(options, words):
    refused(lambda: Scene(**options), words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"density": -1.0}, "density: expected 0 < value"),
        ({"density": 0.0}, "density"),
        ({"density": math.nan}, "got nan"),
        ({"density": "heavy"}, "expected numbers in kg/m^3"),
        ({"density": np.full(8, math.nan)}, "got nan"),
        ({"density": np.ones(5)}, "one for each of 8 particles, got [5]"),
        ({"density": np.ones((2, 8))}, "got [2, 8]"),
        ({"density": np.ones(0)}, "got [0]"),
        ({"density": [[1.0], [2.0, 3.0]]}, "expected numbers"),
        ({"density": 10**400}, "expected numbers"),
        ({"density": "1000"}, "expected numbers"),
        ({"density": b"1000"}, "expected numbers"),
        ({"velocity": ("0", "0", "1")}, "velocity"),
        ({"spacing": np.zeros((2, 2))}, "got array([[0., 0.], [0., 0.]]); correct it."),
        ({"velocity": list(range(1000))}, "expected three finite numbers, got [0, 1,"),
        ({"velocity": list(range(1000))}, "998, 999]; correct it."),
        ({"density": 1e300}, "rounded to float32"),
        ({"density": 1e-60}, "rounded to float32"),
        ({"spacing": 0.0}, "spacing"),
        ({"spacing": math.nan}, "spacing"),
        ({"spacing": "fine"}, "spacing"),
        ({"spacing": 1.0}, "expected at least one particle"),
        ({"spacing": 1e-8}, "enlarge the spacing"),
        ({"velocity": (0, 0, math.inf)}, "velocity: expected three finite numbers"),
        ({"velocity": (0, 0, 1e300)}, "rounded to float32"),
        ({"velocity": 1.0}, "velocity"),
        ({"angular_velocity": "fast"}, "angular_velocity"),
        ({"color": "red"}, "color"),
        ({"name": "a.b"}, "name: expected a new one without dots"),
        ({"name": ""}, "name"),
        ({"name": 3}, "name"),
        ({"name": "gravity"}, "name"),
        ({"shape": "cube"}, "see sim.shapes"),
        ({"shape": Plane()}, "expected a bounded shape"),
        ({"material": "rubber"}, "see sim.materials"),
        ({"material": NeoHookean}, "see sim.materials"),
        ({"material": NeoHookean(youngs_modulus=np.full(5, 1e4), poissons_ratio=0.3)}, "got [5]"),
    ],
)
def test_a_body_refuses_bad_options(changes, words):
    refused(one_body(**changes), words)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FixedCorotated(youngs_modulus=-1.0, poissons_ratio=0.3), "FixedCorotated.youngs_modulus"),
        (lambda: FixedCorotated(youngs_modulus=math.nan, poissons_ratio=0.3), "got nan"),
        (lambda: FixedCorotated(youngs_modulus="10", poissons_ratio=0.3), "expected a number or an array"),
        (lambda: FixedCorotated(youngs_modulus=np.ones(0), poissons_ratio=0.3), "expected a number or an array"),
        (lambda: FixedCorotated(youngs_modulus=10**400, poissons_ratio=0.3), "expected a number or an array"),
        (lambda: FixedCorotated(youngs_modulus=1e4, poissons_ratio=0.5), "-1 < value < 0.5"),
        (lambda: FixedCorotated(youngs_modulus="soft", poissons_ratio=0.3), "expected a number or an array"),
        (lambda: Fluid(bulk_modulus=1e4, viscosity=-1.0), "0 <= value"),
        (lambda: Sphere(0.0), "Sphere.radius"),
        (lambda: Sphere(math.nan), "Sphere.radius"),
        (lambda: Box((1, 1, 0)), "Box.sides"),
        (lambda: Box(0.1, rotation=(0, 0, 0, 0)), "not all zero"),
        (lambda: Points(np.zeros((0, 3)), volume=1.0), "at least one particle"),
        (lambda: Points(np.full((2, 3), math.nan), volume=1.0), "finite points"),
        (lambda: Mesh("missing.stl"), "missing.stl"),
        (lambda: Mesh(vertices=np.eye(3), faces=[[0, 1, 2]]), "Mesh"),
    ],
)
def test_materials_and_shapes_refuse_bad_numbers(make, words):
    refused(make, words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": "ball"}, "see sim.shapes"),
        ({"shape": Points(np.zeros((1, 3)), volume=1.0)}, "solid shape"),
        ({"friction": -0.1}, "friction"),
        ({"friction": math.inf}, "friction"),
        ({"friction": [0.1, 0.2]}, "friction: expected a number"),
        ({"friction": None}, "friction"),
        ({"friction": 1e300}, "rounded to float32"),
        ({"surface": "icy"}, "surface: expected one of"),
        ({"surface": ["slip"]}, "surface: expected one of"),
        ({"name": "block"}, "choose another"),
        ({"name": "ball"}, "choose another"),
        ({"color": (1, 0)}, "color"),
    ],
)
def test_a_collider_refuses_bad_options(options, words):
    scene = one_block()
    options = {"shape": Sphere(0.1), **options}
    refused(lambda: (scene.add_collider(**options), scene.build(dt=1e-4)), words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"body": "blok"}, "expected one of ['block']"),
        ({"fibre": (0, 0, 0)}, "finite and not zero"),
        ({"fibre": (1, 0)}, "for `fibre`"),
        ({"fibre": (1, math.nan, 0)}, "finite and not zero"),
        ({"fibre": (1e300, 1e300, 0)}, "finite and not zero"),
        ({"fibre": "along"}, "for `fibre`"),
        ({"fibre": lambda x: x[:3]}, "for `fibre`"),
        ({"group": -1}, "at least one of them not -1"),
        ({"group": -2}, "whole numbers from -1"),
        ({"group": 0.5}, "whole numbers"),
        ({"group": 10**6}, "whole numbers from -1 to 7"),
        ({"group": np.zeros(5, int)}, "for `group`"),
        ({"group": math.nan}, "whole numbers"),
        ({"strength": -1.0}, "muscle_strength"),
        ({"strength": math.nan}, "got nan"),
        ({"strength": np.ones(3)}, "got [3]"),
    ],
)
def test_a_muscle_refuses_bad_options(options, words):
    scene = one_block()
    given = {"body": "block", "fibre": (1, 0, 0), "group": 0, "strength": 1e3, **options}
    refused(lambda: (scene.add_muscle(given.pop("body"), **given), scene.build(dt=1e-4)), words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dt": 0.0}, "dt: expected a positive number"),
        ({"dt": -1e-3}, "dt"),
        ({"dt": math.nan}, "dt"),
        ({"dt": "short"}, "dt"),
        ({"dt": 1e-300}, "from 1e-15"),
        ({"dt": 1.0}, "exceeds the elastic limit"),
        ({"batch": 0}, "batch"),
        ({"batch": -1}, "batch"),
        ({"batch": 1.5}, "batch"),
        ({"batch": True}, "batch"),
        ({"batch": 10**9}, "enlarge `cell_size`"),
        ({"threads": 0}, "threads: expected 1 or 2"),
        ({"threads": 3}, "threads"),
        ({"threads": 1.0}, "threads"),
        ({"threads": True}, "threads"),
        ({"threads": "many"}, "threads"),
        ({"dtype": "float16"}, "dtype: expected 'float32' or 'float64'"),
        ({"dtype": np.float32}, "dtype"),
        ({"device": "gpu"}, "device: expected one of"),
        ({"device": "cuda:99"}, "device: expected one of"),
        ({"device": 3}, "device: expected one of"),
    ],
)
def test_build_refuses_bad_options(options, words):
    refused(lambda: one_block().build(**{"dt": 1e-4, **options}), words)


def test_a_gpu_that_is_absent_is_said_to_be_so(monkeypatch):
    import warp as wp

    def absent(name):
        raise ValueError(f"Invalid device identifier: {name}")

    monkeypatch.setattr(wp, "get_device", absent)
    refused(lambda: one_block().build(dt=1e-4, device="cuda"), "got 'cuda'", "use device='cpu' here")


def test_a_step_above_the_elastic_limit_is_told_the_limit():
    limit = 0.9 * 0.1 / LAW.wave_speed(1000.0)
    refused(lambda: one_block().build(dt=2 * limit), f"{limit:.3g} s", "'block'", "lower dt")


def test_an_empty_scene_and_one_without_material_are_refused():
    refused(lambda: Scene().build(dt=1e-4), "call add_mpm first")
    scene = Scene()
    scene.add_collider(Plane())
    refused(lambda: scene.build(dt=1e-4), "call add_mpm first")


def test_a_body_outside_the_grid_is_counted_and_told_where_the_grid_is():
    scene = one_block()
    scene.add_mpm(Box(0.2, center=(0.5, 0.5, 5.0)), LAW, **GOOD_BODY, name="lost")
    refused(lambda: scene.build(dt=1e-4), "'lost': 8 of 8 particles lie outside the grid", "enlarge `extent`")


@pytest.mark.parametrize("extent", [1e3, 1e12, 1e300])
def test_a_grid_too_large_is_refused_before_it_is_allocated(extent):
    scene = one_block(extent=((-extent,) * 3, (extent,) * 3), cell_size=0.01)
    refused(lambda: scene.build(dt=1e-5), "grid:", "shrink `extent`")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps: expected a whole number"),
        ({"steps": -5}, "steps"),
        ({"steps": 2.0}, "steps"),
        ({"steps": 2**40, "record_every": 2**39}, "steps"),
        ({"steps": 2**31 - 2, "record_every": 1}, "record_every"),
        ({"record_every": 0}, "record_every"),
        ({"record_at": (0, 3, 10**6)}, "record_at"),
        ({"record_at": (2.5,)}, "record_at"),
        ({"record_at": (1, 2), "record_every": 3}, "record_at"),
        ({"record_at": 3}, "record_at: expected a list of substeps, got 3"),
        ({"record_at": "all"}, "record_at: expected a list"),
        ({"record_at": [1.5]}, "record_at: expected a whole number"),
        ({"control_every": 0}, "control_every"),
        ({"control_every": 2**32}, "from 1 to 2.14748e+09"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"checkpoint_every": "often"}, "checkpoint_every: expected 'auto'"),
        ({"steps": 2**31 - 2, "checkpoint_every": 2**31 - 2}, "use 'auto'"),
        ({"memory": "much"}, "memory: expected a size such as '2GB'"),
        ({"memory": "1..2GB"}, "memory"),
        ({"memory": None}, "memory"),
        ({"memory": -1}, "memory"),
        ({"memory": "1 kB"}, "raise `memory` or lower `steps`"),
        ({"record": ("temperature",)}, "record"),
        ({"record": "position"}, "record"),
        ({"record": [["position"]]}, "record"),
        ({"record": None}, "record"),
    ],
)
def test_a_rollout_refuses_bad_options(model, options, words):
    refused(lambda: model.rollout(**{"steps": STEPS, **options}), words)


def test_a_large_number_of_bytes_is_a_memory_size(model):
    assert model.rollout(STEPS, memory=1e20).segment == STEPS
    assert model.rollout(STEPS, memory="0.5 gb").segment == STEPS


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of torch, when asked to become an array
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"blok.density": 1.0}, "did you mean 'block.density'?"),
        ({"nonsense": 1.0}, "expected one of"),
        ({3: 1.0}, "got 3"),
        ({"block.density": math.nan}, "block.density"),
        ({"block.density": -1.0}, "block.density"),
        ({"block.density": np.ones(5)}, "expected shape [1, 8]"),
        ({"block.density": "heavy"}, "expected numbers"),
        ({"block.density": [[1.0], [2.0, 3.0]]}, "one shape"),
        ({"block.youngs_modulus": math.inf}, "block.youngs_modulus"),
        ({"block.poissons_ratio": 0.7}, "-1 < value < 0.5"),
        ({"block.position": np.full((8, 3), math.nan)}, "block.position"),
        ({"block.position": np.zeros((8, 2))}, "expected shape [1, 8, 3]"),
        ({"block.velocity": [0, math.inf, 0]}, "block.velocity"),
        ({"gravity": 9.8}, "expected shape [1, 3]"),
        ({"ball.friction": -0.5}, "ball.friction"),
        ({"ball.pose": [0, 0, 0, 0, 0, 0, 0]}, "expected quaternions"),
        ({"ball.pose": [math.nan, 0, 0, 0, 0, 0, 1]}, "ball.pose"),
        ({"ball.pose": np.tile([0.5, 0.5, 0.3, 0, 0, 0, 1], (1, 4, 1))}, "expected 5 knots (one more"),
        ({"block.activation": np.zeros((1, 3, 2))}, "expected 4 control intervals, got 3"),
        ({"block.activation": np.zeros((1, 4, 3))}, "['intervals', 2]".replace("['", "[1, '")),
        ({"block.activation": math.nan}, "block.activation"),
        ({"block.muscle_strength": -1.0}, "block.muscle_strength"),
        ({"block.density": torch.ones(8, requires_grad=True)}, "use learn.simulate"),
    ],
)
def test_values_given_to_a_rollout_are_checked(rollout, values, words):
    refused(lambda: rollout.forward(values), words)


def zeros_like_frames(rollout, name: str) -> np.ndarray:
    return np.zeros_like(rollout.forward()[name])


@pytest.mark.parametrize(
    ("adjoints", "words"),
    [
        ({"block.position": np.zeros(3)}, "expected shape [5, 1, 8, 3]"),
        ({"block.temperature": np.zeros(3)}, "expected adjoints of"),
        ({"ball.pose": np.zeros((5, 1, 7))}, "expected adjoints of"),
        ({"ball.wrench": np.zeros((5, 1, 3))}, "expected shape [5, 1, 6]"),
        ({"block.position": "up"}, "expected numbers"),
        ({"block.position": None}, "expected numbers"),
        ({"block.position": [[1], [1, 2]]}, "expected numbers"),
        ({"block.position": torch.ones(3, requires_grad=True)}, "expected numbers"),
    ],
)
def test_adjoints_of_a_wrong_name_shape_or_kind_are_refused(rollout, adjoints, words):
    rollout.forward()
    refused(lambda: rollout.backward(adjoints), words)


def test_backward_and_the_final_state_need_a_forward_run(model):
    rollout = model.rollout(STEPS)
    refused(lambda: rollout.backward({}), "call rollout.forward() first")
    refused(rollout.final_state, "call rollout.forward()")
    plain = model.rollout(STEPS, gradient=False)
    plain.forward()
    refused(lambda: plain.backward({}), "gradient=True")


def test_a_start_state_of_wrong_size_or_with_nan_is_refused(rollout):
    refused(lambda: rollout.forward(state=State.zeros(3, np.float64)), "position of shape [8, 3], got [3, 3]")
    rollout.forward()
    state = rollout.final_state()
    state.velocity[4, 1] = math.nan
    refused(lambda: rollout.forward(state=state), "finite velocity")
    refused(lambda: rollout.forward(state=list(state.arrays().values())), "expected a state of this model, got list")


EXPLOSIONS = [
    (Code.CFL, {"block.velocity": [0, 0, 1e5]}, "moved more than a cell in one substep"),
    (Code.INVERTED, {"block.deformation_gradient": np.diag([1.0, 1.0, -1.0])}, "was inverted"),
    (Code.INVERTED, {"block.deformation_gradient": np.zeros((3, 3))}, "was inverted"),
    (Code.LEFT_GRID, {"block.position": [3.0, 0.0, 0.0]}, "left the grid"),
    (Code.NOT_FINITE, {"block.deformation_gradient": 1e120 * np.eye(3)}, "not finite"),
    (Code.INVERTED, {"block.youngs_modulus": 1e30, "block.deformation_gradient": 1.1 * np.eye(3)}, "lower `dt`"),
]


@pytest.mark.parametrize(("code", "values", "words"), EXPLOSIONS)
def test_a_run_that_explodes_says_who_where_and_what_helps(rollout, code, values, words):
    with pytest.raises(SimulationError) as caught:
        rollout.forward(values)
    text = sentence_of(caught)
    assert caught.value.status.code == code, text
    assert words in text and "particle 0 of 'block'" in text and "at substep 0" in text


@pytest.mark.slow
def test_a_run_that_explodes_stays_within_its_arrays(repository):
    """Warp's debug mode checks every index, and ends the process where one is out of bounds."""
    code = """
import warp
warp.config.mode = "debug"
from tests.test_bad_input import EXPLOSIONS, STEPS, one_block
for dtype, explosions in (("float32", EXPLOSIONS[:1]), ("float64", EXPLOSIONS)):
    rollout = one_block(muscle=True).build(dt=1e-3, dtype=dtype).rollout(STEPS)
    for code, values, words in explosions:
        assert rollout.forward(values, check=False).status.code == code
    rollout.forward()
    rollout.backward({})
print("within")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, timeout=600)
    assert done.stdout.split()[-1:] == ["within"], done.stdout[-500:] + done.stderr[-500:]


def test_two_threads_are_refused_in_the_debug_mode_they_would_crash_in(monkeypatch):
    import warp as wp

    monkeypatch.setattr(wp.config, "mode", "debug")
    refused(lambda: one_block().build(dt=1e-4, threads=2), "debug mode")
    assert one_block().build(dt=1e-4).threads == 1


@pytest.mark.parametrize(("code", "values", "words"), EXPLOSIONS)
def test_a_run_after_one_that_exploded_gives_the_bits_of_a_first_run(model, rollout, code, values, words):
    """What the failed run left on the grid (infinities on nodes of weight zero) must not reach the next one."""
    fresh = model.rollout(STEPS, record_every=5, control_every=5, record=rollout.record)
    expected = fresh.forward()
    seeds = {name: np.ones_like(array) for name, array in expected.items() if not name.endswith("pose")}
    gradient = fresh.backward(seeds)
    rollout.forward(values, check=False)
    again = rollout.forward()
    for name in expected:
        assert np.array_equal(expected[name], again[name]), name
    back = rollout.backward(seeds)
    for name in gradient:
        assert np.array_equal(gradient[name], back[name]), name


def test_a_backward_after_one_that_was_not_finite_is_right_again(rollout):
    trajectory = rollout.forward()
    good = {"block.position": np.ones_like(trajectory["block.position"])}
    bad = {"block.position": np.full_like(trajectory["block.position"], math.inf)}
    expected = rollout.backward(good)
    refused(lambda: rollout.backward(bad), "is not finite", kind=SimulationError)
    again = rollout.backward(good)
    assert all(np.array_equal(expected[name], again[name]) for name in expected)


def test_a_particle_that_leaves_an_open_grid_is_named_with_its_substep_and_environment():
    model = one_block(walls="open", gravity=(0, 0, 0)).build(dt=1e-3, batch=2, dtype="float64", threads=1)
    rollout = model.rollout(400, record_every=50)
    velocity = np.zeros((2, 1, 3))
    velocity[1] = [10.0, 0.0, 0.0]
    trajectory = rollout.forward({"block.velocity": velocity}, check=False)
    status = trajectory.status
    assert status.code == Code.LEFT_GRID
    assert "of 'block' of environment 1 left the grid" in status.message
    assert f"at substep {status.step}" in status.message
    # The upper half starts at x = 0.55 with 10 mm a substep; 27 nodes exist up to 1.25 m.
    assert status.step == pytest.approx(70, abs=2)
    assert status.environment == 1 and len(trajectory.times) == 9
    alone = one_block(walls="open", gravity=(0, 0, 0)).build(dt=1e-3, dtype="float64", threads=1).rollout(400)
    alone.forward({"block.velocity": velocity[1]}, check=False)
    refused(lambda: alone.backward({}), "left the grid", kind=SimulationError)
    refused(alone.final_state, "expected a forward run that completed")


def test_the_trajectory_of_a_failed_run_ends_at_its_last_good_frame(model):
    """Thrown at a wall-less side, it fails between two frames; frames before are those of a run that was stopped there."""
    open_model = one_block(walls="open").build(dt=1e-3, dtype="float64", threads=1)
    rollout = open_model.rollout(300, record_every=20, record=("position", "velocity", "deformation_gradient"))
    values = {"block.velocity": [9.0, 0.0, 0.0]}
    failed = rollout.forward(values, check=False)
    assert failed.status.code == Code.LEFT_GRID
    last = failed.status.step // 20
    assert len(failed.times) == last + 1
    assert failed.times[-1] == pytest.approx(20 * last * 1e-3)
    assert failed.status.step not in (0, 300)
    shorter = open_model.rollout(20 * last, record_every=20, record=rollout.record).forward(values)
    for name in shorter:
        assert np.isfinite(failed[name]).all(), name
        assert np.array_equal(failed[name], shorter[name]), name


def test_an_interrupted_run_cannot_be_walked_back_and_does_not_harm_the_next(model):
    rollout = model.rollout(STEPS, record_every=5)
    expected = rollout.forward()

    def interrupt(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        rollout.forward(progress=interrupt)
    assert isinstance(caught.value, RunInterrupted)
    kept = caught.value.trajectory
    assert (kept.status.code, kept.status.step, kept.frame_count) == (Code.UNFINISHED, 5, 2)
    assert all(np.array_equal(expected[name][:2], kept[name]) for name in expected)
    refused(lambda: rollout.backward({}), "call rollout.forward() first")
    again = rollout.forward()
    assert all(np.array_equal(expected[name], again[name]) for name in expected)


def damaged(change) -> str:
    data = one_block(muscle=True).to_dict()
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a complete JSON file"),
        (damaged(lambda d: None)[:-40], "is not a complete JSON file"),
        ("[" * 100_000, "is not a complete JSON file"),
        ("[]", "format 1"),
        ("3", "format 1"),
        (damaged(lambda d: d.update(format=99)), "format 1"),
        (damaged(lambda d: d.pop("gravity")), "gravity"),
        (damaged(lambda d: d.update(gravity=[0, 0, math.nan])), "gravity"),
        (damaged(lambda d: d.update(bodies=5)), "lacks or misnames"),
        (damaged(lambda d: d.update(bodies=["block"])), "lacks or misnames"),
        (damaged(lambda d: d["bodies"][0].pop("shape")), "shape"),
        (damaged(lambda d: d["bodies"][0].update(colour=1)), "lacks or misnames"),
        (damaged(lambda d: d["bodies"][0]["shape"].update(kind="Blob")), "Blob"),
        (damaged(lambda d: d["bodies"][0]["shape"].update(kind=[])), "shape"),
        (damaged(lambda d: d["bodies"][0]["material"].update(kind="Jelly")), "Jelly"),
        (damaged(lambda d: d["bodies"][0]["material"].update(kind=["Fluid"])), "lacks or misnames"),
        (damaged(lambda d: d["bodies"][0].update(material=7)), "lacks or misnames"),
        (damaged(lambda d: d["bodies"][0]["material"].update(softness=1)), "softness"),
        (damaged(lambda d: d["bodies"][0]["material"].update(youngs_modulus=math.nan)), "youngs_modulus"),
        (damaged(lambda d: d["bodies"][0]["muscle"].update(group="left")), "group"),
        (damaged(lambda d: d["colliders"][0].update(shape=None)), "shape"),
        (damaged(lambda d: d["colliders"][0].update(friction="much")), "friction"),
        (damaged(lambda d: d["colliders"][0].update(name="block")), "choose another"),
    ],
)
def test_a_damaged_scene_file_gets_its_sentence(tmp_path, text, words):
    path = tmp_path / "scene.json"
    path.write_text(text)
    refused(lambda: Scene.load(path), words)


def test_a_missing_scene_file_a_folder_and_bytes_that_are_no_text_get_their_sentence(tmp_path):
    refused(lambda: Scene.load(tmp_path / "none.json"), "found none at")
    refused(lambda: Scene.load(tmp_path), "cannot read")
    (tmp_path / "noise.json").write_bytes(b"\xff\xfe\x00")
    refused(lambda: Scene.load(tmp_path / "noise.json"), "not a complete JSON file")
    refused(lambda: one_block().save(tmp_path / "no" / "folder.json"), "cannot write")


def test_a_save_that_fails_leaves_the_old_scene(tmp_path, monkeypatch):
    import os

    path = tmp_path / "scene.json"
    one_block().save(path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    refused(lambda: Scene().save(path), "No space left on device", "untouched")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["scene.json"]
