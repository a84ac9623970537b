"""An episode in short windows, with a step of the optimiser after each: truncated backpropagation through time, online.

The gradient through contact is chaotic over an episode and good over a window of it. One forward and backward of an
episode of W windows so gives W gradients, each taken where the controller of that moment has brought the body.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pliant.learn.autograd import Simulator
from pliant.learn.objectives.base import Objective
from pliant.learn.problem import Evaluation, Problem, Values
from pliant.learn.simulation import SimulationProblem
from pliant.sim.errors import InputError
from pliant.sim.mpm.state import FIELDS
from pliant.sim.status import SimulationError

LOSS = "loss"


class WindowedProblem(SimulationProblem):
    """Minimise an objective of every window of an episode; each evaluation is the next window, from where the last ended.

    The windows of an episode follow one another, after the last the episode starts anew. The state between them carries
    no gradient. The loss is summed over the last `windows` windows, one of each place in the episode; those before
    the newest are constants, taken with the unknowns of their time (where there are none yet, the mean stands in). A
    window that fails starts the episode anew. A simulator call is a window.

    Such a sum flatters unknowns that change from window to window: what they are worth is what a whole episode shows.
    With a `judge` one is run at the end of each episode, for its loss alone, and the best of these are the result; without,
    the last unknowns.

    Args:
        simulator: of one window; its rollout must record every field (`record=learn.FIELDS`).
        objective: of a window's trajectory.
        windows: in an episode.
        totals: metrics logged as the sum over the last `windows` windows.
        judge: problem of the same unknowns whose loss is that of a whole episode.
        judged_from: episodes before the first that is judged.

    Errors: `InputError` for a rollout that does not record every field, or fewer than one window.
    """

    def __init__(
        self,
        simulator: Simulator,
        objective: Objective,
        *,
        windows: int,
        totals: Sequence[str] = (),
        judge: Problem | None = None,
        judged_from: int = 0,
    ) -> None:
        missing = [field for field in FIELDS if field not in simulator.rollout.record]
        if missing or windows < 1:
            got = f"one without {missing}" if missing else f"{windows} windows"
            raise InputError(
                f"windows: expected a rollout with record=learn.FIELDS and at least one window, got {got}; correct it."
            )
        super().__init__(simulator, objective)
        self.windows, self.totals = windows, tuple(totals)
        self.judge, self.judged_from, self.comparable = judge, judged_from, judge is not None
        self.rollout = simulator.rollout
        self._recent: list[dict[str, float]] = []
        self._window = self._episode = 0
        self._state: Values = {}

    def compute(self, values: Values) -> Evaluation:
        self._copy({name: values[name] for name in self._weights})
        weights = {name: values[name] for name in self._weights}
        first_step = self._window * self.rollout.steps
        window, self._window = self._window, 0  # a failure below leaves the episode at its start
        start, self._state = self._state, {}
        trajectory = torch.func.functional_call(self.simulator, weights, (start, first_step))
        ended = window + 1 == self.windows
        self._episode += ended
        if not ended:
            self._window = window + 1
            self._state = {n: trajectory[n][-1].detach().clone() for n in trajectory if n.rpartition(".")[2] in FIELDS}
        loss, metrics = self.objective(trajectory), self.objective.metrics(trajectory)
        numbers = {LOSS: loss, **{name: metrics[name] for name in self.totals}}
        before = self._recent[-self.windows + 1 :] if self.windows > 1 else []
        self._recent = [*before, {n: float(x.detach().mean()) for n, x in numbers.items()}]
        earlier = self._total(LOSS) - self._recent[-1][LOSS]
        running = Evaluation(
            loss=loss + earlier, metrics={**metrics, **{n: self._total(n) for n in self.totals}}, ranked=False
        )
        return self._judged(running, values) if ended and self._episode > self.judged_from else running

    def state_dict(self) -> dict[str, Any]:
        state = {"window": self._window, "episode": self._episode, "state": dict(self._state)}
        return {**state, "recent": [dict(r) for r in self._recent]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._window, self._episode, self._state = state["window"], state["episode"], dict(state["state"])
        self._recent = [dict(r) for r in state["recent"]]

    def _judged(self, running: Evaluation, values: Values) -> Evaluation:
        """The evaluation with the gradient of the window and the value of a whole episode, unless that fails."""
        if self.judge is None:
            return running
        try:
            with torch.no_grad():
                whole = self.judge.compute(values)
        except SimulationError:
            return running
        loss = running.loss + (whole.loss - running.loss).detach()
        calls = self.environments * (1 + self.windows)
        return Evaluation(loss=loss, metrics={**running.metrics, **whole.metrics}, simulator_calls=calls)

    def _total(self, name: str) -> float:
        """The sum over an episode's worth of windows; as many times the mean while there are fewer."""
        return self.windows / len(self._recent) * sum(record[name] for record in self._recent)
