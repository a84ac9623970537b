"""The problem through Pliant's public interface: a scene, a model, a rollout, forward and backward."""

import functools
import os
from typing import Any

import numpy as np

import sim
from benchmarks.peers.problem import GOAL, Problem
from benchmarks.peers.serve import serve
from sim import materials, shapes

LAWS = ("NeoHookean", "FixedCorotated", "torch")


class PliantMpm:
    """One body called "jelly" in the unit box.

    Args:
        law: "NeoHookean", "FixedCorotated", or "torch" for a 9-64-64-9 network called every substep.
        checkpoint_every: as in `Model.rollout`; None keeps every state.
        floor: adds a plane with friction below the body and lets it run into it.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        threads: int | None = None,
        law: str = "NeoHookean",
        checkpoint_every: int | str | None = None,
        floor: bool = False,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        self.problem, self.law, self.floor = problem, law, floor
        self.build_options = {"threads": threads, "device": device, "dtype": dtype}
        self.checkpoint_every = problem.steps if checkpoint_every is None else checkpoint_every
        self.start = {"jelly.position": problem.positions()[None], "jelly.velocity": problem.velocities()[None]}
        self.trajectory: Any = None
        self.gradients: Any = None

    def material(self) -> Any:
        problem = self.problem
        options = {"youngs_modulus": problem.youngs_modulus, "poissons_ratio": problem.poissons_ratio}
        if self.law == "torch":
            from benchmarks.peers.torch_law import network_law

            return network_law()
        return getattr(materials, self.law)(**options)

    @functools.cached_property
    def rollout(self) -> Any:
        """Built on first use, so that a cold start has the compilation inside its time."""
        problem = self.problem
        wall = problem.wall / problem.grid
        high = (problem.grid - 1 - problem.wall) / problem.grid
        scene = sim.Scene(
            gravity=(0.0, 0.0, problem.gravity),
            extent=((wall,) * 3, (high,) * 3),
            cell_size=1.0 / problem.grid,
            walls="separating",
        )
        cube = shapes.Box(problem.side * problem.spacing, center=tuple(problem.center))
        scene.add_mpm(cube, self.material(), density=problem.density, spacing=problem.spacing, name="jelly")
        if self.floor:
            bottom = problem.center[2] - 0.5 * problem.side * problem.spacing
            scene.add_collider(shapes.Plane(center=(0.5, 0.5, bottom)), friction=0.4, name="floor")
        model = scene.build(dt=problem.dt, **self.build_options)
        return model.rollout(problem.steps, record_every=problem.steps, checkpoint_every=self.checkpoint_every)

    def forward(self) -> None:
        self.trajectory = self.rollout.forward(self.start)

    def gradient(self) -> None:
        self.forward()
        positions = self.trajectory["jelly.position"]
        adjoint = np.zeros_like(positions)
        adjoint[-1] = 2 * (positions[-1] - np.asarray(GOAL)) / self.problem.particle_count
        self.gradients = self.rollout.backward({"jelly.position": adjoint})

    compile = gradient

    def result(self) -> dict[str, np.ndarray]:
        return {name: self.trajectory[f"jelly.{name}"][-1, 0] for name in ("position", "velocity")}

    def derivatives(self) -> dict[str, np.ndarray]:
        return {name: self.gradients[f"jelly.{name}"][0] for name in ("position", "velocity")}

    def figures(self) -> dict[str, float]:
        """Nothing beside the times."""
        return {}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    serve(PliantMpm)
