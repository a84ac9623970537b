"""Fields in periodic boxes: pseudo-spectral solvers with exact gradients, batched over parameters and initial fields."""

from pliant.sim.spectral import equations
from pliant.sim.spectral.box import PeriodicBox
from pliant.sim.spectral.equation import Equation
from pliant.sim.spectral.integrators import INTEGRATORS

__all__ = ["INTEGRATORS", "Equation", "PeriodicBox", "equations"]
