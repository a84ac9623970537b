"""A USD stage with time samples in real time: points with widths, surfaces, rigid colliders."""

from pathlib import Path
from typing import Any

import numpy as np

from pliant.sim.errors import InputError, MissingDependencyError
from pliant.sim.trajectory_files import replacing
from pliant.sim.view.obstacles import PlaneGround
from pliant.sim.view.stage import Body, Stage


def write_usd(stage: Stage, path: Path) -> None:
    """Write .usd, .usdc (binary) or .usda (text): z up, metres, one time code about as long as a frame.

    Errors: `MissingDependencyError` without usd-core.
    """
    try:
        from pxr import Gf, Sdf, Usd, UsdGeom, Vt
    except ImportError as error:
        raise MissingDependencyError(
            "view: USD needs usd-core, which is missing; pip install 'pliant[usd]'."
        ) from error
    with replacing(path) as temporary:
        try:
            scene = Usd.Stage.CreateNew(str(temporary))
            _Writer(stage, scene, Gf, Sdf, UsdGeom, Vt).write()
            scene.GetRootLayer().Save()
        except (RuntimeError, OSError) as error:
            raise InputError(f"cannot write {path}: {error}; the old file, if any, is untouched.") from error


class _Writer:
    """Fills a stage; holds the modules of USD, which are optional."""

    def __init__(self, stage: Stage, scene: Any, gf: Any, sdf: Any, geom: Any, vt: Any):
        self.stage, self.scene, self.gf, self.sdf, self.geom, self.vt = stage, scene, gf, sdf, geom, vt
        step = float(np.median(np.diff(stage.times))) if stage.frame_count > 1 else 1.0 / stage.options.fps
        self.rate = 1.0 / step
        self.codes = (np.asarray(stage.times) * self.rate).tolist()

    def write(self) -> None:
        self.geom.SetStageUpAxis(self.scene, self.geom.Tokens.z)
        self.geom.SetStageMetersPerUnit(self.scene, 1.0)
        self.scene.SetTimeCodesPerSecond(self.rate)
        self.scene.SetFramesPerSecond(self.rate)
        self.scene.SetStartTimeCode(self.codes[0])
        self.scene.SetEndTimeCode(self.codes[-1])
        self.scene.SetDefaultPrim(self.geom.Xform.Define(self.scene, "/World").GetPrim())
        for body in self.stage.bodies:
            self._skin(body) if body.skin else self._points(body)
        for obstacle in self.stage.obstacles:
            self._rigid(obstacle.name, obstacle.vertices, obstacle.faces, obstacle.color, obstacle.poses)
        for plane in self.stage.planes:
            self._plane(plane)

    def _path(self, name: str) -> str:
        valid = self.sdf.Path.IsValidIdentifier(name)
        plain = name if valid else "_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
        path, number = f"/World/{plain}", 1
        while self.scene.GetPrimAtPath(path):
            path, number = f"/World/{plain}_{number}", number + 1
        return path

    def _vectors(self, values: np.ndarray) -> Any:
        return self.vt.Vec3fArray.FromNumpy(np.ascontiguousarray(values, dtype=np.float32))

    def _points(self, body: Body) -> None:
        points = self.geom.Points.Define(self.scene, self._path(body.name))
        count = body.positions.shape[1]
        points.CreateWidthsAttr(self.vt.FloatArray.FromNumpy(np.full(count, 2.0 * body.radius, np.float32)))
        for frame, code in enumerate(self.codes):
            points.CreatePointsAttr().Set(self._vectors(body.positions[frame]), code)
        self._paint(points, body, "vertex")

    def _skin(self, body: Body) -> None:
        skin = body.skin
        if skin is None:
            return
        mesh = self._mesh(body.name, skin.vertices(body.positions[0]), skin.faces)
        for frame, code in enumerate(self.codes):
            mesh.GetPointsAttr().Set(self._vectors(skin.vertices(body.positions[frame])), code)
        self._paint(mesh, body, "vertex")

    def _paint(self, prim: Any, body: Body, interpolation: str) -> None:
        """The body's colour, or those of its field over time."""
        if body.field is None or self.stage.bar is None:
            prim.CreateDisplayColorAttr(self._vectors(body.color[None]))
            return
        primvar = prim.CreateDisplayColorPrimvar(interpolation)
        for frame, code in enumerate(self.codes):
            colors = self.stage.colors(body, frame)
            primvar.Set(self._vectors(body.skin.blend(colors) if body.skin else colors), code)

    def _mesh(self, name: str, vertices: np.ndarray, faces: np.ndarray) -> Any:
        mesh = self.geom.Mesh.Define(self.scene, self._path(name))
        mesh.CreatePointsAttr(self._vectors(vertices))
        mesh.CreateFaceVertexCountsAttr(self.vt.IntArray.FromNumpy(np.full(len(faces), faces.shape[1], np.int32)))
        mesh.CreateFaceVertexIndicesAttr(self.vt.IntArray.FromNumpy(np.ascontiguousarray(faces.ravel(), np.int32)))
        mesh.CreateSubdivisionSchemeAttr(self.geom.Tokens.none)
        return mesh

    def _rigid(self, name: str, vertices: np.ndarray, faces: np.ndarray, color: np.ndarray, poses: np.ndarray) -> None:
        mesh = self._mesh(name, vertices, faces)
        mesh.CreateDisplayColorAttr(self._vectors(np.asarray(color)[None]))
        shift, turn = mesh.AddTranslateOp(), mesh.AddOrientOp()
        moving = bool((poses != poses[0]).any())
        for frame, code in enumerate(self.codes if moving else self.codes[:1]):
            when = (code,) if moving else ()
            x, y, z, qx, qy, qz, qw = (float(number) for number in poses[frame])
            shift.Set(self.gf.Vec3d(x, y, z), *when)
            turn.Set(self.gf.Quatf(qw, qx, qy, qz), *when)

    def _plane(self, plane: PlaneGround) -> None:
        """A square as wide as the visible ground."""
        ground = self.stage.ground(plane, 0)
        half = ground.reach
        offset = (ground.point - plane.poses[0, :3]) @ ground.rotation
        corners = half * np.array([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]]) + offset
        self._rigid(plane.name, corners, np.array([[0, 1, 2, 3]]), np.array([0.88, 0.89, 0.9]), plane.poses)
