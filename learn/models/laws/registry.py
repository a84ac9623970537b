"""The learned laws by the names that `pliant train law` takes, and by the class names that a law on disk carries."""

from learn.models.laws.dissipative import DissipativeReturnMap
from learn.models.laws.hyperelastic import HyperelasticNetwork
from learn.models.laws.moduli import HenckyLaw, SaintVenantKirchhoffLaw
from learn.models.laws.neural import NeuralLaw
from learn.models.laws.original import ElasticNetwork, PlasticNetwork

LAWS: dict[str, type[NeuralLaw]] = {
    "hyperelastic": HyperelasticNetwork,
    "hencky": HenckyLaw,
    "stvk": SaintVenantKirchhoffLaw,
    "elastic": ElasticNetwork,
}
RETURN_MAPS: dict[str, type[NeuralLaw] | None] = {
    "none": None,
    "dissipative": DissipativeReturnMap,
    "plastic": PlasticNetwork,
}
CLASSES = {cls.__name__: cls for cls in (*LAWS.values(), *RETURN_MAPS.values()) if cls is not None}
