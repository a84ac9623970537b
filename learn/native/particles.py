"""The stages of `learn.native.stages` one particle at a time, for features and tensors given as Warp functions."""

import functools
from collections.abc import Callable

import warp as wp

from pliant.learn.native.products import assembly_product, features_product
from pliant.learn.native.stages import Stages, join_stages
from pliant.sim.mpm.transfers import WRITE
from pliant.sim.precision import Precision


def particle_stages(
    features: tuple[Callable, Callable | None, int],
    assembly: tuple[Callable, int],
    widths: tuple[int, int],
    p: Precision,
) -> Stages:
    """The stages of a law.

    Args:
        features: factory of the Warp function, factory of its product or None, size: see `learn.pointwise.Features`.
        assembly: factory of the Warp function, size: see `learn.pointwise.Assembly`.
        widths: of a row of k and of c.
        p: precision.
    """

    def scratch(particles: int) -> wp.array:
        return wp.zeros(2 * particles, dtype=p.mat33, device="cpu")

    return join_stages(
        _feature_kernels(*features, widths[0], p), _assembly_kernels(*assembly, widths[1], p), 1, scratch
    )


@functools.cache
def _feature_kernels(
    function: Callable, vjp: Callable | None, size: int, width: int, p: Precision
) -> tuple[wp.Kernel, wp.Kernel]:
    real, vec, features, product = p.real, p.vector(size), function(p), features_product(function, vjp, size, p)
    mats, numbers, ints = wp.array(dtype=p.mat33), wp.array(dtype=p.real), wp.array(dtype=int)

    @wp.kernel(enable_backward=False, module="unique")
    def law_features(
        first: int, particles: int, count: int, entry: int, trial: real, clock: ints, F: mats, C: mats,
        scratch: mats, k: numbers,
    ):  # fmt: skip
        j = wp.tid()
        i = j + first
        A = F[clock[entry] * particles + i]
        if trial != real(0.0):
            A = A + (trial * C[clock[WRITE] * particles + i]) * A
        scratch[2 * j] = A
        v = features(A)
        for m in range(size):
            k[j * width + m] = v[m]

    @wp.kernel(enable_backward=False, module="unique")
    def law_features_vjp(first: int, count: int, add: int, scratch: mats, dk: numbers, dF: mats):
        j = wp.tid()
        g = vec()
        for m in range(size):
            g[m] = dk[j * width + m]
        made = scratch[2 * j + 1] + product(scratch[2 * j], g)
        if add == 1:
            made = made + dF[first + j]
        dF[first + j] = made

    return law_features, law_features_vjp


@functools.cache
def _assembly_kernels(function: Callable, size: int, width: int, p: Precision) -> tuple[wp.Kernel, wp.Kernel]:
    vec, assemble, product = p.vector(size), function(p), assembly_product(function, size, p)
    mats, numbers, ints = wp.array(dtype=p.mat33), wp.array(dtype=p.real), wp.array(dtype=int)

    @wp.func
    def row(c: numbers, j: int) -> vec:
        v = vec()
        for m in range(size):
            v[m] = c[j * width + m]
        return v

    @wp.kernel(enable_backward=False, module="unique")
    def law_assembly(
        first: int, particles: int, count: int, entry: int, clock: ints, scratch: mats, c: numbers, T: mats
    ):
        j = wp.tid()
        at = first
        if entry >= 0:
            at = clock[entry] * particles + first
        T[at + j] = assemble(scratch[2 * j], row(c, j))

    @wp.kernel(enable_backward=False, module="unique")
    def law_assembly_vjp(first: int, count: int, scratch: mats, c: numbers, dT: mats, dc: numbers):
        j = wp.tid()
        gF, gc = product(scratch[2 * j], row(c, j), dT[first + j])
        scratch[2 * j + 1] = gF
        for m in range(size):
            dc[j * width + m] = gc[m]

    return law_assembly, law_assembly_vjp
