"""Pictures without OpenGL: one ray a pixel against triangles, spheres and planes, more where the picture is not smooth.

Light is counted linearly: a sun with hard shadows, a sky above and the ground's glow below. Depth and normals come with
the colours, for cameras that measure. Everything is float32, the only precision of `wp.Mesh` and `wp.Bvh`.
"""

import dataclasses
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import warp as wp

from pliant.sim.errors import InputError
from pliant.sim.view.camera import Camera
from pliant.sim.view.ray_kernels import kernels, structs

MAX_PIXELS = 2**26


@dataclasses.dataclass(frozen=True)
class Spheres:
    """Balls: centers [n, 3] m, radii [n] m, colors [n, 3] in [0, 1]."""

    centers: np.ndarray
    radii: np.ndarray
    colors: np.ndarray


@dataclasses.dataclass(frozen=True)
class Triangles:
    """A surface: vertices [v, 3] m, faces [f, 3], unit normals [v, 3] that shade it smoothly, colors [v, 3] in [0, 1]."""

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    colors: np.ndarray


@dataclasses.dataclass(frozen=True)
class Ground:
    """A checkered plane that fades into the background.

    Args:
        point: on the plane, [3] m, in the middle of what is shown.
        rotation: matrix [3, 3] whose columns are the two directions of the pattern and the normal.
        cell: side of a square [m].
        reach: distance from the point at which the plane has faded [m].
    """

    point: np.ndarray
    rotation: np.ndarray
    cell: float
    reach: float


@dataclasses.dataclass(frozen=True)
class Style:
    """Light and colours, all in [0, 1]; `sun` points to the sun."""

    sun: Sequence[float] = (-0.32, -0.42, 0.85)
    sky_top: Sequence[float] = (0.73, 0.80, 0.88)
    sky_bottom: Sequence[float] = (0.955, 0.96, 0.965)
    tile_light: Sequence[float] = (0.925, 0.93, 0.935)
    tile_dark: Sequence[float] = (0.855, 0.87, 0.885)


@dataclasses.dataclass(frozen=True)
class Image:
    """What a camera sees.

    Args:
        color: [height, width, 3], 0 to 255.
        depth: along the camera's axis [m], [height, width]; infinite where nothing is.
        normal: outward, in the world, [height, width, 3]; zero where nothing is.
    """

    color: np.ndarray
    depth: np.ndarray
    normal: np.ndarray


def raycast(
    camera: Camera,
    size: tuple[int, int],
    *,
    spheres: Sequence[Spheres] = (),
    triangles: Sequence[Triangles] = (),
    grounds: Sequence[Ground] = (),
    style: Style | None = None,
    smooth_edges: bool = True,
    device: str = "cpu",
) -> Image:
    """The picture of spheres, surfaces and grounds from a camera.

    Args:
        size: (width, height) in pixels.
        smooth_edges: four more rays for each pixel whose colour differs from its neighbours'.
        device: "cpu" (on two threads) or "cuda".

    Errors: `InputError` for a size below 1 or above 67 million pixels.
    """
    width, height = (int(extent) for extent in size)
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise InputError(
            f"raycast: expected between 1 and {MAX_PIXELS} pixels, got {width} x {height}; correct `size`."
        )
    look, contrast = kernels()
    count = width * height
    world, keep = _world(spheres, triangles, grounds, style or Style(), device)
    lens = _lens(camera, width, height)
    color, normal = (wp.empty(count, dtype=wp.vec3, device=device) for _ in range(2))
    depth, rough = wp.empty(count, dtype=float, device=device), wp.empty(count, dtype=bool, device=device)
    every = wp.array(np.arange(count, dtype=np.int32), dtype=int, device=device)
    launch_bands(look, count, [world, lens, every, 1], [color, depth, normal], device)
    if smooth_edges:
        launch_bands(contrast, count, [lens, color], [rough], device)
        edges = wp.array(np.flatnonzero(rough.numpy()).astype(np.int32), dtype=int, device=device)
        launch_bands(look, len(edges), [world, lens, edges, 4], [color, depth, normal], device)
    del keep
    gamma = np.clip(color.numpy().reshape(height, width, 3), 0.0, 1.0) ** np.float32(1.0 / 2.2)
    picture = (255.0 * gamma + 0.5).astype(np.uint8)
    return Image(picture, depth.numpy().reshape(height, width), normal.numpy().reshape(height, width, 3))


def linear(colors: np.ndarray | Sequence[float]) -> np.ndarray:
    """Amounts of light of colours as they are written (gamma 2.2)."""
    return np.clip(np.asarray(colors, dtype=np.float32), 0.0, 1.0) ** np.float32(2.2)


def launch_bands(kernel: wp.Kernel, count: int, inputs: list, outputs: list, device: str) -> None:
    """One launch on a GPU; on the CPU one for each of two threads, every thread on its own pixels."""
    bands = 1 if wp.get_device(device).is_cuda else min(2, os.cpu_count() or 1)

    def launch(band: int) -> None:
        dim = len(range(band, count, bands))
        wp.launch(kernel, dim=dim, inputs=[*inputs, band, bands], outputs=outputs, device=device)

    wp.load_module(kernel.module, device=device)
    with ThreadPoolExecutor(bands) as pool:
        list(pool.map(launch, range(bands)))


def _lens(camera: Camera, width: int, height: int):
    lens = structs().Lens()
    lens.origin = wp.vec3(*(float(x) for x in camera.position))
    lens.right, lens.up, lens.forward = (wp.vec3(*axis) for axis in camera.axes.tolist())
    lens.slope, lens.width, lens.height = camera.slope, width, height
    return lens


def _world(spheres, triangles, grounds, style: Style, device: str) -> tuple:
    """The struct the kernels read, and the objects that must outlive it."""
    world = structs().World()
    centers = _joined([s.centers for s in spheres], 3)
    radii = _joined([s.radii for s in spheres], 0)
    whole = np.isfinite(centers).all(axis=1)
    centers, radii = centers[whole], radii[whole]
    world.centers = wp.array(centers, dtype=wp.vec3, device=device)
    world.radii = wp.array(radii, dtype=float, device=device)
    tints = linear(_joined([s.colors for s in spheres], 3)[whole])
    world.tints = wp.array(tints, dtype=wp.vec3, device=device)
    bvh = mesh = None
    if len(centers):
        lower, upper = centers - radii[:, None], centers + radii[:, None]
        boxes = [wp.array(corner, dtype=wp.vec3, device=device) for corner in (lower, upper)]
        bvh = wp.Bvh(*boxes)
        world.bvh = bvh.id
    vertices = _joined([t.vertices for t in triangles], 3)
    if len(vertices):
        first = np.cumsum([0, *(len(t.vertices) for t in triangles)])
        faces = np.concatenate([np.asarray(t.faces) + start for t, start in zip(triangles, first, strict=False)])
        faces = faces[np.isfinite(vertices).all(axis=1)[faces].all(axis=1)]
        indices = wp.array(faces.astype(np.int32).ravel(), dtype=int, device=device)
        mesh = wp.Mesh(wp.array(vertices, dtype=wp.vec3, device=device), indices) if len(faces) else None
        world.mesh = mesh.id if mesh else wp.uint64(0)
    world.normals = wp.array(_joined([t.normals for t in triangles], 3), dtype=wp.vec3, device=device)
    world.paints = wp.array(linear(_joined([t.colors for t in triangles], 3)), dtype=wp.vec3, device=device)
    everything = np.concatenate([centers, vertices[np.isfinite(vertices).all(axis=1)]])
    world.skip = 1e-4 * float(np.ptp(everything, axis=0).max()) if len(everything) else 1e-4
    _set_grounds(world, grounds, device)
    _set_style(world, style)
    return world, (bvh, mesh)


def _set_grounds(world, grounds: Sequence[Ground], device: str) -> None:
    points = np.array([g.point for g in grounds], dtype=np.float32).reshape(-1, 3)
    frames = np.array([g.rotation for g in grounds], dtype=np.float32).reshape(-1, 3, 3)
    world.grounds = wp.array(points, dtype=wp.vec3, device=device)
    world.frames = wp.array(frames, dtype=wp.mat33, device=device)
    world.tiling = wp.array(np.array([(g.cell, g.reach) for g in grounds]).reshape(-1, 2), dtype=wp.vec2, device=device)


def _set_style(world, style: Style) -> None:
    sun = np.asarray(style.sun, dtype=np.float64)
    world.sun = wp.vec3(*(sun / np.linalg.norm(sun)).tolist())
    for name in ("sky_top", "sky_bottom", "tile_light", "tile_dark"):
        setattr(world, name, wp.vec3(*linear(getattr(style, name)).tolist()))


def _joined(parts: list[np.ndarray], width: int) -> np.ndarray:
    shape = (-1, width) if width else (-1,)
    return np.concatenate(
        [np.zeros((0, width) if width else 0, np.float32), *(np.reshape(p, shape) for p in parts)]
    ).astype(np.float32)
