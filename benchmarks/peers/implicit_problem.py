"""The gradient of a validation loss in the penalties of logistic regression, fitted by gradient descent: torch alone.

Who differentiates the fit differs; problem, descent and loss are the same for all, to the operation.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peers.serve import resident_bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImplicitProblem:
    """w = argmin mean log(1 + exp(-y X w)) + sum exp(log_penalty) w^2 / 2, one penalty a feature, in float64.

    Args:
        steps: iterations of gradient descent, of length 1 / L.
        seed: of data, split and penalties.
    """

    samples: int = 8000
    features: int = 40
    steps: int = 600
    seed: int = 0

    @property
    def particle_count(self) -> int:
        """What a rate counts."""
        return self.samples


def forget_peak() -> None:
    """Start the process's peak of memory anew, from what it holds."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The most memory that this process has held since then."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


class Logistic:
    """Data, penalties, objective and descent of a problem; what a peer adds is `fit`."""

    def __init__(self, problem: ImplicitProblem):
        torch.set_num_threads(1)
        random = torch.Generator().manual_seed(problem.seed)
        normal = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)  # noqa: E731
        truth = normal(problem.features)
        self.steps = problem.steps
        self.X, self.y = self._drawn(normal, problem, truth)
        self.held = self._drawn(normal, problem, truth)
        self.log_penalty = (normal(problem.features) - 4.0).requires_grad_()
        largest = float(torch.linalg.matrix_norm(self.X, 2)) ** 2 / (4 * problem.samples)
        self.length = 1.0 / (largest + float(self.log_penalty.detach().exp().max()))
        self.value: Any = None
        self.gradient_found: Any = None
        self.added_megabytes = 0.0

    @staticmethod
    def _drawn(normal: Callable, problem: ImplicitProblem, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        X = normal(problem.samples, problem.features)
        return X, torch.sign(X @ truth + 2.0 * normal(problem.samples))

    def slope(self, w: torch.Tensor, log_penalty: torch.Tensor) -> torch.Tensor:
        """Gradient of the objective in w."""
        margin = self.y * (self.X @ w)
        return -(self.y * torch.sigmoid(-margin)) @ self.X / len(self.y) + log_penalty.exp() * w

    def descend(self, F: Callable[[torch.Tensor], torch.Tensor], w: torch.Tensor) -> torch.Tensor:
        """Gradient descent by a slope."""
        for _ in range(self.steps):
            w = w - self.length * F(w)
        return w

    def start(self) -> torch.Tensor:
        return torch.zeros(self.X.shape[1], dtype=torch.float64)

    def fit(self, log_penalty: torch.Tensor) -> torch.Tensor:
        """w of penalties, with a gradient."""
        raise NotImplementedError

    def forward(self) -> None:
        with torch.no_grad():
            self.descend(lambda w: self.slope(w, self.log_penalty), self.start())

    def gradient(self) -> None:
        """Of the validation loss; `figures` tells what it added to the memory of the process."""
        before = resident_bytes()
        forget_peak()
        self._differentiate()
        self.added_megabytes = max(0, peak_bytes() - before) / 1e6

    def figures(self) -> dict[str, float]:
        return {"added_megabytes": self.added_megabytes}

    def _differentiate(self) -> None:
        X, y = self.held
        loss = torch.nn.functional.softplus(-y * (X @ self.fit(self.log_penalty))).mean()
        self.value = float(loss.detach())
        (self.gradient_found,) = torch.autograd.grad(loss, self.log_penalty)

    def result(self) -> dict[str, np.ndarray]:
        return {"loss": np.asarray(self.value)}

    def derivatives(self) -> dict[str, np.ndarray]:
        return {"log_penalty": self.gradient_found.numpy()}
