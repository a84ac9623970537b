"""Products with the Jacobian of a function of tensors and with its transpose, themselves differentiable.

Functions take tensors and return a tuple of tensors. Plain autograd is used where it can be, since it takes every node (a
`simulate` too); under a transform of torch.func, which plain autograd does not see, torch.func's own.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch._C import _functorch as functorch  # torch has no public way to ask what follows a tensor
from torch._functorch.pyfunctorch import temporarily_pop_interpreter_stack
from torch.autograd import forward_ad

from pliant.sim.errors import InputError

Tensors = tuple[torch.Tensor, ...]
Function = Callable[..., Tensors]
LinearMap = Callable[[Tensors], Tensors]


def under_transform() -> bool:
    """Whether a transform of torch.func (grad, jvp, vmap, ...) is running."""
    return functorch.peek_interpreter_stack() is not None


def followed(tensor: torch.Tensor) -> bool:
    """Whether any differentiation or vmap, at any level of torch.func, follows the tensor."""
    if functorch.is_batchedtensor(tensor):
        return True
    if tensor.requires_grad or forward_ad.unpack_dual(tensor).tangent is not None:
        return True
    if not (under_transform() and functorch.is_functorch_wrapped_tensor(tensor)):
        return False
    inner = functorch.get_unwrapped(tensor)
    with temporarily_pop_interpreter_stack():  # a tangent is seen only from its own level
        return followed(inner)


def bare(tensor: torch.Tensor) -> torch.Tensor:
    """The values alone, which nothing follows; of a vmap, those of its first row."""
    while functorch.is_functorch_wrapped_tensor(tensor):
        axis = functorch.maybe_get_bdim(tensor) if functorch.is_batchedtensor(tensor) else None
        tensor = functorch.get_unwrapped(tensor)
        tensor = tensor if axis is None else tensor.select(axis, 0)
    return tensor.detach()


def _refuse_cut(found: tuple[torch.Tensor | None, ...]) -> None:
    """Raise where a product is to be differentiated further and a part of it cannot be.

    Torch marks such a part by a node that raises, but goes round it where gradients of given tensors are asked for: what
    depends on it would be zero.
    """
    pending, seen = [g.grad_fn for g in found if g is not None and g.grad_fn is not None], set[Any]()
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.name() == "torch::autograd::Error":
            raise InputError(
                "implicit: expected a function that torch differentiates twice, got one with a part that it differentiates once, as "
                "`simulate` is; take Anderson or Picard instead of Newton, and no forward mode or second derivative."
            )
        pending += [following for following, _ in node.next_functions if following is not None]


def _check_mode() -> None:
    if torch.is_inference_mode_enabled():
        raise InputError(
            "implicit: expected to be called outside torch.inference_mode, where nothing can be differentiated, not even for "
            "Newton's steps; use torch.no_grad."
        )


def pullback(function: Function, primals: Tensors) -> LinearMap:
    """w -> J^T w of J = d function / d primals, evaluated once and applied as often as asked.

    The products are differentiable with respect to primals, to w and to what the function holds, where gradients are enabled.
    """
    if under_transform():
        _, transposed = torch.func.vjp(lambda *p: tuple(function(*p)), *primals)
        return lambda w: tuple(transposed(tuple(w)))
    _check_mode()
    recording = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = tuple(p.view_as(p) if recording and p.requires_grad else p.detach().requires_grad_() for p in primals)
        outputs = function(*inputs)

    def pull(w: Tensors) -> Tensors:
        pairs = [(out, weight) for out, weight in zip(outputs, w, strict=True) if out.requires_grad]
        if not pairs:
            return tuple(torch.zeros_like(p) for p in primals)
        outs, weights = zip(*pairs, strict=True)
        found = torch.autograd.grad(outs, inputs, weights, create_graph=recording, retain_graph=True, allow_unused=True)
        if recording:
            _refuse_cut(found)
        return tuple(torch.zeros_like(p) if g is None else g for g, p in zip(found, primals, strict=True))

    return pull


def pushforward(function: Function, primals: Tensors) -> LinearMap:
    """t -> J t of J = d function / d primals.

    Outside torch.func it is the pullback of the pullback, which is linear in w: it needs no formula of forward mode, and
    may run inside a forward-mode level.
    """
    if under_transform():
        # forward mode refuses tensors whose entries share memory, as the gradient of a sum has
        whole = tuple(p.contiguous() for p in primals)
        plain = lambda *p: tuple(function(*p))  # noqa: E731
        return lambda t: tuple(torch.func.jvp(plain, whole, tuple(d.contiguous() for d in t))[1])
    _check_mode()
    recording = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = tuple(p.view_as(p) if recording and p.requires_grad else p.detach().requires_grad_() for p in primals)
        weights = tuple(torch.zeros_like(out).requires_grad_() for out in function(*inputs))
        pulled = pullback(function, inputs)(weights)

    def push(t: Tensors) -> Tensors:
        pairs = [(p, direction) for p, direction in zip(pulled, t, strict=True) if p.requires_grad]
        if not pairs:
            return tuple(torch.zeros_like(w) for w in weights)
        outs, directions = zip(*pairs, strict=True)
        found = torch.autograd.grad(
            outs, weights, directions, create_graph=recording, retain_graph=True, allow_unused=True
        )
        return tuple(torch.zeros_like(w) if g is None else g for g, w in zip(found, weights, strict=True))

    return push
