"""Million particle-substeps a second beside Taichi and PyTorch, forward and forward with gradient."""

from benchmarks.case import Case, Figure, Series, Subject
from benchmarks.peers.problem import Problem

SUBJECTS = (
    Subject(name="pliant 1 thread", module="pliant_mpm", options={"threads": 1}),
    Subject(name="pliant 2 threads", module="pliant_mpm", options={"threads": 2}),
    Subject(name="taichi 2 threads", module="taichi_mpm", options={"threads": 2}),
    Subject(name="taichi serialized", module="taichi_mpm", options={"threads": 1, "serial": True}),
    Subject(name="torch 1 thread", module="torch_mpm", options={"threads": 1}),
)
SERIES = tuple(
    Series(name=f"{subject.name} {do}", subject=subject.name, do=do)
    for do in ("forward", "gradient")
    for subject in SUBJECTS
)


def against(pliant: str, peer: str, do: str, least: float) -> Figure:
    """Pliant's rate over a peer's."""
    return Figure(name=f"{do}: {pliant} / {peer}", over=f"{pliant} {do}", under=f"{peer} {do}", hold=(">=", least))


CASE = Case(
    name="throughput",
    what="rate of the neo-Hookean step against Taichi and PyTorch, forward and forward + backward",
    problems={
        "8k at 32^3": Problem(grid=32, side=20, steps=40),
        "64k at 64^3": Problem(grid=64, side=40, steps=10),
    },
    subjects=SUBJECTS,
    series=SERIES,
    figures=(
        *(Figure(name=series.name, over=series.name, unit="M/s") for series in SERIES),
        against("pliant 1 thread", "taichi 2 threads", "forward", 3.0),
        against("pliant 2 threads", "taichi 2 threads", "forward", 4.5),
        against("pliant 1 thread", "taichi 2 threads", "gradient", 3.0),
        against("pliant 2 threads", "taichi 2 threads", "gradient", 4.5),
        against("pliant 1 thread", "taichi serialized", "gradient", 2.0),
        against("pliant 1 thread", "torch 1 thread", "gradient", 8.0),
    ),
)
