"""Laws of diffusion u_t = (k(u) u_x)_x, each by its potential K, K' = k, so that the flux is -K(u)_x even where k jumps."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from pliant.sim.parameter import ParameterSpec

Values = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionLaw(abc.ABC):
    """K of a law; u is [batch, cells], a parameter [batch, 1]."""

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = ()

    @abc.abstractmethod
    def potential(self, u: np.ndarray, p: Values) -> np.ndarray:
        """K(u) [m^2/s times the unit of u]."""

    @abc.abstractmethod
    def diffusivity(self, u: np.ndarray, p: Values) -> np.ndarray:
        """k(u) = dK/du [m^2/s]."""

    @abc.abstractmethod
    def slopes(self, u: np.ndarray, p: Values) -> dict[str, np.ndarray]:
        """dK / d parameter."""

    def to_dict(self) -> dict:
        """The law as plain values."""
        return {"law": type(self).__name__, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heat(DiffusionLaw):
    """k = coefficient [m^2/s]."""

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("coefficient", "m^2/s", lower=0.0, lower_closed=True),
    )

    coefficient: float = 1.0

    def potential(self, u: np.ndarray, p: Values) -> np.ndarray:
        return p["coefficient"] * u

    def diffusivity(self, u: np.ndarray, p: Values) -> np.ndarray:
        return p["coefficient"] + 0.0 * u

    def slopes(self, u: np.ndarray, p: Values) -> dict[str, np.ndarray]:
        return {"coefficient": u}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PorousMedium(DiffusionLaw):
    """k = u^m for u >= 0: a front of finite speed, steep for large m. Good values of `exponent`: 1 to 6.

    From u = 0 with u(0, t) = (m t)^(1/m) on the left: u = (m (t - x))^(1/m) behind the front x = t.
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (ParameterSpec("exponent", "1", lower=0.0),)

    exponent: float = 1.0

    def potential(self, u: np.ndarray, p: Values) -> np.ndarray:
        return u ** (p["exponent"] + 1.0) / (p["exponent"] + 1.0)

    def diffusivity(self, u: np.ndarray, p: Values) -> np.ndarray:
        return u ** p["exponent"]

    def slopes(self, u: np.ndarray, p: Values) -> dict[str, np.ndarray]:
        above = p["exponent"] + 1.0
        log = np.log(np.where(u > 0.0, u, 1.0))  # u^m log u -> 0 as u -> 0
        return {"exponent": u**above * (log - 1.0 / above) / above}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stefan(DiffusionLaw):
    """k = 1 for u >= threshold, 0 below: melting, with a front at which u jumps from the threshold to 0.

    From u = 0 with u(0, t) = 1: u = 1 - c erf(x / (2 sqrt t)) behind the front x = 2 a sqrt t, with
    (1 - p) / sqrt(pi) = p a erf(a) exp(a^2) and c = (1 - p) / erf(a) for the threshold p.
    """

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = (ParameterSpec("threshold", "1", lower=0.0),)

    threshold: float = 0.5

    def potential(self, u: np.ndarray, p: Values) -> np.ndarray:
        return np.maximum(u - p["threshold"], 0.0)

    def diffusivity(self, u: np.ndarray, p: Values) -> np.ndarray:
        return np.where(u >= p["threshold"], 1.0, 0.0).astype(u.dtype)

    def slopes(self, u: np.ndarray, p: Values) -> dict[str, np.ndarray]:
        return {"threshold": -self.diffusivity(u, p)}
