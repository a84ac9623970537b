"""The problem in PyTorch with the paper's two networks: autograd keeps the graph of every substep until the end."""

import torch

from benchmarks.peers.pliant_torch_law import paper_law
from benchmarks.peers.problem import Problem
from benchmarks.peers.serve import serve
from benchmarks.peers.torch_mpm import TorchMpm


class TorchLawsMpm(TorchMpm):
    """As `TorchMpm`; each law is one node of the graph, which keeps the activations of its network."""

    def __init__(self, problem: Problem, *, threads: int = 1, device: str = "cpu") -> None:
        super().__init__(problem, threads=threads, device=device)
        self.law = paper_law(problem)

    def kirchhoff(self, F: torch.Tensor) -> torch.Tensor:
        return self.law.kirchhoff(F)

    def deformed(self, trial: torch.Tensor) -> torch.Tensor:
        return self.law.return_map(trial.contiguous())


if __name__ == "__main__":
    serve(TorchLawsMpm)
