"""Spectral fields beside exponax and torch-cfd, one thread each: forward, forward with gradient, and what is not spent in transforms.

torch-cfd has no exponential integrators; it stands there with its own of the same order (`benchmarks.peers.torch_cfd_fields`).
"""

from benchmarks.case import Case, Figure, Series, Subject
from benchmarks.peers.field_problem import FLAME, FLOW, FieldProblem

SUBJECTS = (Subject(name="pliant", module="pliant_fields"), Subject(name="exponax", module="exponax_fields"))
SERIES = (
    *(
        Series(name=f"{subject.name} {do}", subject=subject.name, do=do, quantity="cpu_seconds")
        for do in ("forward", "gradient")
        for subject in SUBJECTS
    ),
    Series(name="pliant outside transforms", subject="pliant", do="profile", quantity="share_outside_transforms"),
)
TORCH_CFD = Subject(name="torch-cfd", module="torch_cfd_fields")
TORCH_CFD_SERIES = tuple(
    Series(name=f"torch-cfd {do}", subject="torch-cfd", do=do, quantity="cpu_seconds") for do in ("forward", "gradient")
)
TORCH_CFD_FIGURES = tuple(
    Figure(name=f"{do}: pliant / torch-cfd", over=f"pliant {do}", under=f"torch-cfd {do}", hold=("<=", 1.0))
    for do in ("forward", "gradient")
)


def figures(gradient: float, outside: float | None) -> tuple[Figure, ...]:
    """Pliant's time over exponax's, and the share of its own that is not the FFT's."""
    share = None if outside is None else ("<=", outside)
    return (
        *(
            Figure(name=series.name, over=series.name, unit="s" if "outside" not in series.name else "")
            for series in SERIES[:4]
        ),
        Figure(name="forward: pliant / exponax", over="pliant forward", under="exponax forward", hold=("<=", 1.0)),
        Figure(
            name="gradient: pliant / exponax", over="pliant gradient", under="exponax gradient", hold=("<=", gradient)
        ),
        Figure(name="share of the gradient outside transforms", over="pliant outside transforms", hold=share),
    )


NAVIER_STOKES = Case(
    name="navier_stokes",
    what="50 steps of 2D Navier-Stokes against exponax and torch-cfd, forward and with gradient (CPU time)",
    problems={
        f"{points}^2 ETDRK{order} {dtype}": FieldProblem(equation=FLOW, points=points, order=order, dtype=dtype)
        for dtype in ("float64", "float32")
        for points in (128, 256)
        for order in (2, 4)
    },
    subjects=(*SUBJECTS, TORCH_CFD),
    series=(*SERIES, *TORCH_CFD_SERIES),
    figures=(*figures(gradient=1.0, outside=0.4), *TORCH_CFD_FIGURES),
)
KURAMOTO_SIVASHINSKY = Case(
    name="kuramoto_sivashinsky",
    what="50 steps of 32 Kuramoto-Sivashinsky fields of 256 points against exponax, forward and with gradient (CPU time)",
    problems={
        f"32 x 256 ETDRK{order} {dtype}": FieldProblem(
            equation=FLAME, points=256, batch=32, dt=0.1, order=order, dtype=dtype
        )
        for dtype in ("float64", "float32")
        for order in (2, 4)
    },
    subjects=SUBJECTS,
    series=SERIES,
    figures=figures(gradient=1.2, outside=0.4),
)
