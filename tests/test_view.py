"""The viewer: every kind of output, with and without OpenGL."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import warnings
import zlib

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pliant.sim import shapes
from pliant.sim.errors import InputError, MissingDependencyError
from pliant.sim.trajectory import Trajectory
from pliant.sim.view import opengl, palette, view
from pliant.sim.view.camera import framing
from pliant.sim.view.options import ViewOptions
from pliant.sim.view.pictures import write_still
from pliant.sim.view.stage import Stage

FRAMES, SPACING = 6, 0.05
TINY = {"size": (96, 64), "renderer": "raycast"}


def falling_box(*, batch: int = 1, shape: shapes.Shape | None = None) -> Trajectory:
    """A box that falls and turns over a plane beside a box that slides, with a field and recorded forces."""
    shape = shape or shapes.Box(0.3, center=(0.0, 0.0, 0.5))
    rest = shape.sample(SPACING)
    times = 0.1 * np.arange(FRAMES)
    turns = Rotation.from_rotvec(np.outer(times, [0.0, 0.0, 2.0])).as_matrix()
    drop = np.outer(0.5 * 9.81 * times**2, [0.0, 0.0, -0.2])
    positions = np.einsum("fij,nj->fni", turns, rest)[:, None] + drop[:, None, None]
    slide = np.tile([0.5, 0.0, 0.1, 0.0, 0.0, 0.0, 1.0], (FRAMES, 1, 1))
    slide[:, 0, 1] = times
    floor = np.tile([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], (FRAMES, 1, 1))
    load = np.tile([0.0, 0.0, -10.0, 0.0, 2.0, 0.0], (FRAMES, 1, 1))
    arrays = {"jelly.position": positions, "block.pose": slide, "floor.pose": floor, "floor.wrench": load}
    arrays["jelly.plastic_strain"] = np.broadcast_to(rest[:, 2], (FRAMES, 1, len(rest)))
    scene = {
        "bodies": [{"name": "jelly", "shape": shape.to_dict(), "spacing": SPACING, "color": None}],
        "colliders": [
            {"name": "floor", "shape": shapes.Plane().to_dict()},
            {"name": "block", "shape": shapes.Box(0.2, center=(0.5, 0.0, 0.1)).to_dict(), "color": [0.2, 0.4, 0.6]},
        ],
    }
    arrays = {name: np.repeat(array, batch, axis=1) for name, array in arrays.items()}
    return Trajectory(times=times, arrays=arrays, metadata={"scene": scene})


def picture_of(path) -> np.ndarray:
    import imageio.v3 as imageio

    return imageio.imread(path)


def stage(trajectory: Trajectory | None = None, **options) -> Stage:
    return Stage(trajectory or falling_box(), ViewOptions(**{**TINY, **options}))


# Camera and forces


@pytest.mark.parametrize("aspect", [0.4, 1.0, 2.5])
def test_the_automatic_camera_holds_everything_and_little_more(aspect):
    lower, upper = np.array([-1.0, -0.2, 0.0]), np.array([1.0, 0.3, 0.7])
    camera = framing(lower, upper, aspect)
    corners = np.stack(np.meshgrid(*zip(lower, upper, strict=True)), axis=-1).reshape(-1, 3)
    x, y, z = ((corners - camera.position) @ camera.axes.T).T
    filled = max(np.abs(x / z).max() / (aspect * camera.slope), np.abs(y / z).max() / camera.slope)
    assert 0.8 < filled < 0.95


def test_a_force_acts_on_its_center_of_pressure():
    drawn = stage(forces=True)
    start, force = drawn.anchors[0].force(0)
    # 10 N downward with a torque of 2 N m about y act 0.2 m along x.
    np.testing.assert_allclose(start, [0.2, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(force, [0.0, 0.0, -10.0])


# What is drawn


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"skin": True, "forces": True, "trails": 3},
        {"color_by": "speed"},
        {"color_by": "displacement", "skin": True},
        {"color_by": "plastic_strain", "color_range": (0.4, 0.6), "colormap": "magma"},
        {"camera": ((1.0, -2.0, 1.0), (0.0, 0.0, 0.3)), "ground": False, "time_stamp": False},
    ],
)
def test_options_change_the_picture(tmp_path, options):
    view(falling_box(), tmp_path / "plain.png", frame=3, **TINY)
    view(falling_box(), tmp_path / "other.png", frame=3, **TINY, **options)
    plain, other = (picture_of(tmp_path / f"{name}.png") for name in ("plain", "other"))
    assert plain.shape == other.shape == (64, 96, 3)
    assert (plain == other).all() == (not options)


def test_speed_without_recorded_velocities_is_that_of_the_positions():
    drawn = stage(color_by="speed")
    body = drawn.bodies[0]
    middle = np.argmin(np.linalg.norm(body.positions[0][:, :2], axis=1))
    radius = np.linalg.norm(body.positions[0][middle, :2])
    fall, turn = 0.2 * 9.81 * 0.2, radius * np.sin(2.0 * 0.1) / 0.1
    assert body.field(2)[middle] == pytest.approx(np.hypot(fall, turn), rel=1e-9)
    assert drawn.bar.label == "speed [m/s]"


def test_colours_span_their_map_and_end_with_it():
    bar = palette.ScalarBar("x", 0.0, 2.0, palette.colormap("viridis"))
    np.testing.assert_array_equal(bar.level(np.array([-1.0, 0.0, 1.0, 2.0, 9.0, np.nan])), [0, 0, 128, 255, 255, 0])


def test_a_strip_shows_moments_side_by_side(tmp_path):
    view(falling_box(), tmp_path / "strip.png", strip=3, **TINY)
    picture = picture_of(tmp_path / "strip.png")
    assert picture.shape == (35, 96, 3)
    assert not (picture[:, :32] == picture[:, 32:64]).all()


def test_a_mesh_is_drawn_as_a_skin_unless_its_file_is_gone(tmp_path):
    vertices, faces = shapes.Sphere(0.15).surface(16)
    body = falling_box(shape=shapes.Mesh(vertices=vertices, faces=faces))
    assert stage(body).bodies[0].skin is not None
    assert stage(body, skin=False).bodies[0].skin is None
    body.metadata["scene"]["bodies"][0]["shape"] = {"kind": "Mesh", "path": str(tmp_path / "gone.stl")}
    with pytest.warns(UserWarning, match="'jelly' is drawn as particles"):
        assert stage(body).bodies[0].skin is None


def test_without_a_scene_positions_are_still_drawn(tmp_path):
    bare = Trajectory(times=[0.0], arrays={"dust.position": np.random.default_rng(0).normal(size=(1, 1, 20, 3))})
    view(bare, tmp_path / "dust.png", **TINY)
    assert picture_of(tmp_path / "dust.png").std() > 1.0


def test_particles_that_are_not_finite_are_left_out(tmp_path):
    broken = falling_box()
    broken.arrays["jelly.position"][2:, 0, ::2] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("broken.png", "broken.html"):
            view(broken, tmp_path / name, trails=4, color_by="speed", **TINY)
    assert np.isfinite(stage(broken).size)


def test_the_floor_of_the_grid_is_the_ground_when_there_is_no_plane():
    body = falling_box()
    scene = body.metadata["scene"]
    scene["colliders"] = []
    scene["grid"], scene["walls"] = {"lower": [0.0, 0.0, -1.0], "spacing": 0.1}, {"z-": "separating"}
    assert stage(body).planes[0].poses[0, 2] == pytest.approx(-0.7)
    scene["walls"]["z-"] = "open"
    assert not stage(body).planes


# Files


def test_films_hold_every_frame_in_whole_blocks(tmp_path):
    import imageio.v2 as imageio

    for name in ("film.mp4", "film.gif"):
        view(falling_box(), tmp_path / name, size=(90, 70), renderer="raycast")
        frames = imageio.mimread(tmp_path / name)
        assert len(frames) == FRAMES and frames[0].shape[:2] == (64, 80)
        assert np.abs(frames[0][..., :3].astype(int) - frames[-1][..., :3]).max() > 50
    assert not list(tmp_path.glob(".*"))


def test_speed_sets_how_many_frames_a_film_has(tmp_path):
    import imageio.v2 as imageio

    view(falling_box(), tmp_path / "slow.gif", speed=0.5, fps=20, **TINY)
    assert len(imageio.mimread(tmp_path / "slow.gif")) == 21  # 0.5 s at half speed and 20 frames a second


def test_a_full_disk_leaves_the_old_picture(tmp_path, monkeypatch):
    (tmp_path / "film.gif").write_bytes(b"old")

    def full(*args):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    for name in ("film.gif", "page.html", "still.png", "film.mp4"):
        with pytest.raises(InputError, match="No space left on device; the old"):
            view(falling_box(), tmp_path / name, **TINY)
    assert (tmp_path / "film.gif").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def page_of(path) -> tuple[dict, bytes]:
    """The header and the block of data of a web page."""
    text = path.read_text()
    header = re.search(r'id="header" type="application/json">(.*?)</script>', text, re.S)[1]
    data = re.search(r'id="data" type="application/octet-stream">(.*?)</script>', text, re.S)[1]
    return json.loads(header), zlib.decompress(base64.b64decode(data))


def unpacked(block: bytes, part: dict, shape: tuple[int, ...]) -> np.ndarray:
    low, high = (np.frombuffer(block, np.uint8, part["size"], part["at"] + half * part["size"]) for half in (0, 1))
    return np.cumsum((low.astype(np.uint16) | high.astype(np.uint16) << 8).reshape(shape), axis=0, dtype=np.uint16)


def test_a_page_holds_the_positions_to_16_bits_and_needs_no_network(tmp_path):
    body = falling_box()
    view(body, tmp_path / "page.html", trails=2, forces=True)
    text = (tmp_path / "page.html").read_text()
    assert not re.search(r"https?:|src=|href=|import |fetch\(|\{\{", text)
    header, block = page_of(tmp_path / "page.html")
    jelly = header["bodies"][0]
    steps = unpacked(block, jelly["positions"], body["jelly.position"][:, 0].shape)
    points = np.array(jelly["lower"]) + np.array(jelly["extent"]) * steps / 65535.0
    assert np.abs(points - body["jelly.position"][:, 0]).max() <= 0.51 * max(jelly["extent"]) / 65535.0
    assert header["times"] == body.times.tolist()


def test_a_page_thins_many_particles_and_says_so(tmp_path):
    view(falling_box(), tmp_path / "page.html", max_particles=50)
    header, _ = page_of(tmp_path / "page.html")
    assert header["bodies"][0]["count"] == 50
    assert "50 of 216 particles of jelly" in header["note"]


def test_a_name_cannot_end_the_script_of_a_page(tmp_path):
    body = falling_box()
    name = "</script><b>"
    body.metadata["scene"]["bodies"][0]["name"] = name
    body.arrays[f"{name}.position"] = body.arrays.pop("jelly.position")
    view(body, tmp_path / "page.html", max_particles=10)
    assert name not in (tmp_path / "page.html").read_text()
    assert name in page_of(tmp_path / "page.html")[0]["note"]


@pytest.mark.slow
def test_a_page_draws_in_a_browser(tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium")
    view(falling_box(), tmp_path / "page.html", size=(480, 320), time_stamp=False)
    flags = "--headless --no-sandbox --disable-quic --no-first-run --disable-background-networking --disable-sync"
    flags += " --disable-component-update --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader"
    command = [browser, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=4000"]
    command += ["--window-size=480,320", "--enable-logging=stderr", f"--screenshot={tmp_path / 'shot.png'}"]
    for moment in ("", "#2"):  # playing, then held at a frame
        page = f"file://{tmp_path}/page.html{moment}"
        done = subprocess.run([*command, page], capture_output=True, timeout=120, check=True, text=True)
        assert not re.search(r"WebGL: INVALID|Uncaught|Error", "\n".join(re.findall(r".*CONSOLE.*", done.stderr)))
    view(falling_box(), tmp_path / "same.png", size=(480, 320), frame=2, time_stamp=False, renderer="raycast")
    shot, same = (picture_of(tmp_path / f"{name}.png")[:270, :, :3].astype(float) for name in ("shot", "same"))
    # Two renderers with the same light: they differ at edges and by one level of grey elsewhere.
    assert np.median(np.abs(shot - same)) <= 2.0 and np.abs(shot - same).mean() < 4.0


@pytest.mark.parametrize("suffix", [".usd", ".usda", ".usdc"])
def test_usd_holds_points_and_poses_over_time(tmp_path, suffix):
    pxr = pytest.importorskip("pxr", exc_type=ImportError)
    from pxr import Usd, UsdGeom

    assert pxr
    body, path = falling_box(), tmp_path / f"stage{suffix}"
    for _ in range(2):
        view(body, path, color_by="speed")
    scene = Usd.Stage.Open(str(path))
    assert UsdGeom.GetStageUpAxis(scene) == "Z" and UsdGeom.GetStageMetersPerUnit(scene) == 1.0
    assert scene.GetTimeCodesPerSecond() == pytest.approx(10.0)
    points = UsdGeom.Points(scene.GetPrimAtPath("/World/jelly"))
    np.testing.assert_allclose(points.GetPointsAttr().Get(3.0), body["jelly.position"][3, 0], atol=1e-6)
    np.testing.assert_allclose(points.GetWidthsAttr().Get()[0], 2 * 0.56 * SPACING, rtol=1e-6)
    placed = UsdGeom.Xformable(scene.GetPrimAtPath("/World/block")).GetLocalTransformation(3.0)
    np.testing.assert_allclose(placed.ExtractTranslation(), body["block.pose"][3, 0, :3], atol=1e-12)
    assert scene.GetPrimAtPath("/World/floor")


def test_usd_without_its_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'pliant\[usd\]'"):
        view(falling_box(), tmp_path / "stage.usd")


# With and without OpenGL


@pytest.fixture
def no_opengl(monkeypatch):
    """A machine on which VTK ends the process, as it does without OpenGL."""
    crash = f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"
    monkeypatch.setattr(opengl, "PROBE", crash)
    monkeypatch.delenv(opengl.VARIABLE, raising=False)
    opengl.opengl.cache_clear()
    yield
    opengl.opengl.cache_clear()


def test_without_opengl_pictures_come_from_the_ray_caster(tmp_path, no_opengl):
    assert opengl.chosen_renderer(None) == "raycast"
    view(falling_box(), tmp_path / "still.png", size=(96, 64))
    view(falling_box(), tmp_path / "same.png", **TINY)
    np.testing.assert_array_equal(picture_of(tmp_path / "still.png"), picture_of(tmp_path / "same.png"))


def test_without_opengl_vtk_and_windows_are_refused_with_a_sentence(tmp_path, no_opengl, monkeypatch):
    with pytest.raises(InputError, match="no OpenGL.*renderer='auto'"):
        view(falling_box(), tmp_path / "still.png", size=(96, 64), renderer="vtk")
    monkeypatch.setenv("DISPLAY", ":0")
    with pytest.raises(InputError, match="no OpenGL.*--output"):
        view(falling_box())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_without_a_display_a_window_is_refused_with_a_sentence(monkeypatch):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(InputError, match="no display.*--output x.html"):
        falling_box().show()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="VTK falls back to drawing unseen on Linux only")
def test_a_display_that_does_not_answer_is_refused_with_a_sentence(monkeypatch):
    monkeypatch.setattr(opengl, "opengl", lambda: "software")
    monkeypatch.setenv("DISPLAY", ":4711")
    with pytest.raises(InputError, match="display ':4711' does not answer.*--output x.html"):
        falling_box().show()
    monkeypatch.setattr(opengl, "WINDOW_PROBE", "print('vtkXOpenGLRenderWindow')")
    opengl.require_window()


def test_every_output_but_the_window_works_where_vtk_cannot_be_imported(tmp_path):
    body = tmp_path / "body.npz"
    falling_box().save(body)
    program = f"""
    import sys
    sys.modules.update(vtk=None, vtkmodules=None, pyvista=None)
    from pliant.sim.trajectory import Trajectory
    for suffix in ("png", "mp4", "gif", "html"):
        Trajectory.load({str(body)!r}).select(times=slice(0, 2)).save({str(tmp_path)!r} + "/x." + suffix, size=(32, 32))
    """
    environment = {name: value for name, value in os.environ.items() if name != opengl.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / f"x.{suffix}").stat().st_size > 100 for suffix in ("png", "mp4", "gif", "html"))


def test_the_environment_chooses_the_renderer(monkeypatch):
    monkeypatch.setenv(opengl.VARIABLE, "raycast")
    assert opengl.chosen_renderer(None) == "raycast"
    monkeypatch.setenv(opengl.VARIABLE, "voxels")
    with pytest.raises(InputError, match="PLIANT_RENDERER: expected one of"):
        opengl.chosen_renderer(None)


def test_vtk_and_the_ray_caster_draw_the_same_scene(tmp_path, capfd):
    if opengl.opengl() is None:
        pytest.skip("no OpenGL")
    pictures = []
    for renderer in ("vtk", "raycast"):
        drawn = stage(falling_box(), renderer=renderer, size=(192, 128), frame=0, time_stamp=False)
        write_still(drawn, tmp_path / f"{renderer}.png")
        pictures.append(picture_of(tmp_path / f"{renderer}.png").astype(float))
    # Lights and shadows are only alike, shapes and places the same.
    assert np.abs(pictures[0] - pictures[1]).mean() < 10.0
    assert "WARN" not in capfd.readouterr().err


# Options


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"colour_by": "speed"}, "there is no option 'colour_by'; did you mean 'color_by'"),
        ({"color_by": "temperature"}, "expected color_by as 'speed'"),
        ({"color_by": "speed", "colormap": "rainbows"}, "colour map"),
        ({"color_by": "speed", "color_range": (1.0, 1.0)}, "color_range as"),
        ({"frame": 17}, "expected a number from -6 to 5"),
        ({"frame": 0, "strip": 2}, "a frame or a strip"),
        ({"strip": 0}, "strip as a whole number"),
        ({"batch": 1}, "expected batch from 0 to 0"),
        ({"batch": -1}, "expected batch from 0 to 0"),
        ({"size": (0, 10)}, "expected size"),
        ({"size": 12}, "expected size"),
        ({"camera": (1, 2, 3)}, "position, target"),
        ({"camera": ((0, 0, 0), (0, 0, 0))}, "a target apart from the position"),
        ({"camera": ((0, 0, 1), (0, np.nan, 0))}, "three finite numbers for target"),
        ({"trails": -1}, "trails as a whole number"),
        ({"speed": 0.0}, "a speed above 0"),
        ({"renderer": "voxels"}, "a renderer among"),
    ],
)
def test_bad_options_are_refused(tmp_path, options, sentence):
    with pytest.raises(InputError, match=sentence):
        view(falling_box(), tmp_path / "x.png", **options)
    assert not list(tmp_path.iterdir())


def test_a_trajectory_without_positions_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected an array '<body>.position'"):
        view(Trajectory(times=[0.0], arrays={"a.velocity": np.zeros((1, 1, 2, 3))}), tmp_path / "x.png")
