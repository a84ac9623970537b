"""An active fluid: a step's cost against its transforms, and the published resolution on a GPU."""

from benchmarks.case import Case, Figure, Series, Subject
from benchmarks.peers.active_problem import ActiveProblem

STEP = Case(
    name="active_fluid",
    what="50 steps of the kinetic theory of an active fluid, and of its moments, against the time inside their FFTs (CPU time)",
    problems={
        f"{points}^2{f' x {directions}' if directions else ', moments'}": ActiveProblem(points=points, directions=directions)
        for points in (40, 128)
        for directions in (31, 0)
    },
    subjects=(Subject(name="pliant", module="pliant_active"),),
    series=(
        Series(name="forward", subject="pliant", do="forward", quantity="cpu_seconds"),
        Series(name="gradient", subject="pliant", do="gradient", quantity="cpu_seconds"),
        Series(name="profile", subject="pliant", do="profile", quantity="over_transforms"),
    ),
    figures=(
        Figure(name="forward", over="forward", unit="s"),
        Figure(name="forward with gradient", over="gradient", unit="s"),
        Figure(name="forward / its transforms", over="profile", unit="x"),
    ),
    repeats=5,
)
PUBLISHED = Case(
    name="active_fluid_gpu",
    what="50 steps of the kinetic theory at 256^2 x 127 on a GPU, forward and with gradient: step and box as published",
    problems={
        "256^2 x 127": ActiveProblem(points=256, directions=127, dt=3.90625e-4, activity=-2.0, alignment=2.0),
    },
    subjects=(Subject(name="pliant", module="pliant_active", options={"device": "cuda"}),),
    series=(
        Series(name="forward", subject="pliant", do="forward", quantity="seconds"),
        Series(name="gradient", subject="pliant", do="gradient", quantity="seconds"),
    ),
    figures=(
        Figure(name="forward", over="forward", unit="s"),
        Figure(name="forward with gradient", over="gradient", unit="s"),
    ),
    device="cuda",
    repeats=3,
)
