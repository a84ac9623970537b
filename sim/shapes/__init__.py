"""Solids, one a file: signed distance and normal, particles that fill them, a surface to draw."""

from sim.shapes.base import Shape
from sim.shapes.box import Box
from sim.shapes.capsule import Capsule
from sim.shapes.cylinder import Cylinder
from sim.shapes.mesh import DistanceVolume, Mesh
from sim.shapes.plane import Plane
from sim.shapes.points import Points
from sim.shapes.sphere import Sphere

__all__ = ["Box", "Capsule", "Cylinder", "DistanceVolume", "Mesh", "Plane", "Points", "Shape", "Sphere"]
