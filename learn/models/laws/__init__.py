"""Learned constitutive laws: each maps deformation gradients [n, 3, 3] to Kirchhoff stresses or to plastic ones."""

from learn.models.laws.card import load_law, save_law
from learn.models.laws.dissipative import DissipativeReturnMap
from learn.models.laws.hyperelastic import HyperelasticNetwork
from learn.models.laws.moduli import HenckyLaw, SaintVenantKirchhoffLaw
from learn.models.laws.neural import NeuralLaw
from learn.models.laws.original import ElasticNetwork, PlasticNetwork
from learn.models.laws.registry import LAWS, RETURN_MAPS

__all__ = [
    "LAWS",
    "RETURN_MAPS",
    "DissipativeReturnMap",
    "ElasticNetwork",
    "HenckyLaw",
    "HyperelasticNetwork",
    "NeuralLaw",
    "PlasticNetwork",
    "SaintVenantKirchhoffLaw",
    "load_law",
    "save_law",
]
