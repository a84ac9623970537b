"""A scalar carried by the creeping flow that a given stress drives."""

import dataclasses
from typing import Any, ClassVar

from pliant.sim.parameter import ParameterSpec
from pliant.sim.spectral.arrays import Arrays
from pliant.sim.spectral.equation import Equation, Field, Parameters, Value
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.stokes import stokes_velocity
from pliant.sim.spectral.transform import Rows


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StokesTransport(Equation):
    """c_t + u . grad c = D lap c with -mu lap u + grad q = div stress, div u = 0, and no mean flow.

    The stress is a field that stays as it is given; as an initial field it has a gradient, so that a flow can be designed.

    Args:
        viscosity: mu [Pa s].
        diffusivity: D [m^2/s].
    """

    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("concentration", "1"),
        Field("stress", "Pa", "symmetric stress that drives the flow", kind="tensor"),
    )
    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("viscosity", "Pa s", 0.0, meaning="dynamic viscosity"),
        ParameterSpec("diffusivity", "m^2/s", 0.0, lower_closed=True, meaning="diffusivity of the scalar"),
    )
    DIMENSIONS: ClassVar[tuple[int, ...]] = (2, 3)

    viscosity: Value
    diffusivity: Value

    def linear(self, grid: Grid, p: Parameters) -> tuple[list, dict[Any, list]]:
        none = 0.0 * grid.squared
        still = [none] * (self.components(grid.dimension) - 1)
        return [-p["diffusivity"] * grid.squared, *still], {"diffusivity": [-grid.squared, *still]}

    def inputs(self, grid: Grid) -> Rows:
        return [{0: 1.0}, *stokes_velocity(grid, first=1)]

    def outputs(self, grid: Grid) -> Rows:
        still: Rows = [{} for _ in range(self.components(grid.dimension) - 1)]
        return [{axis: -1j * k for axis, k in enumerate(grid.wavenumbers)}, *still]

    def products(self, xp: Arrays, p: Parameters, f: Any, out: Any) -> None:
        for axis in range(len(out)):
            xp.multiply(f[0] / p["viscosity"], f[1 + axis], out=out[axis])

    def products_vjp(self, xp: Arrays, p: Parameters, f: Any, w: Any, out: Any) -> dict[str, Any]:
        carried = f[1] * w[0]
        for axis in range(1, len(w)):
            carried = carried + f[1 + axis] * w[axis]
        for axis in range(len(w)):
            xp.multiply(f[0] / p["viscosity"], w[axis], out=out[1 + axis])
        out[0][...] = carried / p["viscosity"]
        return {"viscosity": -carried * f[0] / p["viscosity"] ** 2}

    def speeds(self, grid: Grid) -> Rows:
        return stokes_velocity(grid, first=1)

    def speed_scale(self, p: Parameters) -> Any:
        return 1.0 / p["viscosity"]
