"""A nonlocal closure: the invariants of the neighbourhood enter too."""

from collections.abc import Sequence
from typing import Any

import torch

from learn.models.closures.base import NeuralClosure, reference, squeezed
from learn.models.closures.local import perceptron


class ConvolutionalClosure(NeuralClosure):
    """v of the invariants (s^2, s E11, (s E12)^2) of a point, and of their averages over growing neighbourhoods.

    An average is the binomial filter (1 2 1) x (1 2 1) / 16, applied again and again: nearly isotropic, exactly so under the turns
    of the lattice. Which range it sees depends on the spacing of the points.

    Args:
        averages: how many neighbourhoods; the widest has a standard deviation of sqrt(averages / 2) points.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (32, 32),
        averages: int = 3,
        *,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.hidden, self.averages = tuple(hidden), averages
        self.layers = perceptron((3 * (1 + averages), *self.hidden, 2), generator, dtype)

    def options(self) -> dict[str, Any]:
        return {"hidden": self.hidden, "averages": self.averages}

    def coefficients(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        y = squeezed(y)
        levels = [torch.stack([2.0 * x - 1.0, 2.0 * y.real, 4.0 * y.imag.square() - 1.0])]
        for _ in range(self.averages):
            levels.append(averaged(levels[-1]))
        differences = [levels[0], *(after - before for before, after in zip(levels[:-1], levels[1:], strict=True))]
        made = self.layers(torch.cat(differences).movedim(0, -1))
        return torch.complex(reference(x) + made[..., 0], 2.0 * y.imag * made[..., 1])


def averaged(fields: torch.Tensor) -> torch.Tensor:
    """The binomial average over the nearest points of a periodic lattice, along the last two axes."""
    for axis in (-2, -1):
        fields = 0.5 * fields + 0.25 * (fields.roll(1, axis) + fields.roll(-1, axis))
    return fields
