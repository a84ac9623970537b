"""Learned constitutive laws: each maps deformation gradients [n, 3, 3] to Kirchhoff stresses or to plastic ones."""

from learn.models.laws.card import load_law, save_law
from learn.models.laws.hyperelastic import HyperelasticNetwork
from learn.models.laws.neural import NeuralLaw
from learn.models.laws.original import ElasticNetwork, PlasticNetwork

LAWS = {"hyperelastic": HyperelasticNetwork, "elastic": ElasticNetwork}
RETURN_MAPS = {"none": None, "plastic": PlasticNetwork}

__all__ = [
    "LAWS",
    "RETURN_MAPS",
    "ElasticNetwork",
    "HyperelasticNetwork",
    "NeuralLaw",
    "PlasticNetwork",
    "load_law",
    "save_law",
]
