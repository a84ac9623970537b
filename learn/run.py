"""A training that leaves a folder: checkpoint, metrics, plot; that can be stopped, killed and continued bit for bit.

configuration.json    arguments, seed and versions
checkpoint.pt         the method's state and the best unknowns, replaced as a whole
metrics.jsonl         one line an iteration
tensorboard/          the same numbers
loss.png              the loss over simulator calls
"""

import contextlib
import dataclasses
import io
import json
import math
import operator
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pliant.learn.arguments import check
from pliant.learn.configuration import check_same, describe_problem, described_by
from pliant.learn.interruption import Interrupted, StopRequest
from pliant.learn.method import Method
from pliant.learn.plot import loss_plot
from pliant.learn.problem import Problem
from pliant.learn.progress_bar import ProgressBar
from pliant.learn.solve import Budget, Callback, Iteration, Result, solve
from pliant.learn.state import written
from pliant.sim.atomic import write_atomically
from pliant.sim.errors import InputError
from pliant.sim.version import VERSION

CHECKPOINT, CONFIGURATION, METRICS, PLOT = "checkpoint.pt", "configuration.json", "metrics.jsonl", "loss.png"
NUMBER = "number"  # under which the metrics hold what JSON has no number for
PACKAGES = ("warp-lang", "torch", "numpy")
STOPPING = "Stopping after this iteration; press Ctrl-C again to stop at once and lose it."


class Run:
    """A run folder and the training in it.

    Args:
        folder: made when missing.
        arguments: the dataclass the run was configured by; a resumed run must have the same, except for fields made
            by `option(..., may_change=True)`.
        resume: continue the run in the folder; without it the folder must not hold one.
        show: metrics beside the loss in the progress bar, for example ("distance",).
        save_every: iterations between checkpoints; the last iteration is always saved.
        progress: whether to draw a progress bar.

    Errors: `InputError` for a folder that holds a run already, or none to resume, or one with other arguments, and for
        arguments out of their range.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        arguments: Any = None,
        resume: bool = False,
        show: Sequence[str] = (),
        save_every: int = 1,
        progress: bool = True,
    ):
        if arguments is not None:
            check(arguments)
        self.folder, self.arguments, self.resume = Path(folder), arguments, resume
        self.show, self.save_every, self.progress = tuple(show), save_every, progress
        if resume:
            self._check_arguments()
            return
        _make(self.folder)
        if self.path(CHECKPOINT).exists():
            raise InputError(
                f"run: {self.folder} already holds a run; continue it with --resume or choose another folder."
            )

    def path(self, name: str) -> Path:
        """A file of the run."""
        return self.folder / name

    def solve(
        self,
        problem: Problem,
        method: Method,
        budget: Budget,
        rng: int,
        *,
        start: torch.Tensor | Mapping[str, Any] | None = None,
        callbacks: Iterable[Callback] = (),
    ) -> Result:
        """`learn.solve` with everything a run folder keeps.

        Errors: those of `learn.solve`; `InputError` when the folder cannot be written (the old checkpoint stays), when STATE
            holds what could not be read back, or when an option of the method, of its estimator or of the problem is not the
            resumed run's own; `Interrupted` after Ctrl-C or SIGTERM, once the run is saved.
        """
        rng = operator.index(rng)
        described = {"method": described_by(method), "problem": describe_problem(problem, start)}
        snapshot = self._restore(rng, described) if self.resume else None
        self._configure(described, budget, rng)
        history = [] if snapshot is None else snapshot["history"]
        with (
            _Recorder(self, history) as recorder,
            StopRequest(STOPPING) as stop,
            self._bar(problem, budget, history) as bar,
        ):
            keeper = _Keeper(self, recorder, bar, stop)
            watching: tuple[Callback, ...] = (*callbacks, keeper)
            result = solve(problem, method, budget, rng, start=start, callbacks=watching, snapshot=snapshot)
            keeper.save()
        write_atomically(self.path(PLOT), loss_plot(result.history))
        return result

    def load(self) -> dict[str, Any]:
        """The checkpoint; `InputError` when it is missing or damaged."""
        path = self.path(CHECKPOINT)
        if not path.is_file():
            raise InputError(f"resume: expected a checkpoint in {self.folder}, found none; start without --resume.")
        try:
            return torch.load(io.BytesIO(path.read_bytes()), weights_only=True)
        except Exception as error:  # torch.load raises a dozen kinds for a damaged file
            kind = type(error).__name__
            raise InputError(f"resume: {path} is damaged or no checkpoint ({kind}); start a new run.") from error

    def _restore(self, rng: int, described: dict[str, Any]) -> dict[str, Any]:
        snapshot = self.load()
        if snapshot.get("seed") != rng:
            raise InputError(f"resume: expected the seed {snapshot.get('seed')}, got {rng}; give the same --seed.")
        saved = _read_json(self.path(CONFIGURATION))
        mine, theirs = (described["method"]["name"], saved["method"]["name"])
        if mine != theirs:
            raise InputError(f"resume: expected the state of {mine}, got that of {theirs}; use the same method.")
        for part in ("method", "problem"):
            check_same(saved.get(part, {}), json.loads(json.dumps(described[part])))
        for litter in self.folder.glob(".*.part"):  # what a kill in the middle of a save left
            litter.unlink(missing_ok=True)
        snapshot["history"] = _truncate(self.path(METRICS), snapshot["progress"]["iteration"])
        return snapshot

    def _configure(self, options: dict[str, Any], budget: Budget, rng: int) -> None:
        described = {
            "arguments": _as_dict(self.arguments),
            **options,
            "budget": _as_dict(budget),
            "seed": rng,
            "versions": versions(),
        }
        write_atomically(self.path(CONFIGURATION), (json.dumps(described, indent=2) + "\n").encode())

    def _check_arguments(self) -> None:
        self.load()
        saved = _read_json(self.path(CONFIGURATION))["arguments"]
        mine = _as_dict(self.arguments)
        fields = dataclasses.fields(self.arguments) if self.arguments is not None else ()
        free = {f.name for f in fields if f.metadata.get("may_change")}
        different = [name for name in mine if name not in free and mine[name] != saved.get(name)]
        if different:
            pairs = ", ".join(f"{name}={saved.get(name)} (got {mine[name]})" for name in different)
            raise InputError(f"resume: expected the run's own {pairs}; give the same options or choose another folder.")

    def _bar(self, problem: Problem, budget: Budget, history: list[dict[str, Any]]) -> ProgressBar:
        last = history[-1] if history else {}
        return ProgressBar(
            self.folder.name, budget, last, show=self.show, steps_per_call=problem.steps_per_call, visible=self.progress
        )


class _Keeper:
    """The callback that records, saves and stops."""

    def __init__(self, run: Run, recorder: "_Recorder", bar: ProgressBar, stop: StopRequest):
        self.run, self.recorder, self.bar, self.stop = run, recorder, bar, stop
        self._unsaved: Iteration | None = None

    def __call__(self, iteration: Iteration) -> None:
        self.recorder.write(iteration.record)
        self.bar.update(iteration.record)
        self._unsaved = iteration
        if self.stop.requested or iteration.progress.iteration % self.run.save_every == 0:
            self.save()
        if self.stop.requested:
            self._interrupt(iteration)

    def save(self) -> None:
        """The last iteration as the checkpoint, after its metrics are on the disk."""
        if self._unsaved is None:
            return
        self.recorder.sync()
        snapshot = {**self._unsaved.snapshot(), "seed": self._unsaved.method.rng.initial_seed()}
        write_atomically(self.run.path(CHECKPOINT), written(snapshot))
        self._unsaved = None

    def _interrupt(self, iteration: Iteration) -> None:
        write_atomically(self.run.path(PLOT), loss_plot(self.recorder.history))
        self.bar.close()
        sentence = (
            f"Interrupted after iteration {iteration.progress.iteration}; everything is saved in {self.run.folder}: "
            "give the same command with --resume to continue."
        )
        sys.stderr.write(sentence + "\n")
        raise Interrupted(sentence)


class _Recorder:
    """metrics.jsonl and TensorBoard."""

    def __init__(self, run: Run, history: list[dict[str, Any]]):
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and needed only here

        self.history = list(history)
        self._file = open(run.path(METRICS), "a" if history else "w", encoding="utf-8")
        first = len(history) + 1
        self._board = SummaryWriter(str(run.path("tensorboard")), purge_step=first if history else None)

    def __enter__(self) -> "_Recorder":
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()
        self._board.close()

    def write(self, record: dict[str, Any]) -> None:
        """Append one record to both."""
        self.history.append(record)
        with self._guarded():
            self._file.write(json.dumps(_plain(record)) + "\n")
            self._file.flush()
        for name, value in record.items():
            self._show(name, value, record["iteration"])

    def _show(self, name: str, value: Any, iteration: int) -> None:
        """A number as a curve, text as text, a list as a histogram."""
        if name == "iteration":
            return
        if isinstance(value, str):
            self._board.add_text(name, value, iteration)
        elif isinstance(value, list):
            finite = [v for v in value if math.isfinite(v)]
            if finite:
                self._board.add_histogram(name, np.array(finite, np.float64), iteration)
        elif math.isfinite(value):
            self._board.add_scalar(name, value, iteration)

    def sync(self) -> None:
        """Make sure that the lines are on the disk."""
        with self._guarded():
            os.fsync(self._file.fileno())

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"cannot write {self._file.name}: {reason}; free some space and --resume.") from error


def versions() -> dict[str, str]:
    """Versions of what a run depends on."""
    installed = {name: metadata.version(name) for name in PACKAGES}
    return {"pliant": VERSION, "python": platform.python_version(), **installed}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl; a line cut short by a kill ends them. A null is inf, which JSON cannot say."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            read = json.loads(line)
        except json.JSONDecodeError:
            break
        records.append({name: _read_back(value) for name, value in read.items()})
    return records


def _truncate(path: Path, iteration: int) -> list[dict[str, Any]]:
    """The records up to an iteration; later ones, written but never saved, are removed from the file."""
    kept = [record for record in read_metrics(path) if record["iteration"] <= iteration]
    write_atomically(path, "".join(json.dumps(_plain(record)) + "\n" for record in kept).encode())
    return kept


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """A record as strict JSON, which has no inf, -inf or nan."""
    return {name: _json(value) for name, value in record.items()}


def _json(value: Any) -> Any:
    if isinstance(value, list):
        return [_json(v) for v in value]
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if value == math.inf else {NUMBER: str(value)}


def _read_back(value: Any) -> Any:
    if isinstance(value, list):
        return [_read_back(v) for v in value]
    return math.inf if value is None else float(value[NUMBER]) if isinstance(value, dict) else value


def _as_dict(configuration: Any) -> dict[str, Any]:
    """A dataclass as what JSON can hold, as it will be read back."""
    if configuration is None:
        return {}
    fields = {f.name: getattr(configuration, f.name) for f in dataclasses.fields(configuration)}
    return json.loads(json.dumps(fields, default=str))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"resume: {path} is missing or damaged; start a new run.") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"run: cannot make the folder {folder}: {error.strerror or error}; choose another.") from error
