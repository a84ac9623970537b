"""Whether VTK can draw here. Without OpenGL it ends the process, so another process tries first."""

import functools
import os
import subprocess
import sys

from pliant.sim.errors import InputError
from pliant.sim.view.options import RENDERERS

VARIABLE = "PLIANT_RENDERER"
PROBE = """
import pyvista
plotter = pyvista.Plotter(off_screen=True, window_size=(32, 32))
plotter.add_mesh(pyvista.Sphere())
picture = plotter.screenshot(return_img=True)
print(plotter.render_window.ReportCapabilities())
raise SystemExit(0 if picture.std() > 1.0 else 3)
"""
WINDOW_PROBE = "import vtk; print(vtk.vtkRenderWindow().GetClassName())"
OFF_SCREEN = ("vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow")  # what VTK falls back to when no display answers
PATIENCE = 60.0  # s
SOFTWARE = ("llvmpipe", "softpipe", "swrast", "swiftshader", "basic render")


@functools.cache
def opengl() -> str | None:
    """How another process could draw a ball with VTK: "card", "software", or None if it could not; asked once."""
    try:
        done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, timeout=PATIENCE, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    return "software" if any(name in done.stdout.lower() for name in SOFTWARE) else "card"


def chosen_renderer(option: str | None) -> str:
    """ "vtk" or "raycast": the option, else the environment variable PLIANT_RENDERER, else what suits the machine.

    That is VTK on a graphics card. Where OpenGL runs in software the ray caster is as fast and adds cast shadows
    (1280 x 720, 2,000 particles, 2 cores: 0.20 s against 0.64 s), so it draws there as well as without OpenGL.

    Errors: `InputError` for an unknown name, and when VTK is demanded where it cannot draw.
    """
    wanted = option or os.environ.get(VARIABLE) or "auto"
    if wanted not in RENDERERS:
        raise InputError(f"{VARIABLE}: expected one of {RENDERERS}, got {wanted!r}; correct it.")
    if wanted == "auto":
        return "vtk" if opengl() == "card" else "raycast"
    if wanted == "vtk" and opengl() is None:
        raise InputError("view: VTK cannot draw here (no OpenGL); use renderer='auto' or 'raycast'.")
    return wanted


def display_answers() -> bool:
    """Whether VTK would open a window on a screen; where it would not it draws unseen and says nothing."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        done = subprocess.run([sys.executable, "-c", WINDOW_PROBE], capture_output=True, timeout=PATIENCE, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.split()[-1:] not in [[name] for name in OFF_SCREEN]


def require_window() -> None:
    """Raise `InputError` where no window can be opened."""
    reason = None
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        reason = "there is no display"
    elif opengl() is None:
        reason = "there is no OpenGL"
    elif not display_answers():
        reason = f"the display {os.environ.get('DISPLAY', '')!r} does not answer"
    if reason is not None:
        raise InputError(
            f"view: cannot open a window here ({reason}); write a file instead: pliant view FILE --output x.html, "
            "or view(trajectory, output='x.png')."
        )
