"""Learned constitutive laws: each maps deformation gradients [n, 3, 3] to Kirchhoff stresses or to plastic ones."""

from learn.models.laws.anisotropic import AnisotropicNetwork
from learn.models.laws.card import load_law, save_law
from learn.models.laws.dissipative import DissipativeReturnMap
from learn.models.laws.hyperelastic import HyperelasticNetwork
from learn.models.laws.invariants import InvariantNetwork
from learn.models.laws.isochoric import IsochoricReturnMap
from learn.models.laws.moduli import HenckyLaw, SaintVenantKirchhoffLaw
from learn.models.laws.neural import NeuralLaw
from learn.models.laws.original import ElasticNetwork, PlasticNetwork
from learn.models.laws.plain import PlainNetwork, PlainReturnMap
from learn.models.laws.polar import PolarNetwork
from learn.models.laws.registry import LAWS, RETURN_MAPS
from learn.models.laws.spline import SplineLaw

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
