"""An active suspension of rods in two dimensions: the kinetic theory, and its moments with a closure."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.parameter import ParameterSpec
from pliant.sim.spectral.active.bingham import BinghamClosure
from pliant.sim.spectral.active.closures import Closure, QuadraticClosure
from pliant.sim.spectral.active.rate import ActiveRate
from pliant.sim.spectral.equation import Derived, Equation, Field, Parameters, Value, identity
from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.transform import Rows, Transform

if TYPE_CHECKING:
    from pliant.sim.spectral.binding import SpectralBinding
    from pliant.sim.spectral.model import SpectralModel

CLOSURES: dict[str, type[Closure]] = {"bingham": BinghamClosure, "quadratic": QuadraticClosure}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ActiveSuspension(Equation, abstract=True):
    """What both models share. Units: the viscosity of the solvent is one, and lengths and times are free.

    Psi(x, p, t) is the density of rods at x along p = (cos theta, sin theta):

        Psi_t + div(u Psi) + d/dtheta (rate Psi) = D_T lap Psi + D_R Psi_theta_theta,
        rate = p_perp . (grad u + 2 zeta D) p,   -lap u + grad q = div Sigma,   div u = 0,
        Sigma = alpha D + beta S : E - 2 zeta beta (D . D - S : D),   E = (grad u + grad u^T) / 2,

    with c, D, S = <1>, <p p>, <p p p p> and (grad u)_ij = d u_i / d x_j. Rods have no head: Psi(p) = Psi(-p), so that only the
    even moments psi_2k = <exp(2 i k theta)> are there, psi_0 = c and psi_2 = D11 - D22 + 2 i D12. The mean flow is zero.

    Args:
        activity: alpha [1/s], negative for pushers.
        alignment: zeta [1/s], of steric alignment.
        constraint: beta, of the stress by which rods resist stretching.
        translational_diffusivity: D_T [m^2/s].
        rotational_diffusivity: D_R [1/s].

    Source: Maddu, Weady and Shelley, Learning fast, accurate, and stable closures of a kinetic theory of an active fluid,
    J. Comput. Phys. 504 (2024) 112869, sec. 2; Gao, Betterton, Jhang and Shelley, Analytical structure, dynamics, and coarse
    graining of a kinetic model of an active fluid, Phys. Rev. Fluids 2 (2017) 093302.
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("activity", "1/s", meaning="strength of the active stress; negative for pushers"),
        ParameterSpec("alignment", "1/s", 0.0, lower_closed=True, meaning="rate of steric alignment"),
        ParameterSpec("constraint", "1", 0.0, lower_closed=True, meaning="stress of rods that do not stretch"),
        ParameterSpec("translational_diffusivity", "m^2/s", 0.0, lower_closed=True, meaning="of the rods' places"),
        ParameterSpec("rotational_diffusivity", "1/s", 0.0, lower_closed=True, meaning="of the rods' directions"),
    )
    DIMENSIONS: ClassVar[tuple[int, ...]] = (2,)

    activity: Value
    alignment: Value
    constraint: Value = 0.0
    translational_diffusivity: Value = 0.05
    rotational_diffusivity: Value = 0.05

    @property
    def closure(self) -> Closure | None:
        """What gives psi_4; None where it is among the moments."""
        return None

    def linear(self, grid: Grid, p: Parameters) -> tuple[list, dict[Any, list]]:
        k2, count = grid.squared, self.components(grid.dimension)
        turning = [4.0 * ((i + 1) // 2) ** 2 for i in range(count)]
        symbols = [-p["translational_diffusivity"] * k2 - n * p["rotational_diffusivity"] for n in turning]
        slopes = [-n + 0.0 * k2 for n in turning]
        return symbols, {"translational_diffusivity": [-k2] * count, "rotational_diffusivity": slopes}

    def inputs(self, grid: Grid) -> Rows:
        count, (kx, ky) = self.components(grid.dimension), grid.wavenumbers
        return [{i: symbol} for symbol in (1.0, 1j * kx, 1j * ky) for i in range(count)]

    def outputs(self, grid: Grid) -> Rows:
        return identity(self.components(grid.dimension))

    def make_rate(self, model: "SpectralModel", binding: "SpectralBinding", transform: Transform) -> ActiveRate:
        return ActiveRate(model, binding, transform, self.closure)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ActiveFluid(ActiveSuspension):
    """The moments of an active suspension up to D, with a closure for S; see `ActiveSuspension` for the parameters.

        c_t + u . grad c = D_T lap c,
        D_t + u . grad D - grad u D - D grad u^T + 2 S : E = 4 zeta (D . D - S : D) + D_T lap D - 4 D_R (D - c I / 2).

    What evolves are c and psi_2: tr D = c holds by construction. As four fields c, D11, D12, D22 the equations have a spurious mode
    tr D - c that grows at up to 2 zeta - 4 D_R. Fields: `concentration` c, and `order` (D11 - D22, 2 D12), whose length
    is c times the scalar order.

    Args:
        closing: "bingham", "quadratic", or a `Closure`, such as a `learn.TorchClosure`.
    """

    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("concentration", "1", "of rods, <1>"),
        Field("order", "1", "(D11 - D22, 2 D12) of the second moment D", "vector"),
    )

    closing: Any = "bingham"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.closing, Closure) and self.closing not in list(CLOSURES):
            raise InputError(
                f"closing: expected one of {list(CLOSURES)} or a Closure, got {self.closing!r}; correct it."
            )

    @property
    def closure(self) -> Closure:
        return self.closing if isinstance(self.closing, Closure) else CLOSURES[self.closing]()

    def external_laws(self) -> Sequence[Any]:
        return (self.closing,) if getattr(self.closing, "is_external_law", False) else ()

    def to_dict(self) -> dict:
        closing = self.closing if isinstance(self.closing, str) else type(self.closing).__name__
        return {**super().to_dict(), "closing": closing}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class KineticActiveFluid(ActiveSuspension):
    """The kinetic theory of an active suspension for Psi(x, y, theta); see `ActiveSuspension` for equation and parameters.

    Theta is treated by Fourier's method too, in which the equation is a chain of moments: no products in theta are aliased, and the
    chain is cut behind the last moment resolved. Field: `distribution` Psi [ny, nx, directions] at theta = pi j / directions;
    derived from it: `concentration`, `order` as for `ActiveFluid`, and `fourth` (Re psi_4, Im psi_4).

    Args:
        directions: odd number of angles over half a turn. A nematic of scalar order s needs about 8 / sqrt(1 - s).
    """

    directions: int = 31

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = isinstance(self.directions, (int, np.integer)) and not isinstance(self.directions, bool)
        if not whole or self.directions < 5 or self.directions % 2 == 0:
            raise InputError(f"directions: expected an odd number of at least 5, got {self.directions!r}; correct it.")

    @property
    def FIELDS(self) -> tuple[Field, ...]:  # type: ignore[override]
        return (Field("distribution", "1", "of rods over directions", "vector", size=self.directions),)

    @property
    def angles(self) -> np.ndarray:
        """Theta of the directions."""
        return np.pi * np.arange(self.directions) / self.directions

    def to_state(self, grid: Grid) -> Rows:
        return [dict(enumerate(row)) for row in self._moments()]

    def from_state(self, grid: Grid) -> Rows:
        weights = np.full(self.directions, 1.0 / np.pi)
        weights[0] = 0.5 / np.pi
        waves = self._moments().T * self.directions / (2.0 * np.pi)
        return [dict(enumerate(row * weights)) for row in waves]

    def derived(self, grid: Grid) -> dict[str, Derived]:
        return {
            "concentration": Derived("1", [{0: 1.0}]),
            "order": Derived("1", [{1: 1.0}, {2: 1.0}], vector=True),
            "fourth": Derived("1", [{3: 1.0}, {4: 1.0}], vector=True),
        }

    def _moments(self) -> np.ndarray:
        """[moment, direction] the matrix that makes psi_0, Re psi_2, Im psi_2, ... of Psi at the directions."""
        waves = [np.ones(self.directions)]
        for k in range(1, 1 + self.directions // 2):
            waves += [np.cos(2 * k * self.angles), np.sin(2 * k * self.angles)]
        return 2.0 * np.pi / self.directions * np.array(waves)
