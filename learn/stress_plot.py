"""Stress against strain along three simple paths: a learned law beside the truth, where that is known."""

import dataclasses
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from pliant.learn.torch_law import TorchLaw
from pliant.sim.materials import Material
from pliant.sim.materials.respond import respond
from pliant.sim.strain_range import StrainRange

POINTS = 60  # of a path, on either side of rest
DEFAULT = StrainRange(stretch=(0.7, 1.3), volume=(0.7, 1.3))
BEYOND, LEAST = 1.25, 0.02  # drawn: so many times the logarithmic strains of the validity range, and at least so much

Response = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Path:
    """Deformations [point, 3, 3] from rest on, given by a number each, and the entry (i, j) of the Kirchhoff stress that is drawn."""

    title: str
    label: str
    numbers: np.ndarray
    F: np.ndarray
    entry: tuple[int, int]


def simple_paths(seen: StrainRange) -> list[tuple[Path, Path]]:
    """Uniaxial stretch without lateral strain, change of volume and simple shear, to either side of rest."""
    low, high = _widened(seen.stretch)
    less, more = _widened(seen.volume)
    shear = 2.0 * np.sinh(min(high, -low))  # its stretches are exp(+-min(high, -low)) and 1
    x, y = np.diag([1.0, 0.0, 0.0]), np.outer([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    made = []
    for title, label, (a, b), shape, entry in (
        ("uniaxial", "stretch", (np.exp(low), np.exp(high)), lambda s: np.eye(3) + (s - 1.0) * x, (0, 0)),
        ("volumetric", "volume ratio", (np.exp(less), np.exp(more)), lambda s: np.cbrt(s) * np.eye(3), (0, 0)),
        ("simple shear", "shear", (-shear, shear), lambda s: np.eye(3) + s * y, (0, 1)),
    ):
        rest = 0.0 if entry == (0, 1) else 1.0
        sides = [np.linspace(rest, end, POINTS) for end in (a, b)]
        made.append(tuple(Path(title, label, side, np.stack([shape(s) for s in side]), entry) for side in sides))
    return made  # type: ignore[return-value]


def _widened(bounds: tuple[float, float]) -> tuple[float, float]:
    """Logarithmic strains that reach beyond the bounds, to both sides of rest."""
    return min(BEYOND * np.log(bounds[0]), -LEAST), max(BEYOND * np.log(bounds[1]), LEAST)


def stress_along(path: np.ndarray, response: Response) -> np.ndarray:
    """Kirchhoff stress [point, 3, 3] along deformations [point, 3, 3] from rest; plastic strain is kept on the way."""
    F, before, stresses = np.eye(3)[None], np.eye(3), []
    for now in path:
        F, tau = response(now @ np.linalg.inv(before) @ F)
        before = now
        stresses.append(tau[0])
    return np.stack(stresses)


def response_of(law: TorchLaw) -> Response:
    """The law's answer to trial deformation gradients [n, 3, 3]."""
    like = next(law.parameters())

    def answer(trial: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            F = torch.as_tensor(np.ascontiguousarray(trial)).to(like)
            F = F if law.return_map is None else law.return_map(F)
            return F.cpu().double().numpy(), law.kirchhoff(F).cpu().double().numpy()

    return answer


def stress_plot(law: TorchLaw, *, truth: Material | None = None) -> bytes:
    """A PNG of the law's stress beside the truth's along three paths, with the law's validity range shaded."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 3.6), dpi=120, layout="constrained")
    responses: list[tuple[str, Response, dict[str, Any]]] = []
    if truth is not None:
        style = {"color": "0.55", "linewidth": 4.0}
        responses.append((f"true: {type(truth).__name__}", lambda F: respond(truth, F), style))
    responses.append(("learned", response_of(law), {"color": "tab:blue", "linewidth": 1.5}))
    for column, sides in enumerate(simple_paths(law.validity or DEFAULT)):
        axes = figure.add_subplot(1, 3, 1 + column)
        _draw(axes, sides, responses, law.validity)
        axes.set(title=sides[0].title, xlabel=f"{sides[0].label} [1]")
        if not column:
            axes.set_ylabel("Kirchhoff stress [Pa]")
            axes.legend(frameon=False)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return picture.getvalue()


def _draw(axes: Any, sides: Sequence[Path], responses: Sequence[tuple], seen: StrainRange | None) -> None:
    low, high = sides
    numbers = np.concatenate([low.numbers[:0:-1], high.numbers])
    for label, response, style in responses:
        curves = [stress_along(side.F, response)[:, side.entry[0], side.entry[1]] for side in sides]
        axes.plot(numbers, np.concatenate([curves[0][:0:-1], curves[1]]), label=label, **style)
    if seen is not None:
        F = np.concatenate([low.F[:0:-1], high.F])
        s, J = np.linalg.svd(F, compute_uv=False), np.linalg.det(F)
        inside = (s.min(1) >= seen.stretch[0]) & (s.max(1) <= seen.stretch[1])
        inside &= (seen.volume[0] <= J) & (seen.volume[1] >= J)
        if inside.any():
            axes.axvspan(
                numbers[inside].min(), numbers[inside].max(), color="tab:blue", alpha=0.1, label="seen in training"
            )
    axes.grid(alpha=0.3)
