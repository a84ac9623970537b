"""Muscles: active stress along fibres, and its adjoint.

tau += s a (F f)(F f)^T with strength s [Pa], unit fibre f at rest, and activation a of the particle's group in the current interval of
control.
"""

import functools
from typing import NamedTuple

import warp as wp

from pliant.sim.mpm.transfers import READ, STEP
from pliant.sim.precision import Precision


class MuscleKernels(NamedTuple):
    """Kernels: the active stress, its adjoint, and the sum of the activation's adjoint over each group."""

    contract: wp.Kernel
    contract_vjp: wp.Kernel
    collect: wp.Kernel


@functools.cache
def muscle_kernels(p: Precision) -> MuscleKernels:
    """The muscle kernels of one precision."""
    return MuscleKernels(_contract(p), _contract_vjp(p), _collect(p))


@wp.func
def entry(local: int, step: int, every: int, items: int, intervals: int, groups: int, group: int) -> int:
    """Where the activation [environment, interval, group] of a particle stands at a substep."""
    return ((local // items) * intervals + wp.min(step // every, intervals - 1)) * groups + group


@functools.cache
def _contract(p: Precision) -> wp.Kernel:
    """Add the active stress to that of the law."""
    real, vec3, mat33 = p.real, p.vec3, p.mat33

    @wp.kernel(enable_backward=False, module="unique")
    def contract(
        first: int,
        start: int,
        particles: int,
        items: int,
        every: int,
        intervals: int,
        groups: int,
        clock: wp.array(dtype=int),
        group: wp.array(dtype=int),
        fibre: wp.array(dtype=vec3),
        strength: wp.array(dtype=real),
        activation: wp.array(dtype=real),
        F: wp.array(dtype=mat33),
        tau: wp.array(dtype=mat33),
    ):
        i = wp.tid() + first
        local = i - start
        if group[local % items] < 0:
            return
        a = activation[entry(local, clock[STEP], every, items, intervals, groups, group[local % items])]
        f = F[clock[READ] * particles + i] * fibre[local % items]
        tau[i] = tau[i] + (a * strength[local]) * wp.outer(f, f)

    return contract


@functools.cache
def _contract_vjp(p: Precision) -> wp.Kernel:
    """Adjoint of `contract`; adds to the adjoints of F and strength, and of the activation particle by particle."""
    real, vec3, mat33 = p.real, p.vec3, p.mat33

    @wp.kernel(enable_backward=False, module="unique")
    def contract_vjp(
        first: int,
        start: int,
        particles: int,
        items: int,
        every: int,
        intervals: int,
        groups: int,
        clock: wp.array(dtype=int),
        group: wp.array(dtype=int),
        fibre: wp.array(dtype=vec3),
        strength: wp.array(dtype=real),
        activation: wp.array(dtype=real),
        F: wp.array(dtype=mat33),
        dtau: wp.array(dtype=mat33),
        dF: wp.array(dtype=mat33),
        dstrength: wp.array(dtype=real),
        dactivation: wp.array(dtype=real),
    ):
        i = wp.tid() + first
        local = i - start
        if group[local % items] < 0:
            return
        a = activation[entry(local, clock[STEP], every, items, intervals, groups, group[local % items])]
        f0 = fibre[local % items]
        f = F[clock[READ] * particles + i] * f0
        A = dtau[i]
        pulled = wp.dot(f, A * f)
        dF[i] = dF[i] + wp.outer((a * strength[local]) * ((A + wp.transpose(A)) * f), f0)
        dstrength[local] = dstrength[local] + a * pulled
        dactivation[local] = dactivation[local] + strength[local] * pulled

    return contract_vjp


@functools.cache
def _collect(p: Precision) -> wp.Kernel:
    """Sum the adjoint of the activation over the particles of a group."""
    real = p.real

    @wp.kernel(enable_backward=False, module="unique")
    def collect(
        items: int,
        every: int,
        intervals: int,
        groups: int,
        clock: wp.array(dtype=int),
        group: wp.array(dtype=int),
        dparticles: wp.array(dtype=real),
        dactivation: wp.array(dtype=real),
    ):
        local = wp.tid()
        g = group[local % items]
        if g < 0:
            return
        wp.atomic_add(dactivation, entry(local, clock[STEP], every, items, intervals, groups, g), dparticles[local])
        dparticles[local] = real(0.0)

    return collect
