"""Dense networks that know their own derivatives, so that a law costs no autograd graph at every substep."""

import math
from collections.abc import Sequence

import torch
from torch.nn.functional import gelu, softplus

from pliant.learn.native.packed import Dense
from pliant.sim.errors import InputError

WIDEST = 4096  # of a layer: a file that asks for more is damaged, or would take the memory


def check_widths(*widths: int) -> None:
    """Raise `InputError` for layers of no width, or wider than any law needs."""
    if not all(type(width) is int and 1 <= width <= WIDEST for width in widths):
        raise InputError(f"hidden: expected widths of layers from 1 to {WIDEST}, got {list(widths)}; correct it.")


class DenseNetwork(torch.nn.Module):
    """x -> W_k gelu(... gelu(W_1 x)), without biases unless asked for: then a zero input gives a zero output.

    Args:
        sizes: width of the input, of the hidden layers and of the output.
        bias: whether every layer adds a bias.
        gain: factor on the first weights of the last layer.
        dtype, generator: of the first weights, uniform in +-1/sqrt(inputs) as `torch.nn.Linear` draws them.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        bias: bool = False,
        gain: float = 1.0,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        check_widths(*sizes)
        draw = [uniform((b, a), a, dtype, generator) for a, b in zip(sizes, sizes[1:], strict=False)]
        draw[-1] = draw[-1] * gain
        self.weights = torch.nn.ParameterList(draw)
        biases = [torch.zeros(b, dtype=dtype) for b in sizes[1:]] if bias else []
        self.biases = torch.nn.ParameterList(biases)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.evaluate(x)[0]

    def evaluate(self, x: torch.Tensor) -> tuple[torch.Tensor, list[tuple[torch.Tensor, ...]]]:
        """The output, and for `pull_back` the weight, the input and the value before activation of every layer."""
        saved, z = [], x
        for layer, weight in enumerate(self.weights):
            h = gelu(z) if layer else x
            saved.append((weight, h, z))
            z = torch.addmm(self.biases[layer], h, weight.T) if len(self.biases) else h @ weight.T
        return z, saved

    def pull_back(
        self, saved: list[tuple[torch.Tensor, ...]], adjoint: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Gradients of output : adjoint with respect to the input and to every parameter."""
        dweights, dbiases = [], []
        for layer, (weight, h, z) in reversed(list(enumerate(saved))):
            dweights.append(adjoint.T @ h)
            dbiases += [adjoint.sum(0)] if len(self.biases) else []
            adjoint = adjoint @ weight
            adjoint = torch.ops.aten.gelu_backward(adjoint, z) if layer else adjoint
        return adjoint, [*dweights[::-1], *dbiases[::-1]]

    def dense(self, scale: torch.Tensor | float = 1.0) -> Dense:
        """The weights of scale times this network, for native code."""
        return Dense(tuple(self.weights), tuple(self.biases), "gelu", scale)


class ScalarNetwork(torch.nn.Module):
    """g(k) = w . softplus(W_2 softplus(W_1 k + b_1) + b_2): a scalar of features [n, size], through its gradient.

    It grows at most linearly, and has derivatives of every order.

    Args:
        size: number of features.
        hidden: width of the two hidden layers.
        gain: factor on the first output weights.
        dtype, generator: of the first weights.
    """

    def __init__(
        self,
        size: int,
        *,
        hidden: int = 32,
        gain: float = 1.0,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        check_widths(size, hidden)
        parameter = torch.nn.Parameter
        self.first = parameter(uniform((hidden, size), size, dtype, generator))
        self.second = parameter(uniform((hidden, hidden), hidden, dtype, generator))
        self.last = parameter(gain * uniform((hidden,), hidden, dtype, generator))
        self.first_bias = parameter(uniform((hidden,), size, dtype, generator))
        self.second_bias = parameter(uniform((hidden,), hidden, dtype, generator))

    def forward(self, k: torch.Tensor) -> torch.Tensor:
        """g [n]."""
        h = softplus(torch.addmm(self.first_bias, k, self.first.T))
        return softplus(torch.addmm(self.second_bias, h, self.second.T)) @ self.last

    def gradient(self, k: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """dg/dk [n, size], and what `pull_back` needs."""
        z = torch.addmm(self.first_bias, k, self.first.T)
        h, slope = softplus(z), torch.sigmoid(z)
        slope2 = torch.sigmoid(torch.addmm(self.second_bias, h, self.second.T))
        saved = (k, h, slope, slope2, self.first, self.second, self.last)
        return ((self.last * slope2) @ self.second * slope) @ self.first, saved

    def pull_back(
        self, saved: tuple[torch.Tensor, ...], adjoint: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Gradients of dg/dk : adjoint with respect to k and to every parameter.

        With a the adjoint, dg/dk : a is the derivative of g along a. A dot marks the derivative of a quantity along a:
        it is w . (s2 z2.), where z2. = W_2 (s1 z1.), z1. = W_1 a, and s1, s2 are the sigmoids of the two layers.
        """
        k, h, s1, s2, first, second, last = saved
        z1_dot = adjoint @ first.T
        h_dot = s1 * z1_dot
        z2_dot = h_dot @ second.T
        dz2_dot = last * s2
        dz2 = dz2_dot * (1.0 - s2) * z2_dot
        dz1_dot = (dz2_dot @ second) * s1
        dz1 = dz1_dot * (1.0 - s1) * z1_dot + (dz2 @ second) * s1
        dfirst = dz1_dot.T @ adjoint + dz1.T @ k
        dsecond = dz2_dot.T @ h_dot + dz2.T @ h
        return dz1 @ first, [dfirst, dsecond, (s2 * z2_dot).sum(0), dz1.sum(0), dz2.sum(0)]


def uniform(shape: tuple[int, ...], inputs: int, dtype: torch.dtype, generator: torch.Generator | None) -> torch.Tensor:
    """Weights uniform in +-1/sqrt(inputs)."""
    bound = 1.0 / math.sqrt(inputs)
    return (2.0 * torch.rand(shape, dtype=dtype, generator=generator) - 1.0) * bound
