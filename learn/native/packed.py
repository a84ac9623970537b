"""The weights of a dense network between torch, where they are trained, and the flat arrays that native code reads."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch

from pliant.learn.native.dense import DenseShape, Layout, NetworkShape


class NativeNetwork(Protocol):
    """A network whose weights torch trains and native code evaluates."""

    @property
    def shape(self) -> NetworkShape: ...

    @property
    def parameters(self) -> list[torch.Tensor]: ...

    def pack(self, layout: Layout, weights: torch.Tensor, transposed: torch.Tensor) -> None:
        """Write the weights as they are now."""

    def unpack(self, layout: Layout, gradient: torch.Tensor) -> list[torch.Tensor]:
        """A gradient with respect to the packed weights as gradients of `parameters`."""


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
    def pack(self, layout: Layout, weights: torch.Tensor, transposed: torch.Tensor) -> None:
        """Write the weights, the scale in the last of them."""
        for layer, (W, b) in enumerate(views(self.shape, layout, weights)):
            W.copy_(self._scaled(layer, self.weights[layer]))
            if b is not None:
                b.copy_(self._scaled(layer, self.biases[layer]))
            start, size = layout.transposed[layer], layout.widths[layer : layer + 2]
            transposed[start:][: size[0] * size[1]].view(size)[: W.shape[1], : W.shape[0]].copy_(W.T)

    @torch.no_grad()
    def unpack(self, layout: Layout, gradient: torch.Tensor) -> list[torch.Tensor]:
        """A gradient with respect to the packed weights as gradients of `parameters`."""
        parts = views(self.shape, layout, gradient)
        dweights = [self._scaled(layer, W) for layer, (W, _) in enumerate(parts)]
        return [*dweights, *(self._scaled(layer, b) for layer, (_, b) in enumerate(parts) if b is not None)]

    def _scaled(self, layer: int, value: torch.Tensor) -> torch.Tensor:
        return value * self.scale if layer == len(self.weights) - 1 else value


def views(shape: DenseShape, layout: Layout, flat: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    """W [outputs, inputs] and b [outputs], or None, of each layer in packed weights."""
    made: list[tuple[torch.Tensor, torch.Tensor | None]] = []
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(shape.sizes)):
        part = flat[layout.weights[layer] : layout.weights[layer + 1]]
        width, rows = layout.widths[layer : layer + 2]
        W = part[: width * rows].view(rows, width)[:outputs, :inputs]
        made.append((W, part[width * rows :][:outputs] if shape.bias else None))
    return made
