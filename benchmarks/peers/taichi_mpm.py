"""The substep in Taichi, differentiated by its autodiff in the manner of DiffTaichi.

Particle state is kept for every substep in fields with gradients; there is one grid, cleared and computed again on the
way back before the adjoint kernels run in reverse order. Runs in an interpreter that has Taichi 1.7.4.
"""

import types

import numpy as np
import taichi as ti

from benchmarks.peers.problem import GOAL, Problem
from benchmarks.peers.serve import serve


def fields(problem: Problem) -> types.SimpleNamespace:
    """State [steps + 1, particle_count] and grid [grid]^3 fields, each with its gradient."""
    state, grid = (problem.steps + 1, problem.particle_count), (problem.grid,) * 3
    return types.SimpleNamespace(
        x=ti.Vector.field(3, ti.f32, shape=state, needs_grad=True),
        v=ti.Vector.field(3, ti.f32, shape=state, needs_grad=True),
        C=ti.Matrix.field(3, 3, ti.f32, shape=state, needs_grad=True),
        F=ti.Matrix.field(3, 3, ti.f32, shape=state, needs_grad=True),
        momentum=ti.Vector.field(3, ti.f32, shape=grid, needs_grad=True),
        mass=ti.field(ti.f32, shape=grid, needs_grad=True),
        velocity=ti.Vector.field(3, ti.f32, shape=grid, needs_grad=True),
        loss=ti.field(ti.f32, shape=(), needs_grad=True),
    )


def transfer_kernels(problem: Problem, f: types.SimpleNamespace, serial: bool) -> types.SimpleNamespace:
    """Particles to grid and back; `serial` drops Taichi's thread pool and with it the atomics."""
    x, v, C, F, momentum, mass, velocity = f.x, f.v, f.C, f.F, f.momentum, f.mass, f.velocity
    count, inverse_dx, dt = problem.particle_count, float(problem.grid), problem.dt
    dx, scale = 1.0 / problem.grid, 4.0 * problem.grid**2
    particle_mass, volume, mu, lam = problem.mass, problem.volume, problem.mu, problem.lam

    @ti.kernel
    def p2g(s: ti.i32):
        ti.loop_config(serialize=serial)
        for p in range(count):
            base = ti.cast(x[s, p] * inverse_dx - 0.5, ti.i32)
            fraction = x[s, p] * inverse_dx - ti.cast(base, ti.f32)
            w = [0.5 * (1.5 - fraction) ** 2, 0.75 - (fraction - 1.0) ** 2, 0.5 * (fraction - 0.5) ** 2]
            new_F = F[s, p] + dt * (C[s, p] @ F[s, p])
            F[s + 1, p] = new_F
            eye = ti.Matrix.identity(ti.f32, 3)
            tau = mu * (new_F @ new_F.transpose() - eye) + lam * ti.log(new_F.determinant()) * eye
            affine = particle_mass * C[s, p] - (dt * volume * scale) * tau
            for i, j, k in ti.static(ti.ndrange(3, 3, 3)):
                offset = ti.Vector([i, j, k])
                weight = w[i][0] * w[j][1] * w[k][2]
                distance = (ti.cast(offset, ti.f32) - fraction) * dx
                momentum[base + offset] += weight * (particle_mass * v[s, p] + affine @ distance)
                mass[base + offset] += weight * particle_mass

    @ti.kernel
    def g2p(s: ti.i32):
        ti.loop_config(serialize=serial)
        for p in range(count):
            base = ti.cast(x[s, p] * inverse_dx - 0.5, ti.i32)
            fraction = x[s, p] * inverse_dx - ti.cast(base, ti.f32)
            w = [0.5 * (1.5 - fraction) ** 2, 0.75 - (fraction - 1.0) ** 2, 0.5 * (fraction - 0.5) ** 2]
            new_v = ti.Vector.zero(ti.f32, 3)
            new_C = ti.Matrix.zero(ti.f32, 3, 3)
            for i, j, k in ti.static(ti.ndrange(3, 3, 3)):
                offset = ti.Vector([i, j, k])
                weight = w[i][0] * w[j][1] * w[k][2]
                distance = (ti.cast(offset, ti.f32) - fraction) * dx
                node = velocity[base + offset]
                new_v += weight * node
                new_C += (scale * weight) * node.outer_product(distance)
            v[s + 1, p] = new_v
            C[s + 1, p] = new_C
            x[s + 1, p] = x[s, p] + dt * new_v

    return types.SimpleNamespace(p2g=p2g, g2p=g2p)


def clearing_kernels(problem: Problem, f: types.SimpleNamespace, serial: bool) -> types.SimpleNamespace:
    """Clearing of the grid and of its adjoint."""
    n, momentum, mass, velocity = problem.grid, f.momentum, f.mass, f.velocity

    @ti.kernel
    def clear_grid():
        ti.loop_config(serialize=serial)
        for i, j, k in ti.ndrange(n, n, n):
            momentum[i, j, k] = ti.Vector.zero(ti.f32, 3)
            mass[i, j, k] = 0.0

    @ti.kernel
    def clear_gradients():
        ti.loop_config(serialize=serial)
        for i, j, k in ti.ndrange(n, n, n):
            momentum.grad[i, j, k] = ti.Vector.zero(ti.f32, 3)
            mass.grad[i, j, k] = 0.0
            velocity.grad[i, j, k] = ti.Vector.zero(ti.f32, 3)

    return types.SimpleNamespace(clear_grid=clear_grid, clear_gradients=clear_gradients)


def grid_kernels(problem: Problem, f: types.SimpleNamespace, serial: bool) -> types.SimpleNamespace:
    """The grid's update and the loss."""
    x, momentum, mass, velocity, loss = f.x, f.momentum, f.mass, f.velocity, f.loss
    n, wall, count, last = problem.grid, problem.wall, problem.particle_count, problem.steps
    kick = problem.dt * problem.gravity

    @ti.kernel
    def update_grid():
        ti.loop_config(serialize=serial)
        for i, j, k in ti.ndrange(n, n, n):
            if mass[i, j, k] > 0.0:
                node = momentum[i, j, k] / mass[i, j, k] + ti.Vector([0.0, 0.0, kick])
                index = ti.Vector([i, j, k])
                for d in ti.static(range(3)):
                    if index[d] < wall and node[d] < 0.0:
                        node[d] = 0.0
                    if index[d] > n - 1 - wall and node[d] > 0.0:
                        node[d] = 0.0
                velocity[i, j, k] = node

    @ti.kernel
    def add_loss():
        ti.loop_config(serialize=serial)
        for p in range(count):
            away = x[last, p] - ti.Vector([GOAL[0], GOAL[1], GOAL[2]])
            loss[None] += away.norm_sqr() / count

    return types.SimpleNamespace(update_grid=update_grid, add_loss=add_loss)


class TaichiMpm:
    """Taichi with its default settings or serialized; `cache` names the folder of its offline cache."""

    def __init__(self, problem: Problem, *, threads: int = 2, serial: bool = False, cache: str | None = None) -> None:
        options = {"offline_cache_file_path": cache} if cache else {"offline_cache": False}
        ti.init(arch=ti.cpu, cpu_max_num_threads=threads, log_level=ti.ERROR, **options)
        self.problem = problem
        self.fields = fields(problem)
        self.transfers = transfer_kernels(problem, self.fields, serial)
        self.clearing = clearing_kernels(problem, self.fields, serial)
        self.grid = grid_kernels(problem, self.fields, serial)
        n = problem.particle_count
        self.start = {
            "x": problem.positions().astype(np.float32),
            "v": problem.velocities().astype(np.float32),
            "C": np.zeros((n, 3, 3), np.float32),
            "F": np.tile(np.eye(3, dtype=np.float32), (n, 1, 1)),
        }
        self.set_start = self.start_kernel()
        self.set_start(*self.start.values())

    def start_kernel(self):
        f, count = self.fields, self.problem.particle_count

        @ti.kernel
        def set_start(x: ti.types.ndarray(), v: ti.types.ndarray(), C: ti.types.ndarray(), F: ti.types.ndarray()):
            for p in range(count):
                for i in ti.static(range(3)):
                    f.x[0, p][i] = x[p, i]
                    f.v[0, p][i] = v[p, i]
                    for j in ti.static(range(3)):
                        f.C[0, p][i, j] = C[p, i, j]
                        f.F[0, p][i, j] = F[p, i, j]

        return set_start

    def forward(self) -> None:
        for s in range(self.problem.steps):
            self.substep(s)
            self.transfers.g2p(s)
        ti.sync()

    def substep(self, s: int) -> None:
        """Everything up to the grid velocity, which the way back needs again."""
        self.clearing.clear_grid()
        self.transfers.p2g(s)
        self.grid.update_grid()

    def gradient(self) -> None:
        f = self.fields
        for field in (f.x, f.v, f.C, f.F):
            field.grad.fill(0)
        self.forward()
        f.loss[None] = 0.0
        f.loss.grad[None] = 1.0
        self.grid.add_loss()
        self.grid.add_loss.grad()
        for s in reversed(range(self.problem.steps)):
            self.substep(s)
            self.clearing.clear_gradients()
            self.transfers.g2p.grad(s)
            self.grid.update_grid.grad()
            self.transfers.p2g.grad(s)
        ti.sync()

    def result(self) -> dict[str, np.ndarray]:
        f = self.fields
        return {"position": f.x.to_numpy()[-1], "velocity": f.v.to_numpy()[-1]}

    def derivatives(self) -> dict[str, np.ndarray]:
        f = self.fields
        return {"position": f.x.grad.to_numpy()[0], "velocity": f.v.grad.to_numpy()[0]}


if __name__ == "__main__":
    serve(TaichiMpm)
