"""The Allen-Cahn equation."""

import dataclasses
from typing import Any, ClassVar

from pliant.sim.parameter import ParameterSpec
from pliant.sim.spectral.arrays import Arrays
from pliant.sim.spectral.equation import Equation, Field, Parameters, Value
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.transform import Rows


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AllenCahn(Equation):
    """u_t = D lap u + r u - g u^3: phases at +-sqrt(r / g) with walls of width sqrt(2 D / r) that move by their curvature.

    Args:
        diffusivity: D [m^2/s].
        growth: r [1/s].
        saturation: g [1/s].

    Source: Allen and Cahn, Acta Metallurgica 27 (1979).
    """

    FIELDS: ClassVar[tuple[Field, ...]] = (Field("order", "1", "order parameter"),)
    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("diffusivity", "m^2/s", 0.0, lower_closed=True, meaning="coefficient of the Laplacian"),
        ParameterSpec("growth", "1/s", meaning="rate at which the mixed state decays"),
        ParameterSpec("saturation", "1/s", meaning="coefficient of the cubic term"),
    )
    DEGREE: ClassVar[int] = 3

    diffusivity: Value
    growth: Value = 1.0
    saturation: Value = 1.0

    def linear(self, grid: Grid, p: Parameters) -> tuple[list, dict[Any, list]]:
        k2 = grid.squared
        return [p["growth"] - p["diffusivity"] * k2], {"diffusivity": [-k2], "growth": [1.0 + 0.0 * k2]}

    def inputs(self, grid: Grid) -> Rows:
        return [{0: 1.0}]

    def outputs(self, grid: Grid) -> Rows:
        return [{0: -1.0}]

    def products(self, xp: Arrays, p: Parameters, f: Any, out: Any) -> None:
        out[0][...] = p["saturation"] * f[0] * f[0] * f[0]

    def products_vjp(self, xp: Arrays, p: Parameters, f: Any, w: Any, out: Any) -> dict[str, Any]:
        squared = f[0] * f[0]
        out[0][...] = 3.0 * p["saturation"] * squared * w[0]
        return {"saturation": squared * f[0] * w[0]}
