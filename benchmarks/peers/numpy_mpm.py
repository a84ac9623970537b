"""The substep in float64 NumPy, a particle-by-node array at a time: the reference that every peer must agree with."""

import itertools

import numpy as np

from benchmarks.peers.problem import GOAL, Problem

OFFSETS = np.array(list(itertools.product(range(3), repeat=3)))


def weights(x: np.ndarray, grid: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat node index [n, 27], quadratic weight [n, 27] and offset x_i - x_p [n, 27, 3] of every particle's nodes."""
    base = np.floor(x * grid - 0.5).astype(int)
    fraction = x * grid - base
    w = np.stack([0.5 * (1.5 - fraction) ** 2, 0.75 - (fraction - 1) ** 2, 0.5 * (fraction - 0.5) ** 2])
    weight = np.prod([w[OFFSETS[:, d], :, d] for d in range(3)], axis=0).T
    nodes = base[:, None] + OFFSETS
    return nodes @ np.array([grid * grid, grid, 1]), weight, (OFFSETS - fraction[:, None]) / grid


def kirchhoff(F: np.ndarray, problem: Problem) -> np.ndarray:
    """Neo-Hookean Kirchhoff stress, shape [n, 3, 3] [Pa]."""
    log_J = np.log(np.linalg.det(F))[:, None, None]
    return problem.mu * (F @ F.transpose(0, 2, 1) - np.eye(3)) + problem.lam * log_J * np.eye(3)


def walled(v: np.ndarray, problem: Problem) -> np.ndarray:
    """Grid velocity [grid^3, 3] with the component into a wall removed."""
    index = np.stack(np.unravel_index(np.arange(len(v)), (problem.grid,) * 3), axis=1)
    v = np.where(index < problem.wall, np.maximum(v, 0), v)
    return np.where(index > problem.grid - 1 - problem.wall, np.minimum(v, 0), v)


def substep(x: np.ndarray, v: np.ndarray, C: np.ndarray, F: np.ndarray, problem: Problem) -> tuple[np.ndarray, ...]:
    """State (x, v, C, F) after one substep; the F that comes in is that of the step before."""
    F = F + problem.dt * C @ F
    affine = problem.mass * C - problem.dt * problem.volume * 4 * problem.grid**2 * kirchhoff(F, problem)
    index, weight, offset = weights(x, problem.grid)
    momentum = weight[..., None] * (problem.mass * v[:, None] + np.einsum("pij,pnj->pni", affine, offset))
    grid_momentum, grid_mass = np.zeros((problem.grid**3, 3)), np.zeros(problem.grid**3)
    np.add.at(grid_momentum, index, momentum)
    np.add.at(grid_mass, index, problem.mass * weight)
    grid_v = grid_momentum / np.where(grid_mass > 0, grid_mass, 1)[:, None] + [0, 0, problem.dt * problem.gravity]
    contribution = weight[..., None] * walled(grid_v, problem)[index]
    v = contribution.sum(axis=1)
    C = 4 * problem.grid**2 * np.einsum("pni,pnj->pij", contribution, offset)
    return x + problem.dt * v, v, C, F


def run(problem: Problem, positions: np.ndarray, velocities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities after the problem's steps from the given start, shapes [n, 3]."""
    n = len(positions)
    state = (positions, velocities, np.zeros((n, 3, 3)), np.tile(np.eye(3), (n, 1, 1)))
    for _ in range(problem.steps):
        state = substep(*state, problem)
    return state[0], state[1]


def loss(positions: np.ndarray) -> float:
    """Mean squared distance to the goal [m^2]."""
    return float(np.mean(np.sum((positions - np.asarray(GOAL)) ** 2, axis=1)))
