"""Tangents of the maps that act on each particle by itself: coefficients, stress, return map, active stress.

The Jacobian of a law is what its vector-Jacobian product gives for unit adjoints, so a law needs no tangent of its
own; it is formed once a particle and applied to every direction.
"""

import functools
from typing import NamedTuple

import warp as wp

from pliant.sim.materials.base import Material
from pliant.sim.mpm.muscle import entry
from pliant.sim.mpm.transfers import READ, STEP, WRITE
from pliant.sim.precision import Precision


class LawTangents(NamedTuple):
    """Kernels of one law; None for the return map of an elastic one."""

    coefficients: wp.Kernel
    stress: wp.Kernel
    return_map: wp.Kernel | None


@functools.cache
def law_tangents(law: type[Material], p: Precision) -> LawTangents:
    """The tangents of a law in one precision."""
    plastic = law.return_map(p) is not None
    return LawTangents(_coefficients(law, p), _stress(law, p), _return_map(law, p) if plastic else None)


@functools.cache
def _coefficients(law: type[Material], p: Precision) -> wp.Kernel:
    real, given, made = p.real, p.vector(law.parameter_count()), p.vector(law.coefficient_count())
    function, outputs = law.coefficients(p), law.coefficient_count()

    @wp.func
    def contracted(parameters: given, A: made) -> real:
        return wp.dot(function(parameters), A)

    @wp.kernel(enable_backward=False, module="unique")
    def coefficients_tangent(
        directions: int, parameters: wp.array(dtype=given), parameters_dot: wp.array(dtype=given),
        out: wp.array(dtype=made),
    ):  # fmt: skip
        i = wp.tid()
        count = parameters.shape[0]
        rows = int(wp.static(outputs))
        for k in range(rows):
            unit = made()
            unit[k] = real(1.0)
            g, unused = wp.grad(contracted)(parameters[i], unit)
            for d in range(directions):
                made_ = out[d * count + i]
                made_[k] = wp.dot(g, parameters_dot[d * count + i])
                out[d * count + i] = made_

    return coefficients_tangent


@functools.cache
def _stress(law: type[Material], p: Precision) -> wp.Kernel:
    """tau' of a symmetric stress: six rows of the Jacobian."""
    real, mat33, coefficients = p.real, p.mat33, p.vector(law.coefficient_count())
    vjp, viscous = law.kirchhoff_vjp(p), law.uses_velocity_gradient

    @wp.kernel(enable_backward=False, module="unique")
    def stress_tangent(
        first: int,
        start: int,
        end: int,
        particles: int,
        directions: int,
        clock: wp.array(dtype=int),
        c: wp.array(dtype=coefficients),
        F: wp.array(dtype=mat33),
        C: wp.array(dtype=mat33),
        c_dot: wp.array(dtype=coefficients),
        F_dot: wp.array(dtype=mat33),
        C_dot: wp.array(dtype=mat33),
        tau_dot: wp.array(dtype=mat33),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        cp = c[i - start]
        Fp = F[s]
        Cp = mat33()
        if wp.static(viscous):
            Cp = C[s]
        side = int(3)
        for row in range(side):
            for column in range(row, side):
                unit = mat33()
                unit[row, column] = real(1.0)
                gF, gC, gc = vjp(Fp, Cp, cp, unit)
                for d in range(directions):
                    e = d * particles + i
                    rate = wp.ddot(gF, F_dot[e]) + wp.dot(gc, c_dot[d * (end - start) + i - start])
                    if wp.static(viscous):
                        rate = rate + wp.ddot(gC, C_dot[e])
                    tau_ = tau_dot[e]
                    tau_[row, column] = rate
                    tau_[column, row] = rate
                    tau_dot[e] = tau_

    return stress_tangent


@functools.cache
def _return_map(law: type[Material], p: Precision) -> wp.Kernel:
    """F' of the returned deformation gradient from that of the trial, in place; before the return map itself."""
    real, mat33, coefficients = p.real, p.mat33, p.vector(law.coefficient_count())
    vjp = law.return_map_vjp(p)
    mat99, mat9c = wp.types.matrix((9, 9), real), wp.types.matrix((9, law.coefficient_count()), real)
    vec9 = p.vector(9)

    @wp.kernel(enable_backward=False, module="unique")
    def return_map_tangent(
        first: int,
        start: int,
        end: int,
        particles: int,
        directions: int,
        clock: wp.array(dtype=int),
        c: wp.array(dtype=coefficients),
        F: wp.array(dtype=mat33),
        c_dot: wp.array(dtype=coefficients),
        F_dot: wp.array(dtype=mat33),
    ):
        i = wp.tid() + first
        trial = F[clock[WRITE] * particles + i]
        by_F = mat99()
        by_c = mat9c()
        entries = int(9)
        for k in range(entries):
            unit = mat33()
            unit[k // 3, k % 3] = real(1.0)
            gF, gc = vjp(trial, c[i - start], unit)
            for j in range(entries):
                by_F[k, j] = gF[j // 3, j % 3]
            for j in range(wp.static(law.coefficient_count())):
                by_c[k, j] = gc[j]
        for d in range(directions):
            e = d * particles + i
            G = F_dot[e]
            flat = vec9(G[0, 0], G[0, 1], G[0, 2], G[1, 0], G[1, 1], G[1, 2], G[2, 0], G[2, 1], G[2, 2])
            y = by_F * flat + by_c * c_dot[d * (end - start) + i - start]
            F_dot[e] = mat33(y[0], y[1], y[2], y[3], y[4], y[5], y[6], y[7], y[8])

    return return_map_tangent


@functools.cache
def muscle_tangent(p: Precision) -> wp.Kernel:
    """tau' += (s a)' (F f)(F f)^T + s a ((F' f)(F f)^T + (F f)(F' f)^T) of the active fibre stress."""
    real, vec3, mat33 = p.real, p.vec3, p.mat33

    @wp.kernel(enable_backward=False, module="unique")
    def contract_tangent(
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
        directions: int,
        strength_dot: wp.array(dtype=real),
        activation_dot: wp.array(dtype=real),
        F_dot: wp.array(dtype=mat33),
        tau_dot: wp.array(dtype=mat33),
    ):
        i = wp.tid() + first
        local = i - start
        g = group[local % items]
        if g < 0:
            return
        at = entry(local, clock[STEP], every, items, intervals, groups, g)
        a = activation[at]
        f0 = fibre[local % items]
        f = F[clock[READ] * particles + i] * f0
        for d in range(directions):
            e = d * particles + i
            f_ = F_dot[e] * f0
            s_ = strength_dot[d * strength.shape[0] + local]
            rate = activation_dot[d * activation.shape[0] + at] * strength[local] + a * s_
            pulled = (a * strength[local]) * (wp.outer(f_, f) + wp.outer(f, f_))
            tau_dot[e] = tau_dot[e] + rate * wp.outer(f, f) + pulled

    return contract_tangent
