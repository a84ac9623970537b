"""Installs a requirement into a fresh virtual environment and weighs it."""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from benchmarks.peers.problem import Problem
from benchmarks.peers.serve import serve


def weight(folder: Path) -> int:
    """Bytes of all files below a folder, links not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


class Installation:
    """`requirement` is anything that pip installs; "." is this checkout. `constraints` is a file of exact versions.

    Most of Pliant's weight is torch's: its CUDA build comes with libraries of several GB, so the report says which came.
    """

    def __init__(self, _problem: Problem, *, requirement: str, constraints: str | None = None) -> None:
        self.requirement = [requirement] if constraints is None else ["-c", constraints, requirement]
        self.bytes = 0

    def install(self) -> None:
        with tempfile.TemporaryDirectory(prefix="pliant-size-") as name:
            venv.create(name, with_pip=True)
            before = weight(Path(name))
            pip = [str(Path(name) / "bin" / "python"), "-m", "pip"]
            own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            subprocess.run([*pip, "install", "--quiet", *self.requirement], check=True, stdout=sys.stderr, env=own)
            self.bytes = weight(Path(name)) - before
            listed = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True, env=own).stdout
            sys.stderr.write("".join(f"  {line}\n" for line in listed.splitlines() if line.startswith("torch")))

    def figures(self) -> dict[str, float]:
        return {"gigabytes": self.bytes / 1e9}


if __name__ == "__main__":
    serve(Installation)
