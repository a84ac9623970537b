"""Seeing a trajectory: a window, or a picture, film, web page or USD stage by the suffix of `output`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pliant.sim.errors import InputError

if TYPE_CHECKING:
    from pliant.sim.trajectory import Trajectory

STILLS, FILMS, STAGES = (".png",), (".mp4", ".gif"), (".usd", ".usda", ".usdc")
FORMATS = (*STILLS, *FILMS, ".html", *STAGES)


def view(trajectory: "Trajectory", output: str | os.PathLike | None = None, **options: Any) -> None:
    """Show a trajectory in a window (or in the cell of a notebook), or write a file.

    Args:
        trajectory: what to show.
        output: .png (a still, or a strip of moments), .mp4, .gif, .html (one page that plays offline) or .usd,
            .usda, .usdc; None opens a window with a time slider (for fields, a page in the browser).
        options: see `sim.view.options.ViewOptions`: frame, strip, color_by, skin, trails, forces, camera, size, ...

    Errors: `InputError` for another suffix, an unknown option, or a window where there is no display;
        `MissingDependencyError` for USD without usd-core.
    """
    from pliant.sim.view.described import check_described
    from pliant.sim.view.fields import stage_of
    from pliant.sim.view.options import ViewOptions

    check_described(trajectory.metadata.get("scene"))
    chosen = ViewOptions.of(options)
    path = None if output is None else Path(output)
    if path is not None and path.suffix.lower() not in FORMATS:
        raise InputError(f"view: expected one of {', '.join(FORMATS)}, got '{path}'; choose one of these suffixes.")
    if path is None:
        _show(trajectory, chosen)
        return
    _write(stage_of(_paced(trajectory, chosen, path), chosen), path)


def _write(stage: Any, path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in STILLS:
        from pliant.sim.view.pictures import write_still

        write_still(stage, path)
    elif suffix in FILMS:
        from pliant.sim.view.pictures import write_film

        write_film(stage, path)
    elif hasattr(stage, "painter"):
        _write_fields(stage, path)
    elif suffix in STAGES:
        from pliant.sim.view.usd import write_usd

        write_usd(stage, path)
    else:
        from pliant.sim.view.html import write_html

        write_html(stage, path)


def _write_fields(stage: Any, path: Path) -> None:
    from pliant.sim.view.film_page import write_page

    if path.suffix.lower() in STAGES:
        raise InputError(f"view: expected .png, .mp4, .gif or .html for fields, got '{path}'; USD holds bodies.")
    write_page(stage, path)


def _show(trajectory: "Trajectory", options: Any) -> None:
    from pliant.sim.view.fields import FieldStage, is_of_fields
    from pliant.sim.view.stage import Stage

    if is_of_fields(trajectory):
        from pliant.sim.view.film_page import show_page, show_page_in_notebook

        (show_page_in_notebook if _in_notebook() else show_page)(FieldStage(trajectory, options))
        return
    if _in_notebook():
        from pliant.sim.view.html import show_in_notebook

        show_in_notebook(Stage(trajectory, options))
        return
    from pliant.sim.view.opengl import require_window

    require_window()
    from pliant.sim.view.pyvista_view import open_window

    open_window(Stage(trajectory, options))


def _paced(trajectory: "Trajectory", options: Any, path: Path) -> "Trajectory":
    """The trajectory at the moments a film shows when its speed is given."""
    if options.speed is None or path.suffix.lower() in (*STILLS, *STAGES):
        return trajectory
    import numpy as np

    count = int(trajectory.duration * options.fps / options.speed + 1e-9) + 1
    times = trajectory.times[0] + np.arange(count) * (options.speed / options.fps)
    return trajectory.resample(np.minimum(times, trajectory.times[-1]))


def _in_notebook() -> bool:
    import sys

    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"
