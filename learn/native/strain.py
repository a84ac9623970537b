"""Native code of the learned laws' features and tensors, on vector registers: see `learn.models.laws.strain`.

Each is a pair of texts, value and vector-Jacobian product, over what `learn.native.stages` provides: F, E = F^T F - I with its
eigenvalues w and axes Q, and the rotation R of F with the x and D that its derivative needs.
"""

from typing import NamedTuple


class LaneFeatures(NamedTuple):
    """value: put(i, feature i) from F, E = F^T F - I and its eigenvalues w; vjp: dF from g(i)."""

    value: str
    vjp: str


class LaneAssembly(NamedTuple):
    """value: T from c(i); vjp: dF and put(i, gradient of c_i) from c(i) and the adjoint A of T."""

    value: str
    vjp: str


STRETCHES_STRAIN_VOLUME = LaneFeatures(
    value="""
        for (int i = 0; i < 3; ++i) {
            const V square = (REAL)1 + w[i];
            put(i, w[i] / (root(square < (REAL)0 ? (V){} : square) + (REAL)1));
        }
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) put(3 + 3 * i + j, E.m[i][j]);
        put(12, determinant(F) - (REAL)1);
    """,
    vjp="""
        M H;
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) H.m[i][j] = g(3 + 3 * i + j) + g(3 + 3 * j + i);
        for (int k = 0; k < 3; ++k) {
            const V square = (REAL)1 + w[k];
            const V half = g(k) / root(square < (REAL)1e-12 ? (V){} + (REAL)1e-12 : square);
            for (int i = 0; i < 3; ++i)
                for (int j = 0; j < 3; ++j) H.m[i][j] += half * (Q.m[i][k] * Q.m[j][k]);
        }
        dF = sum(product(F, H), scaled(g(12), cofactor(F)));
    """,
)

_SYMMETRIC = """
        M S;
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) S.m[i][j] = (REAL)0.5 * (c(3 * i + j) + c(3 * j + i));
"""
_PUT_SYMMETRIC = """
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) put(3 * i + j, (REAL)0.5 * (B.m[i][j] + B.m[j][i]));
"""

ROTATED_STRESS = LaneAssembly(
    value=_SYMMETRIC
    + """
        T = product(product(R, S), transposed(F));
    """,
    vjp=_SYMMETRIC
    + """
        const M AF = product(A, F);
        dF = sum(product(transposed(A), product(R, S)), closest_rotation_vjp(F, R, x, D, product(AF, S)));
        const M B = product(transposed(R), AF);
    """
    + _PUT_SYMMETRIC,
)


def rotated_correction(scale: float) -> LaneAssembly:
    """F + scale R S."""
    value = _SYMMETRIC + f"T = sum(F, scaled((V){{}} + (REAL){scale!r}, product(R, S)));"
    vjp = _SYMMETRIC + f"const M G = scaled((V){{}} + (REAL){scale!r}, A);"
    rest = """
        dF = sum(A, closest_rotation_vjp(F, R, x, D, product(G, S)));
        const M B = product(transposed(R), G);
    """
    return LaneAssembly(value=value, vjp=vjp + rest + _PUT_SYMMETRIC)
