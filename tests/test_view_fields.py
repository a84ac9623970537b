"""The viewer of fields: images, space-time plots and volumes, in every kind of output."""

import re

import numpy as np
import pytest

from pliant.sim.errors import InputError
from pliant.sim.trajectory import Trajectory
from pliant.sim.view import palette, view
from pliant.sim.view.camera import framing
from pliant.sim.view.fields import FieldStage
from pliant.sim.view.options import ViewOptions
from pliant.sim.view.volume import render_volume

FRAMES, POINTS, SIZE = 4, 12, (160, 120)


def fields(axes: int, *, vector: bool = False, batch: int = 1) -> Trajectory:
    """A wave along x that grows with time, as a box would record it; a vector has it in its first component."""
    x = np.linspace(0.0, 2.0 * np.pi, POINTS, endpoint=False)
    wave = np.broadcast_to(np.sin(x), (POINTS,) * axes)
    array = np.arange(1.0, FRAMES + 1.0).reshape(-1, 1, *[1] * axes) * wave
    if vector:
        array = np.stack([array, *[np.zeros_like(array)] * (axes - 1)], axis=-1)
    scene = {"family": "spectral", "lengths": [2.0, 1.0, 1.0][:axes], "resolution": [POINTS] * axes, "fields": []}
    arrays = {
        "fluid.vorticity": np.repeat(array, batch, axis=1),
        "fluid.density": np.repeat(np.abs(array), batch, axis=1),
    }
    return Trajectory(times=0.5 * np.arange(FRAMES), arrays=arrays, metadata={"scene": scene})


def painted(trajectory: Trajectory, frame: int = -1, **options) -> np.ndarray:
    stage = FieldStage(trajectory, ViewOptions(size=SIZE, **options))
    return stage.painter(SIZE)(range(stage.frame_count)[frame])


def picture_of(path) -> np.ndarray:
    import imageio.v3 as imageio

    return imageio.imread(path)


def redness(picture: np.ndarray) -> np.ndarray:
    """Red minus blue, averaged over the rows in the middle."""
    return (picture[50:70, :, 0].astype(float) - picture[50:70, :, 2]).mean(axis=0)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("suffix", [".png", ".mp4", ".gif", ".html"])
def test_fields_become_files_of_every_kind(axes, suffix, tmp_path):
    path = tmp_path / f"field{suffix}"
    fields(axes).save(path, size=SIZE)
    assert path.stat().st_size > 500
    if suffix == ".png":
        assert picture_of(path).shape == (120, 160, 3)
    if suffix == ".html":
        page = path.read_text()
        assert page.count("iVBOR") == FRAMES  # how a PNG begins
        assert not re.search(r"(src|href)=\"http", page)


@pytest.mark.parametrize("axes", [1, 2])
def test_positive_values_are_red_and_negative_ones_blue(axes):
    """sin x is positive in the left half; colours are symmetric about zero."""
    red = redness(painted(fields(axes)))
    middle = (np.flatnonzero(np.abs(red) > 30).min() + np.flatnonzero(np.abs(red) > 30).max()) // 2
    assert red[:middle].max() > 60
    assert red[middle:].min() < -60


def test_y_points_up():
    trajectory = fields(2)
    rows = np.where(np.arange(POINTS) >= POINTS // 2, 1.0, -1.0)[:, None] * np.ones(POINTS)
    trajectory.arrays["fluid.vorticity"][:] = rows
    picture = painted(trajectory).astype(float)
    red = (picture[..., 0] - picture[..., 2])[:, 60]
    assert red[:65].max() > 50 > -50 > red[65:].min()


def test_a_space_time_plot_is_blank_where_time_has_not_come():
    first, last = painted(fields(1), 0), painted(fields(1), -1)
    changed = (np.abs(first.astype(int) - last).max(axis=2) > 20)[:, :110]
    rows = np.flatnonzero(changed.any(axis=1))
    assert rows.min() < 45  # time goes upwards
    assert rows.max() < 100  # the first frame is there in both


def test_a_volume_shows_what_is_inside_the_box():
    values = np.zeros((16, 16, 16), np.float32)
    values[6:10, 6:10, 6:10] = 1.0
    bar = palette.ScalarBar("density", 0.0, 1.0, palette.colormap("viridis"))
    camera = framing(np.zeros(3), np.ones(3), 1.0)
    empty, full = (render_volume(v, (1.0, 1.0, 1.0), bar, camera, (64, 64)) for v in (0.0 * values, values))
    changed = np.abs(full.astype(int) - empty).max(axis=2)
    assert changed[32, 32] > 80
    assert changed[:16].max() == changed[-16:].max() == 0
    inside = changed > 40
    assert 0.01 < inside.mean() < 0.2


def test_options_choose_field_environment_and_colours():
    trajectory = fields(2, batch=2)
    trajectory.arrays["fluid.vorticity"][:, 1] *= 0.0
    plain = painted(trajectory)
    assert (painted(trajectory, batch=1) != plain).any()
    assert (painted(trajectory, color_by="density") != plain).any()
    assert (painted(trajectory, colormap="magma") != plain).any()
    assert (painted(trajectory, color_range=(-1.0, 20.0)) != plain).any()
    assert (painted(trajectory, time_stamp=False) != plain).any()


def test_a_vector_is_shown_by_its_length():
    stage = FieldStage(fields(2, vector=True), ViewOptions())
    assert stage.values(1).min() >= 0.0
    assert stage.bar.lower == 0.0


def test_what_cannot_be_shown_is_refused_with_a_sentence(tmp_path):
    with pytest.raises(InputError, match=r"USD holds bodies"):
        view(fields(2), output=tmp_path / "field.usd")
    with pytest.raises(InputError, match=r"recorded field among .* got 'pressure'"):
        view(fields(2), output=tmp_path / "field.png", color_by="pressure")
    with pytest.raises(InputError, match=r"batch from 0 to 0"):
        view(fields(2), output=tmp_path / "field.png", batch=1)


def test_without_output_a_page_opens_in_the_browser(monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    view(fields(2), size=SIZE)
    assert opened[0].startswith("file://")
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    with pytest.raises(InputError, match=r"found no browser"):
        view(fields(2), size=SIZE)


def test_values_that_are_not_finite_are_left_blank():
    trajectory = fields(2)
    trajectory.arrays["fluid.vorticity"][-1, 0, :, :4] = np.nan
    assert (painted(trajectory) != painted(fields(2))).any()
