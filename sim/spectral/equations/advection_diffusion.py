"""Advection with a constant velocity, and diffusion."""

import dataclasses
from typing import Any, ClassVar

from pliant.sim.parameter import ParameterSpec
from pliant.sim.spectral.equation import Equation, Field, Parameters, Value
from pliant.sim.spectral.grid import Grid


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AdvectionDiffusion(Equation):
    """u_t + c . grad u = D lap u.

    Args:
        velocity: c, a component an axis of the box [m/s].
        diffusivity: D [m^2/s].
    """

    FIELDS: ClassVar[tuple[Field, ...]] = (Field("concentration", "1"),)
    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("velocity", "m/s", meaning="velocity of advection"),
        ParameterSpec("diffusivity", "m^2/s", 0.0, lower_closed=True, meaning="diffusivity"),
    )
    VECTORS: ClassVar[tuple[str, ...]] = ("velocity",)
    DEGREE: ClassVar[int] = 1

    velocity: Value
    diffusivity: Value

    def linear(self, grid: Grid, p: Parameters) -> tuple[list, dict[Any, list]]:
        k, k2 = grid.wavenumbers, grid.squared
        symbol = -p["diffusivity"] * k2
        for c, ki in zip(p["velocity"], k, strict=True):
            symbol = symbol - 1j * c * ki
        drift = {("velocity", axis): [-1j * ki] for axis, ki in enumerate(k)}
        return [symbol], {"diffusivity": [-k2], **drift}
