"""Recordings: read from every kind of file, placed in metres, and refused in a sentence when they cannot be right."""

import json

import numpy as np
import pytest
import pyvista
import trimesh

from pliant.sim import InputError, Recording, Trajectory

TIMES = np.array([0.0, 0.1, 0.25])
SHIFT = 0.5  # s, at which the clocks of the sources start


def clouds(items=(6, 6, 6), seed=0):
    rng = np.random.default_rng(seed)
    return [rng.random((count, 3)) for count in items]


def write_vtk(folder, points, *, suffix=".vtp", times=None, fields=None):
    """A numbered series; returns the names of its files."""
    names = []
    for frame, cloud in enumerate(points):
        data = pyvista.PolyData(cloud)
        for name, array in (fields or {}).items():
            data[name] = array
        if times is not None:
            data.field_data["TimeValue"] = [times[frame]]
        data = data.cast_to_unstructured_grid() if suffix == ".vtu" else data
        names.append(f"frame_{frame:04d}{suffix}")
        data.save(folder / names[-1])
    return names


def write_ply(folder, points, *, encoding="binary"):
    for frame, cloud in enumerate(points):
        data = trimesh.PointCloud(cloud).export(file_type="ply", encoding=encoding)
        (folder / f"cloud{frame}.ply").write_bytes(data)


def write_pvd(path, names, times):
    entries = "".join(f'<DataSet timestep="{t}" file="{n}"/>' for n, t in zip(names, times, strict=True))
    path.write_text(f'<VTKFile type="Collection"><Collection>{entries}</Collection></VTKFile>')


def assert_reads(recording, points, times=TIMES, tolerance=0.0):
    assert np.allclose(recording.times, times, rtol=0.0, atol=1e-15) and recording.frame_count == len(points)
    for mine, theirs in zip(recording.points, points, strict=True):
        assert np.abs(mine - theirs).max() <= tolerance


@pytest.mark.parametrize("suffix", [".vtk", ".vtp", ".vtu"])
def test_a_vtk_series_with_times_reads_back(tmp_path, suffix):
    points = clouds((6, 4, 5))
    write_vtk(tmp_path, points, suffix=suffix, times=TIMES + SHIFT)
    assert_reads(Recording.read(tmp_path), points)
    assert_reads(Recording.read(f"{tmp_path}/frame_*{suffix}"), points)


def test_a_vtk_series_without_times_takes_the_interval(tmp_path):
    points = clouds()
    write_vtk(tmp_path, points)
    assert_reads(Recording.read(tmp_path, interval=0.2), points, [0.0, 0.2, 0.4])
    with pytest.raises(InputError, match=r"times in the files .* got 0 in 3 files; give the interval"):
        Recording.read(tmp_path)


def test_vtk_fields_of_the_first_frame_are_kept(tmp_path):
    points, F = clouds(), np.random.default_rng(1).random((6, 3, 3))
    write_vtk(tmp_path, points, times=TIMES, fields={"Velocity": points[1], "F": F.reshape(6, 9)})
    recording = Recording.read(tmp_path)
    assert np.array_equal(recording.velocity, points[1]) and np.array_equal(recording.deformation_gradient, F)


def test_collections_give_files_and_times(tmp_path):
    points = clouds()
    names = write_vtk(tmp_path, points)
    write_pvd(tmp_path / "all.pvd", names, TIMES + SHIFT)
    assert_reads(Recording.read(tmp_path / "all.pvd"), points)
    assert_reads(Recording.read(tmp_path), points)
    entries = [{"name": n, "time": t} for n, t in zip(names, TIMES, strict=True)]
    (tmp_path / "a.vtp.series").write_text(json.dumps({"files": entries}))
    assert_reads(Recording.read(tmp_path / "a.vtp.series"), points)


@pytest.mark.parametrize(("encoding", "tolerance"), [("binary", 1e-7), ("ascii", 1e-7)])  # PLY holds single precision
def test_a_ply_series_reads_back(tmp_path, encoding, tolerance):
    points = clouds((6, 4, 5))
    write_ply(tmp_path, points, encoding=encoding)
    assert_reads(Recording.read(tmp_path, interval=0.1), points, [0.0, 0.1, 0.2], tolerance)


@pytest.mark.parametrize("name", ["x", "positions", "points"])
@pytest.mark.parametrize("clock", [{"t": TIMES}, {"times": TIMES + SHIFT}, {"step": [0, 2, 5], "dt": 0.05}])
def test_plain_npz_files_read_back(tmp_path, name, clock):
    points = clouds()
    np.savez(tmp_path / "a.npz", **{name: points, **clock})
    assert_reads(Recording.read(tmp_path / "a.npz"), points)


def test_plain_npz_files_hold_clouds_of_changing_number(tmp_path):
    points = clouds((6, 4, 5))
    np.savez(tmp_path / "a.npz", points=np.concatenate(points), counts=[6, 4, 5], t=TIMES)
    assert_reads(Recording.read(tmp_path / "a.npz"), points)


def test_steps_without_their_length_take_the_interval(tmp_path):
    np.savez(tmp_path / "a.npz", x=clouds(), step=[0, 2, 5], v0=np.ones((6, 3)))
    recording = Recording.read(tmp_path / "a.npz", interval=0.05)
    assert np.allclose(recording.times, TIMES) and np.array_equal(recording.velocity, np.ones((6, 3)))
    with pytest.raises(InputError, match="give the interval"):
        Recording.read(tmp_path / "a.npz")


def test_the_reference_trajectories_read(reference):
    recording = Recording.read(reference / "mpm" / "jelly_vel_seed1.npz", interval=5e-4, up="y")
    assert recording.positions.shape == (21, 1000, 3) and recording.duration == pytest.approx(0.5)
    fall = np.diff(recording.positions[:3].mean(axis=1), n=2, axis=0) / (50 * 5e-4) ** 2
    assert fall[0, 2] < -5.0 and recording.velocity.shape == (1000, 3)


@pytest.mark.parametrize("suffix", [".npz", ".traj"])
def test_trajectories_of_pliant_read_back(tmp_path, suffix):
    points = np.stack(clouds())
    arrays = {
        "cube.position": points[:, None],
        "cube.velocity": 2.0 * points[:, None],
        "other.position": points[:, None],
    }
    Trajectory(times=TIMES, arrays=arrays).save(tmp_path / f"a{suffix}")
    recording = Recording.read(tmp_path / f"a{suffix}", body="cube")
    assert_reads(recording, points)
    assert np.array_equal(recording.velocity, 2.0 * points[0])
    with pytest.raises(InputError, match=r"one of \['cube', 'other'\]"):
        Recording.read(tmp_path / f"a{suffix}")


@pytest.mark.parametrize(("unit", "scale"), [("m", 1.0), ("cm", 1e-2), ("mm", 1e-3), ("0.0254", 0.0254), (0.5, 0.5)])
def test_units_become_metres(unit, scale):
    points = clouds()
    recording = Recording(times=TIMES, points=points, velocity=points[0]).placed(unit=unit)
    assert np.allclose(recording.positions, scale * np.stack(points)) and recording.scale == scale
    assert np.allclose(recording.velocity, scale * points[0])


@pytest.mark.parametrize(("up", "axis"), [("x", 0), ("y", 1), ("z", 2)])
def test_the_axis_that_points_up_becomes_z_without_a_reflection(up, axis):
    recording = Recording(times=TIMES, points=[np.eye(3)] * 3, velocity=np.eye(3)).placed(up=up)
    assert recording.points[0][axis, 2] == 1.0 and np.linalg.det(recording.points[0]) == pytest.approx(1.0)
    assert np.array_equal(recording.velocity, recording.points[0])


def test_parts_of_a_recording_keep_their_place():
    recording = Recording(times=TIMES, points=clouds(), velocity=clouds()[0])
    assert recording.until(0.1).frame_count == 2 and recording.items([4, 1]).positions.shape == (3, 2, 3)
    assert np.array_equal(recording.items([4, 1]).velocity, recording.velocity[[4, 1]])
    with pytest.raises(InputError, match="got the second at 0.1 s"):
        recording.until(0.05)


BODY = np.random.default_rng(5).random((50, 3))


@pytest.mark.parametrize(
    ("factor", "declared", "sentence"),
    [
        (1e3, "m", r"got 9\d+ m, 1e\+03 times as much; are they in mm\?"),
        (1e2, "m", r"are they in cm\?"),
        (1.0, "mm", r"0\.001 times as much; are they in m\?"),
        (7.0, "m", "correct the unit or the scene"),
    ],
)
def test_a_wrong_unit_is_recognised_by_the_size_of_the_body(factor, declared, sentence):
    recording = Recording(times=TIMES, points=[factor * BODY] * 3).placed(unit=declared)
    with pytest.raises(InputError, match=sentence):
        recording.check_fits("jelly", BODY)


def test_a_right_unit_and_a_few_markers_are_accepted_and_a_wrong_place_is_not():
    Recording(times=TIMES, points=[1e3 * BODY] * 3).placed(unit="mm").check_fits("jelly", BODY)
    Recording(times=TIMES, points=[BODY[:1]] * 3).check_fits("jelly", BODY)
    with pytest.raises(InputError, match=r"an offset of \(-?0\.\d+, -?0\.\d+, -2\.\d+\) m would centre it"):
        Recording(times=TIMES, points=[BODY[:20] + [0, 0, 2.5]] * 3).check_fits("jelly", BODY)


def refused(**change):
    return {"times": TIMES, "points": clouds(), **change}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (refused(times=[0.0, 0.2, 0.1]), "got 0.2 s in frame 1 and 0.1 s in frame 2; sort"),
        (refused(times=[0.0, 0.1, 0.1]), "got 0.1 s in frame 1 and 0.1 s"),
        (refused(times=[0.0, np.nan, 0.1]), "expected finite times"),
        (refused(times=[0.0, 0.1]), "got 2 times and 3 frames"),
        (refused(points=clouds()[:1], times=[0.0]), "two or more frames, got 1 times and 1 frames"),
        (refused(points=[*clouds()[:2], np.full((6, 3), np.nan)]), "6 of 6 points in frame 2 are not finite"),
        (refused(points=[*clouds()[:2], np.zeros((0, 3))]), r"expected points \[item, 3\] in frame 2, got \[0, 3\]"),
        (refused(points=np.zeros((3, 6, 2))), r"in frame 0, got \[6, 2\]"),
        (refused(velocity=np.zeros((5, 3))), r"velocity \[6, 3\] of the first frame, got \[5, 3\]"),
    ],
)
def test_what_cannot_be_a_motion_is_refused(given, sentence):
    with pytest.raises(InputError, match=sentence):
        Recording(**given)


def test_changing_numbers_are_refused_where_correspondence_is_asked():
    recording = Recording(times=TIMES, points=clouds((6, 6, 4)))
    with pytest.raises(InputError, match="got 6 in frame 0 and 4 in frame 2; without correspondence compare clouds"):
        recording.positions  # noqa: B018


def test_missing_frames_are_named(tmp_path):
    write_vtk(tmp_path, clouds((6, 6, 6, 6)), times=None)
    (tmp_path / "frame_0002.vtp").unlink()
    with pytest.raises(InputError, match="got number 3 after 1; restore what is missing"):
        Recording.read(tmp_path, interval=0.1)
    pyvista.PolyData(np.eye(3)).save(tmp_path / "again_0003.vtp")
    with pytest.raises(InputError, match="got number 3 after 3"):
        Recording.read(f"{tmp_path}/*3.vtp", interval=0.1)
    write_pvd(tmp_path / "all.pvd", [f"frame_000{i}.vtp" for i in range(3)], TIMES)
    with pytest.raises(InputError, match="found none at .*frame_0002.vtp"):
        Recording.read(tmp_path / "all.pvd")


def test_numbered_files_are_read_in_the_order_of_their_numbers(tmp_path):
    points = clouds((3,) * 12)
    for frame, cloud in enumerate(points):
        pyvista.PolyData(cloud).save(tmp_path / f"run2_{frame}.vtp")
    assert_reads(Recording.read(tmp_path, interval=1.0), points, np.arange(12.0))


@pytest.mark.parametrize("suffix", [".vtk", ".vtp", ".vtu", ".ply"])
@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_empty_and_damaged_files_are_named(tmp_path, suffix, content, capfd):
    for frame in range(2):
        (tmp_path / f"f{frame}{suffix}").write_bytes(content)
    with pytest.raises(InputError, match=f"f0{suffix} (is empty|holds no points|is not a complete file)"):
        Recording.read(tmp_path, interval=0.1)
    assert "ERR" not in capfd.readouterr().err


@pytest.mark.parametrize("name", ["a.npz", "a.pvd", "a.series"])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"{}"])
def test_damaged_containers_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is"):
        Recording.read(tmp_path / name)


def test_a_ply_file_without_points_is_named(tmp_path):
    header = (
        "ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    )
    for frame in range(2):
        (tmp_path / f"f{frame}.ply").write_text(header)
    with pytest.raises(InputError, match="f0.ply (holds no points|is not a complete file)"):
        Recording.read(tmp_path, interval=0.1)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("missing.npz", "found nothing at"),
        ("*.vtk", "found none; check the pattern"),
        ("a.mp4", "expected a file ending in .npz, .traj, .pvd"),
        ("folder", "expected numbered files of one kind"),
        ("name.ply", "expected a number in the name"),
        ("1.vtp", "give the folder or the pattern"),
        ("p.npz", r"expected positions as one of .* got \['q'\]; rename"),
        ("s.npz", r"expected positions \[frame, item, 3\]"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path, path, sentence):
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "name.ply").write_bytes(b"x")
    pyvista.PolyData(np.eye(3)).save(tmp_path / "1.vtp")
    np.savez(tmp_path / "p.npz", q=1)
    np.savez(tmp_path / "s.npz", x=np.zeros((2, 3)))
    with pytest.raises(InputError, match=sentence):
        Recording.read(tmp_path / path, interval=0.1)


def test_an_unusable_unit_axis_or_interval_is_refused(tmp_path):
    recording = Recording(times=TIMES, points=clouds())
    for place in ({"unit": "inch"}, {"unit": -1.0}, {"up": "w"}, {"offset": (0.0, np.nan, 0.0)}):
        with pytest.raises(InputError, match="expected"):
            recording.placed(**place)
    with pytest.raises(InputError, match="interval: expected a positive time"):
        Recording.read(tmp_path, interval=-1.0)
