"""An active fluid through Pliant's public interface, and how much of a step its transforms take."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import warp as wp

from benchmarks.peers.active_problem import ActiveProblem
from benchmarks.peers.field_problem import pin
from benchmarks.peers.pliant_fields import TRANSFORMS
from benchmarks.peers.serve import serve
from pliant.scenes.closure_data import first_order
from pliant.sim.spectral import PeriodicBox, equations
from pliant.sim.spectral.arrays import HostArrays

SIDE, FIRST_ORDER = 10.0, 0.5


class PliantActive:
    """One fluid called "fluid"."""

    def __init__(self, problem: ActiveProblem, device: str = "cpu") -> None:
        self.problem, self.device = problem, device
        box = PeriodicBox((SIDE, SIDE), (problem.points, problem.points))
        order = FIRST_ORDER + first_order(box, 0)
        options = {"activity": problem.activity, "alignment": problem.alignment, "constraint": 0.8}
        if problem.directions:
            kinetic = equations.KineticActiveFluid(directions=problem.directions, **options)
            waves = (order[..., None] * np.exp(-2j * kinetic.angles)).real
            box.add_field(kinetic, name="fluid", distribution=(1.0 + 2.0 * waves) / (2.0 * np.pi))
        else:
            moments = equations.ActiveFluid(**options)
            box.add_field(moments, name="fluid", concentration=1.0, order=np.stack([order.real, order.imag], axis=-1))
        model = box.build(dt=problem.dt, integrator="SBDF2", dtype=problem.dtype, device=device)
        self.ahead = model.rollout(problem.steps, record_every=problem.steps, record=("order",), gradient=False)
        self.model = model
        self.order: Any = None
        self.spent = 0.0

    def forward(self) -> None:
        self.order = self.ahead.forward()["fluid.order"]

    def gradient(self) -> None:
        rollout = self.model.rollout(self.problem.steps, record_every=self.problem.steps, record=("order",))
        self.order = rollout.forward()["fluid.order"]
        rollout.backward({"fluid.order": np.asarray(self.order)})

    def profile(self) -> None:
        """The run with the time inside the transforms counted."""
        with counted() as spent:
            start = time.thread_time()
            self.forward()
            whole = time.thread_time() - start
        self.spent = whole / spent[0]

    def result(self) -> dict[str, np.ndarray]:
        return {"order": self.order[-1]}

    def figures(self) -> dict[str, float]:
        """Time of a run over that inside its transforms, of the last profile."""
        return {"over_transforms": self.spent}


@contextlib.contextmanager
def counted() -> Iterator[list[float]]:
    """Seconds of this thread inside the transforms of the CPU, in a list of one."""
    spent = [0.0]

    def timed(transform: Any) -> Any:
        def run(*arguments: Any) -> Any:
            start = time.thread_time()
            made = transform(*arguments)
            spent[0] += time.thread_time() - start
            return made

        return run

    plain = {name: getattr(HostArrays, name) for name in TRANSFORMS[HostArrays]}
    for name, transform in plain.items():
        setattr(HostArrays, name, staticmethod(timed(transform)))
    try:
        yield spent
    finally:
        for name, transform in plain.items():
            setattr(HostArrays, name, staticmethod(transform))


if __name__ == "__main__":
    pin()
    wp.config.quiet = True
    serve(PliantActive, ActiveProblem)
