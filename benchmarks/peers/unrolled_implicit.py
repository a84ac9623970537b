"""The fit differentiated through its iterations, which autograd keeps."""

import torch

from benchmarks.peers.implicit_problem import ImplicitProblem, Logistic
from benchmarks.peers.serve import serve


class Unrolled(Logistic):
    """Backpropagation through gradient descent."""

    def fit(self, log_penalty: torch.Tensor) -> torch.Tensor:
        return self.descend(lambda w: self.slope(w, log_penalty), self.start())


if __name__ == "__main__":
    serve(Unrolled, ImplicitProblem)
