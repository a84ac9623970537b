"""Burgers' equation."""

import dataclasses
from typing import Any, ClassVar

from pliant.sim.parameter import ParameterSpec
from pliant.sim.spectral.equation import Parameters, Value
from pliant.sim.spectral.equations.self_advection import SelfAdvection
from pliant.sim.spectral.grid import Grid


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Burgers(SelfAdvection):
    """u_t + u u_x = nu u_xx.

    Args:
        viscosity: nu [m^2/s].
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("viscosity", "m^2/s", 0.0, lower_closed=True, meaning="kinematic viscosity"),
    )

    viscosity: Value

    def linear(self, grid: Grid, p: Parameters) -> tuple[list, dict[Any, list]]:
        return [-p["viscosity"] * grid.squared], {"viscosity": [-grid.squared]}
