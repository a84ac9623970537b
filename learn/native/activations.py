"""Activations of dense networks and their slopes as native code on vector registers, accurate to round-off.

The exponential is 2^n times a polynomial of the rest. With it the tail of the normal distribution is

    Phi(-|z|) = exp(-z^2 / 2) erfcx(|z| / sqrt(2)) / 2,    erfcx(x) = exp(x^2) erfc(x),

where erfcx is a polynomial of t = (x - K) / (x + K), which maps the half line to an interval. All coefficients are those
of Chebyshev interpolants, computed here.

Source: Shepherd and Laframboise, Chebyshev Approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < inf (1981).
"""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from scipy.special import erfcx

from pliant.learn.native.lanes import horner
from pliant.sim.precision import Precision

POLE = 3.8  # K
TAIL = {"float32": (4.3, 7), "float64": (5.6, 14)}  # largest x of the fit, degree; times exp(-x^2), errors of 8e-9, 4e-15
EXPONENTIAL = {"float32": 6, "float64": 11}  # degree of exp on +-log(2) / 2: relative errors 3e-9 and 2e-15
TANGENT = {"float32": 5, "float64": 11}  # degree of tanh(x) / x in x^2 on |x| <= 0.625: 4e-9 and 3e-15
LOGARITHM = {"float32": 5, "float64": 10}  # of artanh(w) / w in w^2 on w <= 1/3, for log(1 + e) = 2 artanh(e / (2 + e))

_EXPONENTIAL = """
    auto exponential = [](V x, bool bounded = true) {
        x = x < LOWEST ? (V){} + LOWEST : x;
        if (bounded) x = x > HIGHEST ? (V){} + HIGHEST : x;
        const V shifted = x * INVERSE_LN2 + MAGIC;
        const V n = shifted - MAGIC;
        const V r = (x - n * LN2_HIGH) - n * LN2_LOW;
        const V power = (V)(((I)shifted << MANTISSA) + (I)((V){} + (REAL)1));
        return (POLYNOMIAL) * power;
    };
"""

_TAIL = """
    auto normal_tail = [&](V z, V& density) {
        const V x = __builtin_elementwise_abs(z) * INVERSE_SQRT2;
        const V t = (REAL)1 - TWICE_POLE / (x + POLE);
        density = exponential(-x * x, false);
        return density * (POLYNOMIAL);
    };
"""

# Each sets the activation h and its slope d at a vector z.
_ACTIVATIONS = {
    "gelu": """
        V density;
        const V tail = normal_tail(z, density);
        const V below = z < (REAL)0 ? tail : (REAL)1 - tail;
        h = z * below;
        d = below + z * density * INVERSE_SQRT_2PI;
    """,
    "silu": """
        const V s = (REAL)1 / ((REAL)1 + exponential(-z));
        h = z * s;
        d = s + h * ((REAL)1 - s);
    """,
    "tanh": """
        const V x = __builtin_elementwise_abs(z);
        const V far = (REAL)1 - (REAL)2 / (exponential(x + x) + (REAL)1);
        const V t = x * x;
        const V size = x < (REAL)0.625 ? x * (POLYNOMIAL) : far;
        h = z < (REAL)0 ? -size : size;
        d = (REAL)1 - h * h;
    """,
    "softplus": """
        const V e = exponential(-__builtin_elementwise_abs(z), false);
        const V share = (REAL)1 / ((REAL)1 + e);
        const V w = e / ((REAL)2 + e);
        const V t = w * w;
        d = z < (REAL)0 ? e * share : share;
        h = (z < (REAL)0 ? (V){} : z) + (REAL)2 * w * (POLYNOMIAL);
    """,
    "relu": """
        d = z > (REAL)0 ? (V){} + (REAL)1 : (V){};
        h = z * d;
    """,
}
ACTIVATIONS = tuple(_ACTIVATIONS)


def activation_source(name: str, p: Precision) -> str:
    """C++ text of `activate(z, h, d)`: activation h and slope d of a vector z; needs the types V, I and REAL."""
    helpers = {"gelu": _exponential(p) + _tail(p), "relu": ""}.get(name, _exponential(p))
    if name == "softplus":
        fit = logarithm_fit(p)
    else:
        fit = _interpolant(_tangent_ratio, 0.0, 0.625**2, TANGENT[p.name])
    body = _filled(
        _ACTIVATIONS[name], INVERSE_SQRT_2PI=1.0 / math.sqrt(2.0 * math.pi), POLYNOMIAL=horner(fit, "t")
    )
    return helpers + "    auto activate = [&](V z, V& h, V& d) {" + body + "};\n"


def logarithm_fit(p: Precision) -> list[float]:
    """Coefficients of artanh(w) / w in w^2, for w^2 <= 1/9."""
    return _interpolant(_logarithm_ratio, 0.0, 1.0 / 9.0, LOGARITHM[p.name])


def _exponential(p: Precision) -> str:
    """2^n p(r) with x = n log 2 + r; log 2 is split so that n times its high part is exact."""
    mantissa, range_bits, lowest, highest = {"float32": (23, 12, -87.0, 88.0), "float64": (52, 38, -708.0, 709.0)}[
        p.name
    ]
    high = round(math.log(2.0) * 2**range_bits) / 2**range_bits
    half = 0.5 * math.log(2.0)
    return _filled(
        _EXPONENTIAL,
        LOWEST=lowest,
        HIGHEST=highest,
        INVERSE_LN2=1.0 / math.log(2.0),
        MAGIC=1.5 * 2.0**mantissa,
        LN2_HIGH=high,
        LN2_LOW=float(Decimal(2).ln() - Decimal(high)),
        MANTISSA=str(mantissa),
        POLYNOMIAL=horner(_interpolant(np.exp, -half, half, EXPONENTIAL[p.name]), "r"),
    )


def _tail(p: Precision) -> str:
    largest, degree = TAIL[p.name]
    top = (largest - POLE) / (largest + POLE)
    fit = _interpolant(lambda t: 0.5 * erfcx(POLE * (1.0 + t) / (1.0 - t)), -1.0, top, degree)
    constants = {"POLE": POLE, "TWICE_POLE": 2.0 * POLE, "INVERSE_SQRT2": math.sqrt(0.5)}
    return _filled(_TAIL, POLYNOMIAL=horner(fit, "t"), **constants)


def _tangent_ratio(square: np.ndarray) -> np.ndarray:
    """tanh(x) / x at x^2."""
    x = np.sqrt(np.maximum(square, 1e-30))
    return np.tanh(x) / x


def _logarithm_ratio(square: np.ndarray) -> np.ndarray:
    """artanh(w) / w at w^2."""
    w = np.sqrt(np.maximum(square, 1e-30))
    return np.arctanh(w) / w


def _interpolant(function: Callable, low: float, high: float, degree: int) -> list[float]:
    """Coefficients, lowest power first, of the Chebyshev interpolant on [low, high]."""
    fit = Chebyshev.interpolate(function, degree, domain=[low, high])
    return [float(c) for c in fit.convert(kind=Polynomial).coef]


def _filled(text: str, **constants: Any) -> str:
    """The text with numbers, in the working precision, and other text in place of names."""
    for name in sorted(constants, key=len, reverse=True):
        value = constants[name]
        text = text.replace(name, value if isinstance(value, str) else f"(REAL){value!r}")
    return text
