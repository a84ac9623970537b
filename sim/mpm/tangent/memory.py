"""Tangents of the remembering transfer; see `sim.mpm.memory` for what it does.

v_i' = ((m v)_i' - m_i' v_i) / m_i, and with a particle's shift x' its nodes' distances move by -x':

    r' = v' - sum_i (w_ip v_i)',   R' = skew(C' - D^-1 (sum_i (w_ip v_i)' d_i^T - (sum_i w_ip v_i) x'^T))
"""

import functools
from typing import TYPE_CHECKING, NamedTuple

import warp as wp

from pliant.sim.mpm.grid import node_copies
from pliant.sim.mpm.memory import skew_part
from pliant.sim.mpm.stencil import stencil_loops
from pliant.sim.mpm.tangent.transfers import moving_gather, moving_scatter
from pliant.sim.mpm.transfers import READ, STEP, grid_struct, moment_matrix, stencil
from pliant.sim.precision import Precision
from pliant.sim.program import Program

if TYPE_CHECKING:
    from pliant.sim.mpm.tangent.binding import TangentBinding
    from pliant.sim.mpm.tangent.solver import TangentSolver


class MemoryTangents(NamedTuple):
    """Kernels of one precision: particles to nodes, velocity of the nodes, what a particle keeps, and its return."""

    spread: wp.Kernel
    mean: wp.Kernel
    gather: wp.Kernel
    carry: wp.Kernel


@functools.cache
def memory_tangents(p: Precision) -> MemoryTangents:
    """The tangents of the memory in one precision."""
    return MemoryTangents(_spread(p), _mean(p), _gather(p), _carry(p))


class MemoryTangent:
    """Launches of the memory's tangents within the phases of a solver that runs forward with them."""

    def __init__(self, solver: "TangentSolver", tangent: "TangentBinding"):
        self.solver, self.tangent, m = solver, tangent, tangent.model
        self.used = m.grid_spec.transfer_memory > 0.0
        if self.used:
            p, count, new = m.precision, tangent.count, functools.partial(wp.zeros, device=m.device)
            self.nodes = new(count * m.node_count * m.threads, dtype=p.vec4)
            self.means = new(count * m.node_count, dtype=p.vec4)
            self.kept = new(count * m.particle_count, dtype=p.vec3), new(count * m.particle_count, dtype=p.mat33)

    @property
    def kernels(self) -> MemoryTangents:
        return memory_tangents(self.tangent.model.precision)

    def part(self, name: str) -> list[wp.array]:
        """The array of the nodes of that name, where there is one."""
        return [getattr(self, name)] if self.used else []

    def spread(self, program: Program) -> None:
        m, b, _, s, _ = self.solver.arrays()
        nodes = self.tangent.count * m.node_count
        self._over_particles(
            program, self.kernels.spread,
            lambda place, t: [
                *place, b.base_of, b.mass, s["position"], s["velocity"], s["velocity_gradient"], self.tangent.mass,
                *self._motion_dot(), self.nodes[t * nodes : (t + 1) * nodes],
            ],
        )  # fmt: skip

    def mean(self, program: Program) -> None:
        if not self.used:
            return
        (m, _, w, _, _), memory = self.solver.arrays(), self.solver.memory
        items, lines, span = self.solver.pieces()
        for thread, (first, count) in enumerate(self.solver.shares(0, items, items)):
            program.launch(
                thread, self.kernels.mean, count,
                [m.grid, first, lines, span, self.solver.threads, self.tangent.count, w.clock, w.active, w.slabs,
                 memory.nodes, memory.means, self.nodes, self.means],
            )  # fmt: skip

    def gather(self, program: Program) -> None:
        _, b, _, s, _ = self.solver.arrays()
        self._over_particles(
            program, self.kernels.gather,
            lambda place, t: [
                *place, b.base_of, self.solver.memory.whole, s["position"], self.solver.memory.means,
                *self._motion_dot(), self.means, *self.kept,
            ],
        )  # fmt: skip

    def carry(self, program: Program) -> None:
        """Once grid to particles has its tangents."""
        self._over_particles(
            program, self.kernels.carry,
            lambda place, t: [self.solver.memory.share, *place[:4], *self.kept, *self._motion_dot()],
        )  # fmt: skip

    def _motion_dot(self) -> list[wp.array]:
        return [self.tangent.state[name] for name in ("position", "velocity", "velocity_gradient")]

    def _over_particles(self, program: Program, kernel: wp.Kernel, arguments) -> None:
        if not self.used:
            return
        m, total = self.solver.model, self.solver.model.particle_count
        for thread, (first, count) in enumerate(self.solver.shares(0, total, total)):
            place = [m.grid, first, total, self.tangent.count, m.node_count, self.solver.work.clock]
            program.launch(thread, kernel, count, arguments(place, thread))


@functools.cache
def _spread(p: Precision) -> wp.Kernel:
    real, vec3, vec4, mat33, Grid = p.real, p.vec3, p.vec4, p.mat33, grid_struct(p)
    nodes_at, scatter = stencil(p), moving_scatter(p)

    @wp.kernel(enable_backward=False, module="unique")
    def spread_tangent(
        grid: Grid,
        first: int,
        particles: int,
        directions: int,
        nodes_each: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        mass: wp.array(dtype=real),
        x: wp.array(dtype=vec3),
        v: wp.array(dtype=vec3),
        C: wp.array(dtype=mat33),
        mass_dot: wp.array(dtype=real),
        x_dot: wp.array(dtype=vec3),
        v_dot: wp.array(dtype=vec3),
        C_dot: wp.array(dtype=mat33),
        nodes_dot: wp.array(dtype=vec4),
    ):
        i = wp.tid() + first
        s = clock[READ] * particles + i
        X = (x[s] - grid.lower) * grid.inv_dx
        if not nodes_at.inside(X, grid):
            return
        corner, f, wx, wy, wz = nodes_at.around(X, base_of[i], grid)
        hx, hy, hz = nodes_at.slopes(f, real(1.0))
        m = mass[i]
        u = m * v[s]
        q, a0, a1, a2 = nodes_at.field((m * grid.dx) * C[s], vec4(u[0], u[1], u[2], m), f)
        for d in range(directions):
            e = d * particles + i
            shift = x_dot[e] * grid.inv_dx
            m_ = mass_dot[e]
            u_ = m_ * v[s] + m * v_dot[e]
            B = grid.dx * (m_ * C[s] + m * C_dot[e])
            q_, b0, b1, b2 = nodes_at.field(B, vec4(u_[0], u_[1], u_[2], m_), f)
            q_ = q_ - a0 * shift[0] - a1 * shift[1] - a2 * shift[2]
            scatter(
                nodes_dot, corner + d * nodes_each, grid.nz, grid.ny * grid.nz, wx, wy, wz, hx, hy, hz, shift,
                q, a0, a1, a2, q_, b0, b1, b2,
            )  # fmt: skip

    return spread_tangent


@functools.cache
def _mean(p: Precision) -> wp.Kernel:
    """Tangents of the nodes' velocities; clears the sums and their tangents for the next substep."""
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
                if q[3] <= real(0.0):
                    continue
                clear(nodes, node, copies, count)
                v = means[node]
                for d in range(directions):
                    r = total(nodes_dot, d * count + node, copies, directions * count)
                    clear(nodes_dot, d * count + node, copies, directions * count)
                    v_ = (r - r[3] * v) / (q[3] + grid.mass_floor)
                    means_dot[d * count + node] = vec4(v_[0], v_[1], v_[2], real(0.0))

    return mean_tangent


@functools.cache
def _gather(p: Precision) -> wp.Kernel:
    """r' and R', while the tangents are those of the state at the beginning of the substep."""
    real, vec3, vec4, mat33, Grid = p.real, p.vec3, p.vec4, p.mat33, grid_struct(p)
    nodes_at, gather, moving = stencil(p), stencil_loops(p).gather, moving_gather(p)
    moment, skew = moment_matrix(p), skew_part(p)

    @wp.kernel(enable_backward=False, module="unique")
    def gather_tangent(
        grid: Grid,
        first: int,
        particles: int,
        directions: int,
        nodes_each: int,
        clock: wp.array(dtype=int),
        base_of: wp.array(dtype=int),
        whole: wp.array(dtype=real),
        x: wp.array(dtype=vec3),
        means: wp.array(dtype=vec4),
        x_dot: wp.array(dtype=vec3),
        v_dot: wp.array(dtype=vec3),
        C_dot: wp.array(dtype=mat33),
        means_dot: wp.array(dtype=vec4),
        r_dot: wp.array(dtype=vec3),
        R_dot: wp.array(dtype=mat33),
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
        near = gather(means, corner, line, plane, wx, wy, wz, f)
        v = vec3(near[0, 0], near[1, 0], near[2, 0])
        for d in range(directions):
            e = d * particles + i
            shift = x_dot[e] * grid.inv_dx
            sums = moving(
                means, means_dot, corner, corner + d * nodes_each, line, plane, wx, wy, wz, hx, hy, hz, shift, f
            )
            r_dot[e] = v_dot[e] - vec3(sums[0, 0], sums[1, 0], sums[2, 0])
            R_dot[e] = skew(C_dot[e] - (real(4.0) * grid.inv_dx) * (moment(sums) - wp.outer(v, shift)), whole[i])

    return gather_tangent


@functools.cache
def _carry(p: Precision) -> wp.Kernel:
    real, vec3, mat33, Grid = p.real, p.vec3, p.mat33, grid_struct(p)

    @wp.kernel(enable_backward=False, module="unique")
    def carry_tangent(
        share: real,
        grid: Grid,
        first: int,
        particles: int,
        directions: int,
        r_dot: wp.array(dtype=vec3),
        R_dot: wp.array(dtype=mat33),
        x_dot: wp.array(dtype=vec3),
        v_dot: wp.array(dtype=vec3),
        C_dot: wp.array(dtype=mat33),
    ):
        i = wp.tid() + first
        for d in range(directions):
            e = d * particles + i
            x_dot[e] = x_dot[e] + (share * grid.dt) * r_dot[e]
            v_dot[e] = v_dot[e] + share * r_dot[e]
            C_dot[e] = C_dot[e] + share * R_dot[e]

    return carry_tangent
