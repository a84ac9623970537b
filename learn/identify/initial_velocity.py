"""How fast a body moves when a recording begins: from the velocities in it, or from its first frames."""

import dataclasses

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from pliant.sim.errors import InputError
from pliant.sim.recording import Recording

FRAMES = 5  # that the velocity is estimated from
SWEEPS = 50  # of matching points and moving the cloud, at most


@dataclasses.dataclass(frozen=True)
class AffineVelocity:
    """v(x) = velocity + gradient (x - center), in m/s and 1/s."""

    center: np.ndarray
    velocity: np.ndarray
    gradient: np.ndarray

    def at(self, points: np.ndarray) -> np.ndarray:
        """Velocities [item, 3] at points [item, 3]."""
        return self.velocity + (np.asarray(points) - self.center) @ self.gradient.T

    def start(self, body: str, points: np.ndarray) -> dict[str, np.ndarray]:
        """Velocity and velocity gradient of a body's particles at points [item, 3], as parameter values.

        Without the gradient a turning body would start with less than its angular momentum.
        """
        gradients = np.broadcast_to(self.gradient, (1, len(points), 3, 3))
        return {f"{body}.velocity": self.at(points)[None], f"{body}.velocity_gradient": gradients}


def recorded_velocity(recording: Recording) -> AffineVelocity:
    """The affine velocity nearest to the velocities that the recording has in its first frame, in least squares.

    Errors: `InputError` when it has none.
    """
    if recording.velocity is None:
        raise InputError(
            f"{recording.source}: expected velocities in the first frame, found none; take the scene's or estimate them."
        )
    center = recording.points[0].mean(axis=0)
    arms = np.c_[np.ones(len(recording.points[0])), recording.points[0] - center]
    fitted = np.linalg.lstsq(arms, recording.velocity, rcond=1e-6)[0]
    return AffineVelocity(center, fitted[0], fitted[1:].T)


def estimated_velocity(recording: Recording, *, frames: int = FRAMES) -> AffineVelocity:
    """The rigid motion at the start that the first frames show.

    Each frame is laid over the first by the best rotation and shift: of points that keep their row, or, without
    correspondence, of nearest neighbours in turn. Shift and rotation vector are then quadratic in time, by least squares,
    so that a constant acceleration such as gravity's does no harm; contact within these frames does.

    Args:
        recording: points that keep their row, or, by its `correspondence`, clouds.
        frames: how many are looked at, at least three.

    Errors: `InputError` for fewer than three frames.

    Source: Kabsch, Acta Cryst. A32 (1976), 922; Besl and McKay, A method for registration of 3-D shapes, PAMI 1992.
    """
    count = min(frames, recording.frame_count)
    if count < 3:
        raise InputError(
            f"{recording.source}: expected three frames to estimate a velocity from, got {count}; record more."
        )
    clouds = recording.positions if recording.correspondence else recording.points
    first = clouds[0]
    center, pose = first.mean(axis=0), (Rotation.identity(), np.zeros(3))
    motions = []
    for frame in range(1, count):
        pose = _laid_over(first, clouds[frame], center, pose, recording.correspondence)
        motions.append(np.r_[pose[1], pose[0].as_rotvec()])
    times = recording.times[1:count]
    fitted = np.linalg.lstsq(np.c_[times, times**2], np.array(motions), rcond=None)[0][0]
    return AffineVelocity(
        center, fitted[:3], np.cross(np.eye(3), fitted[3:])
    )  # rows e_i x w: its product with r is w x r


def _laid_over(
    first: np.ndarray, seen: np.ndarray, center: np.ndarray, pose: tuple[Rotation, np.ndarray], correspondence: bool
) -> tuple[Rotation, np.ndarray]:
    """Rotation about the center and shift that lay the first cloud over another, from a guess."""
    if correspondence:
        return _kabsch(first, seen, center)
    tree, matched = KDTree(seen), np.zeros(0)
    for _ in range(SWEEPS):
        moved = pose[0].apply(first - center) + center + pose[1]
        nearest = tree.query(moved)[1]
        if np.array_equal(nearest, matched):
            break
        matched = nearest
        pose = _kabsch(first, seen[nearest], center)
    return pose


def _kabsch(first: np.ndarray, seen: np.ndarray, center: np.ndarray) -> tuple[Rotation, np.ndarray]:
    """The best R and d in seen = R (first - center) + center + d."""
    middle = seen.mean(axis=0)
    arms = first - first.mean(axis=0)
    U, _, Vt = np.linalg.svd((seen - middle).T @ arms)
    turn = U @ np.diag([1.0, 1.0, np.sign(np.linalg.det(U @ Vt)) or 1.0]) @ Vt
    return Rotation.from_matrix(turn), middle - center - turn @ (first.mean(axis=0) - center)
