"""The Gray-Scott reaction-diffusion system."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from pliant.sim.parameter import ParameterSpec
from pliant.sim.spectral.arrays import Arrays
from pliant.sim.spectral.equation import Equation, Field, Parameters, Value
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.transform import Rows


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GrayScott(Equation):
    """u_t = Du lap u - u v^2 + F (1 - u),  v_t = Dv lap v + u v^2 - (F + K) v.

    Args:
        diffusivity_u, diffusivity_v: Du, Dv [m^2/s].
        feed: F [1/s], of u.
        kill: K [1/s], of v beyond F.

    Source: Pearson, Complex patterns in a simple system, Science 261 (1993), eq. 2.
    """

    FIELDS: ClassVar[tuple[Field, ...]] = (Field("u", "1", "substrate"), Field("v", "1", "activator"))
    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("diffusivity_u", "m^2/s", 0.0, lower_closed=True, meaning="diffusivity of the substrate"),
        ParameterSpec("diffusivity_v", "m^2/s", 0.0, lower_closed=True, meaning="diffusivity of the activator"),
        ParameterSpec("feed", "1/s", 0.0, lower_closed=True, meaning="rate of feeding"),
        ParameterSpec("kill", "1/s", meaning="rate of removal of the activator"),
    )
    DEGREE: ClassVar[int] = 3

    diffusivity_u: Value = 2e-5
    diffusivity_v: Value = 1e-5
    feed: Value = 0.04
    kill: Value = 0.06

    def linear(self, grid: Grid, p: Parameters) -> tuple[list, dict[Any, list]]:
        k2, one, none = grid.squared, np.ones(grid.modes), np.zeros(grid.modes)
        u = -p["diffusivity_u"] * k2 - p["feed"]
        v = -p["diffusivity_v"] * k2 - (p["feed"] + p["kill"])
        slopes = {
            "diffusivity_u": [-k2, none],
            "diffusivity_v": [none, -k2],
            "feed": [-one, -one],
            "kill": [none, -one],
        }
        return [u, v], slopes

    def inputs(self, grid: Grid) -> Rows:
        return [{0: 1.0}, {1: 1.0}]

    def outputs(self, grid: Grid) -> Rows:
        return [{0: -1.0}, {0: 1.0}]

    def sources(self, grid: Grid) -> dict[str, dict[int, np.ndarray]]:
        return {"feed": {0: (grid.squared == 0).astype(float)}}

    def products(self, xp: Arrays, p: Parameters, f: Any, out: Any) -> None:
        xp.multiply(f[1], f[1], out=out[0])
        xp.multiply(out[0], f[0], out=out[0])

    def products_vjp(self, xp: Arrays, p: Parameters, f: Any, w: Any, out: Any) -> dict[str, Any]:
        xp.multiply(f[1], w[0], out=out[1])
        xp.multiply(out[1], f[1], out=out[0])
        xp.multiply(out[1], 2.0 * f[0], out=out[1])
        return {}
