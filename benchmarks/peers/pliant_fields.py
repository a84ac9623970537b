"""The problem of fields through Pliant's public interface: a box, a model, a rollout, forward and backward."""

import contextlib
import time
from typing import Any

import numpy as np
import warp as wp

from benchmarks.peers.field_problem import FLAME, FieldProblem, pin
from benchmarks.peers.serve import serve
from pliant.sim.spectral import PeriodicBox, equations
from pliant.sim.spectral.arrays import HostArrays
from pliant.sim.spectral.native.operations import TRANSFORMS
from pliant.sim.spectral.native.recording import RecordingArrays
from pliant.sim.spectral.native.tape import Tape

CALLS = {
    HostArrays: ("forward_real", "backward_real", "forward", "backward"),
    RecordingArrays: ("forward_real", "backward_real"),
}


def transform_seconds(replayed: list[tuple[Tape, tuple[int, ...]]]) -> float:
    """What the transforms of tapes take by themselves, without the products and the factors on their way."""
    if not replayed:
        return 0.0
    alone = {id(tape): tape.part(lambda operation: operation in TRANSFORMS) for tape, _ in replayed}
    for tape in alone.values():
        tape.replay()  # makes the launch
    start = time.thread_time()
    for tape, arguments in replayed:
        alone[id(tape)].replay(*arguments)
    return time.thread_time() - start


def put(stack: contextlib.ExitStack, kind: type, name: str, function: Any, *, bound: bool) -> None:
    """Replace a class's function until the stack closes."""
    stack.callback(setattr, kind, name, kind.__dict__[name])
    setattr(kind, name, function if bound else staticmethod(function))


class PliantFields:
    """One field called "field"."""

    def __init__(self, problem: FieldProblem) -> None:
        self.problem = problem
        box = PeriodicBox((problem.length,) * problem.axes, (problem.points,) * problem.axes)
        if problem.equation == FLAME:
            self.name = "field.velocity"
            box.add_field(equations.KuramotoSivashinsky(), velocity=problem.start())
        else:
            self.name = "field.vorticity"
            box.add_field(equations.NavierStokes2D(viscosity=problem.viscosity), vorticity=problem.start())
        options = {"dt": problem.dt, "batch": problem.batch, "dtype": problem.dtype}
        model = box.build(integrator=f"ETDRK{problem.order}", **options)
        self.ahead = model.rollout(problem.steps, record_every=problem.steps, gradient=False)
        self.rollout = model.rollout(problem.steps, record_every=problem.steps)
        self.field: Any = None
        self.derivative: Any = None
        self.outside = 0.0

    def forward(self) -> None:
        self.field = self.ahead.forward()[self.name]

    def gradient(self) -> None:
        self.field = self.rollout.forward()[self.name]
        adjoint = np.zeros_like(self.field)
        adjoint[-1] = 2.0 * self.field[-1] / self.field[-1].size
        self.derivative = self.rollout.backward({self.name: adjoint}, names=[self.name])[self.name]

    def profile(self) -> None:
        """The gradient with the time inside the transforms counted: of calls, and of tapes by replaying those alone after it."""
        spent, replayed, replay = [0.0], [], Tape.replay

        def noted(tape: Tape, *arguments: int) -> None:
            replayed.append((tape, arguments))
            replay(tape, *arguments)

        def counted(transform: Any) -> Any:
            def run(*arguments: Any, **options: Any) -> Any:
                start = time.thread_time()
                made = transform(*arguments, **options)
                spent[0] += time.thread_time() - start
                return made

            return run

        with contextlib.ExitStack() as stack:
            for kind, names in CALLS.items():
                for name in names:
                    put(stack, kind, name, counted(getattr(kind, name)), bound=kind is RecordingArrays)
            put(stack, Tape, "replay", noted, bound=True)
            start = time.thread_time()
            self.gradient()
            whole = time.thread_time() - start
        self.outside = 1.0 - (spent[0] + transform_seconds(replayed)) / whole

    def result(self) -> dict[str, np.ndarray]:
        return {"field": self.field[-1]}

    def derivatives(self) -> dict[str, np.ndarray]:
        return {"field": self.derivative}

    def figures(self) -> dict[str, float]:
        return {"share_outside_transforms": self.outside}


if __name__ == "__main__":
    pin()
    wp.config.quiet = True
    serve(PliantFields, FieldProblem)
