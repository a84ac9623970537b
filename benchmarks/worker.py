"""The runner's end of a peer process: start it, ask it, close it."""

import contextlib
import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.case import Subject

ROOT = Path(__file__).resolve().parent.parent
INTERPRETER, JAX_INTERPRETER = "PLIANT_PEERS_PYTHON", "PLIANT_JAX_PYTHON"
TORCH_CFD_INTERPRETER, TORCHOPT_INTERPRETER = "PLIANT_TORCH_CFD_PYTHON", "PLIANT_TORCHOPT_PYTHON"


class PeerUnavailable(RuntimeError):
    """A peer cannot run here; the message says what to install."""


@functools.cache
def peer_versions() -> dict[str, str]:
    """Version of Taichi and its interpreter, empty where there is none.

    Taichi may live in an environment of its own, named by PLIANT_PEERS_PYTHON; otherwise this interpreter is tried.
    """
    code = "import taichi, platform; print('VERSION', *taichi.__version__, sep='.'); print(platform.python_version())"
    python = os.environ.get(INTERPRETER, sys.executable)
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if run.returncode:
        return {}
    version, interpreter = [line for line in run.stdout.splitlines() if not line.startswith("[Taichi]")][-2:]
    return {"taichi": version.removeprefix("VERSION."), "python": interpreter}


def interpreter(subject: Subject) -> str:
    """The Python that has the subject's packages.

    Errors: `PeerUnavailable` when Taichi, exponax, torch-cfd or torchopt is asked for and not found.
    """
    if subject.module in ("exponax_fields", "torch_cfd_fields", "torchopt_implicit"):
        return other_interpreter(subject.module)
    if subject.module != "taichi_mpm":
        return sys.executable
    if not peer_versions():
        raise PeerUnavailable(
            f"Taichi: expected in {os.environ.get(INTERPRETER, sys.executable)}, found none; "
            f"pip install taichi==1.7.4 there or name another interpreter in {INTERPRETER}."
        )
    return os.environ.get(INTERPRETER, sys.executable)


def version_of(package: str, module: str, variable: str) -> str:
    """Version of a package in the Python that a variable names, empty where it cannot be imported."""
    code = f"import importlib.metadata as m, {module}; print(m.version({package!r}))"
    python = os.environ.get(variable, sys.executable)
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return "" if run.returncode else run.stdout.split()[-1]


@functools.cache
def exponax_version() -> str:
    """Version of exponax, empty where there is none."""
    return version_of("exponax", "exponax", JAX_INTERPRETER)


@functools.cache
def torch_cfd_version() -> str:
    """Version of torch-cfd, empty where there is none."""
    return version_of("torch-cfd", "torch_cfd.spectral", TORCH_CFD_INTERPRETER)


@functools.cache
def torchopt_version() -> str:
    """Version of torchopt, empty where there is none."""
    return version_of("torchopt", "torchopt", TORCHOPT_INTERPRETER)


def other_interpreter(module: str) -> str:
    """The Python that has exponax, torch-cfd or torchopt.

    Errors: `PeerUnavailable` where there is none.
    """
    package, variable, version = {
        "exponax_fields": ("exponax==0.2.0", JAX_INTERPRETER, exponax_version),
        "torch_cfd_fields": ("torch-cfd==0.2.6", TORCH_CFD_INTERPRETER, torch_cfd_version),
        "torchopt_implicit": ("torchopt==0.7.3", TORCHOPT_INTERPRETER, torchopt_version),
    }[module]
    python = os.environ.get(variable, sys.executable)
    if not version():
        raise PeerUnavailable(
            f"{package}: expected in {python}, found none; pip install {package} there or in an environment of its own "
            f"and name its interpreter in {variable}."
        )
    return python


class Worker:
    """One peer process."""

    def __init__(self, subject: Subject, environment: dict[str, str]) -> None:
        self.name = subject.name
        command = [interpreter(subject), "-m", f"benchmarks.peers.{subject.module}"]
        variables = os.environ | {"ENABLE_TAICHI_HEADER_PRINT": "0", "PYTHONPATH": str(ROOT)} | environment
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=variables, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The peer's answer.

        Errors: `PeerUnavailable` when the peer reports one or ends.
        """
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise PeerUnavailable(f"{self.name}: has no pipes")
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            stdin.flush()
        line = next((line for line in stdout if line.startswith("{")), None)
        if line is None:
            raise PeerUnavailable(f"{self.name}: its process ended ({self.process.wait()}) while asked to {do}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerUnavailable(f"{self.name}: {answer['error']}")
        return answer

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):  # what it was last asked may still wait to be written
                    stream.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def taichi_cache() -> str:
    """Folder where Taichi keeps compiled kernels between benchmark runs; its adjoints take minutes to compile."""
    return str(Path(tempfile.gettempdir()) / "pliant-benchmarks" / "taichi")


@contextlib.contextmanager
def prepared(subject: Subject, problem: Any, cache: Path | None = None) -> Iterator[Worker]:
    """A worker that holds the problem; with `cache`, kernels are compiled into that folder only."""
    environment = {"WARP_CACHE_PATH": str(cache), "XDG_CACHE_HOME": str(cache)} if cache else {}
    options = dict(subject.options)
    if subject.module == "taichi_mpm":
        options["cache"] = str(cache) if cache else taichi_cache()
    worker = Worker(subject, environment)
    try:
        worker.ask("prepare", problem=dataclasses.asdict(problem) | subject.problem, options=options)
        yield worker
    finally:
        worker.close()


def fresh_sample(subject: Subject, problem: Any, do: str) -> dict[str, Any]:
    """One answer of a new process with empty kernel caches; "seconds" counts from its start."""
    cache = Path(tempfile.mkdtemp(prefix="pliant-cold-"))
    try:
        start = time.perf_counter()
        with prepared(subject, problem, cache) as worker:
            answer = worker.ask(do)
            seconds = time.perf_counter() - start
        return answer | {"seconds": seconds, "run_seconds": answer["seconds"]}
    finally:
        shutil.rmtree(cache, ignore_errors=True)
