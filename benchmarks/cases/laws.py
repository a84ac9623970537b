"""What a constitutive law costs: fixed corotated beside neo-Hookean, a torch module, the paper's two networks."""

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

LEARNED = {"1k at 16^3": Problem(grid=16, side=10, steps=1000)}

LEARNED_LAWS = Case(
    name="learned_laws",
    what="two 13-64-64-9 networks, stress and return map: 1000 particles x 1000 substeps, forward + backward",
    problems=LEARNED,
    subjects=(Subject(name="networks", module="pliant_torch_law", options={"threads": 1, "law": "paper"}),),
    series=(
        Series(name="forward", subject="networks", do="forward", quantity="seconds"),
        Series(name="both ways", subject="networks", do="gradient", quantity="seconds"),
    ),
    figures=(
        Figure(name="forward", over="forward", unit="s"),
        Figure(name="both ways", over="both ways", unit="s", hold=("<=", 2.5)),
    ),
    repeats=5,
)

LEARNED_LAWS_MEMORY = Case(
    name="learned_laws_memory",
    what="memory that the same run adds, against a torch simulator that keeps the graph of every substep",
    problems=LEARNED,
    subjects=(
        Subject(name="networks", module="pliant_torch_law", options={"threads": 1, "law": "paper"}),
        Subject(name="graph", module="torch_laws", options={"threads": 1}),
    ),
    series=(
        Series(name="networks", subject="networks", do="gradient", quantity="extra_gigabytes"),
        Series(name="graph", subject="graph", do="gradient", quantity="extra_gigabytes"),
    ),
    figures=(
        Figure(name="added memory", over="networks", unit="GB"),
        Figure(name="added memory / graph", over="networks", under="graph", hold=("<=", 0.1)),
    ),
    warm=False,
    repeats=1,
)
