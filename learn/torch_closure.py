"""A closure of an active fluid given as a torch module, evaluated inside the moment solver."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pliant.sim.errors import InputError
from pliant.sim.spectral.active import Closure
from pliant.sim.spectral.active.closures import Spacing


class TorchClosure(torch.nn.Module, Closure):
    """psi_4 of (c, psi_2, e) by a torch module: `equations.ActiveFluid(..., closing=TorchClosure(network))`.

    Args:
        network: module, (c, psi_2, e, (dx, dy)) -> psi_4, tensors [batch, ny, nx], complex but for c, on points so far apart [m];
            real parameters of the solver's precision. See `learn.models.closures`, whose classes turn with the fluid and stay
            realisable by construction.
        uses_strain: whether psi_4 depends on the strain rate e; then the Stokes flow is found by iteration.

    Backward evaluates the module again at every stage of a step and keeps its graph until the adjoint of that stage is done. The
    weights get their gradient through `simulate` like any other tensor.
    """

    is_external_law = True

    def __init__(self, network: torch.nn.Module, *, uses_strain: bool | None = None):
        super().__init__()
        self.network = network
        self.uses_strain = getattr(network, "uses_strain", True) if uses_strain is None else uses_strain
        self.gradients: list[torch.Tensor] = []

    def clear_gradients(self) -> None:
        """Called by the rollout before a backward."""
        self.gradients = [torch.zeros_like(weight) for weight in self.parameters()]

    def evaluate(self, xp: Any, c: Any, psi2: Any, e: Any, spacing: Spacing) -> Any:
        with torch.no_grad():
            return _as_given(self.network(*self._tensors(c, psi2, e), spacing), c)

    def linearise(self, xp: Any, c: Any, psi2: Any, e: Any, spacing: Spacing) -> tuple[Any, Any]:
        with torch.enable_grad():
            leaves = [t.detach().requires_grad_() for t in self._tensors(c, psi2, e)]
            psi4 = self.network(*leaves, spacing)

        def pull(bar: Any, *, weights: bool = True) -> tuple[Any, Any, Any]:
            trained = [w for w in self.parameters() if w.requires_grad] if weights else []
            made = torch.autograd.grad(
                psi4, [*leaves, *trained], _tensor(bar), retain_graph=not weights, allow_unused=True
            )
            self._gather(trained, made[3:], 1.0 / psi4[0].numel())
            return tuple(
                _as_given(torch.zeros_like(leaf) if g is None else g, c) for leaf, g in zip(leaves, made, strict=False)
            )  # type: ignore[return-value]

        return _as_given(psi4.detach(), c), pull

    def _gather(self, weights: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None], share: float) -> None:
        """Add gradients of the weights that are trained; the solver's inner product is a mean over the points."""
        slots = {id(weight): slot for slot, weight in enumerate(self.parameters())}
        for weight, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                self.gradients[slots[id(weight)]].add_(gradient, alpha=share)

    def _tensors(self, *arrays: Any) -> list[torch.Tensor]:
        tensors = [_tensor(array) for array in arrays]
        wanted = next((w.dtype for w in self.parameters()), tensors[0].dtype)
        if tensors[0].dtype != wanted:
            raise InputError(
                f"closure: expected weights of the solver's precision, {tensors[0].dtype}, got {wanted}; convert the "
                "module with .to(...), or build the box with the other dtype."
            )
        return tensors


def _tensor(array: Any) -> torch.Tensor:
    return array if isinstance(array, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(array))


def _as_given(tensor: torch.Tensor, like: Any) -> Any:
    """As NumPy where the solver's arrays are."""
    return tensor if isinstance(like, torch.Tensor) else tensor.resolve_conj().numpy()
