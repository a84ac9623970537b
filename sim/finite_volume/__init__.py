"""Nonlinear diffusion on an interval by finite volumes: what flows out of one cell flows into the next, to round-off."""

from pliant.sim.finite_volume.interval import Interval
from pliant.sim.finite_volume.laws import DiffusionLaw, Heat, PorousMedium, Stefan

__all__ = ["DiffusionLaw", "Heat", "Interval", "PorousMedium", "Stefan"]
