"""What a training leaves as pictures."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

History = Sequence[Mapping[str, Any]]


def loss_plot(history: History) -> bytes:
    """A PNG of each iteration's loss and of the best so far, over simulator calls; failed iterations are left out."""
    figure = _figure(6.4, 4.0)
    axes = figure.add_subplot(xlabel="simulator calls", ylabel="loss")
    for name, style in (("loss", {"color": "0.6", "linewidth": 1.0}), ("best_loss", {"color": "tab:blue"})):
        drawn = [(r["simulator_calls"], r[name]) for r in history if math.isfinite(r[name])]
        axes.plot(*zip(*drawn, strict=True) if drawn else ([], []), label=name.replace("_", " "), **style)
    finite = [r["loss"] for r in history if math.isfinite(r["loss"])]
    if finite and 0.0 < min(finite) < max(finite) / 100.0:
        axes.set_yscale("log")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    return _png(figure)


def unknowns_plot(
    history: History, labels: Mapping[str, str], *, truth: Mapping[str, float], logarithmic: set[str], error: str
) -> bytes:
    """A PNG of every unknown against the iterations with its interval, where one was logged, and of an error below.

    Args:
        labels: name of the record's entry -> what is written beside its axis.
        truth: what is known of them; drawn as a line.
        logarithmic: names drawn on a logarithmic axis.
        error: name of the record's entry drawn last, on a logarithmic axis.
    """
    figure = _figure(6.4, 1.5 * len(labels) + 1.8)
    axes = figure.subplots(len(labels) + 1, 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, label) in zip(axes, labels.items(), strict=False):
        kept = [r for r in history if math.isfinite(r.get(name, math.nan))]
        steps = [r["iteration"] for r in kept]
        axis.plot(steps, [r[name] for r in kept], color="tab:blue", marker="o", markersize=3)
        banded = [r for r in kept if all(math.isfinite(r.get(f"{name}.{end}", math.nan)) for end in ("low", "high"))]
        ends = ([r[f"{name}.{end}"] for r in banded] for end in ("low", "high"))
        axis.fill_between([r["iteration"] for r in banded], *ends, color="tab:blue", alpha=0.25, linewidth=0)
        if name in truth:
            axis.axhline(truth[name], color="black", linewidth=0.8, linestyle="--")
        axis.set(ylabel=label, yscale="log" if name in logarithmic else "linear")
        axis.grid(alpha=0.3)
    found = [(r["iteration"], r[error]) for r in history if math.isfinite(r.get(error, math.nan))]
    axes[-1].semilogy(*zip(*found, strict=True) if found else ([], []), color="0.4", marker="o", markersize=3)
    axes[-1].set(xlabel="iteration", ylabel=error.replace("_", " ") + " [m]")
    axes[-1].grid(alpha=0.3)
    return _png(figure)


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Any) -> bytes:
    picture = io.BytesIO()
    figure.canvas.print_png(picture)
    return picture.getvalue()
