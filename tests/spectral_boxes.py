"""A small box for every equation, with smooth initial fields that are not special, for the tests that go through all of them."""

import math

import numpy as np

from pliant.sim.spectral import PeriodicBox, equations
from pliant.sim.spectral.equation import Equation

SIDE = 2.0 * np.pi
EQUATIONS: dict[str, tuple[Equation, int, float]] = {  # equation, axes, step [s]
    "ActiveFluid": (
        equations.ActiveFluid(activity=-1.5, alignment=0.6, constraint=0.8, translational_diffusivity=0.05),
        2,
        0.05,
    ),
    "AdvectionDiffusion": (equations.AdvectionDiffusion(velocity=(0.7, -0.4), diffusivity=0.1), 2, 0.02),
    "AllenCahn": (equations.AllenCahn(diffusivity=0.05), 2, 0.05),
    "Burgers": (equations.Burgers(viscosity=0.1), 1, 0.02),
    "CahnHilliard": (equations.CahnHilliard(gradient_energy=0.2), 2, 0.02),
    "GrayScott": (equations.GrayScott(diffusivity_u=0.02, diffusivity_v=0.01), 2, 0.05),
    "KineticActiveFluid": (
        equations.KineticActiveFluid(activity=-1.5, alignment=0.6, constraint=0.8, directions=9),
        2,
        0.05,
    ),
    "KortewegDeVries": (equations.KortewegDeVries(dispersion=0.1), 1, 0.01),
    "KuramotoSivashinsky": (equations.KuramotoSivashinsky(hyperdiffusion=0.3), 1, 0.02),
    "NavierStokes2D": (equations.NavierStokes2D(viscosity=0.02, drag=0.1, forcing=0.3, forcing_wavenumber=2), 2, 0.02),
    "NavierStokes3D": (equations.NavierStokes3D(viscosity=0.05, drag=0.1, forcing=0.2), 3, 0.02),
    "PassiveScalar": (equations.PassiveScalar(viscosity=0.02, diffusivity=0.03, forcing=0.2), 2, 0.02),
    "StokesTransport": (equations.StokesTransport(viscosity=0.7, diffusivity=0.05), 2, 0.05),
    "Schroedinger": (equations.Schroedinger(dispersion=0.5, nonlinearity=0.7), 2, 0.02),
    "SwiftHohenberg": (equations.SwiftHohenberg(growth=0.4, quadratic=0.3), 2, 0.05),
}
INITIAL = {"concentration": (1.0, 0.05), "order": (0.4, 0.1), "distribution": (0.16, 0.02)}
"""Mean and size of the initial field where it is not (0, 1): densities are positive."""
RESOLUTION = {1: 32, 2: 16, 3: 12}


def smooth(box: PeriodicBox, seed: int, waves: int = 2, components: int = 0) -> np.ndarray:
    """A random field of a few long waves, of size one, [*points] or [*points, components]."""
    rng, made = np.random.default_rng(seed), []
    x = box.coordinates
    for _ in range(max(1, components)):
        total = np.zeros(x[0].shape)
        for _ in range(6):
            k = rng.integers(-waves, waves + 1, len(x))
            phase = sum(2.0 * np.pi * ki * xi / side for ki, xi, side in zip(k, x, box.lengths, strict=True))
            total += rng.standard_normal() * np.cos(phase + rng.uniform(0.0, 2.0 * np.pi))
        made.append(total / 2.0)
    return np.stack(made, axis=-1) if components else made[0]


def box_of(name: str, resolution: int | None = None, batch: int = 1) -> PeriodicBox:
    """The box of an equation; every environment starts from another field."""
    equation, axes, _ = EQUATIONS[name]
    box = PeriodicBox((SIDE,) * axes, (resolution or RESOLUTION[axes],) * axes)
    initial = {}
    for index, field in enumerate(equation.FIELDS):
        tail, (mean, size) = field.tail(axes), INITIAL.get(field.name, (0.0, 1.0))
        count = math.prod(tail) if tail else 0
        made = [mean + size * smooth(box, 10 * index + env, components=count) for env in range(batch)]
        initial[field.name] = np.stack(made) if batch > 1 else made[0]
    box.add_field(equation, name="field", **initial)
    return box


def model_of(name: str, *, batch: int = 1, resolution: int | None = None, **options):
    """The model of an equation in float64 with its own step."""
    settings = {"dt": EQUATIONS[name][2], "dtype": "float64"} | options
    return box_of(name, resolution, batch).build(batch=batch, **settings)


def random_state(model, rng: np.random.Generator) -> np.ndarray:
    """Coefficients [component, batch, *modes] of a random state of the equation."""
    solver = model.rollout(1).solver
    state = solver.states.coefficients[0][0]
    fields = rng.standard_normal((model.components, model.batch, *model.grid.shape))
    solver.basis.to_state(fields, state)
    return state.copy()


def rate_of(solver, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """N at a state, and the fields on the points that its adjoint needs."""
    out, fields = np.empty_like(state), solver.rate.transform.empty(max(1, solver.rate.inputs))
    solver.rate.evaluate(state, None, fields, out)
    return out, fields


def weighted_loss(trajectory, seed: int = 0):
    """A loss that is quadratic in everything recorded, and its derivatives: what an audit asks for."""
    rng, loss, adjoints = np.random.default_rng(seed), 0.0, {}
    for name, array in trajectory.items():
        weight = rng.standard_normal(array.shape)
        loss += float((weight * (array + 0.5 * array**2)).sum())
        adjoints[name] = weight * (1.0 + array)
    return loss, adjoints
