"""The weights of a dense network between torch, where they are trained, and the flat arrays that native code reads."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from learn.native.dense import DenseShape, Layout


class Dense(NamedTuple):
    """x -> scale (W_L f(... f(W_1 x + b_1)) + b_L), as torch holds it: W_l [outputs, inputs], b_l [outputs] or none at all."""

    weights: Sequence[torch.Tensor]
    biases: Sequence[torch.Tensor]
    activation: str
    scale: torch.Tensor | float = 1.0

    @property
    def shape(self) -> DenseShape:
        sizes = (self.weights[0].shape[1], *(len(w) for w in self.weights))
        return DenseShape(sizes, self.activation, bool(self.biases))

    @property
    def parameters(self) -> list[torch.Tensor]:
        return [*self.weights, *self.biases]

    @torch.no_grad()
    def pack(self, layout: Layout, weights: np.ndarray) -> None:
        """Write the weights, the scale in the last of them."""
        flat = torch.from_numpy(weights)
        for layer, (a, b) in enumerate(itertools.pairwise(layout.widths)):
            start, w = layout.weights[layer], self._scaled(layer, self.weights[layer])
            outputs, inputs = w.shape
            flat[start : start + a * b].view(a, b)[:inputs, :outputs].copy_(w.T)
            flat[start + a * b : start + 2 * a * b].view(b, a)[:outputs, :inputs].copy_(w)
            if self.biases:
                flat[start + 2 * a * b :][:outputs].copy_(self._scaled(layer, self.biases[layer]))

    @torch.no_grad()
    def unpack(self, layout: Layout, gradients: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """The sum of some gathered gradients as gradients of `parameters`."""
        flat = torch.from_numpy(np.sum(gradients, axis=0))
        dweights, dbiases = [], []
        for layer, (a, b) in enumerate(itertools.pairwise(layout.widths)):
            start, (outputs, inputs) = layout.gradients[layer], self.weights[layer].shape
            dweights.append(self._scaled(layer, flat[start : start + a * b].view(b, a)[:outputs, :inputs]))
            if self.biases:
                dbiases.append(self._scaled(layer, flat[start + a * b :][:outputs]))
        return [*dweights, *dbiases]

    def _scaled(self, layer: int, value: torch.Tensor) -> torch.Tensor:
        return value * self.scale if layer == len(self.weights) - 1 else value
