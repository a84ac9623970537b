"""The problem of fields by exponax on JAX: a compiled scan of steps, and its reverse-mode gradient."""

from typing import Any

import numpy as np

from benchmarks.peers.field_problem import FLAME, FieldProblem, pin
from benchmarks.peers.serve import serve


class ExponaxFields:
    """Everything compiled: the rollout, and its value with gradient."""

    def __init__(self, problem: FieldProblem) -> None:
        import jax

        jax.config.update("jax_enable_x64", problem.dtype == "float64")
        jax.config.update("jax_platforms", "cpu")
        import exponax
        import jax.numpy as jnp

        self.jax = jax
        size = (problem.axes, problem.length, problem.points, problem.dt)
        kept = (problem.points - 1) // 3  # modes; exponax keeps those up to fraction * points / 2 - 1
        options = {"order": problem.order, "dealiasing_fraction": (kept + 1.5) / (problem.points // 2)}
        if problem.equation == FLAME:
            stepper = exponax.stepper.KuramotoSivashinskyConservative(*size, **options)
        else:
            stepper = exponax.stepper.NavierStokesVorticity(*size, diffusivity=problem.viscosity, **options)
        self.start = jnp.asarray(problem.start()[:, None].astype(problem.dtype))
        run = jax.vmap(exponax.repeat(stepper, problem.steps))
        self.run = jax.jit(run)
        self.pull = jax.jit(jax.value_and_grad(lambda start: jnp.mean(run(start) ** 2)))
        self.field: Any = None
        self.derivative: Any = None

    def forward(self) -> None:
        self.field = self.run(self.start).block_until_ready()

    def gradient(self) -> None:
        _, self.derivative = self.jax.block_until_ready(self.pull(self.start))

    def result(self) -> dict[str, np.ndarray]:
        return {"field": np.asarray(self.field)[:, 0]}

    def derivatives(self) -> dict[str, np.ndarray]:
        return {"field": np.asarray(self.derivative)[:, 0]}


if __name__ == "__main__":
    pin()
    serve(ExponaxFields, FieldProblem)
