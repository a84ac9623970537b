"""The nonlinear Schroedinger equation."""

import dataclasses
from typing import Any, ClassVar

from pliant.sim.parameter import ParameterSpec
from pliant.sim.spectral.arrays import Arrays
from pliant.sim.spectral.equation import Equation, Field, Parameters, Value
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.transform import Rows


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Schroedinger(Equation):
    """i psi_t + d/2 lap psi + g |psi|^2 psi = 0, psi = real + i imaginary; focusing where d g > 0.

    The two real fields rotate into each other. What evolves are psi^(k) and conj(psi^(-k)), for which L is diagonal.

    Args:
        dispersion: d [m^2/s].
        nonlinearity: g [1/s].

    Source: Zakharov and Shabat, Sov. Phys. JETP 34 (1972).
    """

    FIELDS: ClassVar[tuple[Field, ...]] = (Field("real", "1"), Field("imaginary", "1"))
    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("dispersion", "m^2/s", meaning="coefficient of the Laplacian, times two"),
        ParameterSpec("nonlinearity", "1/s", meaning="coefficient of the cubic term"),
    )
    DEGREE: ClassVar[int] = 3

    dispersion: Value = 1.0
    nonlinearity: Value = 1.0

    def linear(self, grid: Grid, p: Parameters) -> tuple[list, dict[Any, list]]:
        half = 0.5j * grid.squared
        d = p["dispersion"]
        return [-d * half, d * half], {"dispersion": [-half, half]}

    def to_state(self, grid: Grid) -> Rows:
        return [{0: 1.0, 1: 1j}, {0: 1.0, 1: -1j}]

    def from_state(self, grid: Grid) -> Rows:
        return [{0: 0.5, 1: 0.5}, {0: -0.5j, 1: 0.5j}]

    def inputs(self, grid: Grid) -> Rows:
        return self.from_state(grid)

    def outputs(self, grid: Grid) -> Rows:
        return self.to_state(grid)

    def products(self, xp: Arrays, p: Parameters, f: Any, out: Any) -> None:
        rate = p["nonlinearity"] * (f[0] * f[0] + f[1] * f[1])
        xp.multiply(rate, -f[1], out=out[0])
        xp.multiply(rate, f[0], out=out[1])

    def products_vjp(self, xp: Arrays, p: Parameters, f: Any, w: Any, out: Any) -> dict[str, Any]:
        rate = p["nonlinearity"] * (f[0] * f[0] + f[1] * f[1])
        turned = f[0] * w[1] - f[1] * w[0]
        scaled = 2.0 * p["nonlinearity"] * turned
        out[0][...] = rate * w[1] + scaled * f[0]
        out[1][...] = scaled * f[1] - rate * w[0]
        return {"nonlinearity": (f[0] * f[0] + f[1] * f[1]) * turned}
