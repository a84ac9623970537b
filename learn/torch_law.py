"""Constitutive laws written in torch, called at every substep on tensors that share the solver's memory."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
import warp as wp

STEP, READ, WRITE = 0, 1, 2  # entries of the solver's clock


@runtime_checkable
class ExplicitLaw(Protocol):
    """A module that knows its own vector-Jacobian product, which spares autograd's graph at every substep.

    Both are called without gradients enabled; `saved` lives until `pull_back` of the same substep.
    """

    def evaluate(self, F: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """The module's value at F [n, 3, 3], and what `pull_back` needs."""

    def pull_back(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, Sequence[torch.Tensor | None]]:
        """Gradient of value : adjoint with respect to F, and to every parameter in the order of `parameters()`."""


class TorchLaw(torch.nn.Module):
    """A constitutive law given by torch modules and called at every substep.

    Args:
        kirchhoff: module, deformation gradient [n, 3, 3] -> Kirchhoff stress [n, 3, 3] in Pa.
        return_map: optional module, trial deformation gradient [n, 3, 3] -> deformation gradient [n, 3, 3].

    Backward evaluates the module again at each substep and keeps what it saved until the substep's adjoint is done, so
    that no graph outlives one substep. Modules that are an `ExplicitLaw` need no graph at all. The weights
    get their gradient through `simulate` like any other tensor.
    """

    is_external_law = True

    def __init__(self, kirchhoff: torch.nn.Module, return_map: torch.nn.Module | None = None):
        super().__init__()
        self.kirchhoff, self.return_map = kirchhoff, return_map
        self.gradients: list[torch.Tensor] = []
        self._slots: dict[int, int] = {}

    def to_dict(self) -> dict:
        return {"kind": "TorchLaw", "kirchhoff": type(self.kirchhoff).__name__}

    def clear_gradients(self) -> None:
        """Called by the rollout before a backward."""
        self.gradients = [torch.zeros_like(w) for w in self.parameters()]
        self._slots = {id(w): slot for slot, w in enumerate(self.parameters())}

    def gather(self, weights: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None]) -> None:
        """Add one substep's gradients of some of the weights."""
        for weight, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                self.gradients[self._slots[id(weight)]] += gradient

    def record_stress(self, program, solver, body, *, keep: bool) -> None:
        """Called by the solver: write the stress of this body's particles; `keep` what its adjoint needs."""
        body.external = _SubstepLaw(self.kirchhoff, solver, body, self)
        program.call(body.external.evaluate_stress if keep else body.external.stress)

    def record_stress_vjp(self, program, solver, body) -> None:
        program.call(body.external.stress_vjp)

    def record_return_map(self, program, solver, body) -> None:
        if self.return_map is not None:
            program.call(_SubstepLaw(self.return_map, solver, body, self).project)

    def record_return_map_vjp(self, program, solver, body) -> None:
        if self.return_map is not None:
            program.call(_SubstepLaw(self.return_map, solver, body, self).project_vjp)


class _SubstepLaw:
    """The calls of one module on one body."""

    def __init__(self, module: torch.nn.Module, solver, body, owner: TorchLaw):
        self.module, self.owner, self.dt = module, owner, solver.model.dt
        self.explicit = isinstance(module, ExplicitLaw)
        self.count = solver.model.particle_count
        self.first, self.last = body.start, body.end
        self.clock = wp.to_torch(solver.work.clock)
        states = solver.states.fields
        self.F, self.C = wp.to_torch(states["deformation_gradient"]), wp.to_torch(states["velocity_gradient"])
        self.tau = wp.to_torch(solver.work.tau)[self.first : self.last]
        self.saved: Any = None
        if hasattr(solver.work, "dtau"):
            self.dtau = wp.to_torch(solver.work.dtau)[self.first : self.last]
            self.dF = wp.to_torch(solver.adjoint.fields["deformation_gradient"])[self.first : self.last]

    def _slot(self, entry: int) -> slice:
        first = int(self.clock[entry]) * self.count
        return slice(first + self.first, first + self.last)

    def stress(self) -> None:
        with torch.no_grad():
            self.tau.copy_(self.module(self.F[self._slot(READ)]))

    def evaluate_stress(self) -> None:
        self.tau.copy_(self._evaluate(self.F[self._slot(READ)]))

    def stress_vjp(self) -> None:
        self.dF += self._pull_back(self.dtau)

    def project(self) -> None:
        with torch.no_grad():
            slot = self._slot(WRITE)
            self.F[slot] = self.module(self.F[slot].clone())

    def project_vjp(self) -> None:
        before = self.F[self._slot(READ)]
        self._evaluate(torch.baddbmm(before, self.C[self._slot(WRITE)], before, alpha=self.dt))
        self.dF.copy_(self._pull_back(self.dF.clone()))

    def _evaluate(self, F: torch.Tensor) -> torch.Tensor:
        """The module's value; what its adjoint needs is kept until `_pull_back`."""
        if self.explicit:
            with torch.no_grad():
                value, self.saved = self.module.evaluate(F)
            return value
        with torch.enable_grad():
            leaf = F.detach().requires_grad_()
            value = self.module(leaf)
        self.saved = (leaf, value)
        return value.detach()

    def _pull_back(self, adjoint: torch.Tensor) -> torch.Tensor:
        """Gradient of module(F) : adjoint with respect to F; those of the weights gather in the owner."""
        saved, self.saved = self.saved, None
        weights = list(self.module.parameters())
        if self.explicit:
            with torch.no_grad():
                dF, gradients = self.module.pull_back(saved, adjoint)
            self.owner.gather(weights, gradients)
            return dF
        leaf, value = saved
        trained = [w for w in weights if w.requires_grad]
        dF, *gradients = torch.autograd.grad(value, [leaf, *trained], adjoint, allow_unused=True)
        self.owner.gather(trained, gradients)
        return torch.zeros_like(leaf) if dF is None else dF
