"""What can be chosen about a picture."""

import dataclasses
import difflib
from typing import Any

from pliant.sim.errors import InputError
from pliant.sim.view.camera import Camera

BLOCK = 16  # pixels; what video codecs divide a picture into
RENDERERS = ("auto", "vtk", "raycast")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """Options of `sim.view`.

    Args:
        frame: of a still; default: the last.
        strip: number of moments, evenly from the first frame to the last, side by side in one still.
        batch: which environment to show.
        color_by: colour particles by a recorded field ("speed", "displacement", "deformation_gradient", ...): the
            value of a scalar, the length of a vector, the determinant of a matrix. In a periodic box: which field.
        color_range: (lower, upper) of the colour map; default: 1st to 99th percentile over all frames.
        colormap: name of a matplotlib colour map; default: viridis, for fields of both signs RdBu_r.
        skin: True draws bodies as surfaces that follow the particles, False as particles; default: surfaces for
            bodies given as a mesh. Surfaces cannot tear, so they suit elastic bodies.
        trails: number of particles of each body whose path so far is drawn.
        forces: draw the contact force on each collider as an arrow at its origin.
        camera: a `Camera`, or (position, target) in m; default: a three-quarter view of everything.
        size: (width, height) in pixels, rounded down to multiples of 16 for films.
        fps: frames a second of films.
        speed: simulated seconds shown in a second; default: one recorded frame after another.
        ground: draw planes and the floor of the grid as a checkered ground.
        time_stamp: write the time into the picture.
        max_particles: of each body in a web page; more are thinned evenly, and the page says so.
        renderer: "vtk", "raycast" or "auto" (VTK where it works); default: the environment variable PLIANT_RENDERER.
        progress: draw a progress bar where a film takes more than two seconds.

    Errors: `InputError` for an unknown name or a value that cannot be.
    """

    frame: int | None = None
    strip: int | None = None
    batch: int = 0
    color_by: str | None = None
    color_range: tuple[float, float] | None = None
    colormap: str | None = None
    skin: bool | None = None
    trails: int = 0
    forces: bool = False
    camera: Any = None
    size: tuple[int, int] = (1280, 720)
    fps: int = 30
    speed: float | None = None
    ground: bool = True
    time_stamp: bool = True
    max_particles: int = 30_000
    renderer: str | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        _whole("trails", self.trails, 0)
        _whole("fps", self.fps, 1)
        _whole("max_particles", self.max_particles, 1)
        if self.strip is not None:
            _whole("strip", self.strip, 1)
            if self.frame is not None:
                raise InputError("view: expected a frame or a strip, got both; leave one out.")
        if self.speed is not None and not 0.0 < self.speed < float("inf"):
            raise InputError(f"view: expected a speed above 0, got {self.speed!r}; correct it.")
        if self.renderer not in (None, *RENDERERS):
            raise InputError(f"view: expected a renderer among {RENDERERS}, got {self.renderer!r}; correct it.")
        _check_range(self.color_range)
        object.__setattr__(self, "size", _size(self.size))
        object.__setattr__(self, "camera", _camera(self.camera))

    @staticmethod
    def of(options: dict[str, Any]) -> "ViewOptions":
        """The options given by name."""
        names = [field.name for field in dataclasses.fields(ViewOptions)]
        for name in options:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"choose among {names}."
                raise InputError(f"view: there is no option {name!r}; {hint}")
        return ViewOptions(**options)

    @property
    def film_size(self) -> tuple[int, int]:
        """The size in whole blocks of a codec, at least one each way."""
        width, height = self.size
        return max(BLOCK, width // BLOCK * BLOCK), max(BLOCK, height // BLOCK * BLOCK)


def _whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"view: expected {name} as a whole number of at least {least}, got {value!r}; correct it.")


def _size(size: Any) -> tuple[int, int]:
    try:
        width, height = (int(extent) for extent in size)
    except (TypeError, ValueError, OverflowError):
        width = height = 0
    if not (1 <= width <= 16384 and 1 <= height <= 16384):
        raise InputError(f"view: expected size as (width, height) from 1 to 16384 pixels, got {size!r}; correct it.")
    return width, height


def _check_range(limits: Any) -> None:
    if limits is None:
        return
    try:
        lower, upper = (float(limit) for limit in limits)
    except (TypeError, ValueError, OverflowError):
        lower = upper = 0.0
    if not (lower < upper and upper - lower < float("inf")):
        raise InputError(f"view: expected color_range as (lower, upper), got {limits!r}; correct it.")


def _camera(camera: Any) -> Camera | None:
    if camera is None or isinstance(camera, Camera):
        return camera
    try:
        position, target = camera
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"view: expected camera as (position, target), got {camera!r}; correct it.") from None
    return Camera(position, target)
