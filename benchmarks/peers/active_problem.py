"""The problem of an active fluid: steps of the kinetic theory, or of its moments with Bingham's closure, from a half-ordered nematic."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActiveProblem:
    """Numbers of one run; plain values only, so that it crosses a pipe as JSON.

    Args:
        points: along each side of the box of 10 m.
        directions: of the kinetic theory; 0 for the moments.
        steps: of one run.
        dt: step of SBDF2 [s].
        activity, alignment: alpha, zeta [1/s].
        dtype: "float32" or "float64".
    """

    points: int = 40
    directions: int = 31
    steps: int = 50
    dt: float = 0.02
    activity: float = -1.5
    alignment: float = 0.65
    dtype: str = "float32"

    @property
    def particle_count(self) -> int:
        """Points of all directions: what a rate counts here."""
        return self.points**2 * max(1, self.directions)
