"""The pressure filter's part of a substep: its arrays, and its launches within the phases of the solver."""

import functools
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

import warp as wp

from pliant.sim.mpm.binding import BoundBody
from pliant.sim.mpm.pressure import PressureKernels, pressure_kernels
from pliant.sim.program import Program

if TYPE_CHECKING:
    from pliant.sim.mpm.solver import MPMSolver


class PressureFilter:
    """Launches of the filter for the fluids of a solver; of none at all where no body asks for it.

    Each belongs to a phase of the step: `spread` to the scatter, `mean` to the grid, `relax` behind the return maps; `relax_vjp` before
    their adjoint, `mean_vjp` with the grid's, `spread_vjp` with the scatter's.
    """

    def __init__(self, solver: "MPMSolver", gradient: bool):
        self.solver, self.bodies = weakref.proxy(solver), [b for b in solver.binding.bodies if b.model.pressure_filter]
        if not self.bodies:
            return
        m = solver.model
        new = functools.partial(wp.zeros, device=m.device)
        self.nodes = new(m.node_count * solver.threads, dtype=m.precision.vec4)
        self.means = new(m.node_count, dtype=m.precision.vec4)
        if gradient:
            self.dnodes = new(m.node_count, dtype=m.precision.vec4)
            self.dmeans = new(m.node_count * solver.threads, dtype=m.precision.vec4)
            self.dJ = new(m.particle_count, dtype=m.precision.real)

    @property
    def kernels(self) -> PressureKernels:
        return pressure_kernels(self.solver.model.precision)

    def reset(self) -> None:
        """Clear the grid."""
        for array in vars(self).values():
            if isinstance(array, wp.array):
                array.zero_()

    def part(self, name: str) -> list[wp.array]:
        """The array of the nodes of that name, where there is one."""
        return [getattr(self, name)] if self.bodies else []

    def spread(self, program: Program) -> None:
        _, b, _, s, _ = self.solver.arrays()
        for body, where, count, thread in self._shares():
            program.launch(
                thread, self.kernels.spread, count,
                [*where, b.gravity, b.mass, b.volume, body.coefficients, s["position"], s["deformation_gradient"],
                 self.solver.copy_of(self.nodes, thread)],
            )  # fmt: skip

    def mean(self, program: Program, *, keep: int) -> None:
        if self.bodies:
            self._over_nodes(program, self.kernels.mean, [keep, self.solver.model.walls], [self.nodes, self.means])

    def relax(self, program: Program) -> None:
        _, b, _, s, _ = self.solver.arrays()
        for body, where, count, thread in self._shares():
            program.launch(
                thread, self.kernels.relax, count,
                [*where, b.mass, b.volume, body.coefficients, s["position"], s["deformation_gradient"], self.means],
            )  # fmt: skip

    def relax_vjp(self, program: Program) -> None:
        _, b, _, s, a = self.solver.arrays()
        for body, where, count, thread in self._shares():
            program.launch(
                thread, self.kernels.relax_vjp, count,
                [*where, b.mass, b.volume, body.coefficients, s["position"], s["velocity_gradient"],
                 s["deformation_gradient"], self.means, a["deformation_gradient"], b.dmass, body.dcoefficients, self.dJ,
                 self.solver.copy_of(self.dmeans, thread)],
            )  # fmt: skip

    def mean_vjp(self, program: Program) -> None:
        if self.bodies:
            self._over_nodes(program, self.kernels.mean_vjp, [], [self.nodes, self.means, self.dmeans, self.dnodes])

    def spread_vjp(self, program: Program) -> None:
        _, b, _, s, a = self.solver.arrays()
        for body, where, count, thread in self._shares():
            program.launch(
                thread, self.kernels.spread_vjp, count,
                [*where, b.gravity, b.mass, b.volume, body.coefficients, s["position"], s["deformation_gradient"],
                 self.means, self.dJ, self.dnodes, a["position"], a["deformation_gradient"], b.dmass, b.dgravity,
                 body.dcoefficients],
            )  # fmt: skip

    def _shares(self) -> Iterator[tuple[BoundBody, list, int, int]]:
        """Every fluid's part in every thread's share: body, arguments that place it, count of particles, thread."""
        m, b, w, _, _ = self.solver.arrays()
        for body in self.bodies:
            for thread, (first, count) in enumerate(self.solver.shares(body.start, body.end, m.particle_count)):
                yield body, [m.grid, first, body.start, m.particle_count, w.clock, b.base_of], count, thread

    def _over_nodes(self, program: Program, kernel: wp.Kernel, options: list, arrays: list) -> None:
        m, _, w, _, _ = self.solver.arrays()
        items, lines, span = self.solver.pieces()
        for thread, (first, count) in enumerate(self.solver.shares(0, items, items)):
            program.launch(
                thread, kernel, count,
                [m.grid, first, lines, span, self.solver.threads, *options, w.clock, w.active, w.slabs, *arrays],
            )  # fmt: skip
