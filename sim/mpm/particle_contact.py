"""Contact of particles with colliders on the host: who has it, how stiff it is, and its launches in a substep.

Solids are pushed by a force from their particles' positions (`touch`) with friction on the nodes (`rubbing`). What flows keeps
the grid's rule (`contact`), which no pressure breaks, and so does every collider whose surface does not let go: it holds
velocities. Where both are in a scene, the grid's rule serves of a node the share of its mass that flows.
"""

import dataclasses
import functools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import warp as wp

from pliant.sim.errors import InputError
from pliant.sim.mpm.contact import SEPARATING
from pliant.sim.mpm.nearby import HULL, SLACK, nearby_kernels
from pliant.sim.mpm.rubbing import rubbing_kernels
from pliant.sim.mpm.touch import touch_kernels
from pliant.sim.parameter import ParameterSpec
from pliant.sim.program import Program

if TYPE_CHECKING:
    from pliant.sim.model import Model
    from pliant.sim.mpm.binding import Binding
    from pliant.sim.mpm.solver import MPMSolver

BLOCK = 256  # particles a launch item on a CPU: to set up a kernel of many variables costs 35 ns
RULES = ("particle", "grid")
STABLE_SHARE = 0.9  # of the longest substep at which a particle alone on its spring does not swing up, 2 sqrt(m / k)
LAYER = 3.0  # of them make a cell, of layers as compliant as the contact: measured, see `touch`
STIFFNESS = ParameterSpec("contact_stiffness", "Pa", 0.0, meaning="modulus of the contact with colliders")
DAMPING = ParameterSpec(
    "contact_damping", "s/m", 0.0, lower_closed=True, meaning="damping of the contact (Hunt, Crossley)"
)


@dataclasses.dataclass
class BoundTouch:
    """Modulus and damping of a body's particles, and their adjoints."""

    radius: float
    modulus: wp.array
    damping: wp.array
    dmodulus: wp.array
    ddamping: wp.array


def contact_options(name: str, material: Any, contact: Any, stiffness: Any, damping: Any) -> dict[str, Any]:
    """The entries of a body's description; `InputError` for a rule that is not known or a modulus that is missing."""
    if contact is not None and contact not in RULES:
        raise InputError(f"contact: expected one of {list(RULES)} or None, got {contact!r}; correct it.")
    if stiffness is not None:
        STIFFNESS.check(stiffness, name)
    DAMPING.check(damping, name)
    if contact == "particle" and stiffness is None and not hasattr(material, "youngs_modulus"):
        raise InputError(
            f"contact: expected `contact_stiffness` [Pa] for {name!r}, whose law has no Young's modulus, got none; give "
            "its stiffness, or leave the contact to the grid."
        )
    return {"contact": contact, "contact_stiffness": stiffness, "contact_damping": damping}


def has_particle_contact(entry: dict) -> bool:
    """Whether colliders push the particles of a described body: those of solids, unless it says otherwise."""
    if entry["contact"] is not None:
        return entry["contact"] == "particle"
    return entry["contact_stiffness"] is not None or getattr(entry["material"], "is_solid", False)


def contact_modulus(entry: dict, spacing: float, cell: float, dt: float) -> Any:
    """Modulus [Pa] of a body's contact: as given, or that of a third of a cell, or what the substep allows if that is less.

    A particle of mass rho h^3 on a spring E_c h does not swing up while dt < 2 h sqrt(rho / E_c).

    Args:
        spacing: h, the cube root of the volume of a particle [m].
        cell: side of the grid's cells [m].

    Errors: `InputError` for a modulus given that the substep does not allow.
    """
    given, allowed = entry["contact_stiffness"], stiffest(entry, spacing, dt)
    if given is None:
        return np.minimum(LAYER * spacing / cell * np.asarray(entry["material"].youngs_modulus, float), allowed)
    worst = float(np.min(allowed / np.asarray(given, float)))
    if worst < 1.0:
        raise InputError(
            f"MPM: dt = {dt:.3g} s exceeds the limit {dt * worst**0.5:.3g} s of the contact of {entry['name']!r} "
            f"(contact_stiffness {float(np.max(given)):.3g} Pa, particles of {spacing:.3g} m); lower dt or contact_stiffness."
        )
    return given


def stiffest(entry: dict, spacing: float, dt: float) -> Any:
    """The largest contact modulus [Pa] that a substep allows."""
    return np.asarray(entry["density"], float) * (2.0 * STABLE_SHARE * spacing / dt) ** 2


def following(entry: dict, spacing: float, cell: float, dt: float) -> "Following | None":
    """How the contact's modulus follows Young's as it is bound, so that who identifies one does not hold the other; or None."""
    if entry["contact_stiffness"] is not None:
        return None
    return Following(LAYER * spacing / cell, stiffest(entry, spacing, dt))


@dataclasses.dataclass(frozen=True)
class Following:
    """A contact modulus of `share` times Young's modulus, up to `most` [Pa]."""

    share: float
    most: Any

    def modulus(self, youngs_modulus: np.ndarray) -> np.ndarray:
        return np.minimum(self.share * youngs_modulus, self.most)

    def slope(self, youngs_modulus: np.ndarray) -> np.ndarray:
        """Its derivative by Young's modulus."""
        return np.where(self.share * youngs_modulus < self.most, self.share, 0.0)


class ParticleContact:
    """Scratch arrays and launches of one solver."""

    def __init__(self, solver: "MPMSolver", gradient: bool):
        model = solver.model
        p, self.solver, self.model = model.precision, weakref.proxy(solver), model
        self.kernels, self.friction, self.nearby = touch_kernels(p), rubbing_kernels(p), nearby_kernels(p)
        self.bodies = [body for body in solver.binding.bodies if body.touch is not None]
        self._ruled = [body for body in solver.binding.bodies if body.touch is None]
        self.colliders, self._block = len(model.colliders), 1 if model.device.is_cuda else BLOCK
        new, entries = functools.partial(wp.zeros, device=model.device), self.colliders * model.node_count
        if entries * model.threads >= 2**31:
            raise InputError(
                f"contact: {self.colliders} colliders on {model.node_count} nodes are more than 32-bit numbers count; use "
                "contact='grid', larger cells or fewer colliders."
            )
        nx, ny, nz = model.grid_spec.counts
        full = functools.partial(wp.full, value=-1, dtype=int, device=model.device)
        self.touched, self.slabs = full(model.node_count // nz), full(model.node_count // (ny * nz))
        self.hulls = new(self.colliders * model.batch, dtype=p.vector(HULL))
        self.listed, self.number = new(model.particle_count, dtype=int), new(model.particle_count, dtype=int)
        self.press, self.lever = (new(entries * model.threads, dtype=p.vec4) for _ in range(2))
        self.before = new(model.node_count, dtype=p.vec4)
        self.crossed = new((model.particle_count, 2), dtype=int)
        self.dpress, self.dlever = (new(entries if gradient else 0, dtype=p.vec4) for _ in range(2))

    def clear(self) -> None:
        """Forget what an interrupted run left."""
        self.press.zero_()
        self.lever.zero_()

    def begin(self) -> None:
        """No particle has crossed a collider's middle."""
        self.crossed.zero_()

    def record_weigh(self, program: Program) -> None:
        """Gather the mass of what the grid's rule serves, where others are in the scene."""
        m, b, w, s = self._arrays()
        for body in self._ruled:
            self.solver.each(
                program, self.kernels.weigh, body.start, body.end, m.particle_count,
                lambda first, t: [
                    m.grid, first, m.particle_count, w.clock, b.base_of, b.mass, s["position"],
                    self.solver.copy_of(w.flowing, t),
                ],
            )  # fmt: skip

    def record_weigh_vjp(self, program: Program) -> None:
        """Adjoint of that mass, after that of the scatter."""
        m, b, w, s = self._arrays()
        for body in self._ruled:
            self.solver.each(
                program, self.kernels.weigh_vjp, body.start, body.end, m.particle_count,
                lambda first, t: [
                    m.grid, first, m.particle_count, w.clock, b.base_of, b.mass, s["position"], w.dflowing,
                    self.solver.adjoint.fields["position"], b.dmass,
                ],
            )  # fmt: skip

    def record_place(self, program: Program) -> None:
        """Place the boxes of the colliders, after their frames."""
        m, w = self.model, self.solver.work
        arguments = [m.batch, w.frames, *m.hull_corners, self.hulls]
        program.launch(0, self.nearby.place, self.colliders * m.batch, arguments)

    def record_push(self, program: Program) -> None:
        """Add the push of the colliders on the particles near them to the scattered momentum."""
        m, b, w, s = self._arrays()
        for body in self.bodies:
            self.each_block(
                program, self.nearby.find, body,
                lambda first, last, t, body=body: [
                    first, body.start, body.items, m.particle_count, m.batch, last, self._block, SLACK * body.touch.radius,
                    w.clock, s["position"], self.hulls, self.listed, self.number,
                ],
            )  # fmt: skip
            self.each_block(
                program, self.kernels.push, body,
                lambda first, last, t, body=body: [
                    *self.lead(body, first, t), *self.near, s["position"], s["velocity"], s["velocity_gradient"],
                    body.touch.modulus, body.touch.damping,
                    m.rounded_solids, m.roundings, self.hulls, m.middles, w.frames, m.distances,
                    self.solver.copy_of(w.nodes, t), self._copy(self.press, t), self._copy(self.lever, t),
                    self.touched, self.slabs, w.wrench, self.crossed,
                ],
            )  # fmt: skip

    def record_rub(self, program: Program, *, keep: int) -> None:
        """Take friction from the velocity of the nodes; in the phase of the grid's update, by the same planes."""
        m, b, w, _ = self._arrays()
        items, lines, span = self.solver.pieces()
        self.solver.each(
            program, self.friction.rub, 0, items, items,
            lambda first, t: [
                m.grid, first, lines, span, m.threads, keep, m.batch, self.colliders, t, m.walls, w.clock, self.touched,
                self.slabs, w.frames, b.friction, self.press, self.lever, w.velocity, self.before, w.wrench,
            ],
        )  # fmt: skip

    def record_rub_vjp(self, program: Program) -> None:
        """Adjoint of the friction, in the phase of that of the grid's update and before it."""
        m, b, w, _ = self._arrays()
        items, lines, span = self.solver.pieces()
        self.solver.each(
            program, self.friction.rub_vjp, 0, items, items,
            lambda first, t: [
                m.grid, first, lines, span, m.threads, m.batch, self.colliders, t, m.walls, w.clock, self.touched,
                self.slabs, w.frames, b.friction, self.press, self.lever, self.before, w.dwrench, w.dvelocity, self.dpress,
                self.dlever, w.dframes,
                b.dfriction,
            ],
        )  # fmt: skip

    def record_push_vjp(self, program: Program) -> None:
        """Adjoint of the push, after that of the scatter."""
        m, b, w, s = self._arrays()
        a = self.solver.adjoint.fields
        for body in self.bodies:
            self.each_block(
                program, self.kernels.push_vjp, body,
                lambda first, last, t, body=body: [
                    *self.lead(body, first, t), *self.near, s["position"], s["velocity"], s["velocity_gradient"],
                    body.touch.modulus, body.touch.damping,
                    m.rounded_solids, m.roundings, self.hulls, w.frames, m.distances, w.dnodes, self.dpress, self.dlever,
                    w.dwrench, a["position"], a["velocity"], a["velocity_gradient"], body.touch.dmodulus, body.touch.ddamping, w.dframes,
                ],
            )  # fmt: skip

    def warnings(self, first_step: int) -> tuple[str, ...]:
        """A sentence for every collider beyond whose middle particles have come."""
        rows = self.crossed.numpy()
        sentences = []
        for index, collider in enumerate(self.model.colliders):
            steps = rows[rows[:, 0] == index + 1, 1]
            if len(steps):
                sentences.append(
                    f"collider '{collider.name}': {len(steps)} particles sank more than halfway to its middle, the first at "
                    f"substep {first_step + int(steps.min())}, and may come out on its other side; make it thicker, move it "
                    "slower or raise `contact_stiffness`."
                )
        return tuple(sentences)

    def _arrays(self) -> tuple:
        solver = self.solver
        return self.model, solver.binding, solver.work, solver.states.fields

    def lead(self, body: Any, first: int, thread: int) -> list:
        """What the kernels of a body's particles begin with."""
        m, b, w, _ = self._arrays()
        return [
            m.grid, first, body.start, body.items, m.particle_count, m.node_count, m.batch, thread, body.touch.radius,
            w.clock, b.base_of,
        ]  # fmt: skip

    @property
    def near(self) -> tuple[int, wp.array, wp.array]:
        """Particles in a block, and the list of those near a collider in each with their number, as the kernels take them."""
        return self._block, self.listed, self.number

    def each_block(self, program: Program, kernel: wp.Kernel, body: Any, arguments: Callable) -> None:
        """Launch a kernel over blocks of a body's particles on every thread."""
        shares = self.solver.shares(body.start, body.end, self.model.particle_count)
        for thread, (first, count) in enumerate(shares):
            program.launch(thread, kernel, -(-count // self._block), arguments(first, first + count, thread))

    def _copy(self, nodes: wp.array, thread: int) -> wp.array:
        n = self.colliders * self.model.node_count
        return nodes[thread * n : (thread + 1) * n]


def pushes(model: "Model") -> bool:
    """Whether colliders push any particles of a model."""
    lets_go = any(collider.surface == SEPARATING for collider in model.colliders)
    return lets_go and any(body.radius > 0.0 for body in model.bodies)


def jumps(model: "Model", binding: "Binding", every: int, first_step: int) -> tuple[str, ...]:
    """A sentence for every collider that moves by more than its thickness in a substep, by which it passes over material."""
    sentences: list[str] = []
    if not model.colliders or binding.knots < 2:
        return ()
    positions = binding.poses.numpy().reshape(len(model.colliders), model.batch, binding.knots, -1)[..., :3]
    strides = np.linalg.norm(np.diff(positions, axis=2), axis=3).max(axis=1) / every
    for collider, stride, depth in zip(model.colliders, strides, model.middles.numpy(), strict=True):
        thickness = 2.0 * float(depth)
        if (far := stride > thickness).any():
            knot = int(far.argmax())
            sentences.append(
                f"collider '{collider.name}': moves {stride[knot]:.3g} m in a substep, more than its thickness of "
                f"{thickness:.3g} m, from substep {first_step + knot * every} on, and may pass over material; move it slower or "
                "lower `dt`."
            )
    return tuple(sentences)
