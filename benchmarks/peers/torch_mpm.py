"""The substep in PyTorch: whole-array operations, scatter by `index_add`, gradients by its autograd."""

import itertools

import numpy as np
import torch

from benchmarks.peers.problem import GOAL, Problem
from benchmarks.peers.serve import serve

State = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class TorchMpm:
    """Vectorised over particles and their 27 nodes; the whole graph is kept, as autograd does."""

    def __init__(self, problem: Problem, *, threads: int = 1, device: str = "cpu") -> None:
        torch.set_num_threads(threads)
        self.problem = problem
        self.device = torch.device(device)
        self.offsets = torch.tensor(list(itertools.product(range(3), repeat=3)), device=self.device)
        self.strides = torch.tensor([problem.grid**2, problem.grid, 1], device=self.device)
        self.eye = torch.eye(3, device=self.device)
        self.kick = torch.tensor([0.0, 0.0, problem.dt * problem.gravity], device=self.device)
        self.low, self.high = self.walls()
        self.start = [self.tensor(problem.positions()), self.tensor(problem.velocities())]
        self.end: State | None = None

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array, dtype=torch.float32, device=self.device)

    def walls(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Masks [grid^3, 3] of the nodes in the lower and in the upper wall of each axis."""
        line = torch.arange(self.problem.grid, device=self.device)
        index = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), dim=-1).reshape(-1, 3)
        return index < self.problem.wall, index > self.problem.grid - 1 - self.problem.wall

    def weights(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Flat node index [n, 27], weight [n, 27], offset x_i - x_p [n, 27, 3]."""
        grid = self.problem.grid
        base = (x.detach() * grid - 0.5).floor()
        fraction = x * grid - base
        w = torch.stack([0.5 * (1.5 - fraction) ** 2, 0.75 - (fraction - 1) ** 2, 0.5 * (fraction - 0.5) ** 2], dim=1)
        wx, wy, wz = w.unbind(dim=2)
        weight = (wx[:, :, None, None] * wy[:, None, :, None] * wz[:, None, None, :]).reshape(-1, 27)
        index = ((base.long() * self.strides).sum(dim=1, keepdim=True)) + (self.offsets * self.strides).sum(dim=1)
        return index, weight, (self.offsets - fraction[:, None]) / grid

    def kirchhoff(self, F: torch.Tensor) -> torch.Tensor:
        a, b, c = F.unbind(dim=2)
        log_J = torch.log((a * torch.linalg.cross(b, c)).sum(dim=1))[:, None, None]
        return self.problem.mu * (F @ F.transpose(1, 2) - self.eye) + self.problem.lam * log_J * self.eye

    def deformed(self, trial: torch.Tensor) -> torch.Tensor:
        """The return map of an elastic body: none."""
        return trial

    def grid_velocity(self, index: torch.Tensor, packed: torch.Tensor) -> torch.Tensor:
        """Velocity [grid^3, 3] of the nodes after gravity and walls."""
        grid = torch.zeros(self.problem.grid**3, 4, device=self.device)
        grid = grid.index_add(0, index.reshape(-1), packed.reshape(-1, 4))
        mass = grid[:, 3:]
        v = grid[:, :3] / torch.where(mass > 0, mass, 1.0) + self.kick
        v = torch.where(self.low, v.clamp(min=0), v)
        return torch.where(self.high, v.clamp(max=0), v)

    def substep(self, x: torch.Tensor, v: torch.Tensor, C: torch.Tensor, F: torch.Tensor) -> State:
        problem = self.problem
        F = self.deformed(F + problem.dt * (C @ F))
        affine = problem.mass * C - problem.dt * problem.volume * 4 * problem.grid**2 * self.kirchhoff(F)
        index, weight, offset = self.weights(x)
        momentum = problem.mass * v[:, None] + offset @ affine.transpose(1, 2)
        packed = torch.cat([weight[..., None] * momentum, (problem.mass * weight)[..., None]], dim=2)
        nodes = self.grid_velocity(index, packed)
        gathered = nodes.index_select(0, index.reshape(-1)).reshape(-1, 27, 3) * weight[..., None]
        v = gathered.sum(dim=1)
        C = 4 * problem.grid**2 * (gathered.transpose(1, 2) @ offset)
        return x + problem.dt * v, v, C, F

    def run(self) -> State:
        x, v = self.start
        n = self.problem.particle_count
        state: State = (x, v, torch.zeros(n, 3, 3, device=self.device), self.eye.expand(n, 3, 3))
        for _ in range(self.problem.steps):
            state = self.substep(*state)
        return state

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def forward(self) -> None:
        with torch.no_grad():
            self.end = self.run()
        self.wait()

    def gradient(self) -> None:
        for leaf in self.start:
            leaf.requires_grad_(True)
            leaf.grad = None
        self.end = self.run()
        goal = torch.tensor(GOAL, device=self.device)
        (self.end[0] - goal).square().sum(dim=1).mean().backward()
        self.wait()

    def result(self) -> dict[str, np.ndarray]:
        x, v = self.end[:2]
        return {"position": x.detach().cpu().numpy(), "velocity": v.detach().cpu().numpy()}

    def derivatives(self) -> dict[str, np.ndarray]:
        return {name: leaf.grad.cpu().numpy() for name, leaf in zip(("position", "velocity"), self.start, strict=True)}


if __name__ == "__main__":
    serve(TorchMpm)
