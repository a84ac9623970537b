"""The distance of every analytic shape behind one Warp function, chosen by the shape's number."""

import functools
from collections.abc import Callable

import warp as wp

from pliant.sim.precision import Precision
from pliant.sim.shapes.base import FAR, differentiable
from pliant.sim.shapes.box import Box
from pliant.sim.shapes.capsule import Capsule
from pliant.sim.shapes.cylinder import Cylinder
from pliant.sim.shapes.plane import Plane
from pliant.sim.shapes.sphere import Sphere


@functools.cache
def shape_distance(p: Precision) -> Callable:
    """Warp function (kind, x, size) -> (nx, ny, nz, d) in the shape's own frame; d is 1e6 m for any other kind."""
    real, vec3, vec4 = p.real, p.vec3, p.vec4
    plane, sphere, box = Plane.distance_and_normal(p), Sphere.distance_and_normal(p), Box.distance_and_normal(p)
    capsule, cylinder = Capsule.distance_and_normal(p), Cylinder.distance_and_normal(p)

    @wp.func
    def distance(kind: int, x: vec3, size: vec3) -> vec4:
        if kind == wp.static(Plane.KIND):
            return plane(x, size)
        elif kind == wp.static(Sphere.KIND):
            return sphere(x, size)
        elif kind == wp.static(Box.KIND):
            return box(x, size)
        elif kind == wp.static(Capsule.KIND):
            return capsule(x, size)
        elif kind == wp.static(Cylinder.KIND):
            return cylinder(x, size)
        return vec4(real(0.0), real(0.0), real(1.0), real(wp.static(FAR)))

    return differentiable(distance)
