"""A nonlocal closure: how D and the strain rate vary in the neighbourhood of a point enter too."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch

from pliant.learn.models.closures.base import NeuralClosure, reference, squared, squeezed
from pliant.learn.models.closures.local import perceptron
from pliant.sim.checks import positive
from pliant.sim.spectral.active.closures import Spacing


class ConvolutionalClosure(NeuralClosure):
    """h = z^2 v + z e w, with v and w of the strain rate and of averages of tensors over neighbourhoods, seen in the eigenframe.

    The averages are those of z, e (which turn as exp(2 i a)), z^2, z e (as exp(4 i a)), |z|^2 and conj(z) e (not at all). Times
    conj(z), conj(z)^2 or 1 they are invariant; averages of products hold products of gradients, by which psi_4 departs from a
    function of psi_2 as rods diffuse.

    An average is the binomial filter (1 2 1) x (1 2 1) / 16, applied again and again: nearly isotropic, exactly so under the turns
    of the lattice. Its factors are functions of the wave number, so that on points closer together or further apart the same
    neighbourhood [m] is averaged.

    Args:
        hidden: sizes of the hidden layers.
        averages: how often the filter is applied for each neighbourhood, growing; n times has a standard deviation of sqrt(n / 2)
            widths.
        width: spacing [m] of the points at which the filter is that of the nearest ones: those of the training.
        generator: of the first weights.
    """

    sees_neighbourhood = True

    def __init__(
        self,
        hidden: Sequence[int] = (32, 32),
        averages: Sequence[int] = (1, 4),
        *,
        width: float = 0.25,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.hidden, self.averages, self.width = tuple(hidden), tuple(averages), positive("width", width)
        inputs = 1 + 6 * len(self.averages)
        self.layers = perceptron((2 + inputs, *self.hidden, 4), generator, dtype)
        drawn = torch.randn(self.hidden[0], inputs, generator=generator, dtype=dtype)
        self.mirrored = torch.nn.Parameter(drawn / (2 + inputs) ** 0.5)

    def options(self) -> dict[str, Any]:
        return {"hidden": self.hidden, "averages": self.averages, "width": self.width}

    def correction(self, z: torch.Tensor, e: torch.Tensor, spacing: Spacing | None) -> torch.Tensor:
        x, e, back = squared(z), squeezed(e), z.conj()
        fields = torch.stack([z, e, z * z, z * e, z * back, back * e])
        frames = torch.stack([back, back, back * back, back * back, torch.ones_like(z), torch.ones_like(z)])
        changes = torch.fft.ifft2(self.filters(z, spacing or (self.width, self.width)) * torch.fft.fft2(fields)) * frames
        invariants = torch.cat([(e * back).unsqueeze(0), changes.flatten(0, 1)])
        scalars = torch.stack([2.0 * x - 1.0, 2.0 * squared(e) - 1.0])
        v, w = self.mirror_symmetric(scalars, invariants)
        return z * z * (reference(x) + v) + z * e * w

    def filters(self, z: torch.Tensor, spacing: Spacing) -> torch.Tensor:
        """What each average takes away from the one before it, as factors [average, 1, 1, ny, nx] of Fourier coefficients."""
        x, y = (self.once(n, apart).to(z.real) for n, apart in zip((z.shape[-1], z.shape[-2]), spacing, strict=True))
        once = y.unsqueeze(-1) * x
        made = [once**count for count in (0, *self.averages)]
        return torch.stack([after - before for before, after in itertools.pairwise(made)])[:, None, None]

    def once(self, count: int, apart: float) -> torch.Tensor:
        """cos(k width / 2)^2 of the wave numbers k along an axis, the filter (1 2 1) / 4; 0 beyond its first zero."""
        half = torch.pi * self.width * torch.fft.fftfreq(count, apart, dtype=torch.float64)
        return torch.where(half.abs() < 0.5 * torch.pi, torch.cos(half).square(), 0.0)

    def mirror_symmetric(self, scalars: torch.Tensor, invariants: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Two complex functions of scalars and complex invariants [input, ...]; those conjugated, they are conjugated.

        The network sees the point and its mirror image, side by side after its first layer.
        """
        inputs = torch.cat([scalars, invariants.real, invariants.imag]).flatten(1)
        first, *others = self.layers
        even, plus = first.weight.split((len(scalars), len(invariants)), 1)
        weight = torch.cat([torch.cat([even, 2.0 * plus, odd], 1) for odd in (2.0 * self.mirrored, -2.0 * self.mirrored)])
        made = torch.addmm(first.bias.repeat(2), inputs.T, weight.T).view(-1, self.hidden[0])
        for layer in others:
            made = layer(made)
        half, mirrored = 0.5 * made.view(-1, 2, 4).movedim(1, 0)
        v, w = torch.complex((half + mirrored)[:, :2], (half - mirrored)[:, 2:]).T
        return v.view(scalars.shape[1:]), w.view(scalars.shape[1:])
