"""Disk space of an installation."""

from benchmarks.case import Case, Figure, Series, Subject
from benchmarks.peers.problem import Problem

CASE = Case(
    name="installed_size",
    what="disk space of a fresh virtual environment as README makes it, and with Taichi alone",
    problems={"venv": Problem(side=1, steps=1)},
    subjects=(
        Subject(name="pliant", module="installation", options={"requirement": ".", "constraints": "constraints.txt"}),
        Subject(name="taichi", module="installation", options={"requirement": "taichi==1.7.4"}),
    ),
    series=(
        Series(name="pliant", subject="pliant", do="install", quantity="gigabytes"),
        Series(name="taichi", subject="taichi", do="install", quantity="gigabytes"),
    ),
    figures=(
        Figure(name="pliant", over="pliant", unit="GB"),
        Figure(name="taichi", over="taichi", unit="GB"),
    ),
    warm=False,
    repeats=1,
    slow=True,
)
