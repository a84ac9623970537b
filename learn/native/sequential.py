"""Dense networks inside a user's module, `torch.nn.Sequential` of layers and activations, evaluated in native code.

Only the evaluation of the sequence is replaced, and only while a rollout calls the module, by the same function to
round-off. Whatever the native code does not know (other layers, hooks, other types and devices, transforms of
torch.func, forward-mode derivatives) stays with torch; so does a derivative of the derivative.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.autograd import forward_ad
from torch.nn.functional import gelu, linear, relu, silu

from pliant.learn.native.network import NetworkRoom, NetworkWeights
from pliant.learn.native.packed import Dense, views
from pliant.sim.precision import Precision

ACTIVATIONS = {"gelu": gelu, "silu": silu, "tanh": torch.tanh, "relu": relu}
_MODULES = {torch.nn.GELU: "gelu", torch.nn.SiLU: "silu", torch.nn.Tanh: "tanh", torch.nn.ReLU: "relu"}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def dense_of(sequence: torch.nn.Module) -> Dense | None:
    """The network that a plain sequence of linear layers with one kind of activation between is; otherwise None."""
    if type(sequence) is not torch.nn.Sequential or len(sequence) < 3 or "forward" in vars(sequence):
        return None
    layers, between = list(sequence)[::2], list(sequence)[1::2]
    kinds = {_activation_of(module) for module in between}
    plain = all(type(layer) is torch.nn.Linear and _is_untouched(layer) for layer in layers)
    if len(sequence) % 2 == 0 or not plain or len(kinds) != 1 or None in kinds:
        return None
    biases = [layer.bias for layer in layers if layer.bias is not None]
    if len(biases) not in (0, len(layers)):
        return None
    return Dense(tuple(layer.weight for layer in layers), tuple(biases), str(kinds.pop()))


def _activation_of(module: torch.nn.Module) -> str | None:
    exact = getattr(module, "approximate", "none") == "none"
    return _MODULES.get(type(module)) if exact and _is_untouched(module) else None


def _is_untouched(module: torch.nn.Module) -> bool:
    """Whether calling the module does what its class says and nothing else."""
    return "forward" not in vars(module) and not any(getattr(module, hooks) for hooks in _HOOKS)


class NativeSequence:
    """A sequence's network in native code, called as its `forward`."""

    def __init__(self, sequence: torch.nn.Sequential, network: Dense, p: Precision):
        self.sequence, self.network = sequence, network
        self.packed = NetworkWeights(network.shape, p)
        self.dtype = getattr(torch, p.name)
        self.weights = torch.from_numpy(self.packed.weights.numpy())
        self.gradient = torch.zeros_like(self.weights)
        self._transposed = torch.from_numpy(self.packed.transposed.numpy())
        self._rooms: dict[tuple[int, bool], list[_Room]] = {}

    def load(self, network: Dense) -> None:
        """Pack the weights as they are now."""
        self.network = network
        self.weights.requires_grad_(False)
        self.network.pack(self.packed.layout, self.weights, self._transposed)
        self.weights.requires_grad_(any(w.requires_grad for w in self.network.parameters))

    def gradients(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The sequence's parameters and the gradients gathered for them."""
        return self.network.parameters, self.network.unpack(self.packed.layout, self.gradient)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if not self._is_plain(x):
            return torch.nn.Sequential.forward(self.sequence, x)
        if torch.is_grad_enabled() and (x.requires_grad or self.weights.requires_grad):
            return _Evaluation.apply(x, self.weights, self)
        return self.value(x, keep=False)[0]

    def value(self, x: torch.Tensor, *, keep: bool) -> tuple[torch.Tensor, "_Loan"]:
        """The network's value at x [..., inputs]; and the buffers it was made in, which nobody else uses."""
        rows = x.numel() // x.shape[-1]
        idle = self._rooms.setdefault((rows, keep), [])
        loan = _Loan(idle, idle.pop() if idle else _Room(self.packed, rows, keep=keep))
        loan.room.x.copy_(x.reshape(rows, -1))
        loan.room.evaluate()
        return loan.room.y.reshape(*x.shape[:-1], -1).clone(), loan

    def reference(self, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The same from the packed weights in torch, with derivatives of every order."""
        parts = views(self.packed.shape, self.packed.layout, weights)
        for layer, (W, b) in enumerate(parts):
            x = linear(ACTIVATIONS[self.network.activation](x) if layer else x, W, b)
        return x

    def _is_plain(self, x: Any) -> bool:
        """Whether x is an ordinary tensor of this precision that ordinary autograd sees."""
        return (
            type(x) is torch.Tensor
            and x.dtype == self.dtype
            and x.device.type == "cpu"
            and x.numel() > 0
            and x.shape[-1] == self.packed.shape.sizes[0]
            and not torch.is_autocast_enabled("cpu")
            and not torch._C._are_functorch_transforms_active()
            and forward_ad._current_level < 0
        )


class _Room:
    """Buffers for a number of rows, as tensors."""

    def __init__(self, packed: NetworkWeights, rows: int, *, keep: bool):
        room = NetworkRoom(packed, rows, keep=keep)
        self.evaluate = room.evaluate
        self.x, self.y = torch.from_numpy(room.x), torch.from_numpy(room.y)
        if keep:
            self.pull_back = room.pull_back
            self.dx, self.dy = torch.from_numpy(room.dx), torch.from_numpy(room.dy)
            self.dweights = torch.from_numpy(room.dweights)


class _Loan:
    """A room of one's own, given back when the autograd graph that holds the loan is gone."""

    def __init__(self, idle: list[_Room], room: _Room):
        self._idle, self.room = idle, room

    def __del__(self) -> None:
        self._idle.append(self.room)


class _Evaluation(torch.autograd.Function):
    """The network's value at x [..., inputs], with the product of its derivative."""

    @staticmethod
    def forward(ctx, x, weights, sequence):
        y, ctx.loan = sequence.value(x, keep=True)
        ctx.sequence = sequence
        ctx.save_for_backward(x, weights)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, weights = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs = [t for t, needed in zip((x, weights), ctx.needs_input_grad, strict=False) if needed]
            made = iter(torch.autograd.grad(ctx.sequence.reference(x, weights), inputs, dy, create_graph=True))
            return (*(next(made) if needed else None for needed in ctx.needs_input_grad[:2]), None)
        room = ctx.loan.room
        room.dy.copy_(dy.reshape(room.dy.shape))
        room.dweights.zero_()
        room.pull_back()
        return room.dx.reshape(x.shape).clone(), room.dweights.clone(), None


class NativeSequences:
    """All sequences of a module that have native code; none, where they are not to be `used`."""

    def __init__(self, module: torch.nn.Module, p: Precision, *, used: bool):
        self.module, self.precision, self.used = module, p, used
        self.known: list[NativeSequence] = []

    def load(self) -> None:
        """Look which sequences there are now, and pack their weights."""
        old = {id(native.sequence): native for native in self.known}
        self.known = []
        for sequence in self.module.modules() if self.used and not self._is_compiled() else ():
            network = dense_of(sequence)
            if network is not None and all(self._is_ours(w) for w in network.parameters):
                native = old.get(id(sequence))
                if native is None or native.network.shape != network.shape:
                    native = NativeSequence(sequence, network, self.precision)
                native.load(network)
                self.known.append(native)

    def clear(self) -> None:
        """Before a backward."""
        for sequence in self.known:
            sequence.gradient.zero_()

    def gather(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """Add one substep's gradients of the packed weights that are trained."""
        trained = [sequence for sequence in self.known if sequence.weights.requires_grad]
        for sequence, gradient in zip(trained, gradients, strict=True):
            if gradient is not None:
                sequence.gradient += gradient

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """While it lasts, calling one of the sequences runs its native code."""
        for native in self.known:
            native.sequence.forward = native  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            for native in self.known:
                del native.sequence.forward

    def _is_compiled(self) -> bool:
        """Whether torch holds a program of the module, which calls none of its parts."""
        return any(type(m).__name__ in ("OptimizedModule", "RecursiveScriptModule") for m in self.module.modules())

    def _is_ours(self, weight: torch.Tensor) -> bool:
        return weight.device.type == "cpu" and weight.dtype == getattr(torch, self.precision.name)
