"""The problem of fields by torch-cfd: its 2D Navier-Stokes in Fourier space, and torch's reverse mode through its steps.

It has no exponential integrator. Beside ETDRK2 stands its second-order Runge-Kutta with Crank-Nicolson, which evaluates the
nonlinear term twice a step as ETDRK2 does; beside ETDRK4 its five-stage one of Carpenter and Kennedy. Its gradient keeps the
graph of all steps.
"""

from typing import Any

import numpy as np

from benchmarks.peers.field_problem import FLOW, FieldProblem, pin
from benchmarks.peers.serve import serve


class TorchCfdFields:
    """Vorticity on the points at both ends, Fourier coefficients between."""

    def __init__(self, problem: FieldProblem) -> None:
        if problem.equation != FLOW:
            raise ValueError(f"torch-cfd has no {problem.equation}")
        import torch
        from torch_cfd.grids import Grid
        from torch_cfd.spectral import IMEXStepper, NavierStokes2DSpectral, RK4CrankNicolsonStepper

        torch.set_num_threads(1)
        torch.set_default_dtype(getattr(torch, problem.dtype))
        self.torch, self.problem = torch, problem
        side = (0.0, problem.length)
        stepper = IMEXStepper(order=2) if problem.order == 2 else RK4CrankNicolsonStepper()
        grid = Grid((problem.points, problem.points), domain=(side, side))
        self.equation = NavierStokes2DSpectral(viscosity=problem.viscosity, grid=grid, smooth=True, step_fn=stepper)
        start = np.swapaxes(problem.start(), 1, 2).astype(problem.dtype)  # its axes are x, y
        self.start = torch.from_numpy(np.ascontiguousarray(start))
        self.field: Any = None
        self.derivative: Any = None

    def run(self, start: Any) -> Any:
        torch, modes = self.torch, self.torch.fft.rfft2(start)
        made, _ = self.equation(modes, self.problem.dt, steps=self.problem.steps)
        return torch.fft.irfft2(made)

    def forward(self) -> None:
        with self.torch.no_grad():
            self.field = self.run(self.start)

    def gradient(self) -> None:
        start = self.start.clone().requires_grad_(True)
        field = self.run(start)
        (self.derivative,) = self.torch.autograd.grad(field.square().mean(), start)
        self.field = field.detach()

    def result(self) -> dict[str, np.ndarray]:
        return {"field": self.field.numpy().swapaxes(1, 2)}

    def derivatives(self) -> dict[str, np.ndarray]:
        return {"field": self.derivative.numpy().swapaxes(1, 2)}


if __name__ == "__main__":
    pin()
    serve(TorchCfdFields, FieldProblem)
