"""Solids, one a file: signed distance and normal, particles that fill them, a surface to draw."""

from pliant.sim.shapes.base import Shape
from pliant.sim.shapes.box import Box
from pliant.sim.shapes.capsule import Capsule
from pliant.sim.shapes.cylinder import Cylinder
from pliant.sim.shapes.mesh import Mesh
from pliant.sim.shapes.plane import Plane
from pliant.sim.shapes.points import Points
from pliant.sim.shapes.sphere import Sphere
from pliant.sim.shapes.volume import DistanceVolume

__all__ = ["Box", "Capsule", "Cylinder", "DistanceVolume", "Mesh", "Plane", "Points", "Shape", "Sphere"]
