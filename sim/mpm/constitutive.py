"""Elementwise kernels of a constitutive law: Kirchhoff stress, return map, and their adjoints.

One launch a body writes tau(F); the transfer reads it. So several materials are several slices of the particles.
"""

import functools
from typing import NamedTuple

import warp as wp

from pliant.sim.materials.base import Material
from pliant.sim.mpm.transfers import READ, WRITE
from pliant.sim.precision import Precision


class LawKernels(NamedTuple):
    """Kernels of one law: stress and its adjoint, return map and its adjoint (None for an elastic law)."""

    coefficients: wp.Kernel
    coefficients_vjp: wp.Kernel
    stress: wp.Kernel
    stress_vjp: wp.Kernel
    return_map: wp.Kernel | None
    return_map_vjp: wp.Kernel | None


@functools.cache
def law_kernels(law: type[Material], p: Precision) -> LawKernels:
    """The kernels of a law in one precision."""
    plastic = law.return_map(p) is not None
    return LawKernels(
        *_coefficient_kernels(law, p),
        *_stress_kernels(law, p),
        *(_return_map_kernels(law, p) if plastic else (None, None)),
    )


@functools.cache
def _coefficient_kernels(law: type[Material], p: Precision) -> tuple[wp.Kernel, wp.Kernel]:
    real, given, made = p.real, p.vector(law.parameter_count()), p.vector(law.coefficient_count())
    function = law.coefficients(p)

    @wp.func
    def contracted(parameters: given, A: made) -> real:
        return wp.dot(function(parameters), A)

    @wp.kernel(enable_backward=False, module="unique")
    def coefficients(parameters: wp.array(dtype=given), out: wp.array(dtype=made)):
        i = wp.tid()
        out[i] = function(parameters[i])

    @wp.kernel(enable_backward=False, module="unique")
    def coefficients_vjp(
        parameters: wp.array(dtype=given), dout: wp.array(dtype=made), dparameters: wp.array(dtype=given)
    ):
        i = wp.tid()
        g, unused = wp.grad(contracted)(parameters[i], dout[i])
        dparameters[i] = g

    return coefficients, coefficients_vjp


@functools.cache
def _stress_kernels(law: type[Material], p: Precision) -> tuple[wp.Kernel, wp.Kernel]:
    mat33, coefficients = p.mat33, p.vector(law.coefficient_count())
    kirchhoff, vjp = law.kirchhoff(p), law.kirchhoff_vjp(p)
    viscous = law.uses_velocity_gradient

    @wp.kernel(enable_backward=False, module="unique")
    def stress(
        first: int,
        start: int,
        particles: int,
        clock: wp.array(dtype=int),
        c: wp.array(dtype=coefficients),
        F: wp.array(dtype=mat33),
        C: wp.array(dtype=mat33),
        tau: wp.array(dtype=mat33),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        if wp.static(viscous):
            tau[i] = kirchhoff(F[s], C[s], c[i - start])
        else:
            tau[i] = kirchhoff(F[s], mat33(), c[i - start])

    @wp.kernel(enable_backward=False, module="unique")
    def stress_vjp(
        first: int,
        start: int,
        particles: int,
        clock: wp.array(dtype=int),
        c: wp.array(dtype=coefficients),
        F: wp.array(dtype=mat33),
        C: wp.array(dtype=mat33),
        dtau: wp.array(dtype=mat33),
        dF: wp.array(dtype=mat33),
        dC: wp.array(dtype=mat33),
        dc: wp.array(dtype=coefficients),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        if wp.static(viscous):
            gF, gC, gc = vjp(F[s], C[s], c[i - start], dtau[i])
            dF[i] = dF[i] + gF
            dC[i] = dC[i] + gC
            dc[i - start] = dc[i - start] + gc
        else:
            gF, gC, gc = vjp(F[s], mat33(), c[i - start], dtau[i])
            dF[i] = dF[i] + gF
            dc[i - start] = dc[i - start] + gc

    return stress, stress_vjp


@functools.cache
def _return_map_kernels(law: type[Material], p: Precision) -> tuple[wp.Kernel, wp.Kernel]:
    real, mat33, coefficients = p.real, p.mat33, p.vector(law.coefficient_count())
    project, vjp = law.return_map(p), law.return_map_vjp(p)

    @wp.kernel(enable_backward=False, module="unique")
    def return_map(
        first: int,
        start: int,
        particles: int,
        clock: wp.array(dtype=int),
        c: wp.array(dtype=coefficients),
        F: wp.array(dtype=mat33),
    ):
        i = wp.tid() + first
        t = clock[WRITE] * particles + i
        F[t] = project(F[t], c[i - start])

    @wp.kernel(enable_backward=False, module="unique")
    def return_map_vjp(
        dt: real,
        first: int,
        start: int,
        particles: int,
        clock: wp.array(dtype=int),
        c: wp.array(dtype=coefficients),
        F: wp.array(dtype=mat33),
        C: wp.array(dtype=mat33),
        dF: wp.array(dtype=mat33),
        dc: wp.array(dtype=coefficients),
    ):
        i = wp.tid() + first
        before = F[clock[READ] * particles + i]
        trial = before + (dt * C[clock[WRITE] * particles + i]) * before
        gF, gc = vjp(trial, c[i - start], dF[i])
        dF[i] = gF
        dc[i - start] = dc[i - start] + gc

    return return_map, return_map_vjp
