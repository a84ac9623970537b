"""The fit differentiated by `learn.constrain.custom_root`, with conjugate gradients."""

import torch

from benchmarks.peers.implicit_problem import ImplicitProblem, Logistic
from benchmarks.peers.serve import serve
from pliant.learn.constrain import CG, Given, custom_root


class Pliant(Logistic):
    """The implicit function theorem at what the descent found, which is checked."""

    def __init__(self, problem: ImplicitProblem):
        super().__init__(problem)
        descent = Given(self._quietly, tolerance=1e-6)
        self.solve = custom_root(self.slope, descent, CG(tolerance=1e-10))

    def _quietly(self, F, w):
        with torch.no_grad():
            return self.descend(F, w)

    def fit(self, log_penalty: torch.Tensor) -> torch.Tensor:
        return self.solve(self.start(), log_penalty)


if __name__ == "__main__":
    serve(Pliant, ImplicitProblem)
