"""Runs of an active fluid for its learned closure: the kinetic theory as truth, the moments with a closure beside it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from pliant import sim
from pliant.learn.identify.closure import Moments
from pliant.sim.spectral import PeriodicBox, equations
from pliant.sim.spectral.active.flow import flow_of

Point = tuple[float, float]
"""Activity alpha and alignment zeta."""

FIRST_WAVES, FIRST_ORDER = 2, 0.02  # of the order a run starts from: wave numbers along an axis, and size of a wave


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suspension:
    """What runs have in common."""

    resolution: int = 40
    side: float = 10.0
    constraint: float = 0.8
    diffusivity: float = 0.05
    directions: int = 31
    dtype: str = "float32"

    @property
    def spacing(self) -> float:
        """Of the points [m]."""
        return self.side / self.resolution

    def box(self) -> PeriodicBox:
        return PeriodicBox((self.side, self.side), (self.resolution, self.resolution))

    def options(self, points: Sequence[Point]) -> dict[str, Any]:
        activity, alignment = np.array(points, float).T
        return {
            "activity": activity,
            "alignment": alignment,
            "constraint": self.constraint,
            "translational_diffusivity": self.diffusivity,
            "rotational_diffusivity": self.diffusivity,
        }

    def kinetic(self, points: Sequence[Point], seeds: Sequence[int], dt: float = 0.02) -> Any:
        """The kinetic theory at (alpha, zeta), an environment a point."""
        equation, box = equations.KineticActiveFluid(directions=self.directions, **self.options(points)), self.box()
        waves = (self.orders(seeds)[..., None] * np.exp(-2j * equation.angles)).real
        box.add_field(equation, name="fluid", distribution=(1.0 + 2.0 * waves) / (2.0 * np.pi))
        return box.build(dt=dt, integrator="SBDF2", dtype=self.dtype, batch=len(points))

    def moments(self, points: Sequence[Point], seeds: Sequence[int], closing: Any, dt: float = 0.02) -> Any:
        """The moments with a closure, from the same initial fields."""
        order = self.orders(seeds)
        return self.moments_from(points, 1.0, np.stack([order.real, order.imag], axis=-1), closing, dt)

    def moments_from(self, points: Sequence[Point], concentration: Any, order: np.ndarray, closing: Any, dt: float) -> Any:
        """The moments with a closure, from given fields [run, ny, nx] and [run, ny, nx, 2]."""
        box, equation = self.box(), equations.ActiveFluid(closing=closing, **self.options(points))
        box.add_field(equation, name="fluid", concentration=concentration, order=order)
        return box.build(dt=dt, integrator="SBDF2", dtype=self.dtype, batch=len(points))

    def orders(self, seeds: Sequence[int]) -> np.ndarray:
        """psi_2 [run, ny, nx] of a few long waves."""
        return np.stack([first_order(self.box(), seed) for seed in seeds])


def first_order(box: PeriodicBox, seed: int) -> np.ndarray:
    """psi_2 of a few long waves with random sizes and phases."""
    rng, waves = np.random.default_rng(seed), range(-FIRST_WAVES, FIRST_WAVES + 1)
    x, y = (2.0 * np.pi * axis / side for axis, side in zip(box.coordinates, box.lengths, strict=True))
    made = np.zeros(x.shape, complex)
    for i in waves:
        for j in waves:
            size = FIRST_ORDER * (rng.standard_normal() + 1j * rng.standard_normal())
            made += size * np.cos(i * x + j * y + rng.uniform(0.0, 2.0 * np.pi))
    return made


@dataclasses.dataclass(frozen=True)
class Recording:
    """A run and its flow: moments, velocity [frame, run, ny, nx, 2], and how it ended."""

    moments: Moments
    velocity: np.ndarray
    status: sim.Status

    @property
    def speed(self) -> np.ndarray:
        """Root mean square of the velocity [frame, run]."""
        return np.sqrt(np.square(self.velocity).sum(-1).mean((2, 3)))

    @property
    def scalar_order(self) -> np.ndarray:
        """Mean of s = |psi_2| / c over the box [frame, run]."""
        return (np.hypot(*np.moveaxis(self.moments.order, -1, 0)) / self.moments.concentration).mean((2, 3))

    def spectrum(self, first: int = 0) -> np.ndarray:
        """Energy of the velocity by whole wave number 1, 2, ... [run, wave number], mean over frames from `first`."""
        n = self.velocity.shape[2]
        hat = np.fft.fft2(self.velocity[first:], axes=(2, 3)) / n**2
        energy = 0.5 * np.square(np.abs(hat)).sum(-1).mean(0)
        k = n * np.fft.fftfreq(n)
        shell = np.rint(np.hypot(k[:, None], k)).astype(int)
        return np.stack([energy[:, shell == m].sum(-1) for m in range(1, n // 3)], axis=-1)


def record(model: Any, duration: float, every: float, *, check: bool = True) -> Recording:
    """Run a model and keep its moments every so often (times in s)."""
    names = ("concentration", "order", *(("fourth",) if "fourth" in model.frame_shapes else ()))
    steps = max(1, round(every / model.dt))
    if abs(steps * model.dt - every) > 1e-9 * every:
        raise sim.InputError(f"every: expected a multiple of dt = {model.dt:g} s, got {every:g} s; change one of them.")
    rollout = model.rollout(max(1, round(duration / every)) * steps, record_every=steps, record=names, gradient=False)
    trajectory = rollout.forward(check=check)
    flow = flow_of(model, trajectory)
    parameters = {n: model.parameters()[f"fluid.{n}"].value.copy() for n in ("activity", "alignment")}
    moments = Moments(
        parameters=parameters,
        times=trajectory.times,
        concentration=trajectory["fluid.concentration"],
        order=trajectory["fluid.order"],
        fourth=flow.fourth,
        strain_rate=flow.strain_rate,
    )
    return Recording(moments, flow.velocity, trajectory.status)
