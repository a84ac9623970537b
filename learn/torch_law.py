"""Constitutive laws written in torch, evaluated at every substep on memory that is shared with the solver."""

import weakref
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
import warp as wp

from pliant.learn.native.packed import NativeNetwork
from pliant.learn.native.recorded import RecordedLaw
from pliant.learn.native.sequential import NativeSequences
from pliant.learn.pointwise import Assembly, Features, law_stages
from pliant.sim.errors import InputError
from pliant.sim.mpm.transfers import READ, WRITE
from pliant.sim.strain_range import StrainRange


@runtime_checkable
class ExplicitLaw(Protocol):
    """A module that knows its own vector-Jacobian product, which spares autograd's graph at every substep.

    Both are called without gradients enabled; `saved` lives until `pull_back` of the same substep.
    """

    def evaluate(self, F: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """The module's value at F [n, 3, 3], and what `pull_back` needs."""

    def pull_back(self, saved: Any, adjoint: torch.Tensor) -> tuple[torch.Tensor, Sequence[torch.Tensor | None]]:
        """Gradients of value : adjoint with respect to F, and to every parameter in the order of `parameters()`."""


@runtime_checkable
class DenseLaw(Protocol):
    """A module that is T(F, network(f(F))) with a network in native code: on a CPU, a rollout runs it without Python."""

    FEATURES: Features
    ASSEMBLY: Assembly

    def dense(self) -> NativeNetwork | None:
        """The network; None if the module is more than that."""


class TorchLaw(torch.nn.Module):
    """A constitutive law given by torch modules and evaluated at every substep.

    Args:
        kirchhoff: module, deformation gradient [n, 3, 3] -> Kirchhoff stress [n, 3, 3] in Pa.
        return_map: optional module, trial deformation gradient [n, 3, 3] -> deformation gradient [n, 3, 3].
        validity: optional, the strains that it was learned from; a motion that leaves them says so in its status.

    Backward evaluates the module again at each substep and keeps what it saved until the substep's adjoint is done, so
    that no graph outlives one substep. Modules that are an `ExplicitLaw` need no graph at all, and those that are a
    `DenseLaw` no call from Python. The weights get their gradient through `simulate` like any other tensor.
    """

    is_external_law = True

    def __init__(
        self,
        kirchhoff: torch.nn.Module,
        return_map: torch.nn.Module | None = None,
        *,
        validity: StrainRange | None = None,
    ):
        super().__init__()
        self.kirchhoff, self.return_map, self.validity = kirchhoff, return_map, validity
        self.gradients: list[torch.Tensor] = []
        self._slots: dict[int, int] = {}

    def to_dict(self) -> dict:
        return {"kind": "TorchLaw", "kirchhoff": type(self.kirchhoff).__name__}

    def bind(self, solver, body) -> "_BoundLaw":
        """Called by the solver: the law on one body; `InputError` for weights of another precision or device."""
        for module in (self.kirchhoff, self.return_map):
            if isinstance(module, ExplicitLaw):
                _check_weights(module, solver, body)
        return _BoundLaw(self, solver, body)

    def clear_gradients(self) -> None:
        """Called by the rollout before a backward."""
        self.gradients = [torch.zeros_like(w) for w in self.parameters()]
        self._slots = {id(w): slot for slot, w in enumerate(self.parameters())}

    def gather(self, weights: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None]) -> None:
        """Add gradients of some of the weights; a tensor that is no parameter has no use for one."""
        for weight, gradient in zip(weights, gradients, strict=True):
            if gradient is not None and id(weight) in self._slots:
                self.gradients[self._slots[id(weight)]] += gradient


class _BoundLaw:
    """A law on one body: what the solver records, and what has to happen around a run."""

    def __init__(self, law: TorchLaw, solver, body):
        self.law = law
        self.stress = _part(law.kirchhoff, law, solver, body)
        self.return_map = None if law.return_map is None else _part(law.return_map, law, solver, body)

    def load(self) -> None:
        """Called before a run: the weights as they are now."""
        for part in self._parts():
            part.load()

    def clear_gradients(self) -> None:
        self.law.clear_gradients()
        for part in self._parts():
            part.clear()

    def collect_gradients(self) -> None:
        """Called after a backward: the gradients of the weights are in the law."""
        for part in self._parts():
            part.collect()

    def _parts(self) -> list["_RecordedPart | _CalledPart"]:
        return [self.stress] if self.return_map is None else [self.stress, self.return_map]


def _check_weights(module: torch.nn.Module, solver, body) -> None:
    """Raise `InputError` when a law would meet deformation gradients of another precision or on another device."""
    F = wp.to_torch(solver.states.fields["deformation_gradient"])
    for weight in module.parameters():
        if (weight.dtype, weight.device) != (F.dtype, F.device):
            have, want = (f"{t.dtype} on {t.device}".removeprefix("torch.") for t in (weight, F))
            raise InputError(
                f"body '{body.model.name}': expected a law with weights in {want}, as the model is built, got {have}; build with "
                f"its dtype and device, or convert it: law.to({F.dtype})."
            )


def _part(module: torch.nn.Module, law: TorchLaw, solver, body) -> "_RecordedPart | _CalledPart":
    network = module.dense() if isinstance(module, DenseLaw) and solver.model.device.is_cpu else None
    if network is not None:
        dtype = getattr(torch, solver.model.precision.name)
        if all(w.device.type == "cpu" and w.dtype == dtype for w in network.parameters):
            return _RecordedPart(module, network, law, solver, body)
    return _CalledPart(module, law, solver, body)


class _RecordedPart:
    """A module whose launches are recorded, as stress or as return map."""

    def __init__(self, module, network: NativeNetwork, law: TorchLaw, solver, body):
        self.module, self.law, self.solver = module, law, weakref.proxy(solver)
        self.layout = network.shape.layout(solver.model.precision)
        stages = law_stages(
            module.FEATURES, module.ASSEMBLY, (self.layout.widths[0], self.layout.widths[-1]), solver.model.precision
        )
        self.recorded = RecordedLaw(stages, network.shape, solver, body, gradient=solver.gradient)

    def load(self) -> None:
        self.module.dense().pack(self.layout, wp.to_torch(self.recorded.weights), wp.to_torch(self.recorded.transposed))

    def clear(self) -> None:
        for gradient in self.recorded.gradients:
            gradient.zero_()

    def collect(self) -> None:
        network = self.module.dense()
        total = torch.stack([wp.to_torch(gradient) for gradient in self.recorded.gradients]).sum(0)
        self.law.gather(network.parameters, network.unpack(self.layout, total))

    def record_stress(self, program, *, keep: bool) -> None:
        self.recorded.evaluate(program, READ, self.solver.work.tau, keep=keep)

    def record_stress_vjp(self, program) -> None:
        work, adjoint = self.solver.work, self.solver.adjoint.fields
        self.recorded.pull_back(program, work.dtau, adjoint["deformation_gradient"], add=True)

    def record_return_map(self, program) -> None:
        self.recorded.evaluate(program, WRITE, self.solver.states.fields["deformation_gradient"], WRITE)

    def record_return_map_vjp(self, program) -> None:
        dF = self.solver.adjoint.fields["deformation_gradient"]
        self.recorded.evaluate_trial(program)
        self.recorded.pull_back(program, dF, dF, add=False)


class _CalledPart:
    """A module that is called, as stress or as return map."""

    def __init__(self, module: torch.nn.Module, law: TorchLaw, solver, body):
        self.module, self.law, self.dt = module, law, solver.model.dt
        self.explicit = isinstance(module, ExplicitLaw)
        self.count = solver.model.particle_count
        self.first, self.last = body.start, body.end
        on_cpu = solver.model.device.is_cpu
        self.clock = solver.work.clock.numpy() if on_cpu else wp.to_torch(solver.work.clock)
        states = solver.states.fields
        self.F, self.C = wp.to_torch(states["deformation_gradient"]), wp.to_torch(states["velocity_gradient"])
        self.tau = wp.to_torch(solver.work.tau)[self.first : self.last]
        self.saved: Any = None
        self.sequences = NativeSequences(module, solver.model.precision, used=on_cpu and not self.explicit)
        if solver.gradient:
            self.dtau = wp.to_torch(solver.work.dtau)[self.first : self.last]
            self.dF = wp.to_torch(solver.adjoint.fields["deformation_gradient"])[self.first : self.last]

    def load(self) -> None:
        self.sequences.load()

    def clear(self) -> None:
        self.sequences.clear()

    def collect(self) -> None:
        for sequence in self.sequences.known:
            self.law.gather(*sequence.gradients())

    def record_stress(self, program, *, keep: bool) -> None:
        program.call(self._evaluate_stress if keep else self._stress)

    def record_stress_vjp(self, program) -> None:
        program.call(self._stress_vjp)

    def record_return_map(self, program) -> None:
        program.call(self._project)

    def record_return_map_vjp(self, program) -> None:
        program.call(self._project_vjp)

    def _slot(self, entry: int) -> slice:
        first = int(self.clock[entry]) * self.count
        return slice(first + self.first, first + self.last)

    def _stress(self) -> None:
        with torch.no_grad(), self.sequences.installed():
            self.tau.copy_(self.module(self.F[self._slot(READ)]))

    def _evaluate_stress(self) -> None:
        self.tau.copy_(self._evaluate(self.F[self._slot(READ)]))

    def _stress_vjp(self) -> None:
        self.dF += self._pull_back(self.dtau)

    def _project(self) -> None:
        with torch.no_grad(), self.sequences.installed():
            slot = self._slot(WRITE)
            self.F[slot] = self.module(self.F[slot].clone())

    def _project_vjp(self) -> None:
        before = self.F[self._slot(READ)]
        self._evaluate(torch.baddbmm(before, self.C[self._slot(WRITE)], before, alpha=self.dt))
        self.dF.copy_(self._pull_back(self.dF.clone()))

    def _evaluate(self, F: torch.Tensor) -> torch.Tensor:
        """The module's value; what its adjoint needs is kept until `_pull_back`."""
        if self.explicit:
            with torch.no_grad():
                value, self.saved = self.module.evaluate(F)
            return value
        with torch.enable_grad(), self.sequences.installed():
            leaf = F.detach().requires_grad_()
            value = self.module(leaf)
        self.saved = (leaf, value)
        return value.detach()

    def _pull_back(self, adjoint: torch.Tensor) -> torch.Tensor:
        """Gradient of module(F) : adjoint with respect to F; those of the weights gather in the law."""
        saved, self.saved = self.saved, None
        weights = list(self.module.parameters())
        if self.explicit:
            with torch.no_grad():
                dF, gradients = self.module.pull_back(saved, adjoint)
            self.law.gather(weights, gradients)
            return dF
        leaf, value = saved
        trained = [w for w in weights if w.requires_grad]
        packed = [sequence.weights for sequence in self.sequences.known if sequence.weights.requires_grad]
        with self.sequences.installed():
            made = torch.autograd.grad(value, [leaf, *trained, *packed], adjoint, allow_unused=True)
        self.law.gather(trained, made[1 : 1 + len(trained)])
        self.sequences.gather(made[1 + len(trained) :])
        return torch.zeros_like(leaf) if made[0] is None else made[0]
