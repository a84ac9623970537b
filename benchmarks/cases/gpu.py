"""A million particles on a GPU: rate, and bandwidth against a copy on the same device."""

from benchmarks.case import Case, Figure, Series, Subject
from benchmarks.peers.problem import Problem

CASE = Case(
    name="gpu",
    what="a million particles at 128^3 on a GPU, substep captured in a graph; bandwidth against a device copy",
    problems={"1M at 128^3": Problem(grid=128, side=100, steps=100)},
    subjects=(
        Subject(name="pliant", module="pliant_mpm", options={"device": "cuda"}),
        Subject(name="copy", module="device_copy", options={"device": "cuda"}),
    ),
    series=(
        Series(name="forward", subject="pliant", do="forward"),
        Series(name="gradient", subject="pliant", do="gradient"),
        Series(name="forward bandwidth", subject="pliant", do="forward", quantity="gigabytes_a_second"),
        Series(name="copy bandwidth", subject="copy", do="copy", quantity="gigabytes_a_second"),
    ),
    figures=(
        Figure(name="forward", over="forward", unit="M/s"),
        Figure(name="forward + backward", over="gradient", unit="M/s"),
        Figure(name="bandwidth forward", over="forward bandwidth", unit="GB/s"),
        Figure(name="bandwidth of a copy", over="copy bandwidth", unit="GB/s"),
        Figure(name="forward / copy", over="forward bandwidth", under="copy bandwidth"),
    ),
    device="cuda",
)
