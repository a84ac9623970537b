"""Baselines without priors: networks of the nine entries of F that know nothing of rotations, rest or energy."""

from typing import Any, ClassVar

import torch

from pliant.learn.models.laws.dense import DenseNetwork
from pliant.learn.models.laws.direct import DirectNetwork
from pliant.learn.models.laws.entries import CORRECTION, ENTRIES, FIRST_PIOLA_STRESS
from pliant.learn.models.laws.neural import Gradients, NeuralLaw
from pliant.learn.native.packed import Dense

SIZES = (9, 64, 64, 9)


class PlainNetwork(DirectNetwork):
    """tau = stress_scale P F^T, with P the output of a network of F with biases.

    Nothing keeps it from stress at rest, from stress in a mere rotation, or from giving energy away for nothing: training
    through a simulation often ends early, with the sentence of the run that failed.
    """

    FEATURES, ASSEMBLY, SIZES, BIAS = ENTRIES, FIRST_PIOLA_STRESS, SIZES, True
    PRIORS: ClassVar[frozenset[str]] = frozenset()


class PlainReturnMap(NeuralLaw):
    """F = F_trial + 1e-3 network(F_trial).

    Args:
        gain: factor on the first weights of the last layer.
        dtype, generator: of the first weights.
    """

    FEATURES, ASSEMBLY = ENTRIES, CORRECTION
    PRIORS: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self, *, gain: float = 1.0, dtype: torch.dtype = torch.float32, generator: torch.Generator | None = None
    ):
        super().__init__()
        self.network = DenseNetwork(SIZES, bias=True, gain=gain, dtype=dtype, generator=generator)

    def coefficients(self, k: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return self.network.evaluate(k)

    def coefficients_vjp(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, Gradients]:
        return self.network.pull_back(saved, adjoint)

    def dense(self) -> Dense:
        return self.network.dense()
