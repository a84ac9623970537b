"""What the scenes of learned laws share: the laws of `assets/laws`, each body beside its twin, and their distance.

A twin is the same body, thrown in the same way, with the law that was learned from one short motion of a tumbling cube
(`pliant train law --data tumble:MATERIAL`) in place of the true one. It stands `apart` from the other along y.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pliant import sim
from pliant.learn import TorchLaw
from pliant.learn.models.laws import load_law
from pliant.scenes.tumble import DENSITY, MATERIALS
from pliant.sim import shapes

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "laws"
COLORS = {
    "jelly": (0.36, 0.72, 0.53),
    "plasticine": (0.89, 0.42, 0.38),
    "sand": (0.92, 0.76, 0.42),
    "water": (0.26, 0.54, 0.87),
}


def learned_law(material: str) -> TorchLaw:
    """The law learned from the tumbling cube of this material."""
    return load_law(FOLDER / f"{material}.safetensors")


def add_twins(
    scene: sim.Scene,
    shape: shapes.Shape,
    material: str,
    *,
    apart: float,
    spacing: float,
    name: str | None = None,
    density: float = DENSITY,
    velocity: Sequence[float] = (0.0, 0.0, 0.0),
    angular_velocity: Sequence[float] = (0.0, 0.0, 0.0),
) -> str:
    """Add a body with the true law at -apart/2 along y, paler, and its twin with the learned law at +apart/2.

    Where `apart` is an even number of cells the two see the same grid.
    """
    name, true = name or material, MATERIALS[material]
    modulus = getattr(true, "youngs_modulus", 0.0)  # a learned law tells none of its own
    stiffness = 1.5 * modulus if true.is_solid else None
    for side, law, suffix in ((-0.5, true, ""), (0.5, learned_law(material), "_learned")):
        color = np.asarray(COLORS[material])
        scene.add_mpm(
            shifted(shape, side * apart),
            law,
            density=density,
            spacing=spacing,
            name=name + suffix,
            velocity=velocity,
            angular_velocity=angular_velocity,
            pressure_filter=False,  # the learned law has none
            contact_stiffness=stiffness,
            color=tuple(color if suffix else 0.45 + 0.5 * color),
        )
    return name


def shifted(shape: shapes.Shape, y: float) -> shapes.Shape:
    """The shape moved along y."""
    center = tuple(np.asarray(shape.center, float) + (0.0, y, 0.0))
    if isinstance(shape, shapes.Points):
        return dataclasses.replace(shape, positions=shape.positions + (0.0, y, 0.0), center=center)
    if isinstance(shape, shapes.Mesh):
        return shapes.Mesh(shape.path, scale=shape.scale, rotation=shape.rotation, center=center)
    return dataclasses.replace(shape, center=center)


def twin_distances(trajectory: sim.Trajectory, apart: float) -> dict[str, float]:
    """Of each body and its twin: mean squared difference of the coordinates, as a mean over frames, and of the centres."""
    made = {}
    for name in (n.removesuffix(".position") for n in trajectory if n.endswith(".position")):
        if f"{name}_learned.position" in trajectory:
            true, learned = (
                np.asarray(trajectory[f"{n}.position"], float)[1:, 0] for n in (name, f"{name}_learned")
            )
            gap = learned - true - (0.0, apart, 0.0)
            made[f"{name}: squared error [m^2]"] = float((gap**2).mean())
            made[f"{name}: squared error of the centre [m^2]"] = float((gap.mean(axis=1) ** 2).mean())
    return made
