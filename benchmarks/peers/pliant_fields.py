"""The problem of fields through Pliant's public interface: a box, a model, a rollout, forward and backward."""

import time
from typing import Any

import numpy as np
import warp as wp

from benchmarks.peers.field_problem import FLAME, FieldProblem, pin
from benchmarks.peers.serve import serve
from sim.spectral import PeriodicBox, equations
from sim.spectral.arrays import HostArrays

TRANSFORMS = ("forward_real", "backward_real", "forward", "backward")


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
        """The gradient with the time inside the transforms counted."""
        spent = [0.0]

        def counted(transform: Any) -> Any:
            def run(*arguments: Any) -> Any:
                start = time.thread_time()
                made = transform(*arguments)
                spent[0] += time.thread_time() - start
                return made

            return run

        plain = {name: getattr(HostArrays, name) for name in TRANSFORMS}
        for name, transform in plain.items():
            setattr(HostArrays, name, staticmethod(counted(transform)))
        try:
            start = time.thread_time()
            self.gradient()
            self.outside = 1.0 - spent[0] / (time.thread_time() - start)
        finally:
            for name, transform in plain.items():
                setattr(HostArrays, name, staticmethod(transform))

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
