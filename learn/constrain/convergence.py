"""A solve that did not reach its tolerance is an error with a remedy, never a wrong gradient."""

from pliant.sim.errors import PliantError


class ConvergenceError(PliantError, RuntimeError):
    """A solve stopped short; `.residual`, `.tolerance` and `.iterations` say how far it came.

    Args:
        who: the solver.
        why: what stopped it.
        remedy: what to change.
        residual: largest over the systems, in the measure of `tolerance`.
    """

    def __init__(self, who: str, why: str, remedy: str, *, residual: float, tolerance: float, iterations: int):
        super().__init__(
            f"{who}: expected a residual of at most {tolerance:.3g}, got {residual:.3g} after {iterations} iterations "
            f"({why}); {remedy}"
        )
        self.residual, self.tolerance, self.iterations = residual, tolerance, iterations
