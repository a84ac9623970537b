"""Setting positions back inside a box after every substep, as some codes do, with its adjoint and tangent.

    x_a <- min(max(x_a, low_a), high_a)

It is a projection and no contact: velocity and deformation do not know of it, and a coordinate that was set back passes no
gradient. It is there to reproduce codes that have it (`Scene.keep_inside`), and a run says how often it acted.
"""

import functools
from typing import NamedTuple

import warp as wp

from pliant.sim.mpm.transfers import WRITE
from pliant.sim.precision import Precision


class KeepKernels(NamedTuple):
    """Kernels: the projection of the new positions, the adjoint of it, and the tangents of it."""

    keep: wp.Kernel
    keep_vjp: wp.Kernel
    keep_tangent: wp.Kernel


@functools.cache
def keep_kernels(p: Precision) -> KeepKernels:
    """The kernels of one precision."""
    return KeepKernels(_keep(p), _keep_vjp(p), _keep_tangent(p))


@functools.cache
def _keep(p: Precision) -> wp.Kernel:
    vec3 = p.vec3

    @wp.kernel(enable_backward=False, module="unique")
    def keep(
        low: vec3,
        high: vec3,
        first: int,
        particles: int,
        thread: int,
        clock: wp.array(dtype=int),
        x: wp.array(dtype=vec3),
        kept: wp.array(dtype=wp.int64),
    ):
        s = clock[WRITE] * particles + wp.tid() + first
        new = x[s]
        moved = int(0)
        for a in range(3):
            if new[a] < low[a]:  # a comparison, so that what is not a number stays so
                new[a] = low[a]
                moved = 1
            if new[a] > high[a]:
                new[a] = high[a]
                moved = 1
        if moved == 1:
            x[s] = new
            wp.atomic_add(kept, thread, wp.int64(1))

    return keep


@functools.cache
def _passes(p: Precision) -> wp.Function:
    real, vec3 = p.real, p.vec3

    @wp.func
    def passes(x: vec3, low: vec3, high: vec3) -> vec3:
        """1 for a coordinate that lies within, 0 for one that was set back and so lies on a bound."""
        free = vec3(real(1.0))
        for a in range(3):
            if x[a] <= low[a] or x[a] >= high[a]:
                free[a] = real(0.0)
        return free

    return passes


@functools.cache
def _keep_vjp(p: Precision) -> wp.Kernel:
    vec3, passes = p.vec3, _passes(p)

    @wp.kernel(enable_backward=False, module="unique")
    def keep_vjp(
        low: vec3,
        high: vec3,
        first: int,
        particles: int,
        clock: wp.array(dtype=int),
        x: wp.array(dtype=vec3),
        dx: wp.array(dtype=vec3),
    ):
        i = wp.tid() + first
        dx[i] = wp.cw_mul(dx[i], passes(x[clock[WRITE] * particles + i], low, high))

    return keep_vjp


@functools.cache
def _keep_tangent(p: Precision) -> wp.Kernel:
    vec3, passes = p.vec3, _passes(p)

    @wp.kernel(enable_backward=False, module="unique")
    def keep_tangent(
        low: vec3,
        high: vec3,
        first: int,
        particles: int,
        directions: int,
        clock: wp.array(dtype=int),
        x: wp.array(dtype=vec3),
        x_dot: wp.array(dtype=vec3),
    ):
        i = wp.tid() + first
        free = passes(x[clock[WRITE] * particles + i], low, high)
        for d in range(directions):
            x_dot[d * particles + i] = wp.cw_mul(x_dot[d * particles + i], free)

    return keep_tangent


def kept_sentence(times: int, margin: float) -> tuple[str, ...]:
    """What to say of positions that were set back so many times; nothing if none was."""
    if not times:
        return ()
    place = f"{margin:.4g} m within" if margin >= 0.0 else f"{-margin:.4g} m beyond"
    return (
        f"keep_inside set positions back {times:,} times, to {place} the faces of `extent`: velocities and strains do not know "
        "of it, and no gradient passes; leave keep_inside out unless another code is to be reproduced.",
    )
