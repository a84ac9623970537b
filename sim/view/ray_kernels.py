"""The ray caster on the device: what a ray meets, how that is lit, and the kernel that looks through every pixel."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import warp as wp

SMOOTH = 0.045  # difference of a colour from its neighbours up to which one ray a pixel is enough


class Structs(NamedTuple):
    """What kernels read: the world and the lens; and what a ray brings back."""

    World: type
    Lens: type
    Hit: type


class Kernels(NamedTuple):
    look: wp.Kernel
    contrast: wp.Kernel


@functools.cache
def structs() -> Structs:
    @wp.struct
    class World:
        mesh: wp.uint64
        bvh: wp.uint64
        centers: wp.array(dtype=wp.vec3)
        radii: wp.array(dtype=float)
        tints: wp.array(dtype=wp.vec3)
        normals: wp.array(dtype=wp.vec3)
        paints: wp.array(dtype=wp.vec3)
        grounds: wp.array(dtype=wp.vec3)
        frames: wp.array(dtype=wp.mat33)
        tiling: wp.array(dtype=wp.vec2)
        skip: float
        sun: wp.vec3
        sky_top: wp.vec3
        sky_bottom: wp.vec3
        tile_light: wp.vec3
        tile_dark: wp.vec3

    @wp.struct
    class Lens:
        origin: wp.vec3
        right: wp.vec3
        up: wp.vec3
        forward: wp.vec3
        slope: float
        width: int
        height: int

    @wp.struct
    class Hit:
        t: float
        normal: wp.vec3
        color: wp.vec3
        cover: float

    return Structs(World, Lens, Hit)


@functools.cache
def _sphere_distance() -> Callable:
    @wp.func
    def sphere_distance(o: wp.vec3, d: wp.vec3, radius: float) -> float:
        """Smallest t > 0 with |o + t d| = radius, for a unit d; infinite if there is none.

        The foot of the perpendicular first: b^2 - (|o|^2 - r^2) would lose all digits far away.
        """
        b = -wp.dot(o, d)
        foot = o + b * d
        rest = radius * radius - wp.dot(foot, foot)
        if rest < 0.0:
            return wp.inf
        half = wp.sqrt(rest)
        if b - half > 0.0:
            return b - half
        if b + half > 0.0:
            return b + half
        return wp.inf

    return sphere_distance


@functools.cache
def _spheres() -> tuple[Callable, Callable]:
    """Functions `hit_spheres` (the nearest ball) and `is_covered` (any ball towards the sun)."""
    World, _, Hit = structs()
    sphere_distance = _sphere_distance()

    @wp.func
    def hit_spheres(world: World, o: wp.vec3, d: wp.vec3, hit: Hit) -> Hit:
        item = int(0)
        query = wp.bvh_query_ray(world.bvh, o, d)
        while wp.bvh_query_next(query, item, hit.t):
            t = sphere_distance(o - world.centers[item], d, world.radii[item])
            if t < hit.t:
                hit.t = t
                hit.normal = (o + t * d - world.centers[item]) / world.radii[item]
                hit.color = world.tints[item]
                hit.cover = 1.0
        return hit

    @wp.func
    def is_covered(world: World, x: wp.vec3) -> bool:
        item = int(0)
        query = wp.bvh_query_ray(world.bvh, x, world.sun)
        while wp.bvh_query_next(query, item):
            if sphere_distance(x - world.centers[item], world.sun, world.radii[item]) < wp.inf:
                return True
        return False

    return hit_spheres, is_covered


@functools.cache
def _surfaces() -> Callable:
    World, _, Hit = structs()

    @wp.func
    def hit_mesh(world: World, o: wp.vec3, d: wp.vec3, hit: Hit) -> Hit:
        query = wp.mesh_query_ray(world.mesh, o, d, hit.t)
        if query.result:
            i = wp.mesh_get_index(world.mesh, query.face * 3)
            j = wp.mesh_get_index(world.mesh, query.face * 3 + 1)
            k = wp.mesh_get_index(world.mesh, query.face * 3 + 2)
            w = 1.0 - query.u - query.v
            hit.t = query.t
            hit.normal = wp.normalize(query.u * world.normals[i] + query.v * world.normals[j] + w * world.normals[k])
            hit.color = query.u * world.paints[i] + query.v * world.paints[j] + w * world.paints[k]
            hit.cover = 1.0
        return hit

    return hit_mesh


@functools.cache
def _grounds() -> Callable:
    World, _, Hit = structs()

    @wp.func
    def side(x: float, blur: float) -> float:
        """1 on even squares and -1 on odd ones, 0 on their border and straight in between over `blur`."""
        cell = wp.floor(x)
        inside = wp.min(x - cell, cell + 1.0 - x)
        return wp.where((int(cell) & 1) == 0, 1.0, -1.0) * wp.min(inside / blur, 1.0)

    @wp.func
    def hit_grounds(world: World, o: wp.vec3, d: wp.vec3, spread: float, hit: Hit) -> Hit:
        for i in range(world.grounds.shape[0]):
            local = wp.transpose(world.frames[i]) * (o - world.grounds[i])
            slope = wp.transpose(world.frames[i]) * d
            t = -local[2] / slope[2]
            if local[2] > 0.0 and t > 0.0 and t < hit.t:
                x = local[0] + t * slope[0]
                y = local[1] + t * slope[1]
                far = wp.sqrt(x * x + y * y) / world.tiling[i][1]
                if far < 1.0:
                    cell = world.tiling[i][0]
                    blur = t * spread / (cell * wp.sqrt(-slope[2]))
                    mix = 0.5 + 0.5 * side(x / cell, blur) * side(y / cell, blur)
                    hit.t = t
                    hit.normal = wp.vec3(world.frames[i][0, 2], world.frames[i][1, 2], world.frames[i][2, 2])
                    hit.color = wp.lerp(world.tile_dark, world.tile_light, mix)
                    hit.cover = 1.0 - wp.smoothstep(0.35, 1.0, far)
        return hit

    return hit_grounds


@functools.cache
def _rays() -> tuple[Callable, Callable]:
    """Functions `nearest` and `is_lit`."""
    World, _, Hit = structs()
    (hit_spheres, is_covered), hit_mesh, hit_grounds = _spheres(), _surfaces(), _grounds()

    @wp.func
    def nearest(world: World, o: wp.vec3, d: wp.vec3, spread: float) -> Hit:
        """The first thing a ray meets; `spread` is the angle between the rays of neighbouring pixels."""
        hit = Hit()
        hit.t = wp.inf
        if world.mesh != wp.uint64(0):
            hit = hit_mesh(world, o, d, hit)
        if world.bvh != wp.uint64(0):
            hit = hit_spheres(world, o, d, hit)
        return hit_grounds(world, o, d, spread, hit)

    @wp.func
    def is_lit(world: World, x: wp.vec3) -> bool:
        if world.mesh != wp.uint64(0) and wp.mesh_query_ray_anyhit(world.mesh, x, world.sun, wp.inf):
            return False
        if world.bvh != wp.uint64(0):
            return not is_covered(world, x)
        return True

    return nearest, is_lit


@functools.cache
def _light() -> Callable:
    World, Lens, Hit = structs()
    _, is_lit = _rays()

    @wp.func
    def shade(world: World, o: wp.vec3, d: wp.vec3, hit: Hit, background: wp.vec3) -> wp.vec3:
        """Sun, sky and glow on a matt surface with a soft highlight, laid over the background by the hit's cover."""
        n = hit.normal
        if wp.dot(n, d) > 0.0:
            n = -n
        x = o + hit.t * d + 2.0 * world.skip * n
        facing = wp.max(wp.dot(n, world.sun), 0.0)
        sun = float(0.0)
        if facing > 0.0 and is_lit(world, x):
            sun = facing
        sky = 0.5 + 0.5 * n[2]
        ambient = wp.lerp(wp.vec3(0.20, 0.19, 0.18), wp.vec3(0.36, 0.40, 0.46), sky)
        light = ambient + sun * wp.vec3(0.74, 0.70, 0.64)
        half = wp.normalize(world.sun - d)
        glint = 0.12 * sun * wp.pow(wp.max(wp.dot(n, half), 0.0), 40.0)
        color = wp.cw_mul(hit.color, light) + wp.vec3(glint, glint, glint)
        return wp.lerp(background, color, hit.cover)

    @wp.func
    def seen(world: World, lens: Lens, d: wp.vec3, row: float, hit: Hit) -> wp.vec3:
        background = wp.lerp(world.sky_top, world.sky_bottom, row / float(lens.height))
        if hit.t < wp.inf:
            return shade(world, lens.origin, d, hit, background)
        return background

    return seen


@functools.cache
def kernels() -> Kernels:
    """`look` through pixels, and mark where the picture has `contrast`."""
    World, Lens, _ = structs()
    (nearest, _), seen = _rays(), _light()

    @wp.func
    def direction(lens: Lens, column: float, row: float) -> wp.vec3:
        scale = 2.0 * lens.slope / float(lens.height)
        x = (column - 0.5 * float(lens.width)) * scale
        y = (0.5 * float(lens.height) - row) * scale
        return wp.normalize(lens.forward + x * lens.right + y * lens.up)

    @wp.kernel(enable_backward=False, module="unique")
    def look(
        world: World,
        lens: Lens,
        pixels: wp.array(dtype=int),
        rays: int,
        band: int,
        bands: int,
        color: wp.array(dtype=wp.vec3),
        depth: wp.array(dtype=float),
        normal: wp.array(dtype=wp.vec3),
    ):
        """One ray through the middle of each pixel, or four on a turned square: no two share a row or a column."""
        pixel = pixels[wp.tid() * bands + band]
        middle = wp.vec2(float(pixel % lens.width) + 0.5, float(pixel // lens.width) + 0.5)
        offset = wp.where(rays == 1, wp.vec2(0.0, 0.0), wp.vec2(-0.125, -0.375))
        total = wp.vec3(0.0, 0.0, 0.0)
        for _ in range(rays):
            d = direction(lens, middle[0] + offset[0], middle[1] + offset[1])
            hit = nearest(world, lens.origin, d, 2.0 * lens.slope / float(lens.height))
            total = total + seen(world, lens, d, middle[1] + offset[1], hit)
            offset = wp.vec2(-offset[1], offset[0])
            if rays == 1:
                depth[pixel] = hit.t * wp.dot(d, lens.forward)
                normal[pixel] = hit.normal
        color[pixel] = total / float(rays)

    @wp.kernel(enable_backward=False, module="unique")
    def contrast(lens: Lens, color: wp.array(dtype=wp.vec3), band: int, bands: int, rough: wp.array(dtype=bool)):
        """Marks what differs from its right or lower neighbour, after a square root as the eye sees it."""
        pixel = wp.tid() * bands + band
        row, column = pixel // lens.width, pixel % lens.width
        right = color[row * lens.width + wp.min(column + 1, lens.width - 1)]
        below = color[wp.min(row + 1, lens.height - 1) * lens.width + column]
        most = float(0.0)
        for axis in range(3):
            here = wp.sqrt(color[pixel][axis])
            most = wp.max(most, wp.abs(here - wp.sqrt(right[axis])))
            most = wp.max(most, wp.abs(here - wp.sqrt(below[axis])))
        rough[pixel] = most > wp.static(SMOOTH)

    return Kernels(look, contrast)
