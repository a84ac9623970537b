"""Constitutive laws, one a file: Kirchhoff stress, energy, return map and named parameters in SI units."""

from sim.materials.base import Material
from sim.materials.fixed_corotated import FixedCorotated
from sim.materials.neo_hookean import NeoHookean

__all__ = ["FixedCorotated", "Material", "NeoHookean"]
