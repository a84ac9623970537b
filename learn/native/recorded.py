"""A learned law in a rollout on a CPU: recorded launches, so that a whole substep replays without Python.

A substep's stress is evaluated, and kept, before the grid, and its product follows after; the product of a return map
follows its evaluation at once. Each thread has its own buffers, and gathers the gradients of the weights in its own.
"""

import weakref
from typing import Any

import warp as wp

from pliant.learn.native.dense import ROWS, NetworkShape
from pliant.learn.native.stages import Stages
from pliant.sim.mpm.solver import COMPILERS
from pliant.sim.mpm.transfers import READ
from pliant.sim.precision import Precision


class _Share:
    """One thread's particles [first, first + count) and the buffers between the stages."""

    def __init__(self, first: int, count: int, shape: NetworkShape, stages: Stages, p: Precision, gradient: bool):
        layout = shape.layout(p)
        self.first, self.count, self.blocks = first, count, -(-count // ROWS)
        self.items = -(-count // stages.group)
        rows = self.blocks * ROWS

        def new(size: int) -> wp.array:
            return wp.zeros(size, dtype=p.real, device="cpu")

        self.scratch = stages.scratch(count)
        self.k, self.c = new(rows * layout.widths[0]), new(rows * layout.widths[-1])
        self.kept = new(layout.kept[-1] * (self.blocks if gradient else 1))
        if gradient:
            self.dk, self.dc, self.dweights = new(len(self.k)), new(len(self.c)), new(layout.weights[-1])


class RecordedLaw:
    """F -> T(F, network(f(F))) on one body.

    Args:
        stages: features f and tensor T.
        shape: of the network.
        solver, body: what it is recorded for.
        gradient: whether its products will be wanted.
    """

    def __init__(self, stages: Stages, shape: NetworkShape, solver: Any, body: Any, *, gradient: bool):
        self.stages, self.solver = stages, weakref.proxy(solver)
        self.particles = solver.model.particle_count
        p = solver.model.precision
        self.dense, layout = shape.kernels(p), shape.layout(p)
        kernels = [*stages[:4], *self.dense]
        modules = list({id(k.module): k.module for k in kernels}.values())
        wp.force_load(solver.model.device, modules=modules, max_workers=COMPILERS)
        self.weights, self.transposed = (
            wp.zeros(starts[-1], dtype=p.real, device="cpu") for starts in (layout.weights, layout.transposed)
        )
        shares = solver.shares(body.start, body.end, self.particles)
        self._shares = [_Share(first, count, shape, stages, p, gradient) for first, count in shares]

    @property
    def gradients(self) -> list[wp.array]:
        """Each thread's gathered gradients of the weights."""
        return [share.dweights for share in self._shares]

    def evaluate(self, program, entry: int, T: wp.array, T_entry: int = -1, *, keep: bool = False) -> None:
        """T of the stored F that the clock's `entry` points to; `keep` what its product needs."""
        self._network(program, entry, 0.0, keep)
        for thread, s in enumerate(self._shares):
            arguments = [s.first, self.particles, s.count, T_entry, self.solver.work.clock, s.scratch, s.c, T]
            program.launch(thread, self.stages.assembly, s.items, arguments)

    def evaluate_trial(self, program) -> None:
        """Everything but T, at the trial F of the substep, kept for the product."""
        self._network(program, READ, self.solver.model.dt, True)

    def pull_back(self, program, dT: wp.array, dF: wp.array, *, add: bool) -> None:
        """The gradient of T : dT with respect to F, added to dF or put in its place."""
        for thread, s in enumerate(self._shares):
            run = [(self.stages.assembly_vjp, s.items, [s.first, s.count, s.scratch, s.c, dT, s.dc])]
            run += [(self.dense.pull_back, s.blocks, [self.weights, s.k, s.kept, s.dc, s.dweights, s.dk])]
            run += [(self.stages.features_vjp, s.items, [s.first, s.count, int(add), s.scratch, s.dk, dF])]
            for kernel, items, arguments in run:
                program.launch(thread, kernel, items, arguments)

    def _network(self, program, entry: int, trial: float, keep: bool) -> None:
        fields, clock = self.solver.states.fields, self.solver.work.clock
        F, C = fields["deformation_gradient"], fields["velocity_gradient"]
        network = self.dense.evaluate_and_keep if keep else self.dense.evaluate
        for thread, s in enumerate(self._shares):
            arguments = [s.first, self.particles, s.count, entry, trial, clock, F, C, s.scratch, s.k]
            program.launch(thread, self.stages.features, s.items, arguments)
            program.launch(thread, network, s.blocks, [self.weights, self.transposed, s.k, s.kept, s.c])
