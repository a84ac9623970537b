"""One self-contained web page that plays a trajectory offline: positions in 16 bits, deflated, drawn by WebGL 2."""

import base64
import html
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pliant.sim.atomic import write_atomically
from pliant.sim.view import geometry, palette
from pliant.sim.view.obstacles import Obstacle, PlaneGround
from pliant.sim.view.pictures import captions, digits
from pliant.sim.view.raycaster import Style
from pliant.sim.view.stage import Body, Stage

STEPS = 65535  # of a quantised coordinate; the last one marks a particle that is not finite


class _Block:
    """Arrays one after another, and where each of them lies."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, array: np.ndarray, kind: str, step: int = 0) -> dict[str, Any]:
        """The place of an array; kinds are "float", "index", "byte" and "delta" (16 bit, differences `step` apart)."""
        place = {"at": self.size, "size": int(array.size), "type": kind, "step": step}
        data = _split_differences(array) if kind == "delta" else _packed(array, kind)
        self.parts.append(data)
        self.size += len(data)
        return place


def write_html(stage: Stage, path: Path) -> None:
    """Write the page; the old file stays when that fails."""
    write_atomically(path, page(stage).encode())


def show_in_notebook(stage: Stage) -> None:
    """Show the page in the cell of a notebook."""
    from IPython.display import HTML, display

    source = html.escape(page(stage), quote=True)
    display(HTML(f'<iframe srcdoc="{source}" width="100%" height="540" style="border:0"></iframe>'))


def page(stage: Stage) -> str:
    """The page as text."""
    block, style = _Block(), Style()
    header = json.dumps(_header(stage, block)).replace("<", "\\u003c")
    values = {
        "TITLE": html.escape(", ".join(body.name for body in stage.bodies)),
        "SKY_TOP": _css(style.sky_top),
        "SKY_BOTTOM": _css(style.sky_bottom),
        "HEADER": header,
        "DATA": base64.b64encode(zlib.compress(b"".join(block.parts), 9)).decode(),
    }
    template = (Path(__file__).parent / "player.html").read_text(encoding="utf-8")
    return re.sub(r"{{([A-Z_]+)}}", lambda found: values[found[1]], template)


def _header(stage: Stage, block: _Block) -> dict[str, Any]:
    style, aspect = Style(), stage.options.size[0] / stage.options.size[1]
    camera, sun = stage.camera(stage.options.size), np.asarray(style.sun)
    lower, upper = stage.bounds
    thinned = [note for body in stage.bodies if (note := _thinning(stage, body))]
    return {
        "times": stage.times.tolist(),
        "fps": stage.options.fps,
        "digits": digits(stage),
        "stamp": stage.options.time_stamp,
        "note": "; ".join(filter(None, [captions(stage, 0)[1], *thinned])),
        "position": [float(x) for x in camera.position],
        "target": [float(x) for x in camera.target],
        "slope": camera.slope,
        "aspect": aspect,
        "size": stage.size,
        "middle": (0.5 * (lower + upper)).tolist(),
        "cell": stage.cell,
        "sun": (sun / np.linalg.norm(sun)).tolist(),
        "tileLight": list(style.tile_light),
        "tileDark": list(style.tile_dark),
        "bar": _bar(stage),
        "bodies": [*(_body(stage, body, block) for body in stage.bodies), *_arrows(stage, block)],
        "obstacles": [_obstacle(obstacle, block) for obstacle in stage.obstacles],
        "grounds": [_ground(stage, plane, block) for plane in stage.planes],
        "trails": _trails(stage, block),
    }


def _css(color: Sequence[float]) -> str:
    return "rgb({:.0f} {:.0f} {:.0f})".format(*(255.0 * part for part in color))


def _bar(stage: Stage) -> dict[str, Any] | None:
    bar = stage.bar
    if bar is None:
        return None
    values = [f"{value:.3g}" for value in (bar.upper, 0.5 * (bar.lower + bar.upper), bar.lower)]
    return {"label": bar.label, "values": values, "colors": np.round(255.0 * bar.colors).astype(int).ravel().tolist()}


def _thinned(stage: Stage, body: Body) -> np.ndarray:
    """Which particles the page holds: all, or evenly chosen ones."""
    count = body.positions.shape[1]
    if body.skin is not None or count <= stage.options.max_particles:
        return np.arange(count)
    return np.linspace(0, count - 1, stage.options.max_particles).astype(int)


def _thinning(stage: Stage, body: Body) -> str:
    shown, count = len(_thinned(stage, body)), body.positions.shape[1]
    return f"{shown:,} of {count:,} particles of {body.name}" if shown < count else ""


def _body(stage: Stage, body: Body, block: _Block) -> dict[str, Any]:
    """Particles, or a skin, over all frames."""
    frames, skin = range(stage.frame_count), body.skin
    if skin is None:
        chosen = _thinned(stage, body)
        points = np.stack([body.positions[frame][chosen] for frame in frames])
    else:
        points = np.stack([skin.vertices(body.positions[frame]) for frame in frames])
    entry = _cloud(points, skin.faces if skin else None, body.color, block)
    entry["radius"] = body.radius * (body.positions.shape[1] / points.shape[1]) ** (1.0 / 3.0)
    if body.field is not None and stage.bar is not None:
        values = [body.field(frame) for frame in frames]
        followed = [skin.weights @ now if skin else now[chosen] for now in values]
        entry["levels"] = block.add(np.stack([stage.bar.level(now) for now in followed]), "byte")
    return entry


def _cloud(points: np.ndarray, faces: np.ndarray | None, color: np.ndarray, block: _Block) -> dict[str, Any]:
    """Points [frame, n, 3] in 16 bits of their bounding box, with the faces of a surface."""
    whole = np.isfinite(points).all(axis=2)
    lower, upper = (points[whole].min(axis=0), points[whole].max(axis=0)) if whole.any() else (np.zeros(3), np.ones(3))
    extent = np.maximum(upper - lower, 1e-9) * (STEPS / (STEPS - 1.0))
    share = np.where(whole[..., None], (points - lower) / extent, 1.0)
    steps = np.round(share * STEPS).astype(np.uint16)
    return {
        "count": points.shape[1],
        "lower": lower.tolist(),
        "extent": extent.tolist(),
        "radius": 0.0,
        "color": color.tolist(),
        "positions": block.add(steps, "delta", step=3 * points.shape[1]),
        "levels": None,
        "faces": None if faces is None else block.add(faces, "index"),
    }


def _arrows(stage: Stage, block: _Block) -> Iterator[dict[str, Any]]:
    """Each force as a surface that changes with time, shrunk to a point where it is tiny."""
    for anchor in stage.anchors if stage.options.forces else ():
        meshes = [stage.arrow(anchor, frame) for frame in range(stage.frame_count)]
        seen = [mesh for mesh in meshes if mesh is not None]
        if not seen:
            continue
        source, faces = geometry.split_creases(*seen[0])
        still = np.zeros((len(source), 3))
        points = [anchor.poses[i, :3] + still if mesh is None else mesh[0][source] for i, mesh in enumerate(meshes)]
        yield _cloud(np.stack(points), faces, palette.ARROW, block)


def _obstacle(obstacle: Obstacle, block: _Block) -> dict[str, Any]:
    return {
        "color": obstacle.color.tolist(),
        "vertices": block.add(obstacle.vertices, "float"),
        "normals": block.add(obstacle.normals, "float"),
        "faces": block.add(obstacle.faces, "index"),
        "poses": block.add(obstacle.poses, "float"),
    }


def _ground(stage: Stage, plane: PlaneGround, block: _Block) -> dict[str, Any]:
    grounds = [stage.ground(plane, frame) for frame in range(stage.frame_count)]
    poses = np.concatenate([np.stack([ground.point for ground in grounds]), plane.poses[:, 3:]], axis=1)
    return {"reach": grounds[0].reach, "poses": block.add(poses, "float")}


def _trails(stage: Stage, block: _Block) -> list[dict[str, Any]]:
    tracks = [(body, stage.tracks(body)) for body in stage.bodies if stage.options.trails]
    return [
        {
            "count": paths.shape[1],
            "color": stage.trail_color(body).tolist(),
            "paths": block.add(paths.swapaxes(0, 1), "float"),
        }
        for body, paths in tracks
    ]


def _packed(array: np.ndarray, kind: str) -> bytes:
    return np.ascontiguousarray(array, dtype={"float": "<f4", "index": "<u4", "byte": "u1"}[kind]).tobytes()


def _split_differences(steps: np.ndarray) -> bytes:
    """Differences of neighbouring frames modulo 2^16, all low bytes before all high ones: they deflate best."""
    change = np.diff(steps, axis=0, prepend=np.zeros_like(steps[:1]))
    return (change & 0xFF).astype(np.uint8).tobytes() + (change >> 8).astype(np.uint8).tobytes()
