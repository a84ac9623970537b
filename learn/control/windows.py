"""An episode in short windows, with a step of the optimiser after each: truncated backpropagation through time, online.

The gradient through contact is chaotic over an episode and good over a window of it. One forward and backward of an
episode of W windows so gives W gradients, each taken where the controller of that moment has brought the body.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from learn.autograd import Simulator
from learn.objectives.base import Objective
from learn.problem import Evaluation, Values
from learn.simulation import SimulationProblem
from sim.errors import InputError
from sim.mpm.state import FIELDS


class WindowedProblem(SimulationProblem):
    """Minimise an objective of every window of an episode; each evaluation is the next window, from where the last ended.

    The windows of an episode follow one another, after the last the episode starts anew. The state between them carries
    no gradient. Losses of different windows do not compare, so the result of a training is its last unknowns. A
    window that fails starts the episode anew. A simulator call is a window.

    Args:
        simulator: of one window; its rollout must record every field (`record=sim.FIELDS`).
        objective: of a window's trajectory.
        windows: in an episode.
        totals: metrics logged as the sum over the last `windows` windows.

    Errors: `InputError` for a rollout that does not record every field, or fewer than one window.
    """

    def __init__(self, simulator: Simulator, objective: Objective, *, windows: int, totals: Sequence[str] = ()) -> None:
        missing = [field for field in FIELDS if field not in simulator.rollout.record]
        if missing or windows < 1:
            got = f"one without {missing}" if missing else f"{windows} windows"
            raise InputError(
                f"windows: expected a rollout that records {list(FIELDS)} and at least one window, got {got}; correct it."
            )
        super().__init__(simulator, objective)
        self.comparable, self.windows, self.totals = False, windows, tuple(totals)
        self.rollout = simulator.rollout
        self._recent: list[dict[str, float]] = []
        self._window = 0
        self._state: Values = {}

    def compute(self, values: Values) -> Evaluation:
        self._copy({name: values[name] for name in self._weights})
        weights = {name: values[name] for name in self._weights}
        first_step = self._window * self.rollout.steps
        window, self._window = self._window, 0  # a failure below leaves the episode at its start
        start, self._state = self._state, {}
        trajectory = torch.func.functional_call(self.simulator, weights, (start, first_step))
        if window + 1 < self.windows:
            self._window = window + 1
            self._state = {n: trajectory[n][-1].detach().clone() for n in trajectory if n.rpartition(".")[2] in FIELDS}
        metrics = {n: torch.as_tensor(m).detach() for n, m in self.objective.metrics(trajectory).items()}
        return Evaluation(loss=self.objective(trajectory), metrics={**metrics, **self._sums(metrics)})

    def state_dict(self) -> dict[str, Any]:
        return {"window": self._window, "state": dict(self._state), "recent": [dict(r) for r in self._recent]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._window, self._state = state["window"], dict(state["state"])
        self._recent = [dict(r) for r in state["recent"]]

    def _sums(self, metrics: Mapping[str, torch.Tensor]) -> dict[str, float]:
        """The chosen metrics, summed over the last episode's worth of windows."""
        self._recent = [*self._recent, {n: float(metrics[n].mean()) for n in self.totals}][-self.windows :]
        return {name: sum(record[name] for record in self._recent) for name in self.totals}
