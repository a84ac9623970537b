"""Closed surfaces of revolution about z, for drawing."""

import numpy as np


def arc(radius: float, height: float, start: float, stop: float, steps: int) -> np.ndarray:
    """Profile [steps + 1, 2] of (distance from the axis, z) along a circle about (0, height), by latitude [rad]."""
    latitude = np.linspace(start, stop, steps + 1)
    return np.stack([radius * np.cos(latitude), height + radius * np.sin(latitude)], axis=1)


def revolve(profile: np.ndarray, segments: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [v, 3] and outward faces [f, 3] of a profile [k, 2] turned about z.

    The profile runs upward; its first and last point become the poles, whatever their distance from the axis.
    """
    angle = 2.0 * np.pi * np.arange(segments) / segments
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    middle = profile[1:-1]
    rings = np.concatenate(
        [middle[:, None, :1] * around, np.broadcast_to(middle[:, None, 1:], (len(middle), segments, 1))], axis=2
    ).reshape(-1, 3)
    poles = np.array([[0.0, 0.0, profile[0, 1]], [0.0, 0.0, profile[-1, 1]]])
    bottom, top = len(rings), len(rings) + 1
    here = np.arange(segments)
    there, last = (here + 1) % segments, segments * (len(middle) - 1)
    faces = [np.stack([there, here, np.full(segments, bottom)], axis=1)]
    for ring in range(len(middle) - 1):
        low, high = segments * ring, segments * (ring + 1)
        faces.append(np.stack([low + here, low + there, high + there], axis=1))
        faces.append(np.stack([low + here, high + there, high + here], axis=1))
    faces.append(np.stack([last + here, last + there, np.full(segments, top)], axis=1))
    return np.concatenate([rings, poles]), np.concatenate(faces)
