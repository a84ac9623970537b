"""Baseline: a stress of invariants alone, isotropic and symmetric, but of no energy."""

from typing import Any, ClassVar

import torch

from pliant.learn.models.laws.direct import DirectNetwork
from pliant.learn.models.laws.strain import ISOTROPIC_STRESS, STRETCH_INVARIANTS


class InvariantNetwork(DirectNetwork):
    """tau = c_1 (V - I) + c_2 (V^2 - I) + (c_3 log J + c_4 (|F| - sqrt(3))) I, F = V R.

    c comes from a network, with biases, of (tr U - 3, |F| - sqrt(3), log J). Any isotropic elastic stress that is zero
    at rest has this form (Rivlin and Ericksen). c_1 starts at half the stress scale, so that shear is resisted.
    """

    FEATURES, ASSEMBLY, SIZES, BIAS = STRETCH_INVARIANTS, ISOTROPIC_STRESS, (3, 64, 64, 4), True
    PRIORS: ClassVar[frozenset[str]] = frozenset({"zero at rest", "objective", "symmetric", "isotropic"})

    def __init__(self, **options: Any):
        super().__init__(**options)
        with torch.no_grad():
            self.network.biases[-1][0] = 0.5
