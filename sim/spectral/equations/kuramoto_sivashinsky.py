"""The Kuramoto-Sivashinsky equation."""

import dataclasses
from typing import Any, ClassVar

from pliant.sim.parameter import ParameterSpec
from pliant.sim.spectral.equation import Parameters, Value
from pliant.sim.spectral.equations.self_advection import SelfAdvection
from pliant.sim.spectral.grid import Grid


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class KuramotoSivashinsky(SelfAdvection):
    """u_t + u u_x + a u_xx + b u_xxxx = 0: energy enters at long waves, is handed down by u u_x, and leaves at short ones.

    Wave numbers below sqrt(a / b) grow; a box longer than about 15 (at a = b = 1) becomes chaotic.

    Args:
        antidiffusion: a [m^2/s].
        hyperdiffusion: b [m^4/s].

    Source: Kuramoto and Tsuzuki, Prog. Theor. Phys. 55 (1976); Sivashinsky, Acta Astronautica 4 (1977).
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("antidiffusion", "m^2/s", meaning="coefficient of u_xx, which feeds long waves"),
        ParameterSpec("hyperdiffusion", "m^4/s", 0.0, meaning="coefficient of u_xxxx, which damps short ones"),
    )

    antidiffusion: Value = 1.0
    hyperdiffusion: Value = 1.0

    def linear(self, grid: Grid, p: Parameters) -> tuple[list, dict[Any, list]]:
        k2 = grid.squared
        symbol = p["antidiffusion"] * k2 - p["hyperdiffusion"] * k2**2
        return [symbol], {"antidiffusion": [k2], "hyperdiffusion": [-(k2**2)]}
