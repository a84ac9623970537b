"""The learned laws by the names that `pliant train law` takes, and by the class names that a law on disk carries."""

from pliant.learn.models.laws.anisotropic import AnisotropicNetwork
from pliant.learn.models.laws.dissipative import DissipativeReturnMap
from pliant.learn.models.laws.hyperelastic import HyperelasticNetwork
from pliant.learn.models.laws.invariants import InvariantNetwork
from pliant.learn.models.laws.isochoric import IsochoricReturnMap
from pliant.learn.models.laws.moduli import HenckyLaw, SaintVenantKirchhoffLaw
from pliant.learn.models.laws.neural import NeuralLaw
from pliant.learn.models.laws.original import ElasticNetwork, PlasticNetwork
from pliant.learn.models.laws.plain import PlainNetwork, PlainReturnMap
from pliant.learn.models.laws.polar import PolarNetwork
from pliant.learn.models.laws.spline import SplineLaw

LAWS: dict[str, type[NeuralLaw]] = {
    "hyperelastic": HyperelasticNetwork,
    "anisotropic": AnisotropicNetwork,
    "hencky": HenckyLaw,
    "stvk": SaintVenantKirchhoffLaw,
    "spline": SplineLaw,
    "elastic": ElasticNetwork,
    "invariants": InvariantNetwork,
    "polar": PolarNetwork,
    "plain": PlainNetwork,
}
RETURN_MAPS: dict[str, type[NeuralLaw] | None] = {
    "none": None,
    "dissipative": DissipativeReturnMap,
    "isochoric": IsochoricReturnMap,
    "plastic": PlasticNetwork,
    "plain": PlainReturnMap,
}
CLASSES = {cls.__name__: cls for cls in (*LAWS.values(), *RETURN_MAPS.values()) if cls is not None}
