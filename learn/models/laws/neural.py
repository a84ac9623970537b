"""What learned laws share: features of F, a network, a tensor assembled from F and the network's output."""

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch.autograd.function import once_differentiable

from pliant.learn.native.packed import NativeNetwork
from pliant.learn.pointwise import Assembly, Features

Gradients = Sequence[torch.Tensor]


class NeuralLaw(torch.nn.Module, abc.ABC):
    """F [n, 3, 3] -> T(F, c(f(F))) [n, 3, 3] with features f, learned coefficients c and an assembled tensor T.

    It is an `ExplicitLaw`: it brings its own vector-Jacobian product, so that a rollout keeps no graph. Differentiable
    once, by autograd too. `PRIORS` names what holds for any weights:

        zero at rest, identity at rest    tau(I) = 0, or F(I) = I for a return map
        objective                         T(Q F) = Q T(F) Q^T for rotations Q, or Q F(F_trial) for a return map
        isotropic                         T(F Q) = T(F), or F(F_trial) Q
        symmetric, conservative           tau = tau^T; tau = dpsi/dF F^T of an `energy` psi
        growth                            psi -> infinity as J -> 0 and as |F| -> infinity
        ordered                           greater stretch, greater stress; tension for a larger volume
        dissipative                       no return raises the energy of an ordered law
    """

    FEATURES: ClassVar[Features]
    ASSEMBLY: ClassVar[Assembly]
    PRIORS: ClassVar[frozenset[str]]

    @abc.abstractmethod
    def coefficients(self, k: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Coefficients [n, ...] of features [n, ...], and what their product needs."""

    @abc.abstractmethod
    def coefficients_vjp(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, Gradients]:
        """Gradients of coefficients : adjoint with respect to the features and to every parameter, in their order."""

    def dense(self) -> NativeNetwork | None:
        """The network that the coefficients are, if native code has it: then a rollout on a CPU needs no torch."""
        return None

    def __init_subclass__(cls, **options: Any):
        """A class that changes what is computed without saying that native code still has it has lost it."""
        super().__init_subclass__(**options)
        changed = {"coefficients", "coefficients_vjp", "evaluate", "pull_back", "forward"} & vars(cls).keys()
        if changed and "dense" not in vars(cls):
            cls.dense = NeuralLaw.dense  # type: ignore[method-assign]

    def options(self) -> dict[str, Any]:
        """The constructor arguments that shape the weights, for a law on disk."""
        return {}

    def forward(self, F: torch.Tensor) -> torch.Tensor:
        return _Explicit.apply(self, F, *self.parameters())

    def evaluate(self, F: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """The tensor, and what `pull_back` needs."""
        c, saved = self.coefficients(self.FEATURES.value(F))
        return self.ASSEMBLY.value(F, c), (F, c, saved)

    def pull_back(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, Gradients]:
        """Gradients of tensor : adjoint with respect to F and to every parameter."""
        F, c, kept = saved
        dF, dc = self.ASSEMBLY.pull_back(F, c, adjoint)
        dk, weights = self.coefficients_vjp(kept, dc)
        return dF.add_(self.FEATURES.pull_back(F, dk)), weights


class _Explicit(torch.autograd.Function):
    """A law whose product is its own, as an autograd node."""

    @staticmethod
    def forward(ctx, law, F, *weights):
        value, ctx.saved = law.evaluate(F)
        ctx.law = law
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, adjoint):
        dF, weights = ctx.law.pull_back(ctx.saved, adjoint.contiguous())
        return (None, dF, *weights)
