"""Pliant: differentiable simulation. `pliant.sim` simulates, `pliant.learn` trains through it, `pliant.scenes` are runnable.

from pliant import learn, sim

In a checkout the rooms lie beside this folder and not in it, so their parent joins the path on which they are looked for.
"""

import importlib
import pathlib
from types import ModuleType

ROOMS = ("sim", "learn", "scenes")

_checkout = pathlib.Path(__file__).resolve().parent.parent
if (_checkout / "pyproject.toml").is_file() and (_checkout / "sim" / "scene.py").is_file():
    __path__.append(str(_checkout))


def __getattr__(name: str) -> ModuleType | str:
    """A room, imported when it is first asked for; `__version__` is the simulator's."""
    if name in ROOMS:
        return importlib.import_module(f"pliant.{name}")
    if name == "__version__":
        from pliant.sim.version import VERSION

        return VERSION
    raise AttributeError(f"module 'pliant' has no attribute {name!r}; it holds {', '.join(ROOMS)}")


def __dir__() -> list[str]:
    return [*ROOMS, "__version__"]
