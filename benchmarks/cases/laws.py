"""What a constitutive law costs: fixed corotated beside neo-Hookean, and a torch module called every substep."""

from benchmarks.case import Case, Figure, Series, Subject
from benchmarks.peers.problem import Problem

NEO, COROTATED = "neo-Hookean", "fixed corotated"

FIXED_COROTATED = Case(
    name="fixed_corotated",
    what="forward + backward of fixed corotated against neo-Hookean, one thread",
    problems={"8k at 32^3": Problem(grid=32, side=20, steps=40)},
    subjects=(
        Subject(name=NEO, module="pliant_mpm", options={"threads": 1, "law": "NeoHookean"}),
        Subject(name=COROTATED, module="pliant_mpm", options={"threads": 1, "law": "FixedCorotated"}),
    ),
    series=(
        Series(name=NEO, subject=NEO, do="gradient", quantity="seconds"),
        Series(name=COROTATED, subject=COROTATED, do="gradient", quantity="seconds"),
    ),
    figures=(Figure(name="fixed corotated / neo-Hookean", over=COROTATED, under=NEO, hold=("<=", 1.5)),),
)

TORCH_LAW = Case(
    name="torch_law",
    what="a 9-64-64-9 torch law called every substep: 1000 particles x 1000 substeps, forward + backward",
    problems={"1k at 16^3": Problem(grid=16, side=10, steps=1000)},
    subjects=(Subject(name="torch law", module="pliant_torch_law", options={"threads": 1}),),
    series=(
        Series(name="forward", subject="torch law", do="forward", quantity="seconds"),
        Series(name="both ways", subject="torch law", do="gradient", quantity="seconds"),
    ),
    figures=(
        Figure(name="forward", over="forward", unit="s"),
        Figure(name="both ways", over="both ways", unit="s", hold=("<=", 2.5)),
    ),
    repeats=5,
)
