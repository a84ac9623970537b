"""A learned closure on disk: its weights, and a card that says what it is and what it was learned from."""

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from pliant.learn.models.closures.base import NeuralClosure
from pliant.learn.models.closures.convolutional import ConvolutionalClosure
from pliant.learn.models.closures.local import OrderClosure, StrainClosure
from pliant.learn.torch_closure import TorchClosure
from pliant.sim.atomic import write_atomically
from pliant.sim.errors import InputError
from pliant.sim.version import VERSION

CLASSES: dict[str, Callable[..., NeuralClosure]] = {
    c.__name__: c for c in (OrderClosure, StrainClosure, ConvolutionalClosure)
}


def save_closure(closure: TorchClosure, path: str | os.PathLike, *, notes: Mapping[str, Any] | None = None) -> None:
    """Write a closure of this package, replacing the file as a whole.

    Args:
        notes: what else the card should say: data, errors. Numbers, strings, lists and dicts.

    Errors: `InputError` for a network that is not of this package.
    """
    network = closure.network
    if not isinstance(network, NeuralClosure) or type(network).__name__ not in CLASSES:
        got = type(network).__name__
        raise InputError(f"save_closure: expected one of {sorted(CLASSES)}, got {got}; save its state_dict.")
    saved = {
        "version": VERSION,
        "network": type(network).__name__,
        "options": network.options(),
        "dtype": str(next(network.parameters()).dtype).removeprefix("torch."),
        "notes": dict(notes or {}),
        "weights": {name: tensor.cpu() for name, tensor in network.state_dict().items()},
    }
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    write_atomically(path, buffer.getvalue())


def load_closure(path: str | os.PathLike) -> TorchClosure:
    """The closure that `save_closure` wrote, ready for `equations.ActiveFluid`; nothing in the file is executed.

    Errors: `InputError` for a missing, damaged or foreign file.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: expected a closure saved by Pliant, found no file; check the path.")
    try:
        card = torch.load(io.BytesIO(Path(path).read_bytes()), weights_only=True)
        network = CLASSES[card["network"]](**card["options"], dtype=getattr(torch, card["dtype"]))
        network.load_state_dict(card["weights"])
    except Exception as error:  # torch.load raises a dozen kinds for a damaged file
        kind = type(error).__name__
        raise InputError(f"{path}: damaged, or no closure saved by Pliant ({kind}); save it anew.") from None
    return TorchClosure(network)
