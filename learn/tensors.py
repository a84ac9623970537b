"""Tensors on their way into a rollout and out of it: what is accepted, and what is refused with a sentence."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch

from pliant.sim.errors import InputError
from pliant.sim.rollout import Rollout

F = TypeVar("F", bound=Callable)


def eagerly(function: F) -> F:
    """The function, which torch.compile leaves as it is: a graph break, where tracing would end in Warp's launches."""

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        if torch.compiler.is_dynamo_compiling():
            return torch.compiler.disable(function)(*arguments, **options)
        return function(*arguments, **options)

    return run  # type: ignore[return-value]


def torch_device(rollout: Rollout) -> torch.device:
    return torch.device(str(rollout.model.device))


def tensors_of(values: Any, rollout: Rollout) -> dict[str, torch.Tensor]:
    """Parameter values by name as tensors; `InputError` for what holds no numbers."""
    if not isinstance(values, Mapping):
        raise InputError(f"values: expected parameter values by name, got {type(values).__name__}; give a dictionary.")
    rollout.model.check_names(values)
    return {name: as_tensor(name, value, rollout) for name, value in values.items()}


def as_tensor(name: str, value: Any, rollout: Rollout) -> torch.Tensor:
    """A value as a tensor; `InputError` for what holds no numbers."""
    if isinstance(value, torch.Tensor):
        kind = _unusable(value)
        if kind:
            raise InputError(f"{name}: expected a dense tensor of real numbers, got {kind}; convert it.")
        return value
    try:
        return torch.as_tensor(np.asarray(value, rollout.model.precision.numpy))
    except (TypeError, ValueError):
        raise InputError(f"{name}: expected numbers of one shape, got {value!r}; correct the value.") from None


def _unusable(tensor: torch.Tensor) -> str:
    """What makes a tensor no array of real numbers; empty where nothing does."""
    if tensor.device.type == "meta":
        return "one on the device 'meta', which has no data"
    if tensor.layout != torch.strided:
        return f"one of layout {str(tensor.layout).removeprefix('torch.')}"
    if tensor.is_complex() or tensor.is_quantized or tensor.dtype == torch.bool:
        return f"one of {str(tensor.dtype).removeprefix('torch.')}"
    return ""


def as_numpy(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's numbers on the host; those that NumPy has no type for as float32, which holds them all."""
    plain = tensor.detach().resolve_conj().resolve_neg().cpu()
    if plain.is_floating_point() and plain.dtype not in (torch.float64, torch.float32, torch.float16):
        plain = plain.float()
    return plain.numpy()


def as_action(action: Any, rollout: Rollout) -> dict[str, torch.Tensor]:
    """What a policy returned, [batch, ...] in the model's precision, by name; `InputError` for anything else."""
    if not isinstance(action, Mapping):
        got = "nothing" if action is None else type(action).__name__
        raise InputError(
            f"policy: expected controls by name such as {{'body.activation': tensor}}, got {got}; return a dictionary."
        )
    rollout.model.check_names(action)
    return {name: _control(name, value, rollout) for name, value in action.items()}


def _control(name: str, value: Any, rollout: Rollout) -> torch.Tensor:
    parameter = rollout.model.parameters()[name]
    if not parameter.timed:
        raise InputError(f"policy: expected activations and poses, got {name!r}; pass constants in `values`.")
    if not isinstance(value, torch.Tensor):
        raise InputError(
            f"policy: expected a tensor for {name}, got {type(value).__name__}; return torch.as_tensor(...), with which the "
            "gradient flows."
        )
    wanted = (parameter.shape[0], *parameter.shape[2:])
    if value.shape not in (wanted, (1, *wanted[1:])):
        raise InputError(f"policy: expected {name} of shape {list(wanted)}, got {list(value.shape)}; reshape it.")
    if kind := _unusable(value):
        raise InputError(f"policy: expected a dense tensor of real numbers for {name}, got {kind}; convert it.")
    dtype = getattr(torch, rollout.model.precision.name)
    return value.to(device=torch_device(rollout), dtype=dtype).expand(wanted)
