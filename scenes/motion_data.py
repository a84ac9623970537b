"""Motions for the training problems: a scene run with its own law, a trajectory saved before, or a recording from outside."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pliant import sim
from pliant.learn.identify.alignment import check_rows, check_speed
from pliant.learn.identify.initial_velocity import estimated_velocity, recorded_velocity
from pliant.scenes.registry import SceneSpec, find_scene, scenes
from pliant.sim.materials import Material
from pliant.sim.mpm.state import FIELDS
from pliant.sim.recording_files import is_trajectory
from pliant.sim.trajectory import host_array

Velocity = Literal["scene", "recorded", "estimated"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
    """What a recording from outside does not say itself.

    Args:
        scene: the scene it is of, NAME or NAME:VARIANT or .py file; None: the one that a trajectory holds.
        dt: substep [s]; None: that of the scene.
        unit, up, offset, interval: see `sim.Recording.read`.
    """

    scene: str | None = None
    dt: float | None = None
    unit: str = "m"
    up: str = "z"
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    interval: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Motion:
    """What moved, how it was seen, and how it truly was.

    Args:
        scene: the scene, with the true law where it is known.
        body: the body whose law is wanted.
        dt: substep [s].
        recording, observed: the points of the body; those observed may carry noise.
        truth, seen: the states of all bodies frame by frame, name -> array [frame, 1, item, ...]; those seen may carry
            noise. Empty for a recording from outside.
        every: substeps between these frames; None when they are not equally spaced.
    """

    scene: sim.Scene
    body: str
    dt: float
    recording: sim.Recording
    observed: sim.Recording
    truth: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    seen: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    every: int | None = None

    @property
    def steps(self) -> int:
        """Substeps recorded."""
        return math.ceil(self.recording.duration / self.dt - 1e-6)

    @property
    def particles(self) -> np.ndarray:
        """Positions of the body's particles at the start [item, 3]."""
        name = f"{self.body}.position"
        if name in self.truth:
            return np.asarray(self.truth[name][0, 0], np.float64)
        return _particles(self.scene, self.body)

    @property
    def true_law(self) -> Material | None:
        """The law that made the motion: that of the scene, where states are known and its parameters are single numbers."""
        law = next(entry["material"] for entry in self.scene.bodies if entry["name"] == self.body)
        known = self.truth and isinstance(law, Material)
        return law if known and all(isinstance(getattr(law, s.name), float) for s in law.PARAMETERS) else None

    @property
    def size(self) -> float:
        """Largest side of the body's bounds at the start [m]."""
        return float(np.ptp(self.particles, axis=0).max())

    def start(self, velocity: Velocity = "scene", seen: sim.Recording | None = None) -> dict[str, np.ndarray]:
        """The first frame as parameter values: the states where they are known, and another velocity on demand.

        Args:
            velocity: "scene" for that of the states or the scene, "recorded" for that of the recording, "estimated" from
                the first frames of what was seen.
            seen: what was seen, for an estimate; default: the observed points, which keep their row.

        Errors: `InputError` for a recording without velocities, or too short to estimate them.
        """
        values = {name: array[0, :1] for name, array in self.truth.items()}
        if velocity == "scene":
            return values
        if velocity == "recorded":
            field = recorded_velocity(self.recording)
        else:
            field = estimated_velocity(seen or self.observed)
        return {**values, **field.start(self.body, self.particles)}

    def start_and_positions(self) -> dict[str, np.ndarray]:
        """All positions as they were seen, and the other fields at the start only."""
        return {n: a if n.endswith(".position") else a[:1] for n, a in self.seen.items()}

    def check(self, *, velocity: bool, rows: bool) -> None:
        """Raise `InputError` when a recording from outside contradicts what is taken for known of it.

        Args:
            velocity: whether the body starts as the scene says.
            rows: whether points keep their row.
        """
        if self.truth:
            return
        if rows:
            check_rows(self.recording)
        if velocity:
            entry = next(entry for entry in self.scene.bodies if entry["name"] == self.body)
            check_speed(self.recording, np.asarray(entry["velocity"]), np.asarray(self.scene.gravity), self.size)

    def tracked(self, count: int, seed: int) -> list[int]:
        """Points that are seen: all, or some drawn at random."""
        items = len(self.recording.points[0])
        if not 0 <= count <= items:
            raise sim.InputError(f"tracked: expected 0 to {items} points, got {count}; correct it.")
        chosen = np.random.default_rng(seed).permutation(items)[: count or items]
        return sorted(int(i) for i in chosen)

    def clouds(self, count: int, seed: int) -> sim.Recording:
        """What is seen without correspondence: all points of every frame, or some, in another order each."""
        most = max(self.observed.counts)
        if not 0 <= count <= most:
            raise sim.InputError(f"tracked: expected 0 to {most} points of a cloud, got {count}; correct it.")
        rng = np.random.default_rng(seed)
        points = [cloud[rng.permutation(len(cloud))[: count or len(cloud)]] for cloud in self.observed.points]
        return dataclasses.replace(
            self.observed, points=points, velocity=None, deformation_gradient=None, correspondence=False
        )

    def view(self, *, clouds: bool, tracked: int, every: int | None, seed: int) -> sim.Recording:
        """What is seen: some or all points (0), with or without correspondence, in all frames or every so many substeps."""
        seen = self.clouds(tracked, seed) if clouds else self.observed.items(self.tracked(tracked, seed))
        return seen if every is None else seen.thinned(every * self.dt)

    def noisy(self, level: float, seed: int) -> "Motion":
        """Seen with Gaussian noise of `level` times the body's size on its positions after the first frame."""
        if not level:
            return self
        rng, name = np.random.default_rng(seed), f"{self.body}.position"
        points = [self.observed.points[0]]
        points += [x + level * self.size * rng.standard_normal(x.shape) for x in self.observed.points[1:]]
        seen = dict(self.seen)
        if name in seen:
            seen[name] = np.stack(points)[:, None].astype(seen[name].dtype)
        return dataclasses.replace(self, seen=seen, observed=dataclasses.replace(self.observed, points=points))


def load_motion(
    data: str, body: str | None, steps: int, device: str, dtype: str, *, origin: Origin | None = None
) -> Motion:
    """The motion of a scene, run for `steps` substeps; or that of a recording, in the scene it is of.

    Args:
        data: scene NAME or NAME:VARIANT, scene .py file, or the path or pattern of a recording.
        body: the body that is meant; None: the only one.
        origin: of a recording.

    Errors: `InputError` for an unknown scene or variant, a recording without its scene or in another unit, an unknown body.
    """
    origin = origin or Origin()
    if not is_recording(data):
        _check_unplaced(origin, f"expected with a recording, got the scene {data!r}; leave out")
        spec, scene = _scene(data)
        dt = origin.dt or spec.settings.dt
        recorded = record_motion(scene, dt, steps, every=1, device=device, dtype=dtype)
        return _of_states(scene, _body(scene, body), dt, recorded)
    if origin.scene is None:
        _check_unplaced(
            origin, f"expected with the scene a recording is of, got {data} alone; name it (scene) or leave out"
        )
        return _of_trajectory(data, body, origin)
    spec, scene = _scene(origin.scene)
    name = _body(scene, body)
    recording = sim.Recording.read(
        data, interval=origin.interval, body=body, unit=origin.unit, up=origin.up, offset=origin.offset
    )
    recording.check_fits(name, _particles(scene, name))
    dt = origin.dt or spec.settings.dt
    return Motion(scene=scene, body=name, dt=dt, recording=recording, observed=recording)


def record_motion(
    scene: sim.Scene,
    dt: float,
    steps: int,
    *,
    every: int | None = None,
    at: Sequence[int] | None = None,
    device: str,
    dtype: str,
    start: Mapping[str, Any] | None = None,
) -> sim.Trajectory:
    """The scene's motion with the full state in every frame; it ends early, with its status, when the run fails.

    Args:
        every, at: the substeps of the frames; see `record_every` and `record_at` of a rollout.
        start: values of the first frame; with them a run that fails raises nothing.
    """
    model = scene.build(dt=dt, device=device, dtype=dtype, threads=1)
    rollout = model.rollout(steps, record_every=every, record_at=at, record=FIELDS, gradient=False)
    return rollout.forward(start, check=start is None)


def _check_unplaced(origin: Origin, sentence: str) -> None:
    """Raise `InputError` when something is said of a recording from outside, and there is none."""
    plain = Origin(dt=origin.dt)
    given = [f.name for f in dataclasses.fields(Origin) if getattr(origin, f.name) != getattr(plain, f.name)]
    if given:
        raise sim.InputError(f"{', '.join(given)}: {sentence} {', '.join(given)}.")


def is_recording(data: str) -> bool:
    """Whether the data is something on the disk, or a pattern, and no scene."""
    if data.endswith((".py", ".json")) or data.partition(":")[0].replace("-", "_") in scenes():
        return False
    path = Path(data)
    return path.exists() or bool(path.suffix) or any(c in data for c in "*?[")


def _scene(name: str) -> tuple[SceneSpec, sim.Scene]:
    """The scene of NAME, NAME:VARIANT or a .py file; `InputError` for a variant it does not have."""
    title, _, variant = name.partition(":")
    spec = find_scene(title)
    if variant and variant not in spec.variants:
        known = f"one of {', '.join(spec.variants)}" if spec.variants else "none"
        raise sim.InputError(f"variant: expected {known} of the scene {spec.name}, got {variant!r}; correct it.")
    scene = spec.build(variant) if variant else spec.build()
    if not isinstance(scene, sim.Scene):
        raise sim.InputError(f"scene: expected one of bodies, got {spec.name!r}, which is of fields; choose another.")
    return spec, scene


def _of_trajectory(data: str, body: str | None, origin: Origin) -> Motion:
    """A trajectory that Pliant saved, with the scene in it."""
    path = Path(data)
    recorded = sim.Trajectory.load(path) if is_trajectory(path) else None
    if recorded is None or "scene" not in recorded.metadata or recorded.metadata.get("dt") is None:
        raise sim.InputError(
            f"{data}: expected a trajectory with its scene, got a recording without one; name the scene it is of (scene)."
        )
    scene = sim.Scene.from_dict(recorded.metadata["scene"])
    return _of_states(scene, _body(scene, body), origin.dt or float(recorded.metadata["dt"]), recorded)


def _of_states(scene: sim.Scene, body: str, dt: float, recorded: sim.Trajectory) -> Motion:
    """The motion of a trajectory, with the states in it."""
    states = {n: np.asarray(host_array(recorded[n])) for n in recorded if n.rpartition(".")[2] in FIELDS}
    steps = np.diff(recorded.times) / dt
    every = round(float(steps[0])) if len(steps) and np.allclose(steps, round(float(steps[0])), rtol=1e-6) else None
    points = sim.Recording.of(recorded, body)
    return Motion(
        scene=scene, body=body, dt=dt, recording=points, observed=points, truth=states, seen=states, every=every
    )


def _particles(scene: sim.Scene, body: str) -> np.ndarray:
    """Where the scene puts the particles of a body [item, 3]."""
    entry = next(entry for entry in scene.bodies if entry["name"] == body)
    return np.asarray(entry["shape"].sample(entry["spacing"]), np.float64)


def _body(scene: sim.Scene, body: str | None) -> str:
    names = [entry["name"] for entry in scene.bodies]
    chosen = body or (names[0] if len(names) == 1 else "")
    if chosen not in names:
        raise sim.InputError(f"body: expected one of {names}, got {body!r}; name the one whose law is wanted.")
    return chosen
