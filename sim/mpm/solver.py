"""One explicit MLS-MPM substep and its adjoint as programs of recorded launches over fixed buffers.

Forward: frames of the colliders, stress, particles to grid, grid, grid to particles, return map. Backward recomputes the
stress and the grid from the stored particle state and walks the same kernels' adjoints in reverse.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import warp as wp

from pliant.sim.colliders.kinematics import FRAME, kinematics
from pliant.sim.mpm.binding import Binding
from pliant.sim.mpm.grid import grid_update
from pliant.sim.mpm.images import WallImages
from pliant.sim.mpm.inside import keep_kernels
from pliant.sim.mpm.muscle import muscle_kernels
from pliant.sim.mpm.particle_contact import ParticleContact, pushes
from pliant.sim.mpm.pressure_filter import PressureFilter
from pliant.sim.mpm.setting_aside import hide, resting_state
from pliant.sim.mpm.state import StateArray
from pliant.sim.mpm.step_limits import broken_limit
from pliant.sim.mpm.transfer_memory import TransferMemory
from pliant.sim.mpm.transfers import REPORT, transfers
from pliant.sim.program import Program, barrier_kernel
from pliant.sim.status import Code, Status

if TYPE_CHECKING:
    from pliant.sim.model import Model


COMPILERS = 2  # kernels compiled at a time
_REMEDY = {
    Code.LEFT_GRID: "left the grid; enlarge `extent` or lower `dt`",
    Code.CFL: "moved more than a cell in one substep; lower `dt` or the speeds",
    Code.NOT_FINITE: "has a velocity or deformation that is not finite; lower `dt`, or check the values given",
    Code.INVERTED: "was inverted; lower `dt`, or stiffen the material",
}


@functools.cache
def _tick_kernel() -> wp.Kernel:
    @wp.kernel(enable_backward=False, module="unique")
    def tick(delta: int, clock: wp.array(dtype=int)):
        for i in range(3):
            clock[i] = clock[i] + delta

    return tick


class Workspace:
    """Grid and scratch arrays of one solver, allocated once; `copies` of the nodes, one a thread."""

    def __init__(self, model: "Model", gradient: bool):
        p, threads = model.precision, model.threads
        new = functools.partial(wp.zeros, device=model.device)
        nodes, particles, frames = model.node_count, model.particle_count, len(model.colliders) * model.batch
        self.clock = new(3, dtype=int)
        self.status = new(REPORT * model.batch * threads, dtype=int)
        self.nodes = new(nodes * threads, dtype=p.vec4)
        nx, ny, nz = model.grid_spec.counts
        self.active = wp.full(nodes // nz, -1, dtype=int, device=model.device)
        self.slabs = wp.full(nodes // (ny * nz), -1, dtype=int, device=model.device)
        flowing = nodes if model.is_mixed else 0
        self.flowing = new(flowing * threads, dtype=p.vec4)
        self.velocity = new(nodes, dtype=p.vec4)
        self.tau = new(particles, dtype=p.mat33)
        self.frames = new(frames, dtype=p.vector(FRAME))
        self.wrench = new(frames * threads, dtype=p.vector(6))
        self.kept = new(threads, dtype=wp.int64)  # positions set back
        if gradient:
            self.dvelocity = new(nodes * threads, dtype=p.vec4)
            self.dnodes = new(nodes, dtype=p.vec4)
            self.dflowing = new(flowing, dtype=p.vec4)
            self.dtau = new(particles, dtype=p.mat33)
            self.dframes = new(frames * threads, dtype=p.vector(FRAME))
            self.dwrench = new(frames, dtype=p.vector(6))


class MPMSolver:
    """Steps `slots` stored states of a model forward, and their adjoint backward."""

    def __init__(self, model: "Model", binding: Binding, *, slots: int, every: int, gradient: bool):
        self.model, self.binding, self.every, self.threads = model, binding, every, model.threads
        self.gradient = gradient
        p = model.precision
        self.states = StateArray(model.particle_count, slots, p, model.device)
        self.adjoint = StateArray(model.particle_count if gradient else 0, 1, p, model.device)
        self.work = Workspace(model, gradient)
        self.contact = ParticleContact(self, gradient) if pushes(model) else None
        self._transfers, self._grid, self._kinematics = transfers(p), grid_update(p), kinematics(p)
        self.pressure, self.memory = PressureFilter(self, gradient), TransferMemory(self, gradient)
        self.images = WallImages(self)
        self._compile(gradient)
        self._external = [body for body in binding.bodies if body.kernels is None]
        for body in self._external:
            body.external = body.law.bind(self, body)
        self._forward = self._build_forward()
        self._backward = self._build_backward() if gradient else self._forward

    def _compile(self, gradient: bool) -> None:
        """Compile or load every kernel this solver launches, two at a time."""
        groups: list[tuple] = [self._transfers, self._grid, *(body.kernels or () for body in self.binding.bodies)]
        groups += [self._kinematics] if self.model.colliders else []
        groups += [(_tick_kernel(), *((barrier_kernel(),) if self.threads > 1 else ()))]
        groups += [self.contact.kernels, self.contact.friction, self.contact.nearby] if self.contact else []
        groups += [muscle_kernels(self.model.precision)] if any(body.muscle for body in self.binding.bodies) else []
        groups += [keep_kernels(self.model.precision)] if self.model.kept_within else []
        groups += [self.pressure.kernels] if self.pressure.bodies else []
        groups += [self.memory.kernels] if self.memory.used else []
        groups += [self.images.kernels] if self.images.used else []
        kernels = [k for group in groups for k in group if k is not None and (gradient or "vjp" not in k.key)]
        modules = list({id(k.module): k.module for k in kernels}.values())
        wp.force_load(self.model.device, modules=modules, max_workers=COMPILERS)

    def make_states(self, slots: int) -> StateArray:
        return StateArray(self.model.particle_count, slots, self.model.precision, self.model.device)

    def begin(self, first_step: int) -> None:
        """Nothing has failed yet; no force depends on the time at which a run starts."""
        self.work.status.zero_()
        self.work.kept.zero_()
        if self.contact is not None:
            self.contact.begin()

    def reset(self) -> None:
        """Clear the grid."""
        for array in vars(self.work).values():
            array.zero_()
        if self.contact is not None:
            self.contact.clear()
        self.pressure.reset()
        self.memory.reset()

    def set_clock(self, step: int, slot: int) -> None:
        """Begin a run: the next substep forward is `step`, from `slot` to `slot + 1`."""
        self.work.clock.assign(np.array([step, slot, slot + 1], dtype=np.int32))
        for body in self._external:
            body.external.load()

    def advance(self, substeps: int) -> None:
        """Run substeps forward from where the clock stands."""
        self._forward.run(substeps)

    def retreat(self, substeps: int) -> None:
        """Carry the adjoint state back over substeps; the clock stands at the state it belongs to."""
        self._backward.run(substeps)

    def status(self) -> Status:
        """What went wrong first in every environment, with the particle and the remedy."""
        reports = self.work.status.numpy()
        if not reports.any():
            return Status()
        table = reports.reshape(self.threads, self.model.batch, REPORT)
        failures = [self._failure(rows[rows[:, 0] != 0]) for rows in table.swapaxes(0, 1) if rows[:, 0].any()]
        failures = [status for status in failures if status.environment not in self.binding.set_aside]
        return Status.of(failures, self.model.batch) if self.model.batch > 1 else failures[0]

    def _failure(self, rows: np.ndarray) -> Status:
        """The first of what several threads report of one environment."""
        code, step, particle = min(((int(r[0]), int(r[1]), int(r[2])) for r in rows), key=lambda r: (r[1], r[2]))
        body, environment, item = self.model.item_of(particle)
        where = f" of environment {environment}" if self.model.batch > 1 else ""
        sentence = f"particle {item} of '{body}'{where} {_REMEDY[Code(code)]} (at substep {step})."
        if limit := broken_limit(self.model, self.binding, body):
            sentence = f"particle {item} of '{body}'{where} failed at substep {step}: {limit}."
        of = environment if self.model.batch > 1 else None
        return Status(Code(code), step, particle, body, sentence, environment=of)

    def set_aside(self, failures: Sequence[Status], first: int, slot: int, kept: StateArray, count: int) -> bool:
        """Let environments that failed stand still from the state in `slot` on; False where they have no place to stand.

        Args:
            failures: of these environments since the last look.
            first: substep of the state in slot 0.
            kept: checkpoints, of which the first `count` are to stand still too, for the way back.
        """
        rest = resting_state(self, failures, first, slot, kept)
        if rest is None:
            return False
        gone = frozenset(status.environment for status in failures if status.environment is not None)
        hide(self, gone, rest, slot, kept, count)
        self.binding.put_aside(self.binding.set_aside | gone)
        clock, wrench, crossings = (a.numpy().copy() for a in (self.work.clock, self.work.wrench, self.work.kept))
        shape = (self.threads, len(self.model.colliders), self.model.batch, 6)
        wrench.reshape(shape)[:, :, sorted(gone)] = 0.0
        self.reset()
        self.work.clock.assign(clock)
        self.work.wrench.assign(wrench)
        self.work.kept.assign(crossings)
        return True

    def arrays(self) -> tuple:
        """Model, bound parameters, workspace, stored states and adjoint state."""
        return self.model, self.binding, self.work, self.states.fields, self.adjoint.fields

    def pieces(self) -> tuple[int, int, int]:
        """Launch items of the grid kernels, lines an item and nodes a line: planes of x on a CPU, single nodes on a GPU."""
        _, ny, nz = self.model.grid_spec.counts
        lines, span = (1, 1) if self.model.device.is_cuda else (ny, nz)
        return self.model.node_count // (lines * span), lines, span

    def shares(self, start: int, end: int, total: int) -> list[tuple[int, int]]:
        """(first, count) of the part of [start, end) in each thread's share of [0, total)."""
        cuts = [total * t // self.threads for t in range(self.threads + 1)]
        parts = [(max(start, a), min(end, b)) for a, b in zip(cuts, cuts[1:], strict=False)]
        return [(a, max(0, b - a)) for a, b in parts]

    def each(self, program: Program, kernel: wp.Kernel, start: int, end: int, total: int, arguments) -> None:
        """Launch a kernel over [start, end) on every thread; `arguments(first, thread)` gives its inputs."""
        for thread, (first, count) in enumerate(self.shares(start, end, total)):
            program.launch(thread, kernel, count, arguments(first, thread))

    def _tick(self, program: Program, delta: int) -> None:
        program.phase()
        program.launch(0, _tick_kernel(), 1, [delta, self.work.clock])

    def _build_forward(self) -> Program:
        program = Program(self.model.device, self.threads)
        self._frames(program)
        self._scatter(program, keep=False)
        self._update(program, keep=0)
        self._gather(program)
        self._return_maps(program)
        self.pressure.relax(program)
        self.memory.carry(program)
        self._keep(program)
        self._tick(program, 1)
        return program

    def _gather(self, program: Program) -> None:
        m, b, w, s, _ = self.arrays()
        program.phase()
        state = [s["position"], s["velocity"], s["velocity_gradient"], s["deformation_gradient"]]
        self.each(
            program, self._transfers.g2p, 0, m.particle_count, m.particle_count,
            lambda first, t: [m.grid, first, m.particle_count, w.clock, b.base_of, w.velocity, *state, self.status_of(t)],
        )  # fmt: skip

    def _keep(self, program: Program) -> None:
        """Set positions back, where a scene asks for it: the last thing done to them."""
        m, _, w, s, _ = self.arrays()
        if m.kept_within:
            self.each(
                program, keep_kernels(m.precision).keep, 0, m.particle_count, m.particle_count,
                lambda first, t: [*m.kept_within, first, m.particle_count, t, w.clock, s["position"], w.kept],
            )  # fmt: skip

    def _return_maps(self, program: Program) -> None:
        m, _, w, s, _ = self.arrays()
        for body in self.binding.bodies:
            kernels = body.kernels
            if kernels is None:
                if body.external.return_map is not None:
                    body.external.return_map.record_return_map(program)
            elif kernels.return_map is not None:
                self.each(
                    program, kernels.return_map, body.start, body.end, m.particle_count,
                    lambda first, t, body=body: [
                        first, body.start, m.particle_count, w.clock, body.coefficients, s["deformation_gradient"],
                    ],
                )  # fmt: skip

    def status_of(self, thread: int) -> wp.array:
        """Where a thread reports what goes wrong."""
        size = REPORT * self.model.batch
        return self.work.status[size * thread : size * (thread + 1)]

    def _frames(self, program: Program) -> None:
        m, b, w, _, _ = self.arrays()
        count = len(m.colliders) * m.batch
        if count:
            program.phase()
            rate = 1.0 / (m.dt * self.every)
            arguments = [self.every, b.knots, rate, w.clock, b.poses, w.frames]
            program.launch(0, self._kinematics.frames, count, arguments)
        if self.contact is not None:
            self.contact.record_place(program)

    def _scatter(self, program: Program, *, keep: bool) -> None:
        """Stress of every body, then particles to grid; `keep` tells an external law that its adjoint will follow."""
        m, b, w, s, _ = self.arrays()
        program.phase()
        F, C = s["deformation_gradient"], s["velocity_gradient"]
        for body in self.binding.bodies:
            kernels = body.kernels
            if kernels is None:
                body.external.stress.record_stress(program, keep=keep)
            else:
                self.each(
                    program, kernels.stress, body.start, body.end, m.particle_count,
                    lambda first, t, body=body: [
                        first, body.start, m.particle_count, w.clock, body.coefficients, F, C, w.tau,
                    ],
                )  # fmt: skip
            if body.muscle is not None:
                self.each(
                    program, muscle_kernels(m.precision).contract, body.start, body.end, m.particle_count,
                    lambda first, t, body=body: [*self._muscle(body, first), F, w.tau],
                )  # fmt: skip
        self.each(
            program, self._transfers.p2g, 0, m.particle_count, m.particle_count,
            lambda first, t: [
                m.grid, first, m.particle_count, w.clock, b.base_of, b.gravity, b.mass, b.volume,
                s["position"], s["velocity"], C, w.tau, self.copy_of(w.nodes, t), w.active, w.slabs, self.status_of(t),
            ],
        )  # fmt: skip
        if self.contact is not None:
            self.contact.record_weigh(program)
            self.contact.record_push(program)
        self.pressure.spread(program)
        self.memory.spread(program)

    def copy_of(self, nodes: wp.array, thread: int) -> wp.array:
        """A thread's own copy of the nodes."""
        n = self.model.node_count
        return nodes[thread * n : (thread + 1) * n]

    def _muscle(self, body, first: int) -> list:
        m, muscle = self.model, body.muscle
        return [
            first, body.start, m.particle_count, body.items, self.every, muscle.intervals, muscle.groups,
            self.work.clock, muscle.group, muscle.fibre, muscle.strength, muscle.activation,
        ]  # fmt: skip

    def _update(self, program: Program, *, keep: int) -> None:
        m, b, w, _, _ = self.arrays()
        items, lines, span = self.pieces()
        self.images.fold(program, *self._sums())
        program.phase()
        self.each(
            program, self._grid.update, 0, items, items,
            lambda first, t: [
                m.grid, first, lines, span, self.threads, keep, m.batch, t, m.walls, w.clock, w.active, w.slabs,
                w.flowing, m.ruled_solids, w.frames, b.friction, m.distances, w.nodes, w.velocity, w.wrench,
            ],
        )  # fmt: skip
        if self.contact is not None:
            self.contact.record_rub(program, keep=keep)
        self.pressure.mean(program, keep=keep)
        self.memory.mean(program, keep=keep)
        self.images.mirror(program, [w.velocity, *self.memory.part("means")], self.pressure.part("means"))

    def _sums(self) -> tuple[list[wp.array], list[wp.array]]:
        """What is scattered to the nodes: vectors with a number, and numbers."""
        press = [self.contact.press] if self.contact is not None else []
        vectors = [self.work.nodes, self.work.flowing, *press, *self.memory.part("nodes")]
        return vectors, self.pressure.part("nodes")

    def _build_backward(self) -> Program:
        program = Program(self.model.device, self.threads)
        self._tick(program, -1)
        self._frames(program)
        self._scatter(program, keep=True)
        self._update(program, keep=1)
        self._gather_vjp(program)
        self._update_vjp(program)
        self._scatter_vjp(program)
        self._frames_vjp(program)
        return program

    def _gather_vjp(self, program: Program) -> None:
        """Adjoint of the return map and of grid to particles."""
        m, b, w, s, a = self.arrays()
        F, C = s["deformation_gradient"], s["velocity_gradient"]
        program.phase()
        if m.kept_within:
            self.each(
                program, keep_kernels(m.precision).keep_vjp, 0, m.particle_count, m.particle_count,
                lambda first, t: [*m.kept_within, first, m.particle_count, w.clock, s["position"], a["position"]],
            )  # fmt: skip
        self.memory.carry_vjp(program)
        self.pressure.relax_vjp(program)
        for body in self.binding.bodies:
            kernels = body.kernels
            if kernels is None:
                if body.external.return_map is not None:
                    body.external.return_map.record_return_map_vjp(program)
            elif kernels.return_map is not None:
                self.each(
                    program, kernels.return_map_vjp, body.start, body.end, m.particle_count,
                    lambda first, t, body=body: [
                        m.dt, first, body.start, m.particle_count, w.clock, body.coefficients, F, C,
                        a["deformation_gradient"], body.dcoefficients,
                    ],
                )  # fmt: skip
        state = [s["position"], s["velocity"], C, F]
        adjoint = [a["position"], a["velocity"], a["velocity_gradient"], a["deformation_gradient"]]
        self.each(
            program, self._transfers.g2p_vjp, 0, m.particle_count, m.particle_count,
            lambda first, t: [
                m.grid, first, m.particle_count, w.clock, b.base_of, w.velocity, *state, *adjoint,
                self.copy_of(w.dvelocity, t),
            ],
        )  # fmt: skip
        self.memory.restore(program)

    def _update_vjp(self, program: Program) -> None:
        m, b, w, _, _ = self.arrays()
        items, lines, span = self.pieces()
        self.images.fold(program, [w.dvelocity, *self.memory.part("dmeans")], self.pressure.part("dmeans"))
        program.phase()
        if self.contact is not None:
            self.contact.record_rub_vjp(program)
        self.each(
            program, self._grid.update_vjp, 0, items, items,
            lambda first, t: [
                m.grid, first, lines, span, self.threads, m.batch, t, m.walls, w.clock, w.active, w.slabs,
                w.flowing, m.ruled_solids, w.frames, b.friction, m.distances, w.nodes, w.dvelocity, w.dwrench, w.dnodes,
                w.dflowing, w.dframes, b.dfriction,
            ],
        )  # fmt: skip
        self.pressure.mean_vjp(program)
        self.memory.mean_vjp(program)
        press = [self.contact.dpress] if self.contact is not None else []
        vectors = [w.dnodes, w.dflowing, *press, *self.memory.part("dnodes")]
        self.images.mirror(program, vectors, self.pressure.part("dnodes"))

    def _frames_vjp(self, program: Program) -> None:
        m, b, w, _, _ = self.arrays()
        count = len(m.colliders) * m.batch
        if count:
            program.phase()
            rate = 1.0 / (m.dt * self.every)
            arguments = [self.every, b.knots, self.threads, rate, w.clock, b.poses, w.dframes, b.dposes]
            program.launch(0, self._kinematics.frames_vjp, count, arguments)

    def _scatter_vjp(self, program: Program) -> None:
        """Adjoint of particles to grid and of the stress of every body."""
        m, b, w, s, a = self.arrays()
        F, C = s["deformation_gradient"], s["velocity_gradient"]
        dF, dC = a["deformation_gradient"], a["velocity_gradient"]
        program.phase()
        self.each(
            program, self._transfers.p2g_vjp, 0, m.particle_count, m.particle_count,
            lambda first, t: [
                m.grid, first, m.particle_count, w.clock, b.base_of, b.gravity, b.mass, b.volume,
                s["position"], s["velocity"], C, w.tau, w.dnodes,
                a["position"], a["velocity"], dC, w.dtau, b.dmass, b.dgravity,
            ],
        )  # fmt: skip
        if self.contact is not None:
            self.contact.record_push_vjp(program)
            self.contact.record_weigh_vjp(program)
        for body in self.binding.bodies:
            if body.muscle is not None:
                self.each(
                    program, muscle_kernels(m.precision).contract_vjp, body.start, body.end, m.particle_count,
                    lambda first, t, body=body: [
                        *self._muscle(body, first), F, w.dtau, dF, body.muscle.dstrength, body.muscle.dparticles,
                    ],
                )  # fmt: skip
            kernels = body.kernels
            if kernels is None:
                body.external.stress.record_stress_vjp(program)
            else:
                self.each(
                    program, kernels.stress_vjp, body.start, body.end, m.particle_count,
                    lambda first, t, body=body: [
                        first, body.start, m.particle_count, w.clock, body.coefficients, F, C, w.dtau, dF, dC,
                        body.dcoefficients,
                    ],
                )  # fmt: skip
        self.pressure.spread_vjp(program)
        self.memory.spread_vjp(program)

    def collect_controls(self) -> None:
        """Add what the particles gathered over a control interval to the adjoint of its activation."""
        for body in self.binding.bodies:
            if body.muscle is not None:
                m = body.muscle
                wp.launch(
                    muscle_kernels(self.model.precision).collect,
                    dim=body.end - body.start,
                    inputs=[
                        body.items,
                        self.every,
                        m.intervals,
                        m.groups,
                        self.work.clock,
                        m.group,
                        m.dparticles,
                        m.dactivation,
                    ],
                    device=self.model.device,
                )
