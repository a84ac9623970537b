"""Recorded motions for the training problems: a scene run with its own law, or a trajectory saved before."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import sim
from scenes.registry import find_scene
from sim.mpm.state import FIELDS
from sim.trajectory import host_array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Motion:
    """What moved, how it was seen, and how it truly was.

    Args:
        scene: the scene, with the true law where it is known.
        body: the body whose law is wanted.
        dt: substep [s].
        every: substeps between recorded frames.
        truth, seen: name -> array [frame, 1, item, ...]; `seen` may carry noise.
    """

    scene: sim.Scene
    body: str
    dt: float
    every: int
    truth: Mapping[str, np.ndarray]
    seen: Mapping[str, np.ndarray]

    @property
    def steps(self) -> int:
        """Substeps recorded."""
        return (len(self.truth[f"{self.body}.position"]) - 1) * self.every

    @property
    def size(self) -> float:
        """Largest side of the body's bounds at the start [m]."""
        return float(np.ptp(self.truth[f"{self.body}.position"][0, 0], axis=0).max())

    def start(self) -> dict[str, np.ndarray]:
        """Every recorded field at the first frame, as parameter values."""
        return {name: array[0, :1] for name, array in self.truth.items()}

    def start_and_positions(self) -> dict[str, np.ndarray]:
        """All positions as they were seen, and the other fields at the start only."""
        return {n: a if n.endswith(".position") else a[:1] for n, a in self.seen.items()}

    def rigid_start(self) -> tuple[np.ndarray, np.ndarray]:
        """Velocity [m/s] of the body's centre and angular velocity [rad/s] that fit the first two frames seen best.

        Of all v + w x (x - centre), the one closest to (x_1 - x_0) / (t_1 - t_0) in the mean square.
        """
        first, second = (np.asarray(self.seen[f"{self.body}.position"][frame, 0], float) for frame in (0, 1))
        speed, arm = (second - first) / (self.every * self.dt), first - first.mean(axis=0)
        inertia = (arm**2).sum() * np.eye(3) - arm.T @ arm
        return speed.mean(axis=0), np.linalg.lstsq(inertia, np.cross(arm, speed).sum(axis=0), rcond=None)[0]

    def tracked(self, count: int, seed: int) -> list[int]:
        """Particles that are seen: all, or some drawn at random."""
        items = self.truth[f"{self.body}.position"].shape[2]
        if not 0 <= count <= items:
            raise sim.InputError(f"tracked: expected 0 to {items} particles, got {count}; correct it.")
        chosen = np.random.default_rng(seed).permutation(items)[: count or items]
        return sorted(int(i) for i in chosen)

    def thinned(self, every: int) -> "Motion":
        """The motion with a frame every so many substeps.

        Errors: `InputError` unless that is a multiple of what was recorded, and leaves at least one frame after the first.
        """
        stride, rest = divmod(every, self.every)
        if every < 1 or rest or stride * self.every > self.steps:
            raise sim.InputError(
                f"record_every: expected a multiple of the {self.every} substeps between recorded frames, up to {self.steps}, "
                f"got {every}; choose another."
            )
        last = self.steps // every * stride
        truth, seen = ({n: a[: last + 1 : stride] for n, a in arrays.items()} for arrays in (self.truth, self.seen))
        return dataclasses.replace(self, every=every, truth=truth, seen=seen)

    def noisy(self, level: float, seed: int) -> "Motion":
        """Gaussian noise of `level` times the body's size on the positions seen after the first frame."""
        if not level:
            return self
        rng, name = np.random.default_rng(seed), f"{self.body}.position"
        noise = (level * self.size) * rng.standard_normal(self.seen[name].shape)
        noise[0] = 0.0
        return dataclasses.replace(self, seen={**self.seen, name: (self.seen[name] + noise).astype(noise.dtype)})


def load_motion(data: str, body: str | None, steps: int, device: str, dtype: str) -> Motion:
    """The motion of a scene, NAME or NAME:VARIANT or a .py file, run for `steps` substeps; or that of a saved trajectory.

    Errors: `InputError` for an unknown scene or variant, a file without its scene, an unknown body.
    """
    if data.endswith(".npz"):
        return _saved(Path(data), body, steps)
    name, _, variant = data.partition(":")
    spec = find_scene(name)
    scene = spec.build(variant) if variant else spec.build()
    recorded = record_motion(scene, spec.settings.dt, steps, every=1, device=device, dtype=dtype)
    return _motion(scene, body, spec.settings.dt, 1, recorded)


def record_motion(
    scene: sim.Scene,
    dt: float,
    steps: int,
    *,
    every: int,
    device: str,
    dtype: str,
    start: Mapping[str, Any] | None = None,
) -> sim.Trajectory:
    """The scene's motion with the full state in every frame; it ends early, with its status, when the run fails."""
    model = scene.build(dt=dt, device=device, dtype=dtype, threads=1)
    rollout = model.rollout(steps, record_every=every, record=FIELDS, gradient=False)
    return rollout.forward(start, check=start is None)


def _saved(path: Path, body: str | None, steps: int) -> Motion:
    recorded = sim.Trajectory.load(path)
    dt, times = recorded.metadata.get("dt"), recorded.times
    if dt is None or "scene" not in recorded.metadata:
        raise sim.InputError(f"{path}: expected a trajectory with its scene, got one without; save it from a rollout.")
    every = round(float(times[1] - times[0]) / dt)
    if not np.allclose(np.diff(times), every * dt, rtol=1e-6):
        raise sim.InputError(f"{path}: expected frames at equal intervals, got others; resample or record it anew.")
    return _motion(sim.Scene.from_dict(recorded.metadata["scene"]), body, dt, every, recorded)


def _motion(scene: sim.Scene, body: str | None, dt: float, every: int, recorded: sim.Trajectory) -> Motion:
    names = [entry["name"] for entry in scene.bodies]
    chosen = body or (names[0] if len(names) == 1 else "")
    if chosen not in names:
        raise sim.InputError(f"body: expected one of {names}, got {body!r}; name the one whose law is wanted.")
    arrays = {n: np.asarray(host_array(recorded[n])) for n in recorded if n.rpartition(".")[2] in FIELDS}
    return Motion(scene=scene, body=chosen, dt=dt, every=every, truth=arrays, seen=arrays)
