"""Logarithms on vector registers, and what follows from the logarithmic (Hencky) strain, as native code for CPUs.

log x = n log 2 + 2 artanh((m - 1) / (m + 1)) with x = 2^n m, m between sqrt(1/2) and sqrt(2). The same mathematics as
`sim.linalg.spectral`, but with the right eigenvectors q_i, those of F^T F: Q diag(h) Q^T F of the left ones is
F Q diag(h) Q^T of the right ones, and the left ones are R q_i.
"""

import math

import numpy as np

from pliant.learn.native.activations import activation_source, logarithm_fit
from pliant.learn.native.lanes import horner
from pliant.sim.linalg.spectral import SMALLEST_SQUARED_STRETCH
from pliant.sim.precision import Precision

QUOTIENT_TERMS = {"float32": (4, 3), "float64": (8, 6)}  # of artanh(t) / t below t = 0.1, of tanh(y) / y below y = 0.05
TANGENT_SERIES = (1.0, -1 / 3, 2 / 15, -17 / 315, 62 / 2835, -1382 / 155925)

# NaN where x is not positive or not finite.
_LOGARITHM = """
    auto artanh_ratio = [](V t) { return POLYNOMIAL; };
    auto logarithm = [&](V x) {
        const I n = ((I)x - ROOT_HALF_BITS) >> MANTISSA;
        const V m = (V)((I)x - (n << MANTISSA));
        const V w = (m - (REAL)1) / (m + (REAL)1);
        const V made = __builtin_convertvector(n, V) * LN2 + (REAL)2 * w * artanh_ratio(w * w);
        const I finite = (x > (REAL)0) & (x - x == (REAL)0);
        return finite ? made : (V){} / (V){};
    };
"""

# l: squared stretches, e = log(l) / 2: from w = l - 1 where all are small, otherwise from |F q|^2, which keeps small l accurate.
_STRAINS = """
    auto strains = [&](const M& F, const M& Q, const V* w, V* l, V* e) {
        const I small = (size(w[0]) < (REAL)0.5) & (size(w[2]) < (REAL)0.5);
        for (int i = 0; i < 3; ++i) {
            const V q[3] = {Q.m[0][i], Q.m[1][i], Q.m[2][i]};
            V u[3];
            apply(F, q, u);
            const V square = dot(u, u), ratio = w[i] / ((REAL)2 + w[i]);
            l[i] = small ? (REAL)1 + w[i] : square < SMALLEST ? (V){} + SMALLEST : square;
            e[i] = small ? ratio * artanh_ratio(ratio * ratio) : (REAL)0.5 * logarithm(l[i]);
        }
    };
    auto split = [&](const V* e, V* d, V& trace, V& norm) {
        trace = e[0] + e[1] + e[2];
        for (int i = 0; i < 3; ++i) d[i] = e[i] - trace * (REAL)(1.0 / 3.0);
        norm = root(dot(d, d));
    };
    auto strain_quotient = [&](V li, V lj, V ei, V ej) {
        const V total = li + lj, difference = li - lj, ratio = difference / total, t = ratio * ratio;
        return size(ratio) < (REAL)0.1 ? (ARTANH_SERIES) / total : (ei - ej) / difference;
    };
    auto exponential_quotient = [&](V ki, V kj, V ai, V aj) {
        const V y = (REAL)0.5 * (ai - aj), t = y * y;
        return size(y) < (REAL)0.05 ? (REAL)0.5 * (ki + kj) * (TANH_SERIES) : (REAL)0.5 * (ki - kj) / y;
    };
    auto spectral = [&](const M& Q, const V* h) {
        M a;
        for (int i = 0; i < 3; ++i)
            for (int j = i; j < 3; ++j)
                a.m[i][j] = a.m[j][i] = h[0] * Q.m[i][0] * Q.m[j][0] + h[1] * Q.m[i][1] * Q.m[j][1] + h[2] * Q.m[i][2] * Q.m[j][2];
        return a;
    };
    auto in_axes = [&](const M& Q, const M& A) {
        const M B = product(product(transposed(Q), A), Q);
        return scaled((V){} + (REAL)0.5, sum(B, transposed(B)));
    };
"""


def logarithm_source(p: Precision) -> str:
    """C++ text of `logarithm(x)` and of `artanh_ratio(w^2)`, which is artanh(w) / w for |w| <= 1/3."""
    whole, mantissa = {"float32": (np.int32, 23), "float64": (np.int64, 52)}[p.name]
    bits = int(np.array(math.sqrt(0.5), p.numpy).view(whole))
    constants = {"ROOT_HALF_BITS": str(bits), "MANTISSA": str(mantissa), "LN2": f"(REAL){math.log(2.0)!r}"}
    return _filled(_LOGARITHM, POLYNOMIAL=horner(logarithm_fit(p), "t"), **constants)


def strain_source(p: Precision) -> str:
    """C++ text of the logarithmic strain and its derivatives, of `logarithm`, and of `exponential` and softplus, `activate`."""
    artanh, tanh = QUOTIENT_TERMS[p.name]
    series = {
        "ARTANH_SERIES": horner([1.0 / (2 * k + 1) for k in range(artanh)], "t"),
        "TANH_SERIES": horner(TANGENT_SERIES[:tanh], "t"),
        "SMALLEST": f"(REAL){SMALLEST_SQUARED_STRETCH!r}",
    }
    return activation_source("softplus", p) + logarithm_source(p) + _filled(_STRAINS, **series)


def _filled(text: str, **constants: str) -> str:
    for name, value in constants.items():
        text = text.replace(name, value)
    return text
