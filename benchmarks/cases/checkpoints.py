"""What a gradient costs over a forward run, with every state stored and with sqrt(T) checkpoints."""

from benchmarks.case import Case, Figure, Series, Subject
from benchmarks.peers.problem import Problem

STEPS, SEGMENT = 100, 10

CASE = Case(
    name="checkpoints",
    what="(forward + backward) / forward with every state stored and with sqrt(T) checkpoints, one thread",
    problems={"8k at 32^3": Problem(grid=32, side=20, steps=STEPS)},
    subjects=(
        Subject(name="stored", module="pliant_mpm", options={"threads": 1, "checkpoint_every": STEPS}),
        Subject(name="sqrt(T)", module="pliant_mpm", options={"threads": 1, "checkpoint_every": SEGMENT}),
    ),
    series=(
        Series(name="stored forward", subject="stored", do="forward", quantity="seconds"),
        Series(name="stored gradient", subject="stored", do="gradient", quantity="seconds"),
        Series(name="sqrt(T) forward", subject="sqrt(T)", do="forward", quantity="seconds"),
        Series(name="sqrt(T) gradient", subject="sqrt(T)", do="gradient", quantity="seconds"),
    ),
    figures=(
        Figure(name="gradient / forward, stored", over="stored gradient", under="stored forward", hold=("<=", 3.8)),
        Figure(name="gradient / forward, sqrt(T)", over="sqrt(T) gradient", under="sqrt(T) forward", hold=("<=", 4.8)),
    ),
)
