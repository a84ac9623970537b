"""Algebra of 3 x 3 matrices on vector registers, one particle a lane, as native code for CPUs.

The same mathematics as `sim.linalg`, which takes one particle at a time. Nothing branches: where an eigen-decomposition has
to choose, every lane chooses for itself.
"""

from pliant.sim.linalg.eigen import ROOT_FIT
from pliant.sim.precision import Precision

REGISTER = 64  # bytes of the widest vector register

HEAD = """
#if defined(__AVX512F__)
#define PLIANT_VECTOR 64
#elif defined(__AVX__)
#define PLIANT_VECTOR 32
#else
#define PLIANT_VECTOR 16
#endif
    typedef REAL V __attribute__((vector_size(PLIANT_VECTOR)));
    typedef REAL U __attribute__((vector_size(PLIANT_VECTOR), aligned(sizeof(REAL))));
    typedef INTEGER I __attribute__((vector_size(PLIANT_VECTOR)));
    constexpr int lanes = PLIANT_VECTOR / sizeof(REAL);
"""

_MATRICES = """
    struct M { V m[3][3]; };
    auto root = [](V x) { return __builtin_elementwise_sqrt(x); };
    auto size = [](V x) { return __builtin_elementwise_abs(x); };
    auto inverse_or_zero = [](V x) { return x > (REAL)0 ? (REAL)1 / x : (V){}; };
    auto dot = [](const V* a, const V* b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; };
    auto cross = [](const V* a, const V* b, V* c) {
        c[0] = a[1] * b[2] - a[2] * b[1];
        c[1] = a[2] * b[0] - a[0] * b[2];
        c[2] = a[0] * b[1] - a[1] * b[0];
    };
    auto apply = [](const M& a, const V* x, V* y) {
        for (int i = 0; i < 3; ++i) y[i] = a.m[i][0] * x[0] + a.m[i][1] * x[1] + a.m[i][2] * x[2];
    };
    auto product = [](const M& a, const M& b) {
        M c;
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) c.m[i][j] = a.m[i][0] * b.m[0][j] + a.m[i][1] * b.m[1][j] + a.m[i][2] * b.m[2][j];
        return c;
    };
    auto transposed = [](const M& a) {
        M c;
        for (int i = 0; i < 3; ++i) for (int j = 0; j < 3; ++j) c.m[i][j] = a.m[j][i];
        return c;
    };
    auto sum = [](const M& a, const M& b) {
        M c;
        for (int i = 0; i < 3; ++i) for (int j = 0; j < 3; ++j) c.m[i][j] = a.m[i][j] + b.m[i][j];
        return c;
    };
    auto scaled = [](V s, const M& a) {
        M c;
        for (int i = 0; i < 3; ++i) for (int j = 0; j < 3; ++j) c.m[i][j] = s * a.m[i][j];
        return c;
    };
    auto contracted = [](const M& a, const M& b) {
        V s = {};
        for (int i = 0; i < 3; ++i) for (int j = 0; j < 3; ++j) s += a.m[i][j] * b.m[i][j];
        return s;
    };
    auto cofactor = [](const M& a) {
        M c;
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) {
                const int p = (i + 1) % 3, q = (i + 2) % 3, r = (j + 1) % 3, s = (j + 2) % 3;
                c.m[i][j] = a.m[p][r] * a.m[q][s] - a.m[p][s] * a.m[q][r];
            }
        return c;
    };
    auto determinant = [](const M& a) {
        return a.m[0][0] * (a.m[1][1] * a.m[2][2] - a.m[1][2] * a.m[2][1])
             + a.m[0][1] * (a.m[1][2] * a.m[2][0] - a.m[1][0] * a.m[2][2])
             + a.m[0][2] * (a.m[1][0] * a.m[2][1] - a.m[1][1] * a.m[2][0]);
    };
"""

# S -> orthonormal columns of Q and ascending eigenvalues w: `sim.linalg.eigen.symmetric_eigen`.
_EIGEN = """
    auto symmetric_eigen = [&](const M& S, M& Q, V* w) {
        const V mean = (S.m[0][0] + S.m[1][1] + S.m[2][2]) * (REAL)(1.0 / 3.0);
        M D = S;
        for (int i = 0; i < 3; ++i) D.m[i][i] -= mean;
        V scale = root(contracted(D, D) * (REAL)(1.0 / 6.0));
        const I distinct = scale > (REAL)0;
        D = scaled(inverse_or_zero(scale), D);
        V h = determinant(D) * (REAL)0.5;
        const I flipped = h < (REAL)0;
        D = scaled(flipped ? (V){} - (REAL)1 : (V){} + (REAL)1, D);
        scale = flipped ? -scale : scale;
        h = size(h);
        h = h > (REAL)1 ? (V){} + (REAL)1 : h;
        V x = ROOT;
        for (int k = 0; k < NEWTON; ++k)
            x -= (x * (x * x - (REAL)3) - (REAL)2 * h) / ((REAL)3 * (x * x) - (REAL)3);
        M shifted = D;
        for (int i = 0; i < 3; ++i) shifted.m[i][i] -= x;
        const M K = cofactor(shifted);
        V n[3], a[3], b[3], Da[3], Db[3];
        const I second = K.m[1][1] > K.m[0][0];
        const I third = K.m[2][2] > (second ? K.m[1][1] : K.m[0][0]);
        for (int i = 0; i < 3; ++i) n[i] = third ? K.m[i][2] : second ? K.m[i][1] : K.m[i][0];
        const V unit = (REAL)1 / root(dot(n, n));
        for (int i = 0; i < 3; ++i) n[i] *= unit;

        const V side = n[2] < (REAL)0 ? (V){} - (REAL)1 : (V){} + (REAL)1;
        const V k = (REAL)-1 / (side + n[2]), d = n[0] * n[1] * k;
        a[0] = (REAL)1 + side * n[0] * n[0] * k, a[1] = side * d, a[2] = -side * n[0];
        b[0] = d, b[1] = side + n[1] * n[1] * k, b[2] = -n[1];

        apply(D, a, Da);
        apply(D, b, Db);
        const V aa = dot(a, Da), ab = dot(a, Db), bb = dot(b, Db);
        const V half = (aa - bb) * (REAL)0.5, middle = (aa + bb) * (REAL)0.5, radius = root(half * half + ab * ab);
        const V inverse = (REAL)0.5 * inverse_or_zero(radius);
        const V big = root(radius > (REAL)0 ? (REAL)0.5 + size(half) * inverse : (V){} + (REAL)1);
        const V small = ab * inverse / big;
        const I turned = half < (REAL)0;
        const V c = turned ? size(small) : big;
        const V s = turned ? (ab < (REAL)0 ? -big : big) : small;
        for (int i = 0; i < 3; ++i) {
            const V low = c * b[i] - s * a[i];
            const V columns[3] = {flipped ? n[i] : low, c * a[i] + s * b[i], flipped ? low : n[i]};
            for (int j = 0; j < 3; ++j) Q.m[i][j] = distinct ? columns[j] : (V){} + (REAL)(i == j);
        }
        w[0] = mean + scale * (flipped ? x : middle - radius);
        w[1] = mean + scale * (middle + radius);
        w[2] = mean + scale * (flipped ? middle - radius : x);
    };
"""

# The rotation closest to F, from the axes Q of F^T F (the last the longest), with det R = 1 for inverted F too;
# x = tr U and D = (s1 + s2)(s1 + s3)(s2 + s3), with the shortest stretch negative where F is inverted.
_ROTATION = """
    auto closest_rotation = [&](const M& F, const M& Q, M& R, V& x, V& D) {
        V q[3][3], u[3][3], axis[3];
        for (int i = 0; i < 3; ++i)
            for (int k = 0; k < 3; ++k) q[i][k] = Q.m[k][i];
        for (int i = 0; i < 3; ++i) apply(F, q[i], u[i]);
        V image[3] = {u[0][0], u[0][1], u[0][2]};
        const V longest = root(dot(u[2], u[2])), unit = inverse_or_zero(longest);
        for (int k = 0; k < 3; ++k) u[2][k] *= unit;
        const V along = dot(u[2], u[1]);
        for (int k = 0; k < 3; ++k) u[1][k] -= along * u[2][k];
        const V middle = root(dot(u[1], u[1])), unit1 = inverse_or_zero(middle);
        for (int k = 0; k < 3; ++k) u[1][k] *= unit1;
        cross(q[1], q[2], axis);
        const V handed = dot(axis, q[0]);
        cross(u[1], u[2], u[0]);
        for (int k = 0; k < 3; ++k) u[0][k] *= handed;
        const V shortest = dot(u[0], image);
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) R.m[i][j] = u[0][i] * q[0][j] + u[1][i] * q[1][j] + u[2][i] * q[2][j];
        x = shortest + middle + longest;
        D = (shortest + middle) * (shortest + longest) * (middle + longest);
    };
    auto closest_rotation_vjp = [&](const M& F, const M& R, V x, V D, const M& A) {
        const V i2 = (REAL)0.5 * (x * x - contracted(F, F));
        const V factor = D > EPSILON * x * x * x ? (REAL)1 / D : (V){};
        const M B = product(A, transposed(R));
        const V a[3] = {factor * (B.m[2][1] - B.m[1][2]), factor * (B.m[0][2] - B.m[2][0]), factor * (B.m[1][0] - B.m[0][1])};
        V b[3], w[3];
        apply(transposed(F), a, b);
        apply(F, b, w);
        M made;
        for (int i = 0; i < 3; ++i) w[i] += i2 * a[i];
        for (int j = 0; j < 3; ++j) {
            const V column[3] = {R.m[0][j], R.m[1][j], R.m[2][j]};
            V turned[3];
            cross(w, column, turned);
            for (int i = 0; i < 3; ++i) made.m[i][j] = turned[i];
        }
        return made;
    };
"""


def horner(coefficients: list[float] | tuple[float, ...], variable: str) -> str:
    """C++ text of a polynomial on vectors, coefficients from the lowest power."""
    text = f"(V){{}} + (REAL){coefficients[-1]!r}"
    for c in coefficients[-2::-1]:
        text = f"({text}) * {variable} + (REAL){c!r}"
    return text


def algebra(p: Precision) -> str:
    """C++ text of everything above in one precision."""
    text = _MATRICES + _EIGEN + _ROTATION
    constants = {
        "ROOT": horner(ROOT_FIT, "h"),
        "NEWTON": "1" if p.name == "float32" else "2",
        "EPSILON": f"(REAL){p.epsilon!r}",
    }
    for name, value in constants.items():
        text = text.replace(name, value)
    return text


def native(text: str, p: Precision) -> str:
    """The text with the types of one precision, compiled to fused multiply-adds."""
    real, integer = {"float32": ("float", "int"), "float64": ("double", "long long")}[p.name]
    body = text.replace("REAL", real).replace("INTEGER", integer)
    return "{\n#pragma clang fp contract(fast)\n" + body + "\n}"
