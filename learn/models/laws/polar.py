"""Baseline: a network of the stretch U of F = R U, turned by R."""

from typing import ClassVar

from pliant.learn.models.laws.direct import DirectNetwork
from pliant.learn.models.laws.strain import ROTATED_STRESS, STRETCH


class PolarNetwork(DirectNetwork):
    """tau = stress_scale R S F^T, with S the symmetric part of the output of a network of U - I without biases."""

    FEATURES, ASSEMBLY, SIZES = STRETCH, ROTATED_STRESS, (6, 64, 64, 9)
    PRIORS: ClassVar[frozenset[str]] = frozenset({"zero at rest", "objective"})
