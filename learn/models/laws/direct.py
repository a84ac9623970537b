"""What the baselines share: a network that puts out the coefficients of a stress directly, not those of an energy."""

from typing import Any, ClassVar

import torch

from pliant.learn.models.laws.dense import DenseNetwork
from pliant.learn.models.laws.neural import Gradients, NeuralLaw
from pliant.learn.native.packed import Dense
from pliant.sim.checks import positive


class DirectNetwork(NeuralLaw):
    """c = stress_scale network(features).

    Args:
        stress_scale: typical stiffness [Pa].
        gain: factor on the first weights of the last layer.
        dtype, generator: of the first weights.
    """

    SIZES: ClassVar[tuple[int, ...]]
    BIAS: ClassVar[bool] = False

    def __init__(
        self,
        *,
        stress_scale: float = 1.0,
        gain: float = 1.0,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.network = DenseNetwork(self.SIZES, bias=self.BIAS, gain=gain, dtype=dtype, generator=generator)
        self.register_buffer("stress_scale", torch.tensor(positive("stress_scale", stress_scale), dtype=dtype))

    def coefficients(self, k: torch.Tensor) -> tuple[torch.Tensor, Any]:
        made, saved = self.network.evaluate(k)
        return made * self.stress_scale, saved

    def coefficients_vjp(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, Gradients]:
        return self.network.pull_back(saved, adjoint * self.stress_scale)

    def dense(self) -> Dense:
        return self.network.dense(self.stress_scale)
