"""The three loops over a particle's 3 x 3 x 3 nodes, written natively because they take most of the time of an MPM step.

Nodes are packed four numbers each (momentum or velocity, mass). On a CPU four lanes are one vector register of the
compiler's; measured, the gather runs 1.7 times and the adjoints about twice as fast as the same loops in Warp. On
a GPU the same loops run on a four-number struct, and the scatter is atomic.

Weights are separable, w = wx[i] wy[j] wz[k]; f is the particle's distance from the first node in cells, and the
field at node (i, j, k) is q + a0 i + a1 j + a2 k.
"""

import functools
from typing import NamedTuple

import warp as wp

from pliant.sim.precision import Precision

_HEAD = """
#if defined(__CUDA_ARCH__) || defined(__CUDACC__)
    struct alignas(4 * sizeof(REAL)) V {
        REAL c[4];
        __device__ V operator+(const V& o) const { return {c[0]+o.c[0], c[1]+o.c[1], c[2]+o.c[2], c[3]+o.c[3]}; }
        __device__ V operator-(const V& o) const { return {c[0]-o.c[0], c[1]-o.c[1], c[2]-o.c[2], c[3]-o.c[3]}; }
        __device__ V operator*(const V& o) const { return {c[0]*o.c[0], c[1]*o.c[1], c[2]*o.c[2], c[3]*o.c[3]}; }
        __device__ V operator*(REAL s) const { return {c[0]*s, c[1]*s, c[2]*s, c[3]*s}; }
        __device__ V& operator+=(const V& o) { return *this = *this + o; }
        __device__ REAL operator[](int i) const { return c[i]; }
    };
    typedef V U;
#else
    typedef REAL V __attribute__((vector_size(4 * sizeof(REAL))));
    typedef REAL U __attribute__((vector_size(4 * sizeof(REAL)), aligned(sizeof(REAL))));
#endif
"""

_FIELD = """
    const V q = *(const U*)&q_.c, a0 = *(const U*)&a0_.c, a1 = *(const U*)&a1_.c, a2 = *(const U*)&a2_.c;
"""

_SCATTER = """
    U* n = (U*)nodes.data + corner;
    #pragma unroll
    for (int i = 0; i < 3; ++i) {
        #pragma unroll
        for (int j = 0; j < 3; ++j) {
            const REAL w = wx[i] * wy[j];
            U* row = n + i * plane + j * line;
            const V q0 = q + a0 * (REAL)i + a1 * (REAL)j;
            const V q1 = q0 + a2;
            ADD(row, q0 * (w * wz[0]));
            ADD(row + 1, q1 * (w * wz[1]));
            ADD(row + 2, (q1 + a2) * (w * wz[2]));
        }
    }
"""

_ADD = """
#if defined(__CUDA_ARCH__) || defined(__CUDACC__)
    auto add = [](U* p, const V& v) {
#if IS_FLOAT && __CUDA_ARCH__ >= 900
        asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(p), "f"(v[0]), "f"(v[1]), "f"(v[2]), "f"(v[3]) : "memory");
#else
        for (int k = 0; k < 4; ++k) atomicAdd(p->c + k, v[k]);
#endif
    };
#define ADD(p, v) add(p, v)
#else
#define ADD(p, v) *(p) += (v)
#endif
"""

_GATHER = """
    const U* n = (const U*)nodes.data + corner;
    V g = {}, c0 = {}, c1 = {}, c2 = {};
    #pragma unroll
    for (int i = 0; i < 3; ++i) {
        V s0 = {}, s1 = {}, s2 = {};
        #pragma unroll
        for (int j = 0; j < 3; ++j) {
            const U* row = n + i * plane + j * line;
            const V g1 = row[1] * wz[1], g2 = row[2] * wz[2];
            const V sum = (row[0] * wz[0] + g1 + g2) * wy[j];
            s0 += sum;
            s1 += sum * ((REAL)j - f[1]);
            s2 += (g1 + g2 + g2) * wy[j];
        }
        g += s0 * wx[i];
        c0 += s0 * (wx[i] * ((REAL)i - f[0]));
        c1 += s1 * wx[i];
        c2 += s2 * wx[i];
    }
    c2 = c2 - g * f[2];
    wp::mat_t<4, 4, REAL> sums;
    #pragma unroll
    for (int k = 0; k < 4; ++k) {
        sums.data[k][0] = g[k];
        sums.data[k][1] = c0[k];
        sums.data[k][2] = c1[k];
        sums.data[k][3] = c2[k];
    }
    return sums;
"""

_PULL = """
#if defined(__CUDA_ARCH__) || defined(__CUDACC__)
    typedef REAL S;
#define TIMES(a, b) ((a)[0] * (b)[0] + (a)[1] * (b)[1] + (a)[2] * (b)[2] + (a)[3] * (b)[3])
#define TOTAL(s) (s)
#else
    typedef V S;
#define TIMES(a, b) ((a) * (b))
#define TOTAL(s) ((s)[0] + (s)[1] + (s)[2] + (s)[3])
#endif
    const U* n = (const U*)nodes.data + corner;
    S gx = {}, gy = {}, gz = {};
    #pragma unroll
    for (int i = 0; i < 3; ++i) {
        S sx = {}, sy = {}, sz = {};
        #pragma unroll
        for (int j = 0; j < 3; ++j) {
            const U* row = n + i * plane + j * line;
            const V q0 = q + a0 * (REAL)i + a1 * (REAL)j;
            const V q1 = q0 + a2;
            const V q2 = q1 + a2;
            const S p0 = TIMES(row[0], q0), p1 = TIMES(row[1], q1), p2 = TIMES(row[2], q2);
            const S sum = p0 * wz[0] + p1 * wz[1] + p2 * wz[2];
            sx += sum * wy[j];
            sy += sum * hy[j];
            sz += (p0 * hz[0] + p1 * hz[1] + p2 * hz[2]) * wy[j];
        }
        gx += sx * hx[i];
        gy += sy * wx[i];
        gz += sz * wx[i];
    }
    return wp::vec_t<3, REAL>(TOTAL(gx), TOTAL(gy), TOTAL(gz));
"""


class StencilLoops(NamedTuple):
    """Native functions of one precision.

    scatter: nodes += w (q + a0 i + a1 j + a2 k).
    gather: matrix [4, 4] with columns sum w g, sum w g dx, sum w g dy, sum w g dz; distances in cells.
    pull: sum of (grad w) (g . (q + a0 i + a1 j + a2 k)), with hx, hy, hz the slopes of the weights.
    """

    scatter: wp.Function
    gather: wp.Function
    pull: wp.Function


def _source(body: str, p: Precision) -> str:
    is_float = str(int(p.name == "float32"))
    return body.replace("IS_FLOAT", is_float).replace("REAL", {"float32": "float", "float64": "double"}[p.name])


@functools.cache
def stencil_loops(p: Precision) -> StencilLoops:
    """The loops of one precision."""
    vec3, vec4, mat44 = p.vec3, p.vec4, wp.types.matrix((4, 4), p.real)
    nodes_type = wp.array(dtype=vec4)

    @wp.func_native(_source(_HEAD + _ADD + _FIELD + _SCATTER, p))
    def scatter(
        nodes: nodes_type, corner: int, line: int, plane: int,
        wx: vec3, wy: vec3, wz: vec3, q_: vec4, a0_: vec4, a1_: vec4, a2_: vec4,
    ): ...  # fmt: skip

    @wp.func_native(_source(_HEAD + _GATHER, p))
    def gather(
        nodes: nodes_type, corner: int, line: int, plane: int, wx: vec3, wy: vec3, wz: vec3, f: vec3
    ) -> mat44: ...

    @wp.func_native(_source(_HEAD + _FIELD + _PULL, p))
    def pull(
        nodes: nodes_type, corner: int, line: int, plane: int, wx: vec3, wy: vec3, wz: vec3,
        hx: vec3, hy: vec3, hz: vec3, q_: vec4, a0_: vec4, a1_: vec4, a2_: vec4,
    ) -> vec3: ...  # fmt: skip

    return StencilLoops(scatter, gather, pull)
