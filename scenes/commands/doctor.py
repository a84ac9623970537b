"""`pliant doctor`: show versions, devices, the kernel cache and rendering, and run a short self test.

The self test drops a small body on a rough floor in float64, forward and backward, and compares the gradient with
finite differences. The exit status is 1 when something that must work does not.
"""

import argparse
import os
import pathlib
import platform
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pliant.sim.audit import GradientReport

PACKAGES = (
    "pliant warp-lang torch numpy scipy trimesh pyvista vtk matplotlib imageio imageio-ffmpeg tensorboard tqdm usd-core"
)
OPTIONAL = {"usd-core": "export to USD: install the extra `usd`"}
PICTURES = {
    "card": "VTK, on a graphics card",
    "software": "the built-in ray caster; OpenGL runs in software only (--renderer vtk uses it)",
    None: "the built-in ray caster; there is no OpenGL here",
}
Row = tuple[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="where the self test runs (default: cpu)")
    parser.add_argument("--skip-self-test", action="store_true", help="report only")


def execute(arguments: argparse.Namespace) -> int:
    show("versions", versions())
    if (trouble := simulator_trouble()) is not None:
        print(f"simulator\n  {trouble}")
        show("rendering", rendering())
        return 1
    show("devices", devices())
    show("kernel cache", kernel_cache())
    show("rendering", rendering())
    if arguments.skip_self_test:
        return 0
    print("self test", flush=True)
    started = time.perf_counter()
    report = self_test(device=arguments.device)
    for audit in report.parameters:
        verdict = "agrees" if audit.error <= report.tolerance else "DISAGREES"
        print(f"  {audit.name:<24}{verdict} with finite differences, relative error {audit.error:.1e}")
    print(f"  {'time':<24}{time.perf_counter() - started:.1f} s, compilation included")
    return 0 if report.ok else 1


def simulator_trouble() -> str | None:
    """Why the simulator does not start, if it does not."""
    from pliant.sim.errors import InputError
    from pliant.sim.quiet import start_warp

    try:
        start_warp()
    except InputError as error:
        return str(error)
    return None


def show(title: str, rows: Iterator[Row]) -> None:
    """Print a title and its rows as they come."""
    print(title)
    for name, value in rows:
        print(f"  {name:<24}{value}", flush=True)


def versions() -> Iterator[Row]:
    yield "python", f"{platform.python_version()} ({sys.executable})"
    for package in PACKAGES.split():
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            yield package, f"not installed ({OPTIONAL.get(package, 'required: install Pliant again')})"


def devices() -> Iterator[Row]:
    import warp as wp

    yield "cpu", f"{platform.processor() or platform.machine()}, {usable_cores()} cores usable"
    for device in wp.get_cuda_devices():
        yield device.alias, f"{device.name}, {device.total_memory / 2**30:.0f} GiB, sm_{device.arch}"
    if not wp.get_cuda_devices():
        yield "cuda", "no device"


def usable_cores() -> int:
    """The cores this process may use; all of them where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def kernel_cache() -> Iterator[Row]:
    import warp as wp

    folder = pathlib.Path(wp.config.kernel_cache_dir)
    files = [path for path in folder.rglob("*") if path.is_file()]
    yield "folder", f"{folder} (set WARP_CACHE_PATH to move it)"
    yield "size", f"{sum(path.stat().st_size for path in files) / 2**20:.1f} MiB in {len(files)} files"
    yield "key", str(wp.get_cpu_kernel_cache_key())


def rendering() -> Iterator[Row]:
    from pliant.sim.errors import InputError
    from pliant.sim.view.opengl import opengl, require_window

    yield "pictures", PICTURES[opengl()]
    try:
        require_window()
        yield "window", "can be opened"
    except InputError as error:
        yield "window", f"none: {error}"
    yield "video", ffmpeg()


def ffmpeg() -> str:
    """The version of the ffmpeg that writes videos, or why there is none."""
    import imageio_ffmpeg

    try:
        return f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}"
    except RuntimeError as error:
        return f"no ffmpeg ({error}); .mp4 cannot be written, .gif can"


def self_test(*, device: str) -> "GradientReport":
    """The audit of three gradients of a cube of 64 particles that slides on a rough floor, in float64."""
    from pliant import sim
    from pliant.scenes.commands.check_gradients import mean_squared_displacement
    from pliant.sim import materials, shapes

    scene = sim.Scene(gravity=(0, 0, -9.81))
    scene.add_mpm(
        shapes.Box(0.1, center=(0, 0, 0.05)),
        materials.FixedCorotated(youngs_modulus=1e5, poissons_ratio=0.3),
        density=1000.0,
        spacing=0.025,
        velocity=(1.0, 0.5, -1.0),
        name="cube",
    )
    scene.add_collider(shapes.Plane(), friction=0.4, name="floor")
    rollout = scene.build(dt=1e-3, device=device, dtype="float64").rollout(20, record_every=20)
    names = ("cube.youngs_modulus", "cube.velocity", "floor.friction")
    return sim.check_gradients(rollout, mean_squared_displacement, names=names, probes=1)
