"""The loss over simulator calls as a picture."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any


def loss_plot(history: Sequence[Mapping[str, Any]]) -> bytes:
    """A PNG of each iteration's loss and of the best so far, over simulator calls; failed iterations are left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), dpi=120, layout="constrained")
    axes = figure.add_subplot(xlabel="simulator calls", ylabel="loss")
    for name, style in (("loss", {"color": "0.6", "linewidth": 1.0}), ("best_loss", {"color": "tab:blue"})):
        drawn = [(r["simulator_calls"], r[name]) for r in history if math.isfinite(r[name])]
        axes.plot(*zip(*drawn, strict=True) if drawn else ([], []), label=name.replace("_", " "), **style)
    finite = [r["loss"] for r in history if math.isfinite(r["loss"])]
    if finite and 0.0 < min(finite) < max(finite) / 100.0:
        axes.set_yscale("log")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return picture.getvalue()
