"""Memory of a long backward run."""

from benchmarks.case import Case, Figure, Series, Subject
from benchmarks.peers.problem import Problem

CASE = Case(
    name="memory",
    what="peak memory that 10,000 substeps of about 20,000 particles add, forward + backward under the default budget",
    problems={"19.7k at 48^3": Problem(grid=48, side=27, steps=10_000, stretch_rate=1.0)},
    subjects=(
        Subject(name="pliant", module="pliant_mpm", options={"threads": 2, "checkpoint_every": "auto", "floor": True}),
    ),
    series=(Series(name="added memory", subject="pliant", do="gradient", quantity="extra_gigabytes"),),
    figures=(Figure(name="added memory", over="added memory", unit="GB", hold=("<=", 2.0)),),
    warm=False,
    repeats=1,
    slow=True,
)
