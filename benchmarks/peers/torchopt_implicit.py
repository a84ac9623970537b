"""The fit differentiated by torchopt's `custom_root`, with its conjugate gradients."""

import torch

from benchmarks.peers.implicit_problem import ImplicitProblem, Logistic
from benchmarks.peers.serve import serve


class Torchopt(Logistic):
    """The implicit function theorem, as torchopt has it: the solver is decorated with the condition it fulfils."""

    def __init__(self, problem: ImplicitProblem):
        super().__init__(problem)
        import torchopt

        def slope(w, log_penalty):
            return self.slope(w, log_penalty)

        solve = torchopt.linear_solve.solve_cg(rtol=1e-10, atol=0.0)

        @torchopt.diff.implicit.custom_root(slope, argnums=1, solve=solve)
        def fit(w, log_penalty):
            with torch.no_grad():
                return self.descend(lambda w: self.slope(w, log_penalty), w)

        self.decorated = fit

    def fit(self, log_penalty: torch.Tensor) -> torch.Tensor:
        return self.decorated(self.start(), log_penalty)


if __name__ == "__main__":
    serve(Torchopt, ImplicitProblem)
