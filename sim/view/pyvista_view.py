"""Drawing with VTK: stills off screen, and the window with a time slider."""

import numpy as np
import pyvista as pv
from vtkmodules.vtkCommonCore import vtkLogger
from vtkmodules.vtkRenderingCore import vtkGlyph3DMapper

from pliant.sim.view.camera import Camera
from pliant.sim.view.opengl import opengl
from pliant.sim.view.palette import ScalarBar
from pliant.sim.view.pictures import captions
from pliant.sim.view.raycaster import Ground, Spheres, Style, Triangles
from pliant.sim.view.stage import Drawing, Stage

STYLE = Style()
SHADE = (0.60, 0.635, 0.675)
INK = (0.20, 0.23, 0.28)
REFRESH = 33  # ms between frames while a window plays


class VtkPainter:
    """Draws frames of a stage, off screen unless told otherwise."""

    def __init__(self, stage: Stage, camera: Camera, size: tuple[int, int], *, off_screen: bool = True):
        self.stage = stage
        vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)  # it warns that there is no display, then does without
        self.plotter = pv.Plotter(off_screen=off_screen, window_size=size, title="Pliant", lighting="none")
        self._actors: list[pv.Actor] = []
        self.plotter.set_background(STYLE.sky_bottom, top=STYLE.sky_top)
        if opengl() == "card":
            self.plotter.enable_anti_aliasing("msaa")
        elif not off_screen:  # in software smooth edges take four times as long, too long for a window
            self.plotter.disable_anti_aliasing()
        _light(self.plotter, camera)
        _aim(self.plotter, camera)

    def draw(self, frame: int) -> np.ndarray:
        """The picture [h, w, 3] of a frame."""
        self.place(frame)
        self.plotter.render()
        return np.asarray(self.plotter.screenshot(return_img=True))[..., :3]

    def place(self, frame: int) -> None:
        """Put the objects of a frame in place of those before."""
        for actor in self._actors:
            self.plotter.remove_actor(actor, render=False)
        drawing = self.stage.drawing(frame)
        self._actors = [*_solids(drawing), *_shadows(drawing, self.stage.size), *map(_ground, drawing.grounds)]
        for actor in self._actors:
            self.plotter.add_actor(actor, render=False, reset_camera=False)


class Window:
    """A window that plays a stage: space plays and pauses, the arrow keys step, the slider chooses."""

    def __init__(self, stage: Stage):
        self.stage, self.frame, self.playing = stage, 0, stage.frame_count > 1
        self.painter = VtkPainter(stage, stage.camera(stage.options.size), stage.options.size, off_screen=False)
        self.plotter = self.painter.plotter
        self.slider = None
        if stage.frame_count > 1:
            self.slider = self.plotter.add_slider_widget(
                self._slide,
                (0, stage.frame_count - 1),
                value=0,
                pointa=(0.25, 0.08),
                pointb=(0.75, 0.08),
                fmt="%.0f",
                color=INK,
                slider_width=0.025,
                tube_width=0.006,
                title_height=0.018,
            )
        if stage.bar is not None:
            _add_bar(self.plotter, stage.bar)
        self.plotter.add_key_event("space", self._toggle)
        self.plotter.add_key_event("Right", lambda: self._step(1))
        self.plotter.add_key_event("Left", lambda: self._step(-1))
        self.show(0)

    def open(self) -> None:
        """Show the window until it is closed."""
        self.plotter.add_timer_event(max_steps=2**31 - 1, duration=REFRESH, callback=self._tick)
        self.plotter.show()

    def show(self, frame: int) -> None:
        """Go to a frame."""
        self.frame = frame
        self.painter.place(frame)
        text = "\n".join(line for line in captions(self.stage, frame) if line)
        self.plotter.add_text(
            text, position=(0.015, 0.9), viewport=True, name="time", font_size=10, color=INK, render=False
        )

    def _tick(self, _: int) -> None:
        if self.playing:
            self._move((self.frame + 1) % self.stage.frame_count)

    def _step(self, by: int) -> None:
        self.playing = False
        self._move((self.frame + by) % self.stage.frame_count)

    def _toggle(self) -> None:
        self.playing = not self.playing

    def _slide(self, value: float) -> None:
        if round(value) != self.frame:
            self.playing = False
            self.show(round(value))

    def _move(self, frame: int) -> None:
        self.show(frame)
        if self.slider is not None:
            self.slider.GetRepresentation().SetValue(frame)
        self.plotter.render()


def open_window(stage: Stage) -> None:
    """Show a stage in a window until it is closed."""
    Window(stage).open()


def _aim(plotter: pv.Plotter, camera: Camera) -> None:
    plotter.camera.position = tuple(camera.position)
    plotter.camera.focal_point = tuple(camera.target)
    plotter.camera.up = tuple(camera.up)
    plotter.camera.view_angle = camera.field_of_view


def _light(plotter: pv.Plotter, camera: Camera) -> None:
    """The sun, and a weak fill from the camera's side."""
    right, _, forward = camera.axes
    for direction, color, strength in (
        (np.asarray(STYLE.sun), (1.0, 0.98, 0.94), 0.75),
        (right - forward, "white", 0.3),
    ):
        light = pv.Light(position=direction.tolist(), focal_point=(0, 0, 0), color=color, intensity=strength)
        light.positional = False
        plotter.add_light(light)


def _bytes(colors: np.ndarray) -> np.ndarray:
    return (255.0 * np.clip(colors, 0.0, 1.0) + 0.5).astype(np.uint8)


def _actor(mapper, *, lit: bool = True) -> pv.Actor:
    actor = pv.Actor()
    actor.SetMapper(mapper)
    prop = actor.prop
    prop.lighting = lit
    prop.ambient, prop.diffuse, prop.specular = (0.42, 0.72, 0.12) if lit else (1.0, 0.0, 0.0)
    prop.specular_power = 30.0
    return actor


def _balls(balls: Spheres) -> vtkGlyph3DMapper:
    """One ball drawn at every center by the graphics card."""
    cloud = pv.PolyData(balls.centers[np.isfinite(balls.centers).all(axis=1)])
    cloud["color"] = _bytes(balls.colors[np.isfinite(balls.centers).all(axis=1)])
    mapper = vtkGlyph3DMapper()
    mapper.SetInputData(cloud)
    mapper.SetSourceData(pv.Sphere(radius=float(balls.radii[0]), theta_resolution=14, phi_resolution=10))
    mapper.ScalingOff()
    mapper.SetScalarModeToUsePointFieldData()
    mapper.SelectColorArray("color")
    mapper.SetColorModeToDirectScalars()
    return mapper


def _surface(surface: Triangles) -> pv.DataSetMapper:
    mesh = pv.PolyData.from_regular_faces(surface.vertices, surface.faces)
    mesh["color"] = _bytes(surface.colors)
    mesh.point_data.active_normals = surface.normals.astype(np.float32)
    mapper = pv.DataSetMapper(mesh)
    mapper.SetScalarModeToUsePointFieldData()
    mapper.SelectColorArray("color")
    mapper.SetColorModeToDirectScalars()
    return mapper


def _solids(drawing: Drawing, *, lit: bool = True) -> list[pv.Actor]:
    mappers = [_balls(balls) for balls in drawing.spheres if len(balls.centers)]
    return [_actor(mapper, lit=lit) for mapper in (*mappers, *map(_surface, drawing.triangles))]


def _shadows(drawing: Drawing, size: float) -> list[pv.Actor]:
    """Everything once more, flattened onto each ground along the sun's rays."""
    sun, shadows = np.asarray(STYLE.sun, dtype=float), []
    for ground in drawing.grounds:
        normal = ground.rotation[:, 2]
        if sun @ normal <= 0.05:
            continue
        lift = ground.point + 4e-4 * size * normal
        flat = np.eye(4)  # x -> x - s (n . (x - lift)) / (n . s)
        flat[:3, :3] -= np.outer(sun, normal) / (sun @ normal)
        flat[:3, 3] = sun * (normal @ lift) / (sun @ normal)
        for actor in _solids(drawing, lit=False):
            actor.mapper.ScalarVisibilityOff()
            actor.user_matrix = flat
            actor.prop.color = SHADE
            shadows.append(actor)
    return shadows


def _ground(ground: Ground) -> pv.Actor:
    """Squares that grow transparent with the distance."""
    count = 2 * int(np.ceil(ground.reach / ground.cell))
    edge = ground.cell * (np.arange(count + 1) - count // 2)
    x, y = np.meshgrid(edge[:-1], edge[:-1], indexing="ij")
    square = ground.cell * np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)])
    corners = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)[:, None] + square
    far = np.clip((np.linalg.norm(corners, axis=2) / ground.reach - 0.35) / 0.65, 0.0, 1.0)
    odd = (np.add.outer(np.arange(count), np.arange(count)).ravel() % 2)[:, None, None]
    tile = np.where(odd == 1, STYLE.tile_dark, STYLE.tile_light) * np.ones((1, 4, 1))
    points = corners.reshape(-1, 3) @ ground.rotation.T + ground.point
    mesh = pv.PolyData.from_regular_faces(points, np.arange(len(points)).reshape(-1, 4))
    fade = 1.0 - far**2 * (3.0 - 2.0 * far)
    mesh["color"] = _bytes(np.concatenate([tile, fade[..., None]], axis=2).reshape(-1, 4))
    mapper = pv.DataSetMapper(mesh)
    mapper.SetScalarModeToUsePointFieldData()
    mapper.SelectColorArray("color")
    mapper.SetColorModeToDirectScalars()
    actor = _actor(mapper, lit=False)
    actor.ForceTranslucentOn()
    return actor


def _add_bar(plotter: pv.Plotter, bar: ScalarBar) -> None:
    opaque = np.full((len(bar.colors), 1), 255, np.uint8)
    table = pv.LookupTable(values=np.concatenate([_bytes(bar.colors), opaque], axis=1))
    table.scalar_range = (bar.lower, bar.upper)
    mapper = pv.DataSetMapper(pv.PolyData(np.zeros((1, 3))))
    mapper.lookup_table = table
    place = {"position_x": 0.88, "position_y": 0.3, "width": 0.06, "height": 0.45}
    fonts = {"title_font_size": 17, "label_font_size": 15, "n_labels": 3}
    plotter.add_scalar_bar(bar.label, mapper=mapper, vertical=True, color=INK, fmt="%.3g", **place, **fonts)
