"""A learned law on disk: its weights as safetensors, and a card that says what it is and what it was learned from."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from pliant.learn.models.laws.neural import NeuralLaw
from pliant.learn.models.laws.registry import CLASSES
from pliant.learn.torch_law import TorchLaw
from pliant.sim.atomic import write_atomically
from pliant.sim.errors import InputError
from pliant.sim.strain_range import StrainRange
from pliant.sim.version import VERSION

KEY, FORMAT = "pliant law", 1
LONGEST = 200  # characters of another's message in ours
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def save_law(
    law: TorchLaw,
    path: str | os.PathLike,
    *,
    notes: Mapping[str, Any] | None = None,
    validity: StrainRange | None = None,
) -> None:
    """Write a law of networks of this package, replacing the file as a whole.

    Args:
        law: stress and, if any, return map.
        notes: what else the card should say: data, errors. Numbers, strings, lists and dicts.
        validity: the strains it was learned from; default: those that the law itself carries.

    Errors: `InputError` for networks that are not of this package, or notes that are not what JSON holds.
    """
    parts = {"kirchhoff": law.kirchhoff, "return_map": law.return_map}
    strange = [type(m).__name__ for m in parts.values() if m is not None and type(m).__name__ not in CLASSES]
    if strange:
        raise InputError(f"save_law: expected networks among {sorted(CLASSES)}, got {strange}; save their state_dict.")
    known = validity or law.validity
    card = {
        "format": FORMAT,
        "version": VERSION,
        "networks": {n: None if m is None else type(m).__name__ for n, m in parts.items()},
        "options": {n: m.options() for n, m in parts.items() if isinstance(m, NeuralLaw)},
        "priors": {n: sorted(m.PRIORS) for n, m in parts.items() if isinstance(m, NeuralLaw)},
        "dtype": str(next(law.parameters()).dtype).removeprefix("torch."),
        "validity": None if known is None else known.to_dict(),
        "notes": dict(notes or {}),
    }
    try:
        metadata = {KEY: json.dumps(card)}
    except (TypeError, ValueError) as error:
        raise InputError(f"save_law: expected notes that JSON can hold, got others ({error}); correct them.") from None
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in law.state_dict().items()}
    write_atomically(path, safetensors.torch.save(weights, metadata))


def load_law(path: str | os.PathLike) -> TorchLaw:
    """The law that `save_law` wrote, ready for `scene.add_mpm`; nothing in the file is executed.

    Errors: `InputError` for a missing, damaged or foreign file.
    """
    card, weights = _read(path)
    try:
        made = {n: None if c is None else CLASSES[c](**card["options"][n]) for n, c in card["networks"].items()}
        stress = made["kirchhoff"]
        if stress is None:
            raise KeyError("kirchhoff")
        known = card["validity"]
        law = TorchLaw(stress, made["return_map"], validity=None if known is None else StrainRange.from_dict(known))
        dtype = DTYPES[card["dtype"]]
        law = law.to(dtype)
        _check_weights(weights, dtype)
        law.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise _foreign(path, " ".join(str(error).split())[:LONGEST]) from None
    return law


def _check_weights(weights: dict[str, torch.Tensor], dtype: torch.dtype) -> None:
    """Raise `ValueError` for weights of another precision than the card's, or that are not finite."""
    for name, weight in weights.items():
        if weight.dtype != dtype:
            raise ValueError(f"'{name}' in {weight.dtype} where its card says {dtype}")
        if not torch.isfinite(weight).all():
            raise ValueError(f"'{name}' with numbers that are not finite")


def read_card(path: str | os.PathLike) -> dict[str, Any]:
    """What the file says of the law: "networks", "options", "priors", "dtype", "validity", "notes", "version".

    Errors: as those of `load_law`.
    """
    return _read(path)[0]


def _read(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    if not Path(path).is_file():
        raise InputError(f"{path}: expected a law saved by Pliant, found no file; check the path.")
    try:
        with safetensors.safe_open(os.fspath(path), framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: damaged or no safetensors file ({error}); save the law anew.") from None
    if KEY not in metadata:
        raise _foreign(path, "a file of tensors without a law's card")
    try:
        card = json.loads(metadata[KEY])
        written = card["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise _foreign(path, f"a card that cannot be read ({error})") from None
    if written != FORMAT:
        raise _foreign(path, f"format {written!r} where this version reads {FORMAT}")
    return card, weights


def _foreign(path: str | os.PathLike, found: str) -> InputError:
    return InputError(f"{path}: expected a law saved by Pliant, found {found}; save it anew with save_law.")
