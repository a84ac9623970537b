"""Whether a recording from outside can be of the motion it is said to be of: its clock, and its rows."""

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.recording import Recording

FAR = 0.05  # of the body's size: a way long enough to tell a speed from
FACTOR = 4.0  # between two speeds that cannot be of the same motion; a first contact changes one by less on so short a way
UNEXPLAINED = 0.5  # share of the points' variance that an affine motion from one frame to the next leaves unexplained at most
FEW = 8  # points, of which an affine motion explains too much to tell


def check_speed(recording: Recording, velocity: np.ndarray, gravity: np.ndarray, size: float) -> None:
    """Raise `InputError` when the centre of the points does not set out about as fast as the body is said to.

    Of a body that moves at the start; one at rest tells nothing of the clock before something has happened to it. The
    speeds are compared in the first frame by which either has gone 5 % of the body's size.

    Args:
        recording: points or clouds.
        velocity: of the body's centre at the start [3] in m/s.
        gravity: [3] in m/s^2.
        size: of the body [m].
    """
    speed = float(np.linalg.norm(velocity))
    centres = np.array([cloud.mean(axis=0) for cloud in recording.points])
    seen = np.linalg.norm(centres - centres[0], axis=1)
    flown = speed * recording.times
    fallen = flown + 0.5 * float(np.linalg.norm(gravity)) * recording.times**2
    far = np.flatnonzero(np.maximum(seen, flown) >= FAR * size)
    if speed == 0.0 or not len(far):
        return
    frame = int(far[0])
    if flown[frame] / FACTOR <= seen[frame] <= FACTOR * fallen[frame]:
        return
    time = recording.times[frame]
    thousand = 0.5e-3 <= seen[frame] / flown[frame] <= 2e-3
    remedy = "are the times in ms? give them in s" if thousand else "correct the times, the interval or the scene's velocity"
    raise InputError(
        f"{recording.source}: expected points that set out at {speed:.3g} m/s as the body of the scene does, got "
        f"{seen[frame] / time:.3g} m/s over the first {time:.3g} s; {remedy}, or have the velocity estimated (velocity)."
    )


def check_rows(recording: Recording) -> None:
    """Raise `InputError` when a row is another point in the next frame: then no affine motion leads from one to the other.

    Args:
        recording: points that are said to keep their row.
    """
    points = recording.positions
    if points.shape[1] < FEW:
        return
    for frame, (before, after) in enumerate(zip(points[:-1], points[1:], strict=True)):
        arms, moved = before - before.mean(axis=0), after - after.mean(axis=0)
        left = moved - arms @ np.linalg.lstsq(arms, moved, rcond=1e-6)[0]
        if (left**2).sum() > UNEXPLAINED * (moved**2).sum():
            raise InputError(
                f"{recording.source}: expected rows that keep their point, got points that change places from frame {frame} to "
                f"{frame + 1}; sort the rows, record more frames, or compare clouds (supervision)."
            )
