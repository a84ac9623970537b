"""Native code of the learned laws' features and tensors, on vector registers: see `learn.models.laws.strain`.

Each is a pair of texts, value and vector-Jacobian product, over what `learn.native.stages` provides: F, E = F^T F - I with its
eigenvalues w and axes Q, and the rotation R of F with the x and D that its derivative needs.
"""

from collections.abc import Callable
from typing import NamedTuple

from pliant.learn.native.logarithm import logarithm_source
from pliant.sim.precision import Precision


def _none(p: Precision) -> str:
    return ""


class LaneFeatures(NamedTuple):
    """value: put(i, feature i) from F, E = F^T F - I and its eigenvalues w; vjp: dF from g(i).

    helpers: text of the functions that both call; rotation: whether they need R, x and D.
    """

    value: str
    vjp: str
    helpers: Callable[[Precision], str] = _none
    rotation: bool = False


class LaneAssembly(NamedTuple):
    """value: T from c(i); vjp: dF and put(i, gradient of c_i) from c(i) and the adjoint A of T; the rest as of `LaneFeatures`."""

    value: str
    vjp: str
    helpers: Callable[[Precision], str] = _none
    rotation: bool = False


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
    rotation=True,
)


def rotated_correction(scale: float) -> LaneAssembly:
    """F + scale R S."""
    value = _SYMMETRIC + f"T = sum(F, scaled((V){{}} + (REAL){scale!r}, product(R, S)));"
    vjp = _SYMMETRIC + f"const M G = scaled((V){{}} + (REAL){scale!r}, A);"
    rest = """
        dF = sum(A, closest_rotation_vjp(F, R, x, D, product(G, S)));
        const M B = product(transposed(R), G);
    """
    return LaneAssembly(value=value, vjp=vjp + rest + _PUT_SYMMETRIC, rotation=True)


STRETCH_INVARIANTS = LaneFeatures(
    value="""
        const V trace = w[0] + w[1] + w[2];
        V excess = {};
        for (int i = 0; i < 3; ++i) {
            const V square = (REAL)1 + w[i];
            excess += w[i] / (root(square < (REAL)0 ? (V){} : square) + (REAL)1);
        }
        put(0, excess);
        put(1, trace / (root((REAL)3 + trace) + (REAL)1.7320508075688772));
        put(2, logarithm(determinant(F)));
    """,
    vjp="""
        const M K = cofactor(F);
        const V part = g(1) / root(contracted(F, F)), inverse = g(2) / determinant(F);
        dF = sum(sum(scaled(g(0), R), scaled(part, F)), scaled(inverse, K));
    """,
    helpers=logarithm_source,
    rotation=True,
)

INVARIANT_STRESS = LaneAssembly(
    value="""
        const V part = c(1) / root(contracted(F, F));
        T = product(sum(scaled(c(0), R), scaled(part, F)), transposed(F));
        for (int i = 0; i < 3; ++i) T.m[i][i] += c(2);
    """,
    vjp="""
        const M AF = product(A, F), AtF = product(transposed(A), F);
        const V length = root(contracted(F, F)), part = c(1) / length, along = contracted(AF, F);
        dF = sum(scaled(c(0), product(transposed(A), R)), closest_rotation_vjp(F, R, x, D, scaled(c(0), AF)));
        dF = sum(dF, sum(scaled(part, sum(AF, AtF)), scaled(-part * along / (length * length), F)));
        put(0, contracted(AF, R));
        put(1, along / length);
        put(2, A.m[0][0] + A.m[1][1] + A.m[2][2]);
    """,
    rotation=True,
)
