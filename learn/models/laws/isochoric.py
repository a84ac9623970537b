"""A learned plastic return map that takes shear strain alone: metals and liquids, whose volume does not flow."""

from typing import Any

import torch

from pliant.learn.models.laws.dissipative import DissipativeReturnMap
from pliant.learn.models.laws.neural import Gradients
from pliant.learn.native.dense import DenseShape, Layout
from pliant.learn.native.packed import Dense

NEVER = 1e6  # output for a limit that no strain meets


class IsochoricReturnMap(DissipativeReturnMap):
    """The dissipative map with T = C = infinity: det F stays that of F_trial, and a network gives the yield radius alone.

    A prior worth giving where it is true: the pressure of a liquid is then learned without a volumetric limit that could
    explain a part of it.

    Args:
        strain_scale, smoothing, hidden, dtype, generator: as of `DissipativeReturnMap`.
    """

    OUTPUTS = 1  # Y alone

    def limits(self, k: torch.Tensor) -> torch.Tensor:
        return _with_volume(self.network(k), 1)

    def coefficients(self, k: torch.Tensor) -> tuple[torch.Tensor, Any]:
        radius, saved = self.network.evaluate(k)
        return _with_volume(radius, 1), saved

    def coefficients_vjp(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, Gradients]:
        return self.network.pull_back(saved, adjoint[:, :1].contiguous())

    def dense(self) -> "_RadiusNetwork":  # type: ignore[override]
        return _RadiusNetwork(self.network.dense())


class _RadiusNetwork:
    """A network of one output in native code, beside two constant ones."""

    def __init__(self, network: Dense):
        self.network = network

    @property
    def shape(self) -> DenseShape:
        return self._whole().shape

    @property
    def parameters(self) -> list[torch.Tensor]:
        return self.network.parameters

    def pack(self, layout: Layout, weights: torch.Tensor, transposed: torch.Tensor) -> None:
        """Write the weights as they are now."""
        self._whole().pack(layout, weights, transposed)

    def unpack(self, layout: Layout, gradient: torch.Tensor) -> list[torch.Tensor]:
        """A gradient with respect to the packed weights as gradients of `parameters`."""
        whole = self._whole().unpack(layout, gradient)
        return [g[: len(w)] for g, w in zip(whole, self.parameters, strict=True)]

    @torch.no_grad()
    def _whole(self) -> Dense:
        *weights, last = self.network.weights
        *biases, offset = self.network.biases
        zero = torch.zeros(2, last.shape[1], dtype=last.dtype, device=last.device)
        return Dense((*weights, torch.cat([last, zero])), (*biases, _with_volume(offset, 0)), self.network.activation)


def _with_volume(radius: torch.Tensor, dim: int) -> torch.Tensor:
    """The outputs of the network followed by those of the two volumetric limits."""
    size = list(radius.shape)
    size[dim] = 2
    return torch.cat([radius, radius.new_full(size, NEVER)], dim=dim)
