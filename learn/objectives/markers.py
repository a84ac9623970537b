"""Be where the markers were."""

import math
from typing import Any

import numpy as np
import torch
from scipy.spatial import KDTree

from pliant.learn.objectives.base import SquaredObjective, Trajectory, like, recorded
from pliant.sim.errors import InputError
from pliant.sim.trajectory import host_array

NEIGHBOURS = 8
REACH = 1.5  # particle distances a marker may lie off the nearest particle
RESOLUTION = 1e-6  # of a particle distance: closer markers sit on their particle


class MarkerMatching(SquaredObjective):
    """Mean squared distance between markers that move with a body and where they were seen.

    L = mean_{t, m} |sum_i w_mi x_i(t) - y_m(t)|^2 / length^2

    The weights w are those of `bind_markers` and do not change.

    Args:
        name: positions [frame, batch, item, 3], for example "jelly.position".
        positions: y, [frame, marker, 3] in m, a frame for every frame of the trajectory.
        particles: of the body when the markers were at `start`, [item, 3].
        start: markers [marker, 3] on the body at that time.
        length: what counts as a distance of one [m].

    It logs `position_error` [m], the root mean square distance. Errors: `InputError` for another number of frames and
    those of `bind_markers`.
    """

    def __init__(self, name: str, positions: Any, *, particles: np.ndarray, start: np.ndarray, length: float = 1.0):
        self.name, self.length = name, length
        self.positions = np.ascontiguousarray(host_array(positions), np.float64)
        self.index, self.weights = bind_markers(start, particles)

    def residuals(self, trajectory: Trajectory) -> torch.Tensor:
        positions, wanted = recorded(trajectory, self.name), self.positions
        if positions.ndim != 4 or len(positions) != len(wanted):
            raise InputError(
                f"{self.name}: expected {[len(wanted), 'batch', 'item', 3]}, got {list(positions.shape)}; record the frames "
                "at which the markers were seen."
            )
        moved = (positions[:, :, self.index] * like(self.weights, positions)[..., None]).sum(3)
        scale = math.sqrt(2.0 / (wanted.shape[0] * wanted.shape[1])) / self.length
        return ((moved - like(wanted, positions)[:, None]) * scale).transpose(0, 1).flatten(1)

    def measures(self, loss: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"position_error": self.length * loss.sqrt()}


def bind_markers(markers: np.ndarray, particles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices [marker, k] and weights [marker, k] with which markers follow the particles [item, 3] around them.

    Of the weights with sum_i w_i = 1 and sum_i w_i x_i = y, which follow any affine motion exactly, those of the least
    sum_i |x_i - y|^2 w_i^2. A marker on a particle follows that one alone.

    Errors: `InputError` for a marker that is not on the body.
    """
    markers, particles = np.asarray(markers, np.float64), np.asarray(particles, np.float64)
    tree = KDTree(particles)
    spacing = float(np.median(tree.query(particles, k=min(2, len(particles)))[0].reshape(len(particles), -1)[:, -1]))
    distance, index = tree.query(markers, k=min(NEIGHBOURS, len(particles)))
    distance, index = distance.reshape(len(markers), -1), index.reshape(len(markers), -1)
    worst = int(distance[:, 0].argmax())
    if distance[worst, 0] > REACH * spacing:
        raise InputError(
            f"markers: expected them on the body, whose particles are {spacing:.3g} m apart, got marker {worst} at "
            f"{distance[worst, 0]:.3g} m from the nearest; correct unit, offset or scene, or compare clouds."
        )
    inverse = 1.0 / (distance**2 + (RESOLUTION * spacing) ** 2)
    arms = (particles[index] - markers[:, None]) / spacing
    A = np.concatenate([np.ones((*index.shape, 1)), arms], axis=2)  # [marker, k, 4]: A^T w = (1, 0, 0, 0)
    normal = np.einsum("mka,mk,mkb->mab", A, inverse, A)
    scale = np.sqrt(np.einsum("maa->ma", normal))
    scale = np.where(scale > 0.0, scale, 1.0)  # a flat body has no arms across
    solved = np.linalg.pinv(normal / (scale[:, :, None] * scale[:, None, :]), rcond=1e-10)[:, :, 0]
    weights = inverse * np.einsum("mka,ma->mk", A, solved / scale / scale[:, :1])
    return index, weights / weights.sum(axis=1, keepdims=True)
