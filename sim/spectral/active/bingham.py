"""Bingham's closure in two dimensions, and the inverse of I1 / I0 on which it rests."""

import dataclasses
import functools
from typing import Any

import numpy as np
from scipy.special import i0e, i1e

from pliant.sim.spectral.active.closures import FactorClosure
from pliant.sim.spectral.arrays import Arrays

DEGREE = 40  # of the polynomial in x = s^2; its error is 1e-10
NEWTON_STEPS = 60


def bessel_ratio(delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """I1(delta) / I0(delta) and its derivative 1 - ratio / delta - ratio^2, for delta >= 0; exponents cancel."""
    delta = np.asarray(delta, np.float64)
    ratio = i1e(delta) / i0e(delta)
    over = np.divide(ratio, delta, out=np.full_like(ratio, 0.5), where=delta > 1e-8)
    return ratio, 1.0 - over - ratio**2


def inverse_bessel_ratio(s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """delta with I1(delta) / I0(delta) = s, and d delta / d s, for 0 <= s < 1; infinite at 1.

    Newton's method from Best and Fisher's approximation, in float64. Where 1 - s is small it runs on 1 / (1 - ratio), which
    is nearly linear in delta.

    Source: Best and Fisher, The bias of the maximum likelihood estimators of the von Mises-Fisher concentration parameters,
    Commun. Stat. Simul. Comput. 10 (1981); Mardia and Jupp, Directional Statistics (2000), sec. 5.3.
    """
    s = np.asarray(s, np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        low = 2.0 * s + s**3 + 5.0 * s**5 / 6.0
        middle = -0.4 + 1.39 * s + 0.43 / (1.0 - s)
        high = 1.0 / (s**3 - 4.0 * s**2 + 3.0 * s)
        delta = np.where(s < 0.53, low, np.where(s < 0.85, middle, high))
        for _ in range(NEWTON_STEPS):
            ratio, slope = bessel_ratio(delta)
            step = np.where(
                s < 0.85, (s - ratio) / slope, (1.0 / (1.0 - s) - 1.0 / (1.0 - ratio)) * (1.0 - ratio) ** 2 / slope
            )
            delta = delta + step
            if not (np.abs(step) > 1e-15 * (1.0 + delta)).any():
                break
        return delta, 1.0 / bessel_ratio(delta)[1]


def fourth_order(s: np.ndarray) -> np.ndarray:
    """<cos 4 theta> = I2(delta) / I0(delta) = 1 - 2 s / delta of the distribution exp(delta cos 2 theta) of order s in [0, 1)."""
    s = np.asarray(s, np.float64)
    small = s < 1e-4
    delta = inverse_bessel_ratio(np.where(small, 0.5, s))[0]
    return np.where(small, 0.5 * s**2 * (1.0 + s**2 / 6.0), 1.0 - 2.0 * s / delta)


@functools.cache
def factor_polynomials() -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev coefficients in 2 x - 1 of f(x) = fourth_order(sqrt x) / x on [0, 1], and of df/dx.

    f is analytic but at x = 1, where it is smooth: f(0) = 1/2, f(1) = 1.
    """
    series = np.polynomial.Chebyshev.interpolate(lambda x: fourth_order(np.sqrt(x)) / x, DEGREE, domain=[0.0, 1.0])
    return series.coef, series.deriv().coef


@dataclasses.dataclass(frozen=True)
class BinghamClosure(FactorClosure):
    """Psi = exp(delta cos 2 (theta - phi)) up to a factor, with delta and phi those of psi_2.

    Source: Chaubal and Leal, A closure approximation for liquid-crystalline polymer models based on parametric density
    estimation, J. Rheol. 42 (1998).
    """

    def factor(self, xp: Arrays, x: Any) -> tuple[Any, Any]:
        value, slope = factor_polynomials()
        t = 2.0 * x - 1.0
        return _clenshaw(value, t), _clenshaw(slope, t)


def _clenshaw(coefficients: np.ndarray, t: Any) -> Any:
    """Sum of coefficients[k] T_k(t)."""
    twice = 2.0 * t
    ahead, after = 0.0 * t, 0.0 * t
    for coefficient in coefficients[:0:-1]:
        ahead, after = twice * ahead - after + float(coefficient), ahead
    return t * ahead - after + float(coefficients[0])
