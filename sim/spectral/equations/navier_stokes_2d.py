"""The incompressible Navier-Stokes equations in two dimensions."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.parameter import ParameterSpec
from pliant.sim.spectral.arrays import Arrays
from pliant.sim.spectral.equation import Derived, Equation, Field, Parameters, Value
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.transform import Rows


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NavierStokes2D(Equation):
    """w_t + u . grad w = nu lap w - d w + curl f, for the vorticity w = dv/dx - du/dy of the velocity (u, v).

    The stream function has lap psi = -w, u = dpsi/dy, v = -dpsi/dx; the mean velocity is zero, and a mean of w moves nothing.
    As u is free of divergence, u . grad w = (d2/dx2 - d2/dy2)(u v) + d2/dxdy (v^2 - u^2), which takes four transforms
    instead of five.

    Args:
        viscosity: nu [m^2/s].
        drag: d [1/s], linear friction.
        forcing: amplitude F [m/s^2] of Kolmogorov's force f = (F sin(2 pi n y / Ly), 0).
        forcing_wavenumber: n.

    Source: Basdevant, Technical improvements for direct numerical simulation of homogeneous three-dimensional turbulence,
    J. Comput. Phys. 50 (1983), sec. 2, for the form of the products.
    """

    FIELDS: ClassVar[tuple[Field, ...]] = (Field("vorticity", "1/s", "dv/dx - du/dy"),)
    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("viscosity", "m^2/s", 0.0, lower_closed=True, meaning="kinematic viscosity"),
        ParameterSpec("drag", "1/s", meaning="rate of linear friction; negative where it drives"),
        ParameterSpec("forcing", "m/s^2", meaning="amplitude of Kolmogorov's force"),
    )
    TIMED: ClassVar[tuple[str, ...]] = ("forcing",)
    DIMENSIONS: ClassVar[tuple[int, ...]] = (2,)

    viscosity: Value
    drag: Value = 0.0
    forcing: Value = 0.0
    forcing_wavenumber: int = 4

    def check(self, grid: Grid) -> None:
        check_forcing(self.forcing_wavenumber, grid)

    def linear(self, grid: Grid, p: Parameters) -> tuple[list, dict[Any, list]]:
        k2 = grid.squared
        return [-p["viscosity"] * k2 - p["drag"]], {"viscosity": [-k2], "drag": [-1.0 + 0.0 * k2]}

    def inputs(self, grid: Grid) -> Rows:
        return velocity(grid)

    def outputs(self, grid: Grid) -> Rows:
        kx, ky = grid.wavenumbers
        return [{0: kx**2 - ky**2, 1: kx * ky}]

    def sources(self, grid: Grid) -> dict[str, dict[int, np.ndarray]]:
        return {"forcing": {0: kolmogorov_curl(grid, self.forcing_wavenumber)}}

    def products(self, xp: Arrays, p: Parameters, f: Any, out: Any) -> None:
        transport(xp, f, out)

    def products_vjp(self, xp: Arrays, p: Parameters, f: Any, w: Any, out: Any) -> dict[str, Any]:
        transport_vjp(xp, f, w, out)
        return {}

    def speeds(self, grid: Grid) -> Rows:
        return velocity(grid)

    def derived(self, grid: Grid) -> dict[str, Derived]:
        return {"velocity": Derived("m/s", velocity(grid), vector=True)}


def velocity(grid: Grid) -> Rows:
    """(u, v) of the vorticity, which is component 0 of the state."""
    kx, ky = grid.wavenumbers
    return [{0: 1j * ky * grid.inverse_squared}, {0: -1j * kx * grid.inverse_squared}]


def transport(xp: Arrays, f: Any, out: Any) -> None:
    """u v and v^2 - u^2 of f = (u, v)."""
    u, v = f[0], f[1]
    xp.multiply(u, u, out=out[0])
    xp.multiply(v, v, out=out[1])
    xp.subtract(out[1], out[0], out=out[1])
    xp.multiply(u, v, out=out[0])


def transport_vjp(xp: Arrays, f: Any, w: Any, out: Any) -> None:
    """The adjoints v w0 - 2 u w1 and u w0 + 2 v w1; w is overwritten."""
    u, v = f[0], f[1]
    xp.multiply(w[1], 2.0, out=w[1])
    xp.multiply(u, w[1], out=out[1])
    xp.multiply(v, w[0], out=out[0])
    xp.subtract(out[0], out[1], out=out[0])
    xp.multiply(u, w[0], out=out[1])
    xp.multiply(v, w[1], out=w[1])
    xp.add(out[1], w[1], out=out[1])


def kolmogorov_curl(grid: Grid, wavenumber: int) -> np.ndarray:
    """Coefficients of the curl -d/dy sin(k y) = -k cos(k y) of Kolmogorov's force of amplitude 1."""
    made, k = np.zeros(grid.modes), 2.0 * np.pi * wavenumber / grid.lengths[1]
    made[[wavenumber, -wavenumber], 0] = -0.5 * k
    return made


def check_forcing(wavenumber: int, grid: Grid) -> None:
    """Raise `InputError` unless the force is resolved."""
    whole = isinstance(wavenumber, (int, np.integer)) and not isinstance(wavenumber, bool)
    if not whole or not 1 <= wavenumber <= grid.cuts[1]:
        raise InputError(
            f"forcing_wavenumber: expected a whole number from 1 to {grid.cuts[1]} on this box, got {wavenumber!r}; "
            "correct it or raise the resolution along y."
        )
