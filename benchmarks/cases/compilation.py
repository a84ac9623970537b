"""From an empty kernel cache: compilation of the step both ways, and the time to the first gradient."""

from benchmarks.case import Case, Figure, Series, Subject
from benchmarks.peers.problem import Problem

JELLY = Problem(grid=32, side=20, steps=20)

COLD = Case(
    name="cold_compilation",
    what="compilation of every kernel of the MPM step both ways into an empty cache",
    problems={"8k at 32^3": JELLY},
    subjects=(Subject(name="pliant", module="pliant_mpm", options={"threads": 1}, fresh=True),),
    series=(Series(name="pliant", subject="pliant", do="compile", quantity="run_seconds"),),
    figures=(Figure(name="cold compilation", over="pliant", unit="s", hold=("<=", 8.0)),),
    warm=False,
    repeats=3,
)

PLIANT = Subject(
    name="pliant", module="pliant_mpm", options={"threads": 2, "law": "FixedCorotated", "floor": True}, fresh=True
)
FIRST_GRADIENT = Case(
    name="first_gradient",
    what="seconds from the start of a process with an empty kernel cache to the first gradient of the jelly drop",
    problems={"8k at 32^3": JELLY},
    subjects=(
        PLIANT,
        Subject(name="torch", module="torch_mpm", options={"threads": 1}, fresh=True),
    ),
    series=(
        Series(name="pliant", subject="pliant", do="gradient", quantity="seconds"),
        Series(name="torch", subject="torch", do="gradient", quantity="seconds"),
    ),
    figures=(
        Figure(name="pliant", over="pliant", unit="s", hold=("<=", 15.0)),
        Figure(name="torch", over="torch", unit="s"),
    ),
    warm=False,
    repeats=3,
)

FIRST_GRADIENT_TAICHI = Case(
    name="first_gradient_taichi",
    what="the same for Taichi, whose adjoints take minutes to compile",
    problems={"8k at 32^3": JELLY},
    subjects=(
        PLIANT,
        Subject(name="taichi", module="taichi_mpm", options={"threads": 2}, fresh=True),
        Subject(name="taichi serialized", module="taichi_mpm", options={"threads": 1, "serial": True}, fresh=True),
    ),
    series=(
        Series(name="pliant", subject="pliant", do="gradient", quantity="seconds"),
        Series(name="taichi", subject="taichi", do="gradient", quantity="seconds"),
        Series(name="taichi serialized", subject="taichi serialized", do="gradient", quantity="seconds"),
    ),
    figures=(
        Figure(name="pliant", over="pliant", unit="s", hold=("<=", 15.0)),
        Figure(name="taichi", over="taichi", unit="s"),
        Figure(name="taichi serialized", over="taichi serialized", unit="s"),
        Figure(name="taichi / pliant", over="taichi", under="pliant"),
    ),
    warm=False,
    repeats=1,
    slow=True,
)
