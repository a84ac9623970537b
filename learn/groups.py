"""Many candidates in one launch, each in an environment of its own: a candidate that fails does so alone."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from pliant.learn.evaluation import Evaluation, judged
from pliant.learn.meter import plan_more
from pliant.sim.errors import InputError

if TYPE_CHECKING:
    from pliant.learn.problem import Problem

SPENT = "not run again without a candidate that failed beside it: the simulator calls are spent"
Seats = list[int | None]
"""Which candidate sits in which environment; an empty seat runs the last candidate once more, and is not looked at."""


class Groups:
    """The evaluations of candidates [n, dimension], `parallel` of them at a time.

    A run that ends early is lost for every environment. Where it names those that failed, the others run again without
    them; where it names none, its two halves do. A failure so costs one more run of the group, or at most two for every
    halving, and a group of k failures of which each is named k more. Nothing runs again where an open meter does not allow
    it beside what the iteration will still need.
    """

    def __init__(self, problem: "Problem", candidates: torch.Tensor, seeds: Sequence[int | None], gradient: bool):
        self.problem, self.candidates, self.seeds, self.gradient = problem, candidates, seeds, gradient
        each, count = problem.parallel, len(candidates)
        padded: Seats = [*range(count), *[None] * (-count % each)]
        self.pending = [padded[first : first + each] for first in range(0, count, each)]
        self.told: dict[int, Evaluation] = {}
        self.owed = 0  # simulator calls that no evaluation has been charged with yet

    def run(self) -> list[Evaluation]:
        """An evaluation for each candidate, in order; the first of a run carries its cost."""
        while self.pending:
            self._run(self.pending.pop(0))
        return [self.told[index] for index in range(len(self.candidates))]

    def _run(self, seats: Seats) -> None:
        sitting = [index for index in seats if index is not None]
        with torch.set_grad_enabled(self.gradient):
            rows = [sitting[-1] if index is None else index for index in seats]
            whole = self.problem._run(self.candidates[rows], self.gradient, self.seeds[sitting[0]])
            self.owed += whole.simulator_calls
            if whole.failure:
                self._again(seats, whole)
                return
            if whole.loss.shape != (len(seats),):
                got = f"{list(whole.loss.shape)}; return one loss for each candidate."
                raise InputError(f"problem: expected a loss of shape [{len(seats)}] for parallel candidates, got {got}")
            for seat, index in enumerate(seats):
                if index is not None:
                    self._tell(index, judged(whole.environment(seat)))
        for position, index in enumerate(i for i in sitting if not self.told[i].failure):
            calls = 0 if position else whole.backward_calls
            self.told[index] = dataclasses.replace(self.told[index], backward_calls=calls)

    def _tell(self, index: int, evaluation: Evaluation) -> None:
        self.told[index] = dataclasses.replace(evaluation, simulator_calls=self.owed)
        self.owed = 0

    def _again(self, seats: Seats, whole: Evaluation) -> None:
        """Tell those that are known to have failed, and let the others run again."""
        sitting = [index for index in seats if index is not None]
        failed = {
            sitting[-1] if seats[seat] is None else seats[seat]: sentence
            for seat, sentence in enumerate(whole.failures)
            if sentence
        }
        if not failed and len(sitting) == 1:
            failed = {sitting[0]: whole.failure}
        lost = Evaluation(loss=torch.tensor(torch.inf, dtype=self.candidates.dtype))
        for index in sitting:
            if index in failed:
                self._tell(index, dataclasses.replace(lost, failure=failed[index]))
        left = [index for index in sitting if index not in failed]
        half = len(left) if failed else len(left) // 2
        groups = [part for part in (left[:half], left[half:]) if part]
        again: list[Seats] = [[index if index in part else None for index in seats] for part in groups]
        each = self.problem.calls(1, gradient=self.gradient)
        if plan_more(len(again) * each):
            self.pending = again + self.pending
            return
        for index in left:
            self._tell(index, dataclasses.replace(lost, failure=f"{SPENT}. {whole.failure}"))
