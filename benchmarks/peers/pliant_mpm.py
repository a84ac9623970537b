"""The problem through Pliant's public interface: a scene, a model, a rollout, forward and backward."""

import functools
import os
import time
from typing import Any

import numpy as np
import warp as wp

from benchmarks.peers.problem import GOAL, Problem
from benchmarks.peers.serve import serve
from pliant import sim
from pliant.sim import materials, shapes

# Numbers that a forward substep reads or writes once. Particle: stress (F, 2 coefficients, tau), particles to grid
# (x, v, C, tau, mass, volume, gravity, environment), grid to particles (x, F, environment; x, v, C, F).
# Node: read, cleared, written.
SCALARS_A_PARTICLE = (9 + 2 + 9) + (3 + 3 + 9 + 9 + 1 + 1 + 3 + 1) + (3 + 9 + 1) + (3 + 3 + 9 + 9)
SCALARS_A_NODE = 3 * 4


class PliantMpm:
    """One body called "jelly" in the unit box.

    Args:
        law: a material of `sim.materials` with two elastic constants.
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
        self.forward_seconds = 0.0
        self.trajectory: Any = None
        self.gradients: Any = None

    def material(self) -> Any:
        problem = self.problem
        options = {"youngs_modulus": problem.youngs_modulus, "poissons_ratio": problem.poissons_ratio}
        return getattr(materials, self.law)(**options)

    @functools.cached_property
    def rollout(self) -> Any:
        """Built on first use, so that a cold start has the compilation inside its time."""
        problem = self.problem
        wall = (problem.wall - 1) / problem.grid  # the last node the peers block, on which Pliant's wall stands
        high = (problem.grid - problem.wall) / problem.grid
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
        rollout = self.rollout
        start = time.perf_counter()
        self.trajectory = rollout.forward(self.start)
        self.forward_seconds = time.perf_counter() - start

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
        """Bandwidth of the last forward run, counting every array of a substep once."""
        problem = self.problem
        scalars = SCALARS_A_PARTICLE * problem.particle_count + SCALARS_A_NODE * problem.grid**3
        size = np.dtype(self.build_options["dtype"]).itemsize
        return {"gigabytes_a_second": scalars * size * problem.steps / self.forward_seconds / 1e9}


def quieten() -> None:
    """Leave the report to the runner, and the cores to the peers that ask for them."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    wp.config.quiet = True


if __name__ == "__main__":
    quieten()
    serve(PliantMpm)
