"""The Korteweg-de Vries equation."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from pliant.sim.parameter import ParameterSpec
from pliant.sim.spectral.arrays import Arrays
from pliant.sim.spectral.equation import Equation, Field, Parameters, Value
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.transform import Rows


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class KortewegDeVries(Equation):
    """u_t + a u u_x + b u_xxx = 0, whose solitons are 3 c / a sech^2(sqrt(c / b) / 2 (x - c t)).

    Args:
        convection: a; 6 in the usual scaling.
        dispersion: b [m^3/s].

    Source: Korteweg and de Vries, Phil. Mag. 39 (1895).
    """

    FIELDS: ClassVar[tuple[Field, ...]] = (Field("elevation", "m/s"),)
    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("convection", "1", meaning="coefficient of u u_x"),
        ParameterSpec("dispersion", "m^3/s", meaning="coefficient of u_xxx"),
    )
    DIMENSIONS: ClassVar[tuple[int, ...]] = (1,)

    convection: Value = 6.0
    dispersion: Value = 1.0

    def linear(self, grid: Grid, p: Parameters) -> tuple[list, dict[Any, list]]:
        cubed = 1j * grid.wavenumbers[0] ** 3
        return [p["dispersion"] * cubed], {"dispersion": [cubed]}

    def inputs(self, grid: Grid) -> Rows:
        return [{0: 1.0}]

    def outputs(self, grid: Grid) -> Rows:
        return [{0: -0.5j * grid.wavenumbers[0]}]

    def products(self, xp: Arrays, p: Parameters, f: Any, out: Any) -> None:
        xp.multiply(f[0], f[0], out=out[0])
        xp.multiply(out[0], p["convection"], out=out[0])

    def products_vjp(self, xp: Arrays, p: Parameters, f: Any, w: Any, out: Any) -> dict[str, Any]:
        xp.multiply(f[0], w[0], out=out[0])
        by_convection = out[0] * f[0]
        xp.multiply(out[0], 2.0 * p["convection"], out=out[0])
        return {"convection": by_convection}

    def speeds(self, grid: Grid) -> Rows:
        return [{0: 1.0}]

    def speed_scale(self, p: Parameters) -> Any:
        return np.abs(p["convection"])
