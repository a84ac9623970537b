"""A learned law on disk: its weights, and a card that says what it is and what it was learned from."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from learn.models.laws.neural import NeuralLaw
from learn.models.laws.registry import CLASSES
from learn.torch_law import TorchLaw
from sim.atomic import write_atomically
from sim.errors import InputError
from sim.version import VERSION


def save_law(law: TorchLaw, path: str | os.PathLike, *, notes: Mapping[str, Any] | None = None) -> None:
    """Write a law of networks of this package, replacing the file as a whole.

    Args:
        law: stress and, if any, return map.
        notes: what else the card should say: data, errors. Numbers, strings, lists and dicts.

    Errors: `InputError` for networks that are not of this package.
    """
    parts = {"kirchhoff": law.kirchhoff, "return_map": law.return_map}
    strange = [type(m).__name__ for m in parts.values() if m is not None and type(m).__name__ not in CLASSES]
    if strange:
        raise InputError(f"save_law: expected networks among {sorted(CLASSES)}, got {strange}; save their state_dict.")
    saved = {
        "version": VERSION,
        "networks": {n: None if m is None else type(m).__name__ for n, m in parts.items()},
        "options": {n: m.options() for n, m in parts.items() if isinstance(m, NeuralLaw)},
        "priors": {n: sorted(m.PRIORS) for n, m in parts.items() if isinstance(m, NeuralLaw)},
        "dtype": str(next(law.parameters()).dtype).removeprefix("torch."),
        "notes": dict(notes or {}),
        "weights": {name: tensor.cpu() for name, tensor in law.state_dict().items()},
    }
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    write_atomically(path, buffer.getvalue())


def load_law(path: str | os.PathLike) -> TorchLaw:
    """The law that `save_law` wrote, ready for `scene.add_mpm`; nothing in the file is executed.

    Errors: `InputError` for a missing, damaged or foreign file.
    """
    card = read_card(path)
    try:
        networks = {n: None if c is None else CLASSES[c](**card["options"][n]) for n, c in card["networks"].items()}
        kirchhoff = networks["kirchhoff"]
        if kirchhoff is None:
            raise KeyError("kirchhoff")
        law = TorchLaw(kirchhoff, networks["return_map"]).to(getattr(torch, card["dtype"]))
        law.load_state_dict(card["weights"])
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{path}: expected a law saved by Pliant, found {error}; save it anew.") from None
    return law


def read_card(path: str | os.PathLike) -> dict[str, Any]:
    """What the file says: networks, priors, notes, weights."""
    if not Path(path).is_file():
        raise InputError(f"{path}: expected a law saved by Pliant, found no file; check the path.")
    try:
        card = torch.load(io.BytesIO(Path(path).read_bytes()), weights_only=True)
        missing = {"networks", "options", "dtype", "weights"} - set(card)
    except Exception as error:  # torch.load raises a dozen kinds for a damaged file
        raise InputError(f"{path}: damaged or no law ({type(error).__name__}); save it anew.") from None
    if missing:
        raise InputError(f"{path}: expected a law saved by Pliant, it lacks {sorted(missing)}; save it anew.")
    return card
