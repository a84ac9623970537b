"""Second derivatives of a rollout, by differences of its gradients, and what makes a gradient impossible to take at all.

With the gradient g(p) = J(p)^T w for fixed adjoints w of what was recorded, the product with the Hessian along v is

    H v = (4 D(s / 2) - D(s)) / 3,   D(s) = (g(p + s v) - g(p - s v)) / 2 s

four runs forward and back. s moves every parameter by at most a ten-thousandth of its largest value, so that truncation and
round-off are both below 1e-7 of a smooth gradient. Where D(s) and D(s / 2) disagree there is a kink within s (a contact that
begins, a surface that yields), and the sentence says so: a second derivative does not exist there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pliant.sim.errors import InputError
from pliant.sim.rollout import Record, Rollout

STEP = 1e-4  # of a parameter's largest value
KINK = 1e-3  # by which two differences may disagree, of the change of the gradient
NOISE = 1e-10  # of the gradient itself: round-off


def refuse_curvature(node: Any, *, final: bool) -> None:
    """Raise `InputError` where no second derivative is to be had of a node of `simulate`.

    Args:
        final: whether it is wanted through the final state.
    """
    rollout = node.rollout
    if node.has_state or final:
        reason = "a run without a policy for a second derivative, got one; use the first"
    elif rollout.binding.external_laws:
        reason = "built-in laws for a second derivative, got one of torch modules; use the first"
    elif rollout.model.precision.name != "float64":
        reason = "a model in float64 for a second derivative, got float32; build(dtype='float64')"
    elif node.record.ended:
        reason = "a run that all environments completed for a second derivative; leave out those that failed"
    else:
        return
    raise InputError(f"simulate: expected {reason}.")


def third_derivative() -> InputError:
    """What to raise where one is wanted."""
    return InputError("simulate: expected derivatives up to the second, got a third; leave out create_graph=True.")


def hessian_product(
    rollout: Rollout, record: Record, seeds: Mapping[str, np.ndarray], along: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Derivative of `rollout.backward(seeds)` along directions of the parameters of that run, by name.

    Errors: `InputError` where it does not exist; `SimulationError` where a run beside it fails.
    """
    values = {name: np.array(record.values[name], np.float64) for name in along}
    reach = max(float(np.abs(v).max()) / _size(values[name]) for name, v in along.items() if v.size)
    if reach == 0.0:
        return {name: np.zeros_like(v) for name, v in along.items()}

    def change(step: float) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Half the change of the gradient over 2 `step`, and the gradient at one end."""
        ends = []
        for sign in (1.0, -1.0):
            given = {**record.values, **{n: values[n] + sign * step * along[n] for n in along}}
            with rollout.turn:
                rollout.forward(given, first_step=record.first_step)
                ends.append(rollout.backward(seeds, names=tuple(along)))
        return {n: 0.5 * (ends[0][n] - ends[1][n]) for n in along}, dict(ends[0])

    step = STEP / reach
    (wide, at), (narrow, _) = change(step), change(0.5 * step)
    for name in along:
        off = float(np.abs(wide[name] - 2.0 * narrow[name]).max())
        if off > KINK * float(np.abs(wide[name]).max()) + NOISE * float(np.abs(at[name]).max()):
            raise InputError(
                f"simulate: expected a gradient of {name} that is smooth for a second derivative, got one with a kink within "
                f"{STEP:g} of its value, as where a contact begins or ends; move the value, or use first derivatives."
            )
    return {n: (8.0 * narrow[n] - wide[n]) / (3.0 * step) for n in along}


def _size(value: np.ndarray) -> float:
    """The largest entry, 1 where all are zero."""
    return float(np.abs(value).max()) or 1.0


def weights_of(law: torch.nn.Module) -> list[torch.Tensor]:
    """Copies of the weights and buffers of a law, as they are now."""
    return [t.detach().clone() for t in (*law.parameters(), *law.buffers())]


def check_weights(kept: Sequence[tuple[torch.nn.Module, list[torch.Tensor]]]) -> None:
    """Raise `InputError` for laws whose weights are not those of the forward run, which backward reads again."""
    for law, before in kept:
        now = [*law.parameters(), *law.buffers()]
        if len(now) != len(before) or not all(torch.equal(a.detach(), b) for a, b in zip(now, before, strict=True)):
            raise InputError(
                "backward: expected the weights of a torch law as they were in forward, got others (changed in place, as by an "
                "optimiser's step); call backward before the step, or simulate again."
            )
