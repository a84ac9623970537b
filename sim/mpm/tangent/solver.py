"""Forward mode: the derivative of recorded arrays along directions of the parameters, carried through the substeps.

Where the adjoint gives the gradient of one number with respect to everything, this gives the derivative of everything
with respect to a few numbers: the Jacobian of Gauss-Newton methods. Both walk the same kernels, so that

    <J direction, weights> = <direction, J^T weights>

to round-off. Measured in float64 on 1000 particles, one direction costs as much as 1.8 adjoints for an elastic law
and 2.8 for a plastic one, whose Jacobian all directions share, and each further direction 0.5. Memory does not grow
with the number of substeps.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import warp as wp

from pliant.sim.model import Model
from pliant.sim.mpm.binding import Binding
from pliant.sim.mpm.inside import keep_kernels
from pliant.sim.mpm.particle_contact import ParticleContact
from pliant.sim.mpm.solver import MPMSolver
from pliant.sim.mpm.state import State
from pliant.sim.mpm.tangent.binding import TangentBinding
from pliant.sim.mpm.tangent.grid import grid_tangents
from pliant.sim.mpm.tangent.laws import law_tangents, muscle_tangent
from pliant.sim.mpm.tangent.memory import MemoryTangent
from pliant.sim.mpm.tangent.pressure import PressureTangent
from pliant.sim.mpm.tangent.touch import touch_tangents
from pliant.sim.mpm.tangent.transfers import transfer_tangents
from pliant.sim.program import Program
from pliant.sim.status import Code, SimulationError, Status

SLOTS = 64  # states kept at a time


class TangentSolver(MPMSolver):
    """Steps a model forward together with the tangents of its state."""

    def __init__(self, model: Model, binding: Binding, tangent: TangentBinding, *, every: int):
        self.tangent = tangent
        self.pressure_tangent, self.memory_tangent = PressureTangent(self, tangent), MemoryTangent(self, tangent)
        super().__init__(model, binding, slots=SLOTS + 1, every=every, gradient=False)

    def _compile(self, gradient: bool) -> None:
        super()._compile(gradient)
        p = self.model.precision
        groups: list[tuple] = [transfer_tangents(p), grid_tangents(p)]
        groups += [law_tangents(body.law, p) for body in self.binding.bodies]
        groups += [touch_tangents(p)] if self.contact else []
        groups += [self.pressure_tangent.kernels] if self.pressure.bodies else []
        groups += [self.memory_tangent.kernels] if self.memory.used else []
        groups += [(muscle_tangent(p),)] if any(body.muscle for body in self.binding.bodies) else []
        modules = list({id(k.module): k.module for group in groups for k in group if k is not None}.values())
        wp.force_load(self.model.device, modules=modules, max_workers=2)

    def _build_forward(self) -> Program:
        program = Program(self.model.device, self.threads)
        self._frames(program)
        self._frames_tangent(program)
        self._scatter(program, keep=False)
        self._scatter_tangent(program)
        self._update(program, keep=1)
        self._update_tangent(program)
        self._gather(program)
        self.pressure_tangent.gather(program)  # reads the tangents of the state before they change in place
        self.memory_tangent.gather(program)
        self._gather_tangent(program)
        self._return_maps(program)
        self.pressure_tangent.relax(program)
        self.pressure.relax(program)
        self.memory_tangent.carry(program)
        self.memory.carry(program)
        self._keep(program)
        self._keep_tangent(program)
        self._tick(program, 1)
        return program

    def _frames_tangent(self, program: Program) -> None:
        m, b, w, _, _ = self.arrays()
        count, dot = len(m.colliders) * m.batch, self.tangent
        if count:
            rate = 1.0 / (m.dt * self.every)
            arguments = [self.every, b.knots, rate, dot.count, w.clock, b.poses, dot.poses, dot.frames]
            program.launch(0, grid_tangents(m.precision).frames, count, arguments)

    def _scatter_tangent(self, program: Program) -> None:
        """Tangents of the stress of every body, then of particles to grid; each particle follows its own stress."""
        m, b, w, s, _ = self.arrays()
        p, dot, F, C = m.precision, self.tangent, s["deformation_gradient"], s["velocity_gradient"]
        F_dot, C_dot = dot.state["deformation_gradient"], dot.state["velocity_gradient"]
        for body, own in zip(self.binding.bodies, dot.bodies, strict=True):
            self.each(
                program, law_tangents(body.law, p).stress, body.start, body.end, m.particle_count,
                lambda first, t, body=body, own=own: [
                    first, body.start, body.end, m.particle_count, dot.count, w.clock, body.coefficients, F, C,
                    own.coefficients, F_dot, C_dot, dot.tau,
                ],
            )  # fmt: skip
            if body.muscle is not None:
                self.each(
                    program, muscle_tangent(p), body.start, body.end, m.particle_count,
                    lambda first, t, body=body, own=own: [
                        *self._muscle(body, first), F, dot.count, own.strength, own.activation, F_dot, dot.tau,
                    ],
                )  # fmt: skip
        nodes = dot.count * m.node_count
        self.each(
            program, transfer_tangents(p).p2g, 0, m.particle_count, m.particle_count,
            lambda first, t: [
                m.grid, first, m.particle_count, dot.count, m.node_count, w.clock, b.base_of, b.gravity, b.mass, b.volume,
                s["position"], s["velocity"], C, w.tau, dot.gravity, dot.mass,
                dot.state["position"], dot.state["velocity"], C_dot, dot.tau, dot.nodes[t * nodes : (t + 1) * nodes],
            ],
        )  # fmt: skip
        if self.contact is not None:
            self._push_tangent(program, self.contact)
            self._weigh_tangent(program)
        self.pressure_tangent.spread(program)
        self.memory_tangent.spread(program)

    def _update_tangent(self, program: Program) -> None:
        m, b, w, _, _ = self.arrays()
        (items, lines, span), dot = self.pieces(), self.tangent
        press = [dot.press] if self.contact is not None else []
        vectors = [dot.nodes, dot.flowing, *press, *self.memory_tangent.part("nodes")]
        self.images.fold(program, vectors, self.pressure_tangent.part("nodes"))
        program.phase()
        self.each(
            program, grid_tangents(m.precision).update, 0, items, items,
            lambda first, t: [
                m.grid, first, lines, span, self.threads, m.batch, t, dot.count, m.walls, w.clock, w.active, w.slabs,
                w.flowing, m.ruled_solids, w.frames, b.friction, m.distances, w.nodes,
                dot.frames, dot.friction, dot.nodes, dot.flowing, dot.velocity, dot.wrench,
            ],
        )  # fmt: skip
        if self.contact is not None:
            self._rub_tangent(program, self.contact)
        self.pressure_tangent.mean(program)
        self.memory_tangent.mean(program)
        vectors = [dot.velocity, *self.memory_tangent.part("means")]
        self.images.mirror(program, vectors, self.pressure_tangent.part("means"))

    def _push_tangent(self, program: Program, contact: ParticleContact) -> None:
        m, b, w, s, _ = self.arrays()
        dot, kernel = self.tangent, touch_tangents(m.precision).push
        nodes, press = dot.count * m.node_count, dot.count * m.node_count * contact.colliders
        for body, own in zip(self.binding.bodies, dot.bodies, strict=True):
            if body.touch is not None:
                contact.each_block(
                    program, kernel, body,
                    lambda first, last, t, body=body, own=own: [
                        *contact.lead(body, first, t), *contact.near, s["position"], s["velocity"],
                        s["velocity_gradient"], body.touch.modulus,
                        body.touch.damping, m.rounded_solids, m.roundings, w.frames, m.distances, dot.count, dot.state["position"],
                        dot.state["velocity"], dot.state["velocity_gradient"], own.contact_stiffness, own.contact_damping, dot.frames,
                        dot.nodes[t * nodes : (t + 1) * nodes], dot.press[t * press : (t + 1) * press],
                        dot.lever[t * press : (t + 1) * press], dot.wrench,
                    ],
                )  # fmt: skip

    def _weigh_tangent(self, program: Program) -> None:
        m, b, w, s, _ = self.arrays()
        dot, nodes = self.tangent, self.tangent.count * m.node_count
        for body in self.binding.bodies:
            if body.touch is None:
                self.each(
                    program, touch_tangents(m.precision).weigh, body.start, body.end, m.particle_count,
                    lambda first, t: [
                        m.grid, first, m.particle_count, dot.count, m.node_count, w.clock, b.base_of, b.mass,
                        s["position"], dot.mass, dot.state["position"], dot.flowing[t * nodes : (t + 1) * nodes],
                    ],
                )  # fmt: skip

    def _rub_tangent(self, program: Program, contact: ParticleContact) -> None:
        m, b, w, _, _ = self.arrays()
        (items, lines, span), dot = self.pieces(), self.tangent
        self.each(
            program, touch_tangents(m.precision).rub, 0, items, items,
            lambda first, t: [
                m.grid, first, lines, span, self.threads, m.batch, contact.colliders, t, dot.count, m.walls, w.clock,
                contact.touched, contact.slabs, w.frames, b.friction, contact.press, contact.lever, contact.before, dot.frames,
                dot.friction, dot.press, dot.lever, dot.velocity, dot.wrench,
            ],
        )  # fmt: skip

    def _gather_tangent(self, program: Program) -> None:
        """Tangents of grid to particles, then of the return maps, which read the trial that grid to particles wrote."""
        m, b, w, s, _ = self.arrays()
        dot, F, F_dot = self.tangent, s["deformation_gradient"], self.tangent.state["deformation_gradient"]
        self.each(
            program, transfer_tangents(m.precision).g2p, 0, m.particle_count, m.particle_count,
            lambda first, t: [
                m.grid, first, m.particle_count, dot.count, m.node_count, w.clock, b.base_of, w.velocity,
                s["position"], s["velocity"], s["velocity_gradient"], F, dot.velocity,
                dot.state["position"], dot.state["velocity"], dot.state["velocity_gradient"], F_dot,
            ],
        )  # fmt: skip
        for body, own in zip(self.binding.bodies, dot.bodies, strict=True):
            kernel = law_tangents(body.law, m.precision).return_map
            if kernel is not None:
                self.each(
                    program, kernel, body.start, body.end, m.particle_count,
                    lambda first, t, body=body, own=own: [
                        first, body.start, body.end, m.particle_count, dot.count, w.clock, body.coefficients, F,
                        own.coefficients, F_dot,
                    ],
                )  # fmt: skip

    def _keep_tangent(self, program: Program) -> None:
        m, _, w, s, _ = self.arrays()
        dot = self.tangent
        if m.kept_within:
            self.each(
                program, keep_kernels(m.precision).keep_tangent, 0, m.particle_count, m.particle_count,
                lambda first, t: [
                    *m.kept_within, first, m.particle_count, dot.count, w.clock, s["position"], dot.state["position"],
                ],
            )  # fmt: skip


def derivatives(
    binding: Binding, start: State, directions: Mapping[str, Any], *, frame_steps: list[int], every: int,
    record: tuple[str, ...],
) -> dict[str, np.ndarray]:  # fmt: skip
    """Derivatives of the recorded arrays, name -> [direction, frame, batch, item, ...], along directions of parameters.

    Args:
        binding: of a rollout, with the values set at which the derivative is taken.
        start: the state the run starts from.
        directions: parameter name -> [direction, *shape of the value as it was given]; others do not change.
        frame_steps: substeps at which frames are recorded, from 0 on.
        every: substeps between control values.
        record: fields of the particles.

    Errors: `InputError` for what `directions` gets wrong; `SimulationError` for a derivative that is not finite.
    """
    tangent = TangentBinding(binding, directions)
    solver = TangentSolver(binding.model, binding, tangent, every=every)
    solver.states.write(0, start)
    frames = _Frames(tangent, len(frame_steps), record)
    frames.capture(0, 1)
    done, slot = 0, 0
    solver.set_clock(0, 0)
    for frame, step in enumerate(frame_steps[1:], start=1):
        span = step - done
        while done < step:
            if slot == SLOTS:
                solver.states.copy(0, solver.states, SLOTS)
                solver.set_clock(done, 0)
                slot = 0
            advance = min(step - done, SLOTS - slot)
            solver.advance(advance)
            done, slot = done + advance, slot + advance
        frames.capture(frame, span)
    return frames.arrays()


class _Frames:
    """Derivatives of the recorded frames on the host."""

    def __init__(self, tangent: TangentBinding, frames: int, record: tuple[str, ...]):
        self.tangent, self.model = tangent, tangent.model
        dtype, lead = self.model.precision.numpy, (tangent.count, frames)
        tails = {n: tangent.state[n].dtype._shape_ for n in record}
        self.fields = {n: np.zeros((*lead, self.model.particle_count, *tail), dtype) for n, tail in tails.items()}
        self.wrenches = np.zeros((*lead, len(self.model.colliders), self.model.batch, 6), dtype)

    def capture(self, frame: int, span: int) -> None:
        """Copy the tangents of the state, and of the mean wrench over the `span` substeps since the last frame."""
        count = self.tangent.count
        for name, table in self.fields.items():
            table[:, frame] = self.tangent.state[name].numpy().reshape(count, *table.shape[2:])
        if self.model.colliders:
            shape = (self.model.threads, count, *self.wrenches.shape[2:])
            self.wrenches[:, frame] = self.tangent.wrench.numpy().reshape(shape).sum(axis=0) / span
            self.tangent.wrench.zero_()

    def arrays(self) -> dict[str, np.ndarray]:
        made = {}
        for body in self.tangent.binding.bodies:
            for field, table in self.fields.items():
                part = table[:, :, body.start : body.end]
                shape = (*table.shape[:2], self.model.batch, body.items, *table.shape[3:])
                made[f"{body.model.name}.{field}"] = part.reshape(shape)
        for index, collider in enumerate(self.model.colliders):
            made[f"{collider.name}.wrench"] = self.wrenches[:, :, index]
        for name, array in made.items():
            _check_finite(name, array)
        return made


def _check_finite(name: str, array: np.ndarray) -> None:
    bad = ~np.isfinite(array)
    if bad.any():
        direction, frame = (int(i) for i in np.argwhere(bad)[0][:2])
        raise SimulationError(
            Status(Code.NOT_FINITE, 0, frame, name,
                   f"the derivative of '{name}' along direction {direction} is not finite from frame {frame} on; run "
                   "sim.check_gradients to see where sensitivities grow, and shorten the horizon or soften the contact.")
        )  # fmt: skip
