"""What surrounds the network of a learned law in a rollout, recorded as launches: features of F before, a tensor after.

    F -> features k -> network -> coefficients c -> T(F, c),   and the adjoint the other way

The matrix read is one of the stored states or, for the adjoint of a return map, the trial F made anew from the state before.
It stays in `scratch` with whatever the later stages need. Here features and tensors have native code and particles go
through vector registers; `learn.native.particles` has the same stages for any Warp function, one particle at a time.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import warp as wp

from pliant.learn.native.lanes import HEAD, algebra, native
from pliant.learn.native.strain import LaneAssembly, LaneFeatures
from pliant.sim.mpm.transfers import WRITE
from pliant.sim.precision import Precision

GROUP = 16  # particles of one launch item on vector registers
# Vectors kept a particle: F, axes, eigenvalues of F^T F - I, rotation, x and D of `closest_rotation`, gradient of F.
_F, _Q, _W, _R, _X, _DF, LANE_SCRATCH = 0, 9, 18, 21, 30, 32, 41


class Stages(NamedTuple):
    """Kernels of a law without its network; `group` particles an item. `scratch(particles)` makes what they keep.

    k and c are flat, rows of the widths asked for; a row beyond the particles is never written.

    features: (first, particles, count, entry, trial, clock, F, C, scratch, k); trial: dt, or 0 for F itself.
    assembly: (first, particles, count, entry, clock, scratch, c, T); entry: of the clock, or -1 for T [particles].
    assembly_vjp: (first, count, scratch, c, dT, dc)
    features_vjp: (first, count, add, scratch, dk, dF); add: to dF, otherwise it is overwritten.
    """

    features: wp.Kernel
    assembly: wp.Kernel
    assembly_vjp: wp.Kernel
    features_vjp: wp.Kernel
    group: int
    scratch: Callable[[int], wp.array]


def join_stages(
    features: tuple[wp.Kernel, wp.Kernel], assembly: tuple[wp.Kernel, wp.Kernel], group: int, scratch: Callable
) -> Stages:
    """Stages out of the kernels of the features and of the assembly, each with its product."""
    return Stages(features[0], *assembly, features[1], group, scratch)


_LOOP = """
    auto gather = [](const REAL* data, int stride, int live) {
        V v = {};
        if (live == lanes) {
            #pragma unroll
            for (int l = 0; l < lanes; ++l) v[l] = data[l * stride];
        } else
            for (int l = 0; l < lanes; ++l) v[l] = data[(l < live ? l : live - 1) * stride];
        return v;
    };
    auto scatter = [](REAL* data, int stride, int live, V v) {
        if (live == lanes) {
            #pragma unroll
            for (int l = 0; l < lanes; ++l) data[l * stride] = v[l];
        } else
            for (int l = 0; l < live; ++l) data[l * stride] = v[l];
    };
    auto load = [&](const REAL* data, int live) {
        M a;
        for (int e = 0; e < 9; ++e) a.m[e / 3][e % 3] = gather(data + e, 9, live);
        return a;
    };
    for (int j0 = block * GROUP; j0 < block * GROUP + GROUP && j0 < count; j0 += lanes) {
        const int live = count - j0 < lanes ? count - j0 : lanes;
        U* frame = (U*)(scratch.data + (size_t)j0 * SCRATCH);
        auto matrix = [&](int at) {
            M a;
            for (int e = 0; e < 9; ++e) a.m[e / 3][e % 3] = frame[at + e];
            return a;
        };
        auto keep = [&](int at, const M& a) {
            for (int e = 0; e < 9; ++e) frame[at + e] = a.m[e / 3][e % 3];
        };
        BODY
    }
"""

_FEATURES = """
        M F = load((const REAL*)(F_.data + at + j0), live);
        if (trial != (REAL)0) {
            const M C = load((const REAL*)(C_.data + after + j0), live);
            F = sum(F, scaled((V){} + trial, product(C, F)));
        }
        M G = F, Q, R;
        V w[3], x, D;
        for (int i = 0; i < 3; ++i) G.m[i][i] -= (REAL)1;
        const M E = sum(sum(G, transposed(G)), product(transposed(G), G));
        symmetric_eigen(E, Q, w);
        if (ROTATION) {
            closest_rotation(F, Q, R, x, D);
            keep(AT_R, R);
            frame[AT_X] = x, frame[AT_X + 1] = D;
        }
        keep(AT_F, F);
        keep(AT_Q, Q);
        for (int i = 0; i < 3; ++i) frame[AT_W + i] = w[i];
        auto put = [&](int i, V v) { scatter(k.data + (size_t)j0 * WIDTH + i, WIDTH, live, v); };
        VALUE
"""

_ASSEMBLY = """
        const M F = matrix(AT_F), Q = matrix(AT_Q), R = matrix(AT_R);
        const V w[3] = {frame[AT_W], frame[AT_W + 1], frame[AT_W + 2]};
        auto c = [&](int i) { return gather(c_.data + (size_t)j0 * WIDTH + i, WIDTH, live); };
        M T;
        VALUE
        for (int e = 0; e < 9; ++e) scatter((REAL*)(T_.data + at + j0) + e, 9, live, T.m[e / 3][e % 3]);
"""

_ASSEMBLY_VJP = """
        const M F = matrix(AT_F), Q = matrix(AT_Q), R = matrix(AT_R);
        const M A = load((const REAL*)(dT.data + first + j0), live);
        const V w[3] = {frame[AT_W], frame[AT_W + 1], frame[AT_W + 2]}, x = frame[AT_X], D = frame[AT_X + 1];
        auto c = [&](int i) { return gather(c_.data + (size_t)j0 * WIDTH + i, WIDTH, live); };
        auto put = [&](int i, V v) { scatter(dc.data + (size_t)j0 * WIDTH + i, WIDTH, live, v); };
        M dF;
        VALUE
        keep(AT_DF, dF);
"""

_FEATURES_VJP = """
        const M F = matrix(AT_F), Q = matrix(AT_Q), R = matrix(AT_R);
        const V w[3] = {frame[AT_W], frame[AT_W + 1], frame[AT_W + 2]};
        auto g = [&](int i) { return gather(dk.data + (size_t)j0 * WIDTH + i, WIDTH, live); };
        M dF;
        VALUE
        dF = sum(dF, matrix(AT_DF));
        REAL* target = (REAL*)(dF_.data + first + j0);
        if (add) dF = sum(dF, load(target, live));
        for (int e = 0; e < 9; ++e) scatter(target + e, 9, live, dF.m[e / 3][e % 3]);
"""


def lane_stages(features: LaneFeatures, assembly: LaneAssembly, widths: tuple[int, int], p: Precision) -> Stages:
    """The stages on vector registers; `widths` are those of a row of k and of c."""

    def scratch(particles: int) -> wp.array:
        return wp.zeros(-(-particles // GROUP) * GROUP * LANE_SCRATCH, dtype=p.real, device="cpu")

    rotation = features.rotation or assembly.rotation
    return join_stages(
        _feature_kernels(features, widths[0], rotation, p), _assembly_kernels(assembly, widths[1], p), GROUP, scratch
    )


@functools.cache
def _feature_kernels(features: LaneFeatures, width: int, rotation: bool, p: Precision) -> tuple[wp.Kernel, wp.Kernel]:
    real, mats, numbers, ints = p.real, wp.array(dtype=p.mat33), wp.array(dtype=p.real), wp.array(dtype=int)

    @wp.func_native(
        _text(_FEATURES.replace("ROTATION", str(int(rotation))), features.value, width, features.helpers, p)
    )
    def evaluate(
        block: int, count: int, at: int, after: int, trial: real, F_: mats, C_: mats, scratch: numbers, k: numbers
    ): ...

    @wp.func_native(_text(_FEATURES_VJP, features.vjp, width, features.helpers, p))
    def pull_back(block: int, count: int, first: int, add: int, scratch: numbers, dk: numbers, dF_: mats): ...

    @wp.kernel(enable_backward=False, module="unique")
    def law_features(
        first: int, particles: int, count: int, entry: int, trial: real, clock: ints, F: mats, C: mats,
        scratch: numbers, k: numbers,
    ):  # fmt: skip
        at = clock[entry] * particles + first
        after = clock[WRITE] * particles + first
        evaluate(wp.tid(), count, at, after, trial, F, C, scratch, k)

    @wp.kernel(enable_backward=False, module="unique")
    def law_features_vjp(first: int, count: int, add: int, scratch: numbers, dk: numbers, dF: mats):
        pull_back(wp.tid(), count, first, add, scratch, dk, dF)

    return law_features, law_features_vjp


@functools.cache
def _assembly_kernels(assembly: LaneAssembly, width: int, p: Precision) -> tuple[wp.Kernel, wp.Kernel]:
    mats, numbers, ints = wp.array(dtype=p.mat33), wp.array(dtype=p.real), wp.array(dtype=int)

    @wp.func_native(_text(_ASSEMBLY, assembly.value, width, assembly.helpers, p))
    def assemble(block: int, count: int, at: int, scratch: numbers, c_: numbers, T_: mats): ...

    @wp.func_native(_text(_ASSEMBLY_VJP, assembly.vjp, width, assembly.helpers, p))
    def pull_back(block: int, count: int, first: int, scratch: numbers, c_: numbers, dT: mats, dc: numbers): ...

    @wp.kernel(enable_backward=False, module="unique")
    def law_assembly(
        first: int, particles: int, count: int, entry: int, clock: ints, scratch: numbers, c: numbers, T: mats
    ):
        at = first
        if entry >= 0:
            at = clock[entry] * particles + first
        assemble(wp.tid(), count, at, scratch, c, T)

    @wp.kernel(enable_backward=False, module="unique")
    def law_assembly_vjp(first: int, count: int, scratch: numbers, c: numbers, dT: mats, dc: numbers):
        pull_back(wp.tid(), count, first, scratch, c, dT, dc)

    return law_assembly, law_assembly_vjp


def _text(stage: str, value: str, width: int, helpers: Callable[[Precision], str], p: Precision) -> str:
    """C++ text of a stage around the text of a law, which may call its helpers."""
    constants = {
        "WIDTH": width, "GROUP": GROUP, "SCRATCH": LANE_SCRATCH,
        "AT_F": _F, "AT_Q": _Q, "AT_W": _W, "AT_R": _R, "AT_X": _X, "AT_DF": _DF,
    }  # fmt: skip
    text = _LOOP.replace("BODY", stage).replace("VALUE", value)
    for name in sorted(constants, key=len, reverse=True):
        text = text.replace(name, str(constants[name]))
    return native(HEAD + algebra(p) + helpers(p) + text, p)
