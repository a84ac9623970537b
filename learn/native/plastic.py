"""Native code of the Hencky stress and of the dissipative return map: see `learn.models.laws.logarithmic` and `.flow`."""

import functools

from pliant.learn.native.logarithm import strain_source
from pliant.learn.native.strain import LaneAssembly, LaneFeatures

NO_FEATURES = LaneFeatures(
    value="""
        put(0, (V){});
    """,
    vjp="""
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) dF.m[i][j] = (V){};
    """,
)

_LEFT_AXES = """
        V l[3], e[3];
        strains(F, Q, w, l, e);
        const M N = product(R, Q);
        const V mu = exponential(c(0)), lame = exponential(c(1)), trace = e[0] + e[1] + e[2];
"""

HENCKY_STRESS = LaneAssembly(
    value=_LEFT_AXES
    + """
        V h[3];
        for (int i = 0; i < 3; ++i) h[i] = (REAL)2 * mu * e[i] + lame * trace;
        T = spectral(N, h);
    """,
    vjp=_LEFT_AXES
    + """
        const V total = A.m[0][0] + A.m[1][1] + A.m[2][2];
        M B = in_axes(N, A);
        put(0, (REAL)2 * mu * (B.m[0][0] * e[0] + B.m[1][1] * e[1] + B.m[2][2] * e[2]));
        put(1, lame * total * trace);
        for (int i = 0; i < 3; ++i) {
            const int j = (i + 1) % 3;
            B.m[i][i] = (REAL)0.5 * ((REAL)2 * mu * B.m[i][i] + lame * total) / l[i];
            B.m[i][j] = B.m[j][i] = (REAL)2 * mu * strain_quotient(l[i], l[j], e[i], e[j]) * B.m[i][j];
        }
        dF = scaled((V){} + (REAL)2, product(product(N, B), product(transposed(N), F)));
    """,
    helpers=strain_source,
    rotation=True,
)

_STATE = """
        V l[3], e[3], d[3], trace, norm;
        strains(F, Q, w, l, e);
        split(e, d, trace, norm);
        const V inverse = (REAL)1 / root(norm * norm + (REAL)((SCALE / FINE) * (SCALE / FINE)));
        const V u[3] = {d[0] * inverse, d[1] * inverse, d[2] * inverse};
        const V lode = (REAL)7.348469228349534 * u[0] * u[1] * u[2];
"""


@functools.cache
def strain_state(scale: float, fine: float) -> LaneFeatures:
    """x = tr e / scale, asinh(fine x) / 3, and the cosine of three Lode angles."""
    value = """
        const V y = size(trace) * (REAL)(FINE / SCALE);
        const V small = logarithm(y + root(y * y + (REAL)1)) * (REAL)(1.0 / 3.0);
        put(0, trace / (REAL)SCALE);
        put(1, trace < (REAL)0 ? -small : small);
        put(2, lode);
    """
    vjp = """
        const V y = trace * (REAL)(FINE / SCALE), slope = (REAL)(FINE / 3.0) / root(y * y + (REAL)1);
        const V share = (g(0) + g(1) * slope) / (REAL)SCALE, rate = (REAL)3 * g(2) * inverse;
        const V mean = dot(u, u) * (REAL)(1.0 / 3.0);
        V h[3];
        for (int i = 0; i < 3; ++i)
            h[i] = (share + rate * ((REAL)2.449489742783178 * (u[i] * u[i] - mean) - lode * u[i])) / l[i];
        dF = product(F, spectral(Q, h));
    """
    texts = [(_STATE + text).replace("FINE", repr(fine)).replace("SCALE", repr(scale)) for text in (value, vjp)]
    return LaneFeatures(*texts, helpers=strain_source)


_FLOW = """
        V l[3], e[3], d[3], trace, norm;
        strains(F, Q, w, l, e);
        split(e, d, trace, norm);
        auto limit = [&](V output, V& value, V& slope) {
            activate(output + (REAL)UNIT, value, slope);
            value = (REAL)SCALE * (value + (REAL)FLOOR);
        };
        auto excess = [&](V n, V most, V& by_n, V& by_limit) {
            const V width = (REAL)SMOOTHING * most, x = (n - most) / width;
            by_n = (REAL)0.5 * x + (REAL)0.5;
            by_n = by_n < (REAL)0 ? (V){} : by_n > (REAL)1 ? (V){} + (REAL)1 : by_n;
            const V value = width * (x > (REAL)1 ? x : by_n * by_n);
            by_limit = (value - n * by_n) / most;
            return value;
        };
        V radius, tension, compaction, dradius, dtension, dcompaction, by_n[3], by_limit[3];
        limit(c(0), radius, dradius);
        limit((REAL)BRISK * c(1), tension, dtension);
        limit((REAL)BRISK * c(2), compaction, dcompaction);
        const V shear = excess(norm, radius, by_n[0], by_limit[0]);
        const V opening = excess(trace, tension, by_n[1], by_limit[1]);
        const V closing = excess(-trace, compaction, by_n[2], by_limit[2]);
        const V inverse = (REAL)1 / (shear > (REAL)0 ? norm : (V){} + (REAL)1);
        const V share = shear * inverse, mean = (opening - closing) * (REAL)(1.0 / 3.0);
        V a[3], k[3];
        for (int i = 0; i < 3; ++i) {
            a[i] = -share * d[i] - mean;
            k[i] = exponential(a[i]);
        }
        const M H = spectral(Q, k);
"""


@functools.cache
def flow_law(scale: float, smoothing: float, unit: float, floor: float, brisk: float) -> LaneAssembly:
    """F Q diag(exp(-u d_i - v)) Q^T, and F itself where u and v are zero."""
    value = """
        const M moved = product(F, H);
        const I still = (share == (REAL)0) & (mean == (REAL)0);
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) T.m[i][j] = still ? F.m[i][j] : moved.m[i][j];
    """
    vjp = """
        M B = in_axes(Q, product(transposed(F), A));
        const V weight[3] = {k[0] * B.m[0][0], k[1] * B.m[1][1], k[2] * B.m[2][2]};
        const V total = weight[0] + weight[1] + weight[2];
        const V rate = -dot(weight, d) * inverse, third = -total * (REAL)(1.0 / 3.0);
        put(0, rate * by_limit[0] * (REAL)SCALE * dradius);
        put(1, third * by_limit[1] * (REAL)(SCALE * BRISK) * dtension);
        put(2, -third * by_limit[2] * (REAL)(SCALE * BRISK) * dcompaction);
        const V by_trace = third * (by_n[1] + by_n[2]);
        const V by_norm = rate * (by_n[0] - share) / (norm > (REAL)0 ? norm : (V){} + (REAL)1);
        for (int i = 0; i < 3; ++i) {
            const int j = (i + 1) % 3;
            const V ge = by_trace - share * (weight[i] + third) + by_norm * d[i];
            B.m[i][i] = (REAL)0.5 * ge / l[i];
            const V theta = exponential_quotient(k[i], k[j], a[i], a[j]) * strain_quotient(l[i], l[j], e[i], e[j]);
            B.m[i][j] = B.m[j][i] = -share * theta * B.m[i][j];
        }
        dF = sum(product(A, H), scaled((V){} + (REAL)2, product(F, product(product(Q, B), transposed(Q)))));
    """
    constants = {"SCALE": scale, "SMOOTHING": smoothing, "UNIT": unit, "FLOOR": floor, "BRISK": brisk}
    texts = [_FLOW + value, _FLOW + vjp]
    for name, number in constants.items():
        texts = [text.replace(name, repr(number)) for text in texts]
    return LaneAssembly(*texts, helpers=strain_source)
