"""Constitutive laws, one a file: Kirchhoff stress, energy, return map and named parameters in SI units."""

from sim.materials.base import Material
from sim.materials.drucker_prager import DruckerPrager
from sim.materials.fixed_corotated import FixedCorotated
from sim.materials.fluid import Fluid
from sim.materials.hencky import Hencky
from sim.materials.neo_hookean import NeoHookean
from sim.materials.von_mises import VonMises

__all__ = ["DruckerPrager", "FixedCorotated", "Fluid", "Hencky", "Material", "NeoHookean", "VonMises"]
