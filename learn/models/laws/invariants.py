"""Baseline: a stress of invariants alone, isotropic and symmetric, but of no energy."""

from typing import ClassVar

from learn.models.laws.direct import DirectNetwork
from learn.models.laws.strain import INVARIANT_STRESS, STRETCH_INVARIANTS


class InvariantNetwork(DirectNetwork):
    """tau = c_1 R F^T + c_2 F F^T / |F| + c_3 I, with c from a network of (tr U - 3, |F| - sqrt(3), log J).

    Any isotropic elastic stress has this form (Rivlin and Ericksen); without biases it is zero at rest.
    """

    FEATURES, ASSEMBLY, SIZES = STRETCH_INVARIANTS, INVARIANT_STRESS, (3, 64, 64, 3)
    PRIORS: ClassVar[frozenset[str]] = frozenset({"zero at rest", "objective", "symmetric", "isotropic"})
