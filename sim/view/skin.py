"""Surfaces that follow particles."""

import dataclasses
import warnings

import numpy as np
from scipy import sparse

from pliant.sim.errors import InputError
from pliant.sim.shapes import Shape
from pliant.sim.view import geometry


@dataclasses.dataclass(frozen=True)
class Skin:
    """A surface whose vertices follow particles by fixed weights [v, n]; `faces` [f, 3] share vertices where smooth."""

    weights: sparse.csr_matrix
    faces: np.ndarray

    def vertices(self, positions: np.ndarray) -> np.ndarray:
        """Vertices [v, 3] for particle positions [n, 3]."""
        return self.weights @ positions

    def blend(self, colors: np.ndarray) -> np.ndarray:
        """Colours [v, 3] of the vertices for those of the particles [n, 3]."""
        return np.clip(self.weights @ colors, 0.0, 1.0)


def make_skin(entry: dict, first: np.ndarray, spacing: float, wanted: bool | None) -> Skin | None:
    """The skin of a body described by its entry in the scene; None where particles are to be drawn.

    Args:
        first: positions [n, 3] of the first frame.
        wanted: True for every solid shape, None for meshes only.
    """
    description = entry.get("shape", {})
    if wanted is False or (wanted is None and description.get("kind") != "Mesh"):
        return None
    if not description or description.get("kind") == "Points":
        return None
    try:
        shape = Shape.from_dict(description)
        rest = shape.sample(entry["spacing"])
        if len(rest) != len(first):
            raise InputError(f"its shape holds {len(rest)} particles at this spacing, not {len(first)}.")
    except InputError as error:
        warnings.warn(f"body {entry['name']!r} is drawn as particles: {error}", stacklevel=2)
        return None
    vertices, faces = geometry.subdivided(*shape.surface(48), longest=1.5 * spacing)
    source, faces = geometry.split_creases(vertices, faces)
    return Skin(geometry.skin_weights(vertices, rest)[source], faces)
