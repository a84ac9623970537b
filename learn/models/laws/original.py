"""The two networks of the method's paper: stress and return map, 13-64-64-9 without biases.

Features s_i - 1, F^T F - I and det F - 1 are unchanged by a rotation of space and zero at rest, and there are no biases:
so the stress is objective and zero at rest for any weights. It need not be symmetric or have an energy.

Source: Ma et al., Learning Neural Constitutive Laws from Motion Observations for Generalizable PDE Dynamics, ICML 2023.
"""

from typing import Any, ClassVar

import torch

from pliant.learn.models.laws.dense import DenseNetwork
from pliant.learn.models.laws.neural import Gradients, NeuralLaw
from pliant.learn.models.laws.strain import ROTATED_CORRECTION, ROTATED_STRESS, STRETCHES_STRAIN_VOLUME
from pliant.learn.native.packed import Dense
from pliant.sim.checks import positive

SIZES = (13, 64, 64, 9)


class ElasticNetwork(NeuralLaw):
    """tau = stress_scale R S F^T, with S the symmetric part of the network's output.

    Args:
        stress_scale: typical stiffness [Pa]; 1 is the original, whose network must learn to put out pascals.
        gain: factor on the first weights of the last layer; 1 is the original.
        dtype, generator: of the first weights.
    """

    FEATURES, ASSEMBLY = STRETCHES_STRAIN_VOLUME, ROTATED_STRESS
    PRIORS: ClassVar[frozenset[str]] = frozenset({"zero at rest", "objective"})

    def __init__(
        self,
        *,
        stress_scale: float = 1.0,
        gain: float = 1.0,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.network = DenseNetwork(SIZES, gain=gain, dtype=dtype, generator=generator)
        self.register_buffer("stress_scale", torch.tensor(positive("stress_scale", stress_scale), dtype=dtype))

    def coefficients(self, k: torch.Tensor) -> tuple[torch.Tensor, Any]:
        made, saved = self.network.evaluate(k)
        return made * self.stress_scale, saved

    def coefficients_vjp(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, Gradients]:
        return self.network.pull_back(saved, adjoint * self.stress_scale)

    def dense(self) -> Dense:
        return self.network.dense(self.stress_scale)


class PlasticNetwork(NeuralLaw):
    """F = F_trial + 1e-3 R S, with S the symmetric part of the network's output.

    Args:
        gain: factor on the first weights of the last layer; 1 is the original.
        dtype, generator: of the first weights.
    """

    FEATURES, ASSEMBLY = STRETCHES_STRAIN_VOLUME, ROTATED_CORRECTION
    PRIORS: ClassVar[frozenset[str]] = frozenset({"identity at rest", "objective"})

    def __init__(
        self, *, gain: float = 1.0, dtype: torch.dtype = torch.float32, generator: torch.Generator | None = None
    ):
        super().__init__()
        self.network = DenseNetwork(SIZES, gain=gain, dtype=dtype, generator=generator)

    def coefficients(self, k: torch.Tensor) -> tuple[torch.Tensor, Any]:
        return self.network.evaluate(k)

    def coefficients_vjp(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, Gradients]:
        return self.network.pull_back(saved, adjoint)

    def dense(self) -> Dense:
        return self.network.dense()
