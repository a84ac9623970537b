"""Steps of a solver noted once on a tape, and replayed without Python in between."""

import warnings
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pliant.sim.spectral.native.operations import Operation
from pliant.sim.spectral.native.recording import RecordingArrays
from pliant.sim.spectral.native.tape import Tape

if TYPE_CHECKING:
    from pliant.sim.spectral.solver import SpectralSolver


class Player:
    """Notes a step of a solver whose arrays are `RecordingArrays`, and replays it for as many as are like it."""

    def __init__(self, solver: "SpectralSolver"):
        self.solver = weakref.proxy(solver)
        self.arrays: RecordingArrays = solver.model.arrays  # type: ignore[assignment]
        self._tapes: dict[tuple, Tape] = {}
        self._points: Any = None
        self.refusal = ""  # why steps cannot be noted, if they cannot

    @property
    def recording(self) -> bool:
        return self.arrays.tape is not None

    def combine(self, pairs: Sequence[tuple[Any, Any]], out: Any) -> None:
        """Note a sum of products."""
        if self.arrays.tape is not None:
            operation = Operation.COMBINE if len(pairs) > 1 else Operation.MULTIPLY
            self.arrays.tape.note(operation, out, *(operand for pair in pairs for operand in pair))

    def advance(self, substeps: int) -> bool:
        """Steps from the solver's slot on; False if the equation cannot be noted, and nothing was done."""
        solver = self.solver
        while substeps:
            step, every = solver.step, solver.every
            count = min(substeps, every - step % every)
            if solver.starting(step):
                count = min(count, solver.model.integrator.first_steps - solver.first_step - step)
            tape = self._tape(forward=True)
            if tape is None:
                return False
            tape.replay(solver.slot, 1, count)
            solver.step, solver.slot, substeps = step + count, solver.slot + count, substeps - count
        return True

    def retreat(self, substeps: int) -> bool:
        """The adjoints of the steps before the solver's slot, from the last to the first."""
        solver = self.solver
        while substeps:
            solver.step -= 1  # the step whose adjoint comes next
            step, first = solver.step, solver.model.integrator.first_steps - solver.first_step
            count = min(substeps, step % solver.every + 1)
            if not solver.starting(step):
                count = min(count, step - max(first, 0) + 1)
            tape = self._tape(forward=False)
            if tape is None:
                solver.step += 1
                return False
            tape.replay(solver.slot - 1, -1, count)
            solver.step, solver.slot, substeps = step + 1 - count, solver.slot - count, substeps - count
        return True

    def _tape(self, *, forward: bool) -> Tape | None:
        """The tape of the solver's step; None if it cannot be noted."""
        solver, binding = self.solver, self.solver.binding
        if self._points is not binding.points:  # other parameters
            self._tapes, self._points = {}, binding.points
        source = binding.source(solver.step // solver.every)
        key = (forward, solver.starting(solver.step), source is None, binding.wants_linear)
        if key not in self._tapes and not self.refusal:
            self._record(key, forward)
        return self._tapes.get(key)

    def _record(self, key: tuple, forward: bool) -> None:
        solver = self.solver
        tape = Tape(solver.model.precision, solver.model.batch, solver.slotted())
        try:
            with self.arrays.recording(tape):
                (solver.forward if forward else solver.backward)(0)
        except Exception as error:  # whatever it is: without a tape the step does the same again, and then says so itself
            self._refuse(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        else:
            self._tapes[key] = tape

    def _refuse(self, reason: str) -> None:
        """Keep the reason, and warn: what follows is right, but slower."""
        self.refusal = reason
        equation = type(self.solver.model.equation).__name__
        warnings.warn(
            f"{equation}: its steps run without compiled code, 3 to 8 times slower ({reason}); write its products with "
            "+, -, * and numbers, or the operations of `xp`.",
            stacklevel=2,
        )
