"""The remembering transfer's part of a substep: its arrays, and its launches within the phases of the solver."""

import functools
import math
import weakref
from typing import TYPE_CHECKING

import numpy as np
import warp as wp

from pliant.sim.mpm.memory import MemoryKernels, memory_kernels
from pliant.sim.program import Program

if TYPE_CHECKING:
    from pliant.sim.mpm.solver import MPMSolver


class TransferMemory:
    """Launches of the memory of a solver's particles; of none at all where the scene gives them none.

    Each belongs to a phase of the step: `spread` to the scatter, `mean` to the grid, `carry` behind everything else;
    `carry_vjp` before all adjoints of the gather and `restore` behind them, `mean_vjp` with the grid's, `spread_vjp`
    behind the scatter's.
    """

    def __init__(self, solver: "MPMSolver", gradient: bool):
        self.solver = weakref.proxy(solver)
        m, time = solver.model, solver.model.grid_spec.transfer_memory
        self.used = time > 0.0
        if not self.used:
            return
        self.share = math.exp(-m.dt / time)
        fluid = [np.full(b.end - b.start, getattr(b.law, "is_fluid", False)) for b in solver.binding.bodies]
        self.whole = wp.array(np.concatenate(fluid), dtype=m.precision.real, device=m.device)
        p, new = m.precision, functools.partial(wp.zeros, device=m.device)
        self.nodes = new(m.node_count * solver.threads, dtype=p.vec4)
        self.means = new(m.node_count, dtype=p.vec4)
        if gradient:
            self.dnodes = new(m.node_count, dtype=p.vec4)
            self.dmeans = new(m.node_count * solver.threads, dtype=p.vec4)
            self.stored = new(m.particle_count, dtype=p.vec3), new(m.particle_count, dtype=p.mat33)
            self.dkept = new(m.particle_count, dtype=p.vec3), new(m.particle_count, dtype=p.mat33)

    @property
    def kernels(self) -> MemoryKernels:
        return memory_kernels(self.solver.model.precision)

    def reset(self) -> None:
        """Clear the grid."""
        for name, array in vars(self).items():
            if isinstance(array, wp.array) and name != "whole":
                array.zero_()

    def part(self, name: str) -> list[wp.array]:
        """The array of the nodes of that name, where there is one."""
        return [getattr(self, name)] if self.used else []

    def spread(self, program: Program) -> None:
        b = self.solver.binding
        self._over_particles(
            program, self.kernels.spread,
            lambda place, t: [*place, b.base_of, b.mass, *self._motion(), self.solver.copy_of(self.nodes, t)],
        )  # fmt: skip

    def mean(self, program: Program, *, keep: int) -> None:
        self._over_nodes(program, self.kernels.mean, lambda: [keep], lambda: [self.nodes, self.means])

    def carry(self, program: Program) -> None:
        b = self.solver.binding
        self._over_particles(
            program, self.kernels.carry,
            lambda place, t: [
                self.share, *place, b.base_of, self.whole, self.means, *self._motion(), self.solver.status_of(t),
            ],
        )  # fmt: skip

    def carry_vjp(self, program: Program) -> None:
        b = self.solver.binding
        self._over_particles(
            program, self.kernels.carry_vjp,
            lambda place, t: [
                self.share, *place, b.base_of, self.whole, self.means, *self._motion(), *self._adjoint(), *self.stored, *self.dkept,
                self.solver.copy_of(self.dmeans, t),
            ],
        )  # fmt: skip

    def restore(self, program: Program) -> None:
        self._over_particles(
            program, self.kernels.restore_vjp, lambda place, t: [*place[1:], *self.stored, *self._motion()[1:]]
        )

    def mean_vjp(self, program: Program) -> None:
        self._over_nodes(
            program, self.kernels.mean_vjp, lambda: [], lambda: [self.nodes, self.means, self.dmeans, self.dnodes]
        )

    def spread_vjp(self, program: Program) -> None:
        b = self.solver.binding
        self._over_particles(
            program, self.kernels.spread_vjp,
            lambda place, t: [
                *place, b.base_of, b.mass, *self._motion(), self.means, *self.dkept, self.dnodes, *self._adjoint(), b.dmass,
            ],
        )  # fmt: skip

    def _motion(self) -> list[wp.array]:
        return [self.solver.states.fields[name] for name in ("position", "velocity", "velocity_gradient")]

    def _adjoint(self) -> list[wp.array]:
        return [self.solver.adjoint.fields[name] for name in ("position", "velocity", "velocity_gradient")]

    def _over_particles(self, program: Program, kernel: wp.Kernel, arguments) -> None:
        """Launch over all particles; `arguments(place, thread)` gives the inputs, `place` being grid, first, count and clock."""
        if not self.used:
            return
        m, clock = self.solver.model, self.solver.work.clock
        for thread, (first, count) in enumerate(self.solver.shares(0, m.particle_count, m.particle_count)):
            program.launch(thread, kernel, count, arguments([m.grid, first, m.particle_count, clock], thread))

    def _over_nodes(self, program: Program, kernel: wp.Kernel, options, arrays) -> None:
        if not self.used:
            return
        m, w, (items, lines, span) = self.solver.model, self.solver.work, self.solver.pieces()
        for thread, (first, count) in enumerate(self.solver.shares(0, items, items)):
            program.launch(
                thread, kernel, count,
                [m.grid, first, lines, span, self.solver.threads, *options(), w.clock, w.active, w.slabs, *arrays()],
            )  # fmt: skip
