"""Seeing a trajectory: a window, or a picture, film, web page or USD stage by the suffix of `output`."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.trajectory import Trajectory


def view(trajectory: "Trajectory", output: str | os.PathLike | None = None, **options: Any) -> None:
    raise NotImplementedError
