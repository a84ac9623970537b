"""The problem in Pliant with a law of torch networks, evaluated every substep and trained through `learn.simulate`."""

import torch

from benchmarks.peers.pliant_mpm import PliantMpm, quieten
from benchmarks.peers.problem import GOAL, Problem
from benchmarks.peers.serve import serve
from pliant.learn import TorchLaw, simulate
from pliant.learn.models.laws import ElasticNetwork, PlasticNetwork

WIDTH = 64
STRESS_SCALE = 100.0  # Pa; far below the shear modulus, so that untrained weights leave the body stable


class NetworkStress(torch.nn.Module):
    """tau = mu (F F^T - I) + scale sym(network(F - I)), with a 9-64-64-9 network."""

    def __init__(self, mu: float) -> None:
        super().__init__()
        self.mu = mu
        self.network = torch.nn.Sequential(
            torch.nn.Linear(9, WIDTH),
            torch.nn.SiLU(),
            torch.nn.Linear(WIDTH, WIDTH),
            torch.nn.SiLU(),
            torch.nn.Linear(WIDTH, 9),
        )

    def forward(self, F: torch.Tensor) -> torch.Tensor:
        eye = torch.eye(3, dtype=F.dtype, device=F.device)
        made = self.network((F - eye).flatten(1)).view(-1, 3, 3)
        return self.mu * (F @ F.mT - eye) + 0.5 * STRESS_SCALE * (made + made.mT)


def plain_law(problem: Problem) -> TorchLaw:
    """A user's module, a sequence of layers among other operations, which needs autograd."""
    torch.manual_seed(0)
    return TorchLaw(NetworkStress(problem.mu))


def paper_law(problem: Problem) -> TorchLaw:
    """The two networks of Ma et al. (2023), 13-64-64-9: stress and return map."""
    generator = torch.Generator().manual_seed(0)
    elastic = ElasticNetwork(stress_scale=0.1 * problem.mu, generator=generator)
    return TorchLaw(elastic, PlasticNetwork(generator=generator))


LAWS = {"plain": plain_law, "paper": paper_law}


class TorchLawMpm(PliantMpm):
    """As `PliantMpm`; the gradient is that of the initial position and of the networks' weights.

    Args:
        law: "plain" or "paper".
    """

    def __init__(self, problem: Problem, *, threads: int = 1, device: str = "cpu", law: str = "plain") -> None:
        super().__init__(problem, threads=threads, device=device)
        torch.set_num_threads(1)
        self.torch_law = LAWS[law](problem)

    def material(self) -> TorchLaw:
        return self.torch_law

    def gradient(self) -> None:
        position = torch.tensor(self.start["jelly.position"], dtype=torch.float32, requires_grad=True)
        self.torch_law.zero_grad()
        end = simulate(self.rollout, {**self.start, "jelly.position": position})["jelly.position"][-1, 0]
        (end - torch.tensor(GOAL)).square().sum(dim=1).mean().backward()
        if not all(torch.isfinite(weight.grad).all() for weight in self.torch_law.parameters()):
            raise ArithmeticError("a gradient of the weights is not finite")

    def figures(self) -> dict[str, float]:
        """None: the bandwidth of `PliantMpm` counts no network."""
        return {}


if __name__ == "__main__":
    quieten()
    serve(TorchLawMpm)
