"""The description of a scene in a trajectory's metadata, looked at before anything is drawn of it."""

import math
from collections.abc import Callable
from typing import Any

from pliant.sim.errors import InputError


def check_described(scene: Any) -> None:
    """Raise `InputError` for a description whose entries are not what `Scene.to_dict` or a box of fields wrote.

    What is left out is no fault: a trajectory of another origin may say little.
    """
    if not isinstance(scene, (dict, type(None))):
        raise InputError(f"view: expected a scene in the metadata to be a dictionary, got {scene!r}; remove it.")
    if scene and scene.get("family") == "spectral":
        _check("lengths", scene.get("lengths"), lambda x: _numbers(x) and 1 <= len(x) <= 3 and min(x) > 0)
    elif scene:
        _check("extent", scene.get("extent"), lambda x: x is None or (_listed(x, 2) and all(_numbers(e, 3) for e in x)))
        _check("grid", scene.get("grid"), lambda x: x is None or _grid(x))
        for kind in ("bodies", "colliders"):
            entries = scene.get(kind, ())
            _check(kind, entries, lambda x: isinstance(x, (list, tuple)))
            for number, entry in enumerate(entries):
                _check(f"{kind}[{number}]", entry, _entry)


def _check(name: str, value: Any, right: Callable[[Any], bool]) -> None:
    if not right(value):
        raise InputError(
            f"view: expected the scene in the metadata as Pliant writes it, got {name} = {value!r}; restore it, or remove "
            "'scene' from the metadata."
        )


def _entry(entry: Any) -> bool:
    """Whether this describes a body or a collider."""
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("shape", {}), dict)
        and (entry.get("color") is None or _numbers(entry["color"], 3))
        and ("spacing" not in entry or (_numbers([entry["spacing"]]) and entry["spacing"] > 0))
    )


def _grid(grid: Any) -> bool:
    return isinstance(grid, dict) and _numbers(grid.get("lower"), 3) and _numbers([grid.get("spacing")])


def _listed(value: Any, length: int) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == length


def _numbers(value: Any, length: int | None = None) -> bool:
    """Whether the value is a list of finite numbers, of that length if one is given."""
    return (
        isinstance(value, (list, tuple))
        and (length is None or len(value) == length)
        and all(isinstance(x, (int, float)) and not isinstance(x, bool) and abs(x) < math.inf for x in value)
    )
