"""Closures at a point: by the scalar order alone, and by the strain rate too."""

import abc
from collections.abc import Sequence
from typing import Any

import torch

from pliant.learn.models.closures.base import NeuralClosure, reference, squared, squeezed
from pliant.sim.spectral.active.closures import Spacing


def perceptron(
    sizes: Sequence[int], generator: torch.Generator | None, dtype: torch.dtype, gain: float = 0.1
) -> torch.nn.Sequential:
    """Layers with tanh between them; the last starts small."""
    layers: list[torch.nn.Module] = []
    for index, (inputs, outputs) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        layer = torch.nn.utils.skip_init(torch.nn.Linear, inputs, outputs, dtype=dtype)
        last = index == len(sizes) - 2
        with torch.no_grad():
            drawn = torch.randn(layer.weight.shape, generator=generator, dtype=dtype)
            layer.weight.copy_(drawn * (gain if last else 1.0) / inputs**0.5)
            layer.bias.zero_()
        layers += [layer] if last else [layer, torch.nn.Tanh()]
    return torch.nn.Sequential(*layers)


class PointClosure(NeuralClosure):
    """h = z^2 v; subclasses give v by `coefficients` of the invariants x = s^2 and y = e conj(z), where y -> conj(y) makes v -> conj(v)."""

    @abc.abstractmethod
    def coefficients(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Complex v of x and complex y."""

    def correction(self, z: torch.Tensor, e: torch.Tensor, spacing: Spacing | None) -> torch.Tensor:
        return z * z * self.coefficients(squared(z), e * z.conj())


class OrderClosure(PointClosure):
    """v, real, of s^2: what any closure by the scalar order is, Bingham's among them.

    Args:
        hidden: sizes of the hidden layers.
        generator: of the first weights.
    """

    uses_strain = False

    def __init__(
        self,
        hidden: Sequence[int] = (32, 32),
        *,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.hidden = tuple(hidden)
        self.layers = perceptron((1, *self.hidden, 1), generator, dtype)

    def options(self) -> dict[str, Any]:
        return {"hidden": self.hidden}

    def coefficients(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        real = reference(x) + self.layers((2.0 * x - 1.0).unsqueeze(-1)).squeeze(-1)
        return torch.complex(real, torch.zeros_like(real))


class StrainClosure(PointClosure):
    """v of s^2 and of the strain rate in the eigenframe, (E11, E12), as (S1111, S1112) there may be.

    The network sees (s^2, s E11, (s E12)^2), which no reflection changes, and gives Re v and Im v / (s E12).
    """

    def __init__(
        self,
        hidden: Sequence[int] = (32, 32),
        *,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.hidden = tuple(hidden)
        self.layers = perceptron((3, *self.hidden, 2), generator, dtype)

    def options(self) -> dict[str, Any]:
        return {"hidden": self.hidden}

    def coefficients(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        y = squeezed(y)
        made = self.layers(torch.stack([2.0 * x - 1.0, 2.0 * y.real, 4.0 * y.imag.square() - 1.0], dim=-1))
        return torch.complex(reference(x) + made[..., 0], 2.0 * y.imag * made[..., 1])
