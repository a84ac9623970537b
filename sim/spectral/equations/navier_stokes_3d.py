"""The incompressible Navier-Stokes equations in three dimensions."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from pliant.sim.parameter import ParameterSpec
from pliant.sim.spectral.arrays import Arrays
from pliant.sim.spectral.equation import Derived, Equation, Field, Parameters, Value
from pliant.sim.spectral.equations.navier_stokes_2d import check_forcing
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.stokes import projection
from pliant.sim.spectral.transform import Rows

PAIRS = ((0, 1), (0, 2), (1, 2))  # of axes, for the products u_i u_j


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NavierStokes3D(Equation):
    """u_t + u . grad u = -grad q + nu lap u - d u + f, div u = 0, for the velocity (u, v, w).

    The pressure q is projected away, and so is any divergence of the initial velocity. In u . grad u = div(u u) the trace
    is a pressure: with w^2 taken from the diagonal, five products remain, and eight transforms.

    Args:
        viscosity: nu [m^2/s].
        drag: d [1/s], linear friction.
        forcing: amplitude F [m/s^2] of Kolmogorov's force f = (F sin(2 pi n y / Ly), 0, 0).
        forcing_wavenumber: n.

    Source: Basdevant (1983) for the five products; Canuto et al., Spectral Methods (2007), sec. 3.3 for the projection.
    """

    FIELDS: ClassVar[tuple[Field, ...]] = (Field("velocity", "m/s", kind="vector"),)
    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("viscosity", "m^2/s", 0.0, lower_closed=True, meaning="kinematic viscosity"),
        ParameterSpec("drag", "1/s", meaning="rate of linear friction; negative where it drives"),
        ParameterSpec("forcing", "m/s^2", meaning="amplitude of Kolmogorov's force"),
    )
    TIMED: ClassVar[tuple[str, ...]] = ("forcing",)
    DIMENSIONS: ClassVar[tuple[int, ...]] = (3,)

    viscosity: Value
    drag: Value = 0.0
    forcing: Value = 0.0
    forcing_wavenumber: int = 1

    def check(self, grid: Grid) -> None:
        check_forcing(self.forcing_wavenumber, grid)

    def linear(self, grid: Grid, p: Parameters) -> tuple[list, dict[Any, list]]:
        k2 = grid.squared
        return [-p["viscosity"] * k2 - p["drag"]], {"viscosity": [-k2], "drag": [-1.0 + 0.0 * k2]}

    def to_state(self, grid: Grid) -> Rows:
        return [{j: projection(grid, i, j) for j in range(3)} for i in range(3)]

    def inputs(self, grid: Grid) -> Rows:
        return [{0: 1.0}, {1: 1.0}, {2: 1.0}]

    def outputs(self, grid: Grid) -> Rows:
        """-P_ij d_k T_jk with T = (u u - w^2, v v - w^2, u v, u w, v w)."""
        k, rows = grid.wavenumbers, []
        for i in range(3):
            P = [projection(grid, i, j) for j in range(3)]
            diagonal = {m: -1j * P[m] * k[m] for m in (0, 1)}
            mixed = {2 + m: -1j * (P[a] * k[b] + P[b] * k[a]) for m, (a, b) in enumerate(PAIRS)}
            rows.append({**diagonal, **mixed})
        return rows

    def sources(self, grid: Grid) -> dict[str, dict[int, np.ndarray]]:
        wave = np.zeros(grid.modes, complex)
        wave[0, self.forcing_wavenumber, 0], wave[0, -self.forcing_wavenumber, 0] = -0.5j, 0.5j
        return {"forcing": {0: wave}}

    def products(self, xp: Arrays, p: Parameters, f: Any, out: Any) -> None:
        xp.multiply(f[2], f[2], out=out[4])
        for i in (0, 1):
            xp.multiply(f[i], f[i], out=out[i])
            xp.subtract(out[i], out[4], out=out[i])
        for m, (a, b) in enumerate(PAIRS):
            xp.multiply(f[a], f[b], out=out[2 + m])

    def products_vjp(self, xp: Arrays, p: Parameters, f: Any, w: Any, out: Any) -> dict[str, Any]:
        xp.multiply(w[0], f[0], out=out[0])
        xp.multiply(w[1], f[1], out=out[1])
        xp.add(w[0], w[1], out=w[0])
        xp.multiply(w[0], f[2], out=out[2])
        xp.multiply(out[2], -1.0, out=out[2])
        xp.multiply(out, 2.0, out=out)
        for m, (a, b) in enumerate(PAIRS):
            for one, other in ((a, b), (b, a)):
                xp.multiply(w[2 + m], f[other], out=w[0])
                xp.add(out[one], w[0], out=out[one])
        return {}

    def speeds(self, grid: Grid) -> Rows:
        return self.inputs(grid)

    def derived(self, grid: Grid) -> dict[str, Derived]:
        kx, ky, kz = (1j * k for k in grid.wavenumbers)
        curl = [{2: ky, 1: -kz}, {0: kz, 2: -kx}, {1: kx, 0: -ky}]
        return {"vorticity": Derived("1/s", curl, vector=True)}
