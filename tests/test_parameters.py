"""What a parameter value may look like, what it stands for, and the gradient it gets back."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pliant.sim import InputError, Parameter, ParameterSpec, Scene, materials, shapes
from tests.mpm_scenes import busy_scene

BATCH, ITEMS, INTERVALS = 2, 3, 4
SPEC = ParameterSpec("stiffness", "Pa", 0.0, 1e9)
FREE = ParameterSpec("field", "m")


def parameter(components: int = 0, timed: bool = False, spec: ParameterSpec = FREE, dtype=np.float64) -> Parameter:
    """A parameter [2, 3, component...] of values 1, or [2, 1, component...] over time."""
    shape = (BATCH, 1 if timed else ITEMS, *(3,) * components)
    return Parameter(f"body.{spec.name}", spec, np.ones(shape, dtype), components=components, timed=timed)


SHAPES = [
    *[(0, False, s) for s in ((), (BATCH,), (ITEMS,), (1, ITEMS), (BATCH, 1), (BATCH, ITEMS))],
    *[(1, False, (*s, 3)) for s in ((), (BATCH,), (ITEMS,), (1, ITEMS), (BATCH, 1), (BATCH, ITEMS))],
    *[(2, False, (*s, 3, 3)) for s in ((), (BATCH,), (ITEMS,), (1, 1), (BATCH, ITEMS))],
    *[(1, True, (*s, 3)) for s in ((), (INTERVALS,), (1, INTERVALS), (BATCH, 1), (BATCH, INTERVALS))],
]


@pytest.mark.parametrize(("components", "timed", "shape"), SHAPES)
def test_reduce_is_the_transpose_of_expand(components, timed, shape):
    """<expand(v), g> == <v, reduce(g)>, so the gradient of a repeated value is the sum over its copies."""
    rng = np.random.default_rng(0)
    q = parameter(components, timed)
    v = rng.standard_normal(shape)
    full = q.expand(v)
    g = rng.standard_normal(full.shape)
    back = q.reduce(g, v)
    assert back.shape == v.shape
    assert full.shape[0] == BATCH and full.shape[2:] == (3,) * components
    assert np.sum(full * g) == pytest.approx(np.sum(v * back), rel=1e-13)  # a dozen additions in float64


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_every_shape_is_either_expanded_with_its_transpose_or_refused_with_a_sentence(data):
    components, timed = data.draw(st.integers(0, 2)), data.draw(st.booleans())
    q = parameter(components, timed)
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=4)))
    v = np.random.default_rng(1).standard_normal(shape)
    try:
        full = q.expand(v)
    except InputError as error:
        assert "expected shape" in str(error)
        return
    g = np.random.default_rng(2).standard_normal(full.shape)
    assert np.sum(full * g) == pytest.approx(np.sum(v * q.reduce(g, v)), rel=1e-12)


def test_one_axis_means_environments_before_items_and_time_before_environments():
    q = Parameter("body.field", FREE, np.ones((3, 3)))
    assert np.array_equal(q.expand([1.0, 2.0, 3.0])[:, 0], [1.0, 2.0, 3.0])
    control = Parameter("body.activation", FREE, np.ones((2, 1, 1)), components=1, timed=True)
    assert np.array_equal(control.expand([[1.0], [2.0]])[0, :, 0], [1.0, 2.0])


def test_expansion_leaves_the_given_array_alone_and_shares_no_memory_with_it():
    q, v = parameter(), np.arange(1.0, 1.0 + BATCH * ITEMS).reshape(BATCH, ITEMS)
    before = v.copy()
    made = q.expand(v)
    assert np.array_equal(v, before)
    assert made.dtype == np.float64


def test_integers_and_lists_are_values_too():
    assert np.array_equal(parameter().expand([1, 2, 3]), [[1.0, 2.0, 3.0]] * 2)
    assert parameter(dtype=np.float32).expand(2).dtype == np.float32


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (math.nan, "expected 0 < value < 1e.09 .Pa., got nan"),
        (math.inf, "got inf"),
        (-1.0, "got -1"),
        (0.0, "got 0"),
        (1e9, r"got 1e\+09"),
        ([1.0, math.nan], "got nan"),
        (True, "expected numbers, got dtype bool"),
        ("stiff", "expected numbers, got dtype"),
        (1j, "expected numbers, got dtype complex128"),
        (None, "expected numbers, got dtype object"),
    ],
)
def test_a_value_out_of_bounds_or_no_number_gets_its_sentence(value, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        parameter(spec=SPEC).expand(value)
    assert "body.stiffness" in str(caught.value)


@pytest.mark.parametrize("value", [1e-60, 1e60])
def test_a_value_that_single_precision_rounds_out_of_bounds_is_refused(value):
    """1e-60 would become a density of 0 in float32, and 1e60 infinite: neither is what was asked for."""
    density = ParameterSpec("density", "kg/m^3", 0.0)
    assert parameter(spec=density).expand(value).max() == value
    with pytest.raises(InputError, match="rounded to float32"):
        parameter(spec=density, dtype=np.float32).expand(value)


def test_a_closed_lower_bound_allows_equality():
    friction = ParameterSpec("friction", "1", 0.0, lower_closed=True)
    assert not parameter(spec=friction).expand(0.0).any()
    with pytest.raises(InputError, match="expected 0 <= value"):
        parameter(spec=friction).expand(-1e-9)


@pytest.mark.parametrize("length", [0.0, 1e-9, 1e9])
def test_a_quaternion_without_a_usable_length_is_refused(length):
    model = busy_scene().build(dt=3e-4, threads=1)
    pose = model.parameters()["ball.pose"]
    with pytest.raises(InputError, match="expected quaternions"):
        pose.expand([0.5, 0.5, 0.4, 0, 0, 0, length])
    assert pose.expand([0.5, 0.5, 0.4, 0, 0, 0, 2.0]).shape == (1, 1, 7)


def test_a_model_lists_its_parameters_with_unit_bounds_and_value():
    parameters = busy_scene().build(dt=3e-4, threads=1, batch=2).parameters()
    stiffness = parameters["soft.youngs_modulus"]
    assert stiffness.unit == "Pa"
    assert stiffness.bounds == (0.0, math.inf)
    assert stiffness.shape == (2, 64)
    assert parameters["soft.poissons_ratio"].bounds == (-1.0, 0.5)
    assert parameters["gravity"].unit == "m/s^2"
    assert parameters["soft.position"].shape == (2, 64, 3)
    assert parameters["soft.activation"].shape == (2, 1, 2)
    assert parameters["ball.pose"].shape == (2, 1, 7)
    assert {f"{b}.{n}" for b in ("soft", "clay", "sand", "water") for n in ("density", "velocity")} <= set(parameters)
    for name, q in parameters.items():
        assert q.name == name
        assert q.unit and q.spec.meaning, name
        assert q.value.dtype == np.float32
        assert np.array_equal(q.expand(q.value), q.value), f"{name}: a model refuses its own value"


def test_the_text_of_a_model_is_ten_lines_at_most():
    scene = Scene()
    for name in ("left", "right"):
        law = materials.NeoHookean(youngs_modulus=1e4, poissons_ratio=0.3)
        scene.add_mpm(shapes.Box(0.2), law, density=1e3, spacing=0.05, name=name)
    lines = repr(scene.build(dt=1e-3)).splitlines()
    assert len(lines) == 10
    assert lines[0] == "Model of 128 particles, batch 1, dt 0.001 s, float32 on cpu, 15 parameters"
    assert "  left.density [1, 64]: 1000 kg/m^3" in lines
    assert lines[-1] == "  and 7 more: model.parameters()"
