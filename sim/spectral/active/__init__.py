"""What the two models of an active fluid share: the hierarchy of angular moments, the Stokes flow, and closures."""

from pliant.sim.spectral.active.bingham import BinghamClosure, inverse_bessel_ratio
from pliant.sim.spectral.active.closures import Closure, FactorClosure, QuadraticClosure

__all__ = ["BinghamClosure", "Closure", "FactorClosure", "QuadraticClosure", "inverse_bessel_ratio"]
