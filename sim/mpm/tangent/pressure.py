"""Tangents of the pressure filter; see `sim.mpm.pressure` for what it does.

With q the sums of a node, P = q0 / q1 and P' = (q0' - P q1') / q1. A particle's share moves by

    y = [dt c / dx (1 - P_p / K - J - 0.03 O_p)]',   J'(t) = J_trial' + y

of which y takes the tangents of the state at the beginning of the substep.
"""

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import warp as wp

from pliant.sim.linalg.matrix import cofactor, spherical
from pliant.sim.mpm.grid import node_copies
from pliant.sim.mpm.pressure import FLUID_COEFFICIENTS, PULL, compression, gap_to_mean
from pliant.sim.mpm.stencil import stencil_loops
from pliant.sim.mpm.tangent.transfers import moving_gather, moving_scatter
from pliant.sim.mpm.transfers import READ, STEP, WRITE, grid_struct, stencil
from pliant.sim.precision import Precision
from pliant.sim.program import Program

if TYPE_CHECKING:
    from pliant.sim.mpm.tangent.binding import TangentBinding
    from pliant.sim.mpm.tangent.solver import TangentSolver


class PressureTangents(NamedTuple):
    """Kernels of one precision: particles to nodes, mean of the nodes, the particles' share y, and their relaxation."""

    spread: wp.Kernel
    mean: wp.Kernel
    gather: wp.Kernel
    relax: wp.Kernel


@functools.cache
def pressure_tangents(p: Precision) -> PressureTangents:
    """The tangents of the filter in one precision."""
    return PressureTangents(_spread(p), _mean(p), _gather(p), _relax(p))


class PressureTangent:
    """Launches of the filter's tangents within the phases of a solver that runs forward with them."""

    def __init__(self, solver: "TangentSolver", tangent: "TangentBinding"):
        self.solver, self.tangent = solver, tangent
        pairs = zip(tangent.binding.bodies, tangent.bodies, strict=True)
        self.pairs = [(body, own) for body, own in pairs if body.model.pressure_filter]
        if self.pairs:
            m, count = tangent.model, tangent.count
            new = functools.partial(wp.zeros, device=m.device)
            self.nodes = new(count * m.node_count * m.threads, dtype=m.precision.vec4)
            self.means = new(count * m.node_count, dtype=m.precision.vec4)
            self.share = new(count * m.particle_count, dtype=m.precision.real)

    @property
    def kernels(self) -> PressureTangents:
        return pressure_tangents(self.tangent.model.precision)

    def part(self, name: str) -> list[wp.array]:
        """The array of the nodes of that name, where there is one."""
        return [getattr(self, name)] if self.pairs else []

    def spread(self, program: Program) -> None:
        m, b, _, s, _ = self.solver.arrays()
        dot, nodes = self.tangent, self.tangent.count * m.node_count
        for body, own, where, count, thread in self._shares():
            program.launch(
                thread, self.kernels.spread, count,
                [*where, b.gravity, b.mass, b.volume, body.coefficients, s["position"], s["deformation_gradient"],
                 dot.gravity, dot.mass, own.coefficients, dot.state["position"], dot.state["deformation_gradient"],
                 self.nodes[thread * nodes : (thread + 1) * nodes]],
            )  # fmt: skip

    def mean(self, program: Program) -> None:
        if not self.pairs:
            return
        (m, _, w, _, _), threads = self.solver.arrays(), self.solver.threads
        items, lines, span = self.solver.pieces()
        for thread, (first, count) in enumerate(self.solver.shares(0, items, items)):
            program.launch(
                thread, self.kernels.mean, count,
                [m.grid, first, lines, span, threads, self.tangent.count, w.clock, w.active, w.slabs,
                 self.solver.pressure.nodes, self.solver.pressure.means, self.nodes, self.means],
            )  # fmt: skip

    def gather(self, program: Program) -> None:
        _, b, _, s, _ = self.solver.arrays()
        dot = self.tangent
        for body, own, where, count, thread in self._shares():
            program.launch(
                thread, self.kernels.gather, count,
                [*where, b.mass, b.volume, body.coefficients, s["position"], s["deformation_gradient"],
                 self.solver.pressure.means, dot.mass, own.coefficients, dot.state["position"],
                 dot.state["deformation_gradient"], self.means, self.share],
            )  # fmt: skip

    def relax(self, program: Program) -> None:
        """Before the relaxation itself."""
        _, b, _, s, _ = self.solver.arrays()
        for body, _, where, count, thread in self._shares():
            program.launch(
                thread, self.kernels.relax, count,
                [*where, b.mass, b.volume, body.coefficients, s["position"], s["deformation_gradient"],
                 self.solver.pressure.means, self.share, self.tangent.state["deformation_gradient"]],
            )  # fmt: skip

    def _shares(self) -> Iterator[tuple]:
        """Every fluid's part in every thread's share: body, its tangents, what places it, count of particles, thread."""
        m, b, w, _, _ = self.solver.arrays()
        for body, own in self.pairs:
            for thread, (first, count) in enumerate(self.solver.shares(body.start, body.end, m.particle_count)):
                placed = [m.grid, first, body.start, body.end, m.particle_count, self.tangent.count, m.node_count]
                yield body, own, [*placed, w.clock, b.base_of], count, thread


@functools.cache
def _spread(p: Precision) -> wp.Kernel:
    real, vec2, vec3, vec4, mat33 = p.real, p.vector(FLUID_COEFFICIENTS), p.vec3, p.vec4, p.mat33
    Grid, nodes_at, scatter, given, cof = grid_struct(p), stencil(p), moving_scatter(p), compression(p), cofactor(p)

    @wp.kernel(enable_backward=False, module="unique")
    def spread_tangent(
        grid: Grid,
        first: int,
        start: int,
        end: int,
        particles: int,
        directions: int,
        nodes_each: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        gravity: wp.array(dtype=vec3),
        mass: wp.array(dtype=real),
        volume: wp.array(dtype=real),
        c: wp.array(dtype=vec2),
        x: wp.array(dtype=vec3),
        F: wp.array(dtype=mat33),
        gravity_dot: wp.array(dtype=vec3),
        mass_dot: wp.array(dtype=real),
        c_dot: wp.array(dtype=vec2),
        x_dot: wp.array(dtype=vec3),
        F_dot: wp.array(dtype=mat33),
        nodes_dot: wp.array(dtype=vec4),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        if not nodes_at.inside(X, grid):
            return
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        hx, hy, hz = nodes_at.slopes(f, real(1.0))
        K = c[i - start][0]
        m = mass[i]
        V = volume[i]
        o = real(0.0)
        u, A = given(wp.determinant(F[s]), K, m, V, gravity[i], grid.dx)
        q, a0, a1, a2 = nodes_at.field(A, u, f)
        for d in range(directions):
            e = d * particles + i
            shift = x_dot[e] * grid.inv_dx
            K_ = c_dot[d * (end - start) + i - start][0]
            J_ = wp.ddot(cof(F[s]), F_dot[e])
            u_ = vec4(-V * J_, -V * K_ / (K * K), V * J_, o)
            h = (grid.dx / K) * ((mass_dot[e] - m * K_ / K) * gravity[i] + m * gravity_dot[e])
            q_, b0, b1, b2 = nodes_at.field(mat33(h[0], h[1], h[2], o, o, o, o, o, o), u_, f)
            q_ = q_ - a0 * shift[0] - a1 * shift[1] - a2 * shift[2]
            scatter(
                nodes_dot, corner + d * nodes_each, grid.nz, grid.ny * grid.nz, wx, wy, wz, hx, hy, hz, shift,
                q, a0, a1, a2, q_, b0, b1, b2,
            )  # fmt: skip

    return spread_tangent


@functools.cache
def _mean(p: Precision) -> wp.Kernel:
    """Tangents of the means; clears the sums and their tangents for the next substep."""
    real, vec4, Grid, (total, clear) = p.real, p.vec4, grid_struct(p), node_copies(p)

    @wp.kernel(enable_backward=False, module="unique")
    def mean_tangent(
        grid: Grid,
        first: int,
        lines: int,
        span: int,
        copies: int,
        directions: int,
        clock: wp.array(dtype=int),
        active: wp.array(dtype=int),
        slabs: wp.array(dtype=int),
        nodes: wp.array(dtype=vec4),
        means: wp.array(dtype=vec4),
        nodes_dot: wp.array(dtype=vec4),
        means_dot: wp.array(dtype=vec4),
    ):
        count = means.shape[0]
        item = wp.tid() + first
        step = clock[STEP]
        if slabs[item * lines * span // (grid.ny * grid.nz)] != step:
            return
        for line in range(lines):
            start = (item * lines + line) * span
            if active[start // grid.nz] != step:
                continue
            for node in range(start, start + span):
                q = total(nodes, node, copies, count)
                if q[1] <= real(0.0):
                    continue
                clear(nodes, node, copies, count)
                for d in range(directions):
                    r = total(nodes_dot, d * count + node, copies, directions * count)
                    clear(nodes_dot, d * count + node, copies, directions * count)
                    change = (r[0] - means[node][0] * r[1]) / q[1]
                    means_dot[d * count + node] = vec4(change, real(0.0), r[2] * means[node][3], real(0.0))

    return mean_tangent


@functools.cache
def _gather(p: Precision) -> wp.Kernel:
    """The tangent y of a particle's share."""
    real, vec2, vec3, vec4, mat33 = p.real, p.vector(FLUID_COEFFICIENTS), p.vec3, p.vec4, p.mat33
    Grid, nodes_at, cof = grid_struct(p), stencil(p), cofactor(p)
    gather, moving, gap_of = stencil_loops(p).gather, moving_gather(p), gap_to_mean(p)

    @wp.kernel(enable_backward=False, module="unique")
    def gather_tangent(
        grid: Grid,
        first: int,
        start: int,
        end: int,
        particles: int,
        directions: int,
        nodes_each: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        mass: wp.array(dtype=real),
        volume: wp.array(dtype=real),
        c: wp.array(dtype=vec2),
        x: wp.array(dtype=vec3),
        F: wp.array(dtype=mat33),
        means: wp.array(dtype=vec4),
        mass_dot: wp.array(dtype=real),
        c_dot: wp.array(dtype=vec2),
        x_dot: wp.array(dtype=vec3),
        F_dot: wp.array(dtype=mat33),
        means_dot: wp.array(dtype=vec4),
        share_dot: wp.array(dtype=real),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        if not nodes_at.inside(X, grid):
            return
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        hx, hy, hz = nodes_at.slopes(f, real(1.0))
        line = grid.nz
        plane = grid.ny * grid.nz
        K = c[i - start][0]
        near = gather(means, corner, line, plane, wx, wy, wz, f)
        P = near[0, 0]
        share = grid.dt * grid.inv_dx * wp.sqrt(K * volume[i] / mass[i])
        gap = gap_of(wp.determinant(F[s]), K, P, near[2, 0])
        for d in range(directions):
            e = d * particles + i
            K_ = c_dot[d * (end - start) + i - start][0]
            sums = moving(
                means, means_dot, corner, corner + d * nodes_each, line, plane, wx, wy, wz, hx, hy, hz,
                x_dot[e] * grid.inv_dx, f,
            )  # fmt: skip
            gap_ = (P * K_ / K - sums[0, 0]) / K - wp.ddot(cof(F[s]), F_dot[e]) - real(PULL) * sums[2, 0]
            share_dot[e] = share * (gap_ + real(0.5) * gap * (K_ / K - mass_dot[e] / mass[i]))

    return gather_tangent


@functools.cache
def _relax(p: Precision) -> wp.Kernel:
    """F' of the relaxed deformation gradient from that of the trial, in place; before the relaxation itself."""
    real, vec2, vec3, vec4, mat33 = p.real, p.vector(FLUID_COEFFICIENTS), p.vec3, p.vec4, p.mat33
    Grid, nodes_at, gather = grid_struct(p), stencil(p), stencil_loops(p).gather
    cof, diagonal, gap_of = cofactor(p), spherical(p), gap_to_mean(p)

    @wp.kernel(enable_backward=False, module="unique")
    def relax_tangent(
        grid: Grid,
        first: int,
        start: int,
        end: int,
        particles: int,
        directions: int,
        nodes_each: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        mass: wp.array(dtype=real),
        volume: wp.array(dtype=real),
        c: wp.array(dtype=vec2),
        x: wp.array(dtype=vec3),
        F: wp.array(dtype=mat33),
        means: wp.array(dtype=vec4),
        share_dot: wp.array(dtype=real),
        F_dot: wp.array(dtype=mat33),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        t = clock[WRITE] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        if not nodes_at.inside(X, grid):
            return
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        near = gather(means, corner, grid.nz, grid.ny * grid.nz, wx, wy, wz, f)
        K = c[i - start][0]
        share = grid.dt * grid.inv_dx * wp.sqrt(K * volume[i] / mass[i])
        trial = F[t]
        root = wp.cbrt(wp.determinant(trial) + share * gap_of(wp.determinant(F[s]), K, near[0, 0], near[2, 0]))
        for d in range(directions):
            e = d * particles + i
            change = wp.ddot(cof(trial), F_dot[e]) + share_dot[e]
            F_dot[e] = diagonal(change / (real(3.0) * root * root))

    return relax_tangent
