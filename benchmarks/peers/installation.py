"""Installs a requirement into a fresh virtual environment and weighs it."""

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
    """`requirement` is anything that pip installs; "." is this checkout."""

    def __init__(self, _problem: Problem, *, requirement: str) -> None:
        self.requirement = requirement
        self.bytes = 0

    def install(self) -> None:
        with tempfile.TemporaryDirectory(prefix="pliant-size-") as name:
            venv.create(name, with_pip=True)
            before = weight(Path(name))
            command = [str(Path(name) / "bin" / "python"), "-m", "pip", "install", "--quiet", self.requirement]
            subprocess.run(command, check=True, stdout=sys.stderr)
            self.bytes = weight(Path(name)) - before

    def figures(self) -> dict[str, float]:
        return {"gigabytes": self.bytes / 1e9}


if __name__ == "__main__":
    serve(Installation)
