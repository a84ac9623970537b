"""Fields in periodic boxes: pseudo-spectral solvers with exact gradients, batched over parameters and initial fields."""

from sim.spectral import equations
from sim.spectral.box import PeriodicBox
from sim.spectral.equation import Equation
from sim.spectral.integrators import INTEGRATORS

__all__ = ["INTEGRATORS", "Equation", "PeriodicBox", "equations"]
