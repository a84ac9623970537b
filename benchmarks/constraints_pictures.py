"""`python -m benchmarks.constraints_pictures`: runs the code of docs/constraints.md and draws its pictures."""

import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch

from benchmarks.worker import ROOT

GALLERY = ROOT / "assets" / "gallery"
INK, ACCENT, OTHER = "#1f3a5f", "#d1495b", "#8d99ae"


def blocks() -> list[str]:
    """The Python of the page, in order."""
    page = (ROOT / "docs" / "constraints.md").read_text()
    return re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def run_page() -> dict[str, Any]:
    """What the page's code leaves behind."""
    session: dict[str, Any] = {}
    for block in blocks():
        exec(compile(block, "docs/constraints.md", "exec"), session)
    return session


def draw_ridge(axes: Any, s: dict[str, Any]) -> None:
    penalties = torch.logspace(-1, 3, 40)
    path = torch.stack([s["ridge"](torch.zeros(10), p) for p in penalties])
    axes.semilogx(penalties, path, color=OTHER, lw=1)
    at, slope = float(s["penalty"]), s["slope"]
    reach = np.array([0.3 * at, 2.5 * at])
    for weight, tilt in zip(s["ridge"](torch.zeros(10), s["penalty"]), slope, strict=True):
        axes.plot(reach, float(weight) + float(tilt) * (reach - at), color=ACCENT, lw=1.5)
    axes.set(title="ridge: weights and dw/dpenalty", xlabel="penalty")


def draw_logistic(axes: Any, s: dict[str, Any]) -> None:
    axes.plot(s["held_out"], color=INK)
    axes.set(title="40 penalties tuned on held-out data", xlabel="iteration", ylabel="held-out loss")


def draw_dictionary(axes: Any, s: dict[str, Any]) -> None:
    axes.semilogy(s["dictionary_losses"], color=INK)
    axes.set(title="dictionary learned through its codes", xlabel="iteration", ylabel="squared error of the readout")


def draw_ground_state(axes: Any, s: dict[str, Any]) -> None:
    state, movement, grows = s["state"].numpy(), s["movement"].numpy(), s["species"].numpy()
    for place, kind in zip(state, grows, strict=True):
        radius = 0.5 + float(s["growth"]) * kind
        axes.add_patch(matplotlib.patches.Circle(place, radius, color=(OTHER, INK)[kind], alpha=0.35))
    axes.quiver(*state.T, *movement.T, color=ACCENT, angles="xy", scale=2.5, scale_units="xy")
    axes.set(title="ground state, as the dark grow", aspect="equal", xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))


def draw_simplex(axes: Any, s: dict[str, Any]) -> None:
    one, other = (jacobian.numpy() for jacobian in s["sensitivities"])
    axes.plot(one.ravel(), other.ravel(), "o", color=ACCENT)
    axes.axline((0, 0), slope=1, color=OTHER, lw=1)
    axes.set(title="simplex: dx/dgain two ways", xlabel="projected gradient", ylabel="mirror descent")


def draw_equilibrium(axes: Any, s: dict[str, Any]) -> None:
    line = torch.linspace(-1.3, 1.3, 60)
    points = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(-1, 2)
    with torch.no_grad():
        score = torch.tanh(s["classify"](points)).reshape(60, 60)
    axes.contourf(line, line, score, levels=20, cmap="RdBu_r", alpha=0.7)
    axes.scatter(*s["spiral"].T, c=s["label"], cmap="RdBu_r", s=8, edgecolors="white", linewidths=0.3)
    axes.set(title="deep equilibrium model", aspect="equal")


def draw_stokes(axes: Any, s: dict[str, Any]) -> None:
    betas = torch.linspace(0, 4, 30)
    power = [float(s["power"](*s["values"][:2], b)) for b in betas]
    axes.plot(betas, power, color=INK)
    at, tilt = s["values"][2], s["stokes_gradient"][2]
    axes.plot(betas[:14], float(s["power"](*s["values"])) + tilt * (betas[:14] - at), color=ACCENT)
    axes.set(title="Stokes: power of the flow, and its slope", xlabel="resistance to strain", ylabel="mean |u|^2")


def draw_steady_state(axes: Any, s: dict[str, Any]) -> None:
    drivings = np.linspace(0.1, 0.5, 7)
    strengths = [float(s["steady"](s["roll"].detach(), torch.tensor([d])).square().mean()) for d in drivings]
    axes.plot(drivings, strengths, color=INK)
    at, reach = float(s["driving"].detach()), np.array([0.18, 0.42])
    axes.plot(reach, float(s["strength"].detach()) + float(s["strength_slope"]) * (reach - at), color=ACCENT)
    axes.set(title="steady state of a simulation, and its slope", xlabel="driving", ylabel="mean u^2")


def draw_conservation(axes: Any, s: dict[str, Any]) -> None:
    x = s["x"]
    for one, key, label in zip(axes, ("projected_mean", "conserving"), ("projected", "conditioned"), strict=True):
        mean = s[key] if key == "projected_mean" else s[key].mean
        band = s["spread"] if key == "projected_mean" else s[key].stddev
        one.fill_between(x, mean - 2 * band, mean + 2 * band, color=ACCENT, alpha=0.2, lw=0)
        one.plot(x, s["exact"], color=INK, label="exact")
        one.plot(x, s["prediction"].mean, color=OTHER, ls="--", label="predicted")
        one.plot(x, mean, color=ACCENT, label=label)
        error = float((mean - s["exact"]).square().mean())
        one.set(title=f"{label}: mean squared error {error:.1e}", xlabel="x")
        one.legend(frameon=False)


PANELS = (
    draw_ridge, draw_logistic, draw_dictionary, draw_ground_state, draw_simplex, draw_equilibrium, draw_stokes, draw_steady_state,
)  # fmt: skip


def main(folder: Path = GALLERY) -> None:
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    session = run_page()
    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(2, 4, figsize=(16, 7.6), layout="constrained")
        for panel, draw in zip(axes.flat, PANELS, strict=True):
            draw(panel, session)
        figure.savefig(folder / "implicit.png", dpi=90)
        figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained", sharey=True)
        draw_conservation(axes, session)
        figure.savefig(folder / "conservation.png", dpi=90)


if __name__ == "__main__":
    main()
