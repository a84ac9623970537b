"""Environments of a batch that failed: where their particles stand still while the others go on.

A particle that was set aside has no mass, no volume, no gravity and no contact: it scatters zeros to nodes that nothing else
touches, and so gathers zeros. No kernel asks whether it is there, so that a batch in which nothing fails costs nothing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pliant.sim.mpm.state import State, StateArray
from pliant.sim.status import Status

if TYPE_CHECKING:
    from pliant.sim.mpm.solver import MPMSolver

LEAST, MOST = 0.501, 1.501  # cells from the first and the last node within which a particle's nodes exist, and a margin


def resting_state(
    solver: "MPMSolver", failures: Sequence[Status], first: int, slot: int, kept: StateArray
) -> State | None:
    """The state in `slot` with the particles of every failed environment at rest where they were last good.

    They were last good at the substep at which they failed, the one before (what left the grid was outside already), or at the
    beginning; None where they were never.
    """
    state = solver.states.read(slot)
    for status in failures:
        mine = solver.binding.environment_of == status.environment
        at = max(0, status.step - first)
        stored = (solver.states.read(s) for s in (at, at - 1) if 0 <= s <= slot)
        good = next((s for s in (*stored, kept.read(0)) if _is_good(solver, s, mine)), None)
        if good is None:
            return None
        for name, array in state.arrays().items():
            array[mine] = good.arrays()[name][mine] if name in ("position", "deformation_gradient") else 0.0
    return state


def hide(
    solver: "MPMSolver", environments: frozenset[int], rest: State, slot: int, kept: StateArray, count: int
) -> None:
    """Write the environments' part of `rest` to the slot and to the first `count` checkpoints, which backward runs from."""
    solver.states.write(slot, rest)
    mine = np.isin(solver.binding.environment_of, sorted(environments))
    for index in range(count):
        state = kept.read(index)
        for name, array in state.arrays().items():
            array[mine] = rest.arrays()[name][mine]
        kept.write(index, state)


def _is_good(solver: "MPMSolver", state: State, mine: np.ndarray) -> bool:
    """Whether these particles are within the grid and have a volume."""
    spec = solver.model.grid_spec
    cells = (state.position[mine].astype(np.float64) - spec.lower) / spec.spacing
    F = state.deformation_gradient[mine].astype(np.float64)
    if not (np.isfinite(cells).all() and np.isfinite(F).all()):
        return False
    inside = (cells >= LEAST).all() and (cells <= np.array(spec.counts) - MOST).all()
    return bool(inside and (np.linalg.det(F) > 0.0).all())
