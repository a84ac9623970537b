"""Watching whether bodies with learned laws stay within the strains that those were learned from."""

import weakref
from typing import TYPE_CHECKING

from pliant.sim.linalg.extremes import extremes

if TYPE_CHECKING:
    from pliant.sim.rollout import Rollout


class StrainWatch:
    """Looks at the recorded frames of every body whose law has a `validity`, until it has left it; changes nothing.

    A look at 1000 particles takes about a tenth of a millisecond.
    """

    def __init__(self, rollout: "Rollout"):
        self.rollout = weakref.proxy(rollout)
        self.begin()

    def begin(self) -> None:
        """Nothing has been left yet; laws may have got a range since the last run."""
        self._left: dict[str, tuple[int, str]] = {}
        bodies = self.rollout.binding.bodies
        self._watched = [b for b in bodies if getattr(b.law, "validity", None) is not None]

    def look(self, step: int, slot: int) -> None:
        """At the state of this substep, which lies in a slot."""
        model, states = self.rollout.model, self.rollout.solver.states.fields
        for body in self._watched:
            name = body.model.name
            if name not in self._left:
                first = slot * model.particle_count + body.start
                seen = extremes(states["deformation_gradient"], first, body.end - body.start, model.precision)
                left = body.law.validity.left_by(seen)
                if left:
                    self._left[name] = (step, left)

    def warnings(self, first_step: int) -> tuple[str, ...]:
        """A sentence for every body that left the range."""
        return tuple(
            f"body '{name}': learned law left its validity range first at substep {first_step + step}: {left}; "
            "retrain with larger deformations."
            for name, (step, left) in self._left.items()
        )
