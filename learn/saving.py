"""A result as one file: dataclasses, spaces, distributions and what they hold, without code, so that a file runs none."""

import dataclasses
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from pliant.learn.space import Space
from pliant.sim.atomic import write_atomically
from pliant.sim.errors import InputError

T = TypeVar("T")
KIND = "__kind__"
DERIVED = {"probs", "covariance_matrix", "precision_matrix"}  # arguments of distributions that others stand for

NESTED = {  # arguments of distributions that hold others, and the attributes they become
    "Independent": {"base_distribution": "base_dist", "reinterpreted_batch_ndims": "reinterpreted_batch_ndims"},
    "MixtureSameFamily": {
        "mixture_distribution": "mixture_distribution",
        "component_distribution": "component_distribution",
    },
}


def save(path: str | os.PathLike, value: Any) -> None:
    """Write a dataclass; `InputError` for what cannot be saved or read back, or a file that cannot be written."""
    buffer = io.BytesIO()
    torch.save(_encoded(value, type(value).__name__), buffer)
    try:
        _read(buffer.getvalue())
    except Exception as error:  # whatever a class raises that is not made by its fields alone
        raise InputError(
            f"save: expected dataclasses at the top of a module that are made by their fields, and distributions of torch, got "
            f"what cannot be read back ({type(error).__name__}: {error}); change the posterior."
        ) from error
    write_atomically(path, buffer.getvalue())


def _read(data: bytes) -> Any:
    return _decoded(torch.load(io.BytesIO(data), weights_only=True))


def load(path: str | os.PathLike, wanted: type[T]) -> T:
    """Read what `save` wrote of a class; `InputError` for a missing, damaged or foreign file."""
    file = Path(path)
    if not file.is_file():
        raise InputError(f"load: expected a saved {wanted.__name__} at {path}, found none; correct the path.")
    try:
        made = _read(file.read_bytes())
    except KeyError as error:
        raise InputError(f"load: {path} holds a class of the module {error}; import that first.") from error
    except Exception as error:  # torch.load raises a dozen kinds for a damaged file
        raise InputError(
            f"load: {path} is damaged or no {wanted.__name__} ({type(error).__name__}); save it anew."
        ) from error
    if not isinstance(made, wanted):
        raise InputError(
            f"load: expected a {wanted.__name__} in {path}, got {type(made).__name__}; choose another file."
        )
    return made


def _encoded(value: Any, where: str) -> Any:
    """As tensors, numbers, text, lists and dictionaries."""
    if value is None or isinstance(value, bool):
        return value
    for plain in (str, int, float):  # NumPy's are subclasses that no file of ours holds
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, list | tuple):
        made = [_encoded(v, f"{where}[{i}]") for i, v in enumerate(value)]
        return made if isinstance(value, list) else {KIND: "tuple", "items": made}
    if isinstance(value, dict) and KIND not in value:
        return {name: _encoded(v, f"{where}[{name!r}]") for name, v in value.items()}
    return _encoded_object(value, where)


def _encoded_object(value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, Space):
        return {KIND: "space", "unknowns": [_encoded(u, f"{where}.{u.name}") for u in value.unknowns]}
    nested = NESTED.get(type(value).__name__, {})
    if isinstance(value, torch.distributions.Distribution) and (nested or value.arg_constraints):
        names = nested or {name: name for name in sorted(set(value.arg_constraints) - DERIVED)}
        given = {argument: getattr(value, name) for argument, name in names.items()}
        return {KIND: "distribution", "class": type(value).__name__, "arguments": _encoded(given, where)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        plain = {n: None if _is_function(n, v) else _encoded(v, f"{where}.{n}") for n, v in fields.items()}
        return {KIND: "dataclass", "module": type(value).__module__, "class": type(value).__qualname__, "fields": plain}
    raise InputError(
        f"save: expected dataclasses, distributions, tensors, numbers, text, lists and dictionaries, got {type(value).__name__} at "
        f"{where}; make it one of them."
    )


def _is_function(name: str, value: Any) -> bool:
    """A prior that is a function cannot be written; the file has none for it."""
    return name == "prior" and callable(value)


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(v) for v in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(KIND)
    return {name: _decoded(v) for name, v in value.items()} if kind is None else _DECODERS[kind](value)


def _dataclass(value: dict[str, Any]) -> Any:
    cls: Any = sys.modules[value["module"]]  # a file imports nothing
    for part in value["class"].split("."):
        cls = getattr(cls, part)
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise TypeError(value["class"])
    return cls(**_decoded(value["fields"]))


def _distribution(value: dict[str, Any]) -> torch.distributions.Distribution:
    return getattr(torch.distributions, value["class"])(**_decoded(value["arguments"]))


_DECODERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "tuple": lambda value: tuple(_decoded(value["items"])),
    "space": lambda value: Space(_decoded(value["unknowns"])),
    "distribution": _distribution,
    "dataclass": _dataclass,
}
