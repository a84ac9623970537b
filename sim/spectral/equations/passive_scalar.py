"""A scalar carried by a two-dimensional flow that it does not act on."""

import dataclasses
from typing import Any, ClassVar

from pliant.sim.parameter import ParameterSpec
from pliant.sim.spectral.arrays import Arrays
from pliant.sim.spectral.equation import Field, Parameters, Value
from pliant.sim.spectral.equations.navier_stokes_2d import NavierStokes2D, transport, transport_vjp, velocity
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.transform import Rows


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PassiveScalar(NavierStokes2D):
    """c_t + u . grad c = D lap c in the flow of `NavierStokes2D`.

    Args:
        diffusivity: D [m^2/s]; the others are those of `NavierStokes2D`.
    """

    FIELDS: ClassVar[tuple[Field, ...]] = (*NavierStokes2D.FIELDS, Field("concentration", "1"))
    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        *NavierStokes2D.PARAMETERS,
        ParameterSpec("diffusivity", "m^2/s", 0.0, lower_closed=True, meaning="diffusivity of the scalar"),
    )

    diffusivity: Value

    def linear(self, grid: Grid, p: Parameters) -> tuple[list, dict[Any, list]]:
        (flow,), slopes = super().linear(grid, p)
        k2, none = grid.squared, 0.0 * grid.squared
        slopes = {name: [*slope, none] for name, slope in slopes.items()}
        return [flow, -p["diffusivity"] * k2], {**slopes, "diffusivity": [none, -k2]}

    def inputs(self, grid: Grid) -> Rows:
        return [*velocity(grid), {1: 1.0}]

    def outputs(self, grid: Grid) -> Rows:
        kx, ky = grid.wavenumbers
        return [*super().outputs(grid), {2: -1j * kx, 3: -1j * ky}]

    def products(self, xp: Arrays, p: Parameters, f: Any, out: Any) -> None:
        transport(xp, f, out)
        for axis in (0, 1):
            xp.multiply(f[axis], f[2], out=out[2 + axis])

    def products_vjp(self, xp: Arrays, p: Parameters, f: Any, w: Any, out: Any) -> dict[str, Any]:
        transport_vjp(xp, f, w, out)
        xp.multiply(f[0], w[2], out=out[2])
        xp.multiply(f[1], w[3], out=w[0])
        xp.add(out[2], w[0], out=out[2])
        for axis in (0, 1):
            xp.multiply(f[2], w[2 + axis], out=w[0])
            xp.add(out[axis], w[0], out=out[axis])
        return {}
