"""Constitutive laws, one a file: Kirchhoff stress, energy, return map and named parameters in SI units."""

from pliant.sim.materials.base import Material
from pliant.sim.materials.drucker_prager import DruckerPrager
from pliant.sim.materials.fixed_corotated import FixedCorotated
from pliant.sim.materials.fluid import Fluid
from pliant.sim.materials.hencky import Hencky
from pliant.sim.materials.neo_hookean import NeoHookean
from pliant.sim.materials.von_mises import VonMises

__all__ = ["DruckerPrager", "FixedCorotated", "Fluid", "Hencky", "Material", "NeoHookean", "VonMises"]
