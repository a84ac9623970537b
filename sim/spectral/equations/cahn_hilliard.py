"""The Cahn-Hilliard equation."""

import dataclasses
from typing import Any, ClassVar

from pliant.sim.parameter import ParameterSpec
from pliant.sim.spectral.arrays import Arrays
from pliant.sim.spectral.equation import Equation, Field, Parameters, Value
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.transform import Rows


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CahnHilliard(Equation):
    """u_t = M lap (u^3 - u - g lap u): a mixture parts into phases at +-1 with walls of width sqrt(2 g); its mean stays.

    Args:
        mobility: M [m^2/s].
        gradient_energy: g [m^2].

    Source: Cahn and Hilliard, J. Chem. Phys. 28 (1958).
    """

    FIELDS: ClassVar[tuple[Field, ...]] = (Field("composition", "1", "difference of the two concentrations"),)
    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("mobility", "m^2/s", 0.0, meaning="flux a gradient of chemical potential"),
        ParameterSpec("gradient_energy", "m^2", 0.0, meaning="square of the interfaces' width over two"),
    )
    DEGREE: ClassVar[int] = 3

    gradient_energy: Value
    mobility: Value = 1.0

    def linear(self, grid: Grid, p: Parameters) -> tuple[list, dict[Any, list]]:
        k2, M, g = grid.squared, p["mobility"], p["gradient_energy"]
        return [M * (k2 - g * k2**2)], {"mobility": [k2 - g * k2**2], "gradient_energy": [-M * k2**2]}

    def inputs(self, grid: Grid) -> Rows:
        return [{0: 1.0}]

    def outputs(self, grid: Grid) -> Rows:
        return [{0: -grid.squared}]

    def products(self, xp: Arrays, p: Parameters, f: Any, out: Any) -> None:
        out[0][...] = p["mobility"] * f[0] * f[0] * f[0]

    def products_vjp(self, xp: Arrays, p: Parameters, f: Any, w: Any, out: Any) -> dict[str, Any]:
        squared = f[0] * f[0]
        out[0][...] = 3.0 * p["mobility"] * squared * w[0]
        return {"mobility": squared * f[0] * w[0]}
