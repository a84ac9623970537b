"""Pictures of a scalar field in a box: rays that gather colour on their way through it."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import warp as wp

from pliant.sim.view.camera import Camera
from pliant.sim.view.palette import INK, ScalarBar
from pliant.sim.view.raycaster import Style, launch_bands

SAMPLES = 1.5  # a cell of the grid
DENSITY = 36.0  # optical thickness of a side of the box filled with the largest values
CLEAR = 0.15  # share of the range that is not seen at all
EDGE = 0.004  # half width of the drawn edges, over the longest side


def render_volume(
    values: np.ndarray, lengths: Sequence[float], bar: ScalarBar, camera: Camera, size: tuple[int, int]
) -> np.ndarray:
    """The picture [h, w, 3] of values [nz, ny, nx] in a box with a corner at the origin, from a camera.

    Light is gathered front to back: opacity grows with the square of how far a value is from zero, or from the lower end
    of the bar where that is not negative, and surfaces are shaded by the gradient.
    """
    width, height = size
    inputs = [
        wp.array(np.ascontiguousarray(values, np.float32).ravel(), dtype=float, device="cpu"),
        wp.vec3i(*values.shape[::-1]),
        wp.vec3(*(float(side) for side in lengths)),
        wp.array(bar.colors.astype(np.float32), dtype=wp.vec3, device="cpu"),
        wp.vec2(bar.lower, bar.upper),
        wp.vec3(*(float(x) for x in camera.position)),
        *(wp.vec3(*axis) for axis in camera.axes.tolist()),
        wp.vec3(camera.slope, float(width), float(height)),
        *(wp.vec3(*color) for color in (Style().sky_top, Style().sky_bottom, INK.tolist())),
    ]
    out = wp.empty(width * height, dtype=wp.vec3, device="cpu")
    launch_bands(_march(), width * height, inputs, [out], "cpu")
    picture = np.clip(out.numpy().reshape(height, width, 3), 0.0, 1.0)
    return (255.0 * picture + 0.5).astype(np.uint8)


@functools.cache
def _sampling() -> tuple[Any, Any]:
    """Warp functions: the field at a point in cells, periodic and linear between the points, and its gradient nearby."""
    Array: Any = wp.array(dtype=float)

    @wp.func
    def entry(field: Array, count: wp.vec3i, i: int, j: int, k: int) -> float:
        x, y, z = (i + count[0]) % count[0], (j + count[1]) % count[1], (k + count[2]) % count[2]
        return field[(z * count[1] + y) * count[0] + x]

    @wp.func
    def row(field: Array, count: wp.vec3i, i: int, j: int, k: int, share: float) -> float:
        return wp.lerp(entry(field, count, i, j, k), entry(field, count, i + 1, j, k), share)

    @wp.func
    def at(field: Array, count: wp.vec3i, x: wp.vec3) -> float:
        i, j, k = int(wp.floor(x[0])), int(wp.floor(x[1])), int(wp.floor(x[2]))
        a, b, c = x[0] - float(i), x[1] - float(j), x[2] - float(k)
        low = wp.lerp(row(field, count, i, j, k, a), row(field, count, i, j + 1, k, a), b)
        high = wp.lerp(row(field, count, i, j, k + 1, a), row(field, count, i, j + 1, k + 1, a), b)
        return wp.lerp(low, high, c)

    @wp.func
    def slope(field: Array, count: wp.vec3i, x: wp.vec3) -> wp.vec3:
        i, j, k = int(wp.round(x[0])), int(wp.round(x[1])), int(wp.round(x[2]))
        return wp.vec3(
            entry(field, count, i + 1, j, k) - entry(field, count, i - 1, j, k),
            entry(field, count, i, j + 1, k) - entry(field, count, i, j - 1, k),
            entry(field, count, i, j, k + 1) - entry(field, count, i, j, k - 1),
        )

    return at, slope


@functools.cache
def _passage() -> tuple[Any, Any]:
    """Warp functions: where a ray from the eye enters and leaves the box, and whether a point lies on one of its edges."""

    @wp.func
    def span(eye: wp.vec3, ray: wp.vec3, side: wp.vec3) -> wp.vec2:
        near, far = float(0.0), float(1.0e30)
        for axis in range(3):
            inverse = 1.0 / wp.where(wp.abs(ray[axis]) < 1.0e-9, 1.0e-9, ray[axis])
            a, b = -eye[axis] * inverse, (side[axis] - eye[axis]) * inverse
            near, far = wp.max(near, wp.min(a, b)), wp.min(far, wp.max(a, b))
        return wp.vec2(near, far)

    @wp.func
    def on_edge(x: wp.vec3, side: wp.vec3, width: float) -> float:
        ends = int(0)
        for axis in range(3):
            if x[axis] < width or x[axis] > side[axis] - width:
                ends += 1
        return wp.where(ends >= 2, 1.0, 0.0)

    return span, on_edge


@functools.cache
def _march() -> wp.Kernel:
    Array: Any = wp.array(dtype=float)
    Colors: Any = wp.array(dtype=wp.vec3)
    (at, slope), (span, on_edge) = _sampling(), _passage()

    @wp.func
    def gather(
        field: Array, count: wp.vec3i, side: wp.vec3, colors: Colors, limits: wp.vec2, eye: wp.vec3, ray: wp.vec3,
        ends: wp.vec2, through: float,
    ) -> wp.vec4:  # fmt: skip
        """The colour gathered between the ends of a ray, and how much light of what is behind comes through."""
        cell = wp.vec3(side[0] / float(count[0]), side[1] / float(count[1]), side[2] / float(count[2]))
        step = wp.min(cell[0], wp.min(cell[1], cell[2])) / wp.static(SAMPLES)
        dense = wp.static(DENSITY) * step / wp.max(side[0], wp.max(side[1], side[2]))
        scale = wp.max(wp.abs(limits[0]), wp.abs(limits[1]))
        gathered, left, t = wp.vec3(0.0, 0.0, 0.0), float(through), float(ends[0] + 0.5 * step)
        while t < ends[1] and left > 0.01:
            x = wp.cw_div(eye + t * ray, cell)
            value = at(field, count, x)
            share = wp.clamp((value - limits[0]) / (limits[1] - limits[0]), 0.0, 1.0)
            strength = wp.where(limits[0] < 0.0, wp.min(1.0, wp.abs(value) / scale), share)
            strength = wp.max(0.0, strength - wp.static(CLEAR)) / wp.static(1.0 - CLEAR)
            opacity = 1.0 - wp.exp(-dense * strength * strength)
            if opacity > 0.002:
                facing = wp.abs(wp.dot(wp.normalize(slope(field, count, x)), wp.vec3(-0.33, -0.43, 0.84)))
                gathered += left * opacity * (0.55 + 0.45 * facing) * colors[int(share * 255.0 + 0.5)]
                left *= 1.0 - opacity
            t += step
        return wp.vec4(gathered[0], gathered[1], gathered[2], left)

    @wp.kernel(enable_backward=False, module="unique")
    def march(
        field: Array, count: wp.vec3i, side: wp.vec3, colors: Colors, limits: wp.vec2, eye: wp.vec3, right: wp.vec3,
        up: wp.vec3, forward: wp.vec3, lens: wp.vec3, top: wp.vec3, bottom: wp.vec3, ink: wp.vec3, band: int, bands: int,
        out: Colors,
    ):  # fmt: skip
        pixel = wp.tid() * bands + band
        width = int(lens[1])
        across = (2.0 * float(pixel % width) + 1.0 - lens[1]) / lens[2] * lens[0]
        down = (2.0 * float(pixel // width) + 1.0 - lens[2]) / lens[2] * lens[0]
        ray = wp.normalize(forward + across * right - down * up)
        behind = wp.lerp(top, bottom, float(pixel // width) / lens[2])
        ends = span(eye, ray, side)
        if ends[0] < ends[1]:
            pixel_width = 2.0 * lens[0] * ends[0] / lens[2]  # where the ray enters
            edge = wp.max(wp.static(EDGE) * wp.max(side[0], wp.max(side[1], side[2])), 2.0 * pixel_width)
            front = 0.75 * on_edge(eye + ends[0] * ray, side, edge)
            back = 0.5 * on_edge(eye + ends[1] * ray, side, edge)
            made = gather(field, count, side, colors, limits, eye, ray, ends, 1.0 - front)
            rest = back * ink + (1.0 - back) * behind
            out[pixel] = front * ink + wp.vec3(made[0], made[1], made[2]) + made[3] * rest
        else:
            out[pixel] = behind

    return march
