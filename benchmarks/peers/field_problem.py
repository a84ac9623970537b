"""The problem of fields that every peer solves: steps of an equation in a periodic box, and a gradient by its start.

Two-dimensional Navier-Stokes in vorticity form, w_t + u . grad w = nu lap w, on [0, 2 pi]^2 from a few random waves, or
Kuramoto-Sivashinsky's u_t + u u_x + u_xx + u_xxxx = 0 on [0, 60] from 32 weak noises; ETDRK2 or ETDRK4 with dealiasing by
the two-thirds rule, and the loss mean(field(T)^2).
"""

import dataclasses
import math
import os

import numpy as np

FLOW, FLAME = "navier_stokes", "kuramoto_sivashinsky"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldProblem:
    """Numbers of one run; plain values only, so that it crosses a pipe as JSON.

    Args:
        equation: "navier_stokes" or "kuramoto_sivashinsky".
        points: along each side of the box.
        batch: environments.
        order: of the exponential Runge-Kutta method.
        steps: of one run.
        dt: step [s].
        viscosity: of the flow [m^2/s].
        dtype: "float32" or "float64".
    """

    equation: str = FLOW
    points: int = 128
    batch: int = 1
    order: int = 2
    steps: int = 50
    dt: float = 1e-3
    viscosity: float = 1e-3
    dtype: str = "float64"

    @property
    def axes(self) -> int:
        return 2 if self.equation == FLOW else 1

    @property
    def length(self) -> float:
        """Side of the box [m]."""
        return 2.0 * math.pi if self.equation == FLOW else 60.0

    @property
    def particle_count(self) -> int:
        """Points of all environments: what a rate counts here."""
        return self.batch * self.points**self.axes

    def start(self) -> np.ndarray:
        """Initial field, shape [batch, y, x] or [batch, x]."""
        rng = np.random.default_rng(0)
        if self.equation == FLAME:
            noise = 0.1 * rng.standard_normal((self.batch, self.points))
            return noise - noise.mean(axis=1, keepdims=True)
        x = self.length / self.points * np.arange(self.points)
        waves = range(-5, 6)
        field = np.zeros((self.batch, self.points, self.points))
        for ky in waves:
            for kx in waves:
                wave = np.cos(kx * x + ky * x[:, None] + rng.uniform(0.0, 2.0 * math.pi, (self.batch, 1, 1)))
                field += 0.3 * rng.standard_normal((self.batch, 1, 1)) * wave
        return field - field.mean(axis=(1, 2), keepdims=True)


def pin() -> None:
    """Keep this process on one core, before any library counts them."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in ("OMP_NUM_THREADS", "NPROC"):
        os.environ[name] = "1"
