"""The nonlinear term u u_x, which several equations share."""

import dataclasses
from typing import Any, ClassVar

from pliant.sim.spectral.arrays import Arrays
from pliant.sim.spectral.equation import Equation, Field, Parameters
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.transform import Rows


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SelfAdvection(Equation, abstract=True):
    """An equation u_t + u u_x = L u in one dimension, with u u_x = (u^2 / 2)_x, which keeps the mean."""

    FIELDS: ClassVar[tuple[Field, ...]] = (Field("velocity", "m/s"),)
    DIMENSIONS: ClassVar[tuple[int, ...]] = (1,)

    def inputs(self, grid: Grid) -> Rows:
        return [{0: 1.0}]

    def outputs(self, grid: Grid) -> Rows:
        return [{0: -0.5j * grid.wavenumbers[0]}]

    def products(self, xp: Arrays, p: Parameters, f: Any, out: Any) -> None:
        xp.multiply(f[0], f[0], out=out[0])

    def products_vjp(self, xp: Arrays, p: Parameters, f: Any, w: Any, out: Any) -> dict[str, Any]:
        xp.multiply(f[0], w[0], out=out[0])
        xp.multiply(out[0], 2.0, out=out[0])
        return {}

    def speeds(self, grid: Grid) -> Rows:
        return [{0: 1.0}]
