"""Learned constitutive laws: each maps deformation gradients [n, 3, 3] to Kirchhoff stresses or to plastic ones."""

from pliant.learn.models.laws.anisotropic import AnisotropicNetwork
from pliant.learn.models.laws.card import load_law, save_law
from pliant.learn.models.laws.dissipative import DissipativeReturnMap
from pliant.learn.models.laws.hyperelastic import HyperelasticNetwork
from pliant.learn.models.laws.invariants import InvariantNetwork
from pliant.learn.models.laws.isochoric import IsochoricReturnMap
from pliant.learn.models.laws.moduli import HenckyLaw, SaintVenantKirchhoffLaw
from pliant.learn.models.laws.neural import NeuralLaw
from pliant.learn.models.laws.original import ElasticNetwork, PlasticNetwork
from pliant.learn.models.laws.plain import PlainNetwork, PlainReturnMap
from pliant.learn.models.laws.polar import PolarNetwork
from pliant.learn.models.laws.registry import LAWS, RETURN_MAPS
from pliant.learn.models.laws.spline import SplineLaw

__all__ = [
    "LAWS",
    "RETURN_MAPS",
    "AnisotropicNetwork",
    "DissipativeReturnMap",
    "ElasticNetwork",
    "HenckyLaw",
    "HyperelasticNetwork",
    "InvariantNetwork",
    "IsochoricReturnMap",
    "NeuralLaw",
    "PlainNetwork",
    "PlainReturnMap",
    "PlasticNetwork",
    "PolarNetwork",
    "SaintVenantKirchhoffLaw",
    "SplineLaw",
    "load_law",
    "save_law",
]
