"""The Swift-Hohenberg equation."""

import dataclasses
from typing import Any, ClassVar

from pliant.sim.parameter import ParameterSpec
from pliant.sim.spectral.arrays import Arrays
from pliant.sim.spectral.equation import Equation, Field, Parameters, Value
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.transform import Rows


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SwiftHohenberg(Equation):
    """u_t = r u - (q^2 + lap)^2 u + g u^2 - u^3: rolls of wave number q grow at the rate r, hexagons where g is large.

    Time and length are scaled so that the cubic coefficient and that of the operator are one.

    Args:
        growth: r.
        wavenumber: q, of the pattern.
        quadratic: g.

    Source: Swift and Hohenberg, Phys. Rev. A 15 (1977); Cross and Hohenberg, Rev. Mod. Phys. 65 (1993), eq. 3.27.
    """

    FIELDS: ClassVar[tuple[Field, ...]] = (Field("amplitude", "1"),)
    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("growth", "1", meaning="growth rate of the pattern"),
        ParameterSpec("wavenumber", "1", meaning="wave number of the pattern"),
        ParameterSpec("quadratic", "1", meaning="coefficient of the quadratic term"),
    )
    DEGREE: ClassVar[int] = 3

    growth: Value
    wavenumber: Value = 1.0
    quadratic: Value = 0.0

    def linear(self, grid: Grid, p: Parameters) -> tuple[list, dict[Any, list]]:
        k2, q = grid.squared, p["wavenumber"]
        slopes = {"growth": [1.0 + 0.0 * k2], "wavenumber": [-4.0 * q * (q**2 - k2)]}
        return [p["growth"] - (q**2 - k2) ** 2], slopes

    def inputs(self, grid: Grid) -> Rows:
        return [{0: 1.0}]

    def outputs(self, grid: Grid) -> Rows:
        return [{0: 1.0}]

    def products(self, xp: Arrays, p: Parameters, f: Any, out: Any) -> None:
        out[0][...] = (p["quadratic"] - f[0]) * f[0] * f[0]

    def products_vjp(self, xp: Arrays, p: Parameters, f: Any, w: Any, out: Any) -> dict[str, Any]:
        out[0][...] = (2.0 * p["quadratic"] - 3.0 * f[0]) * f[0] * w[0]
        return {"quadratic": f[0] * f[0] * w[0]}
