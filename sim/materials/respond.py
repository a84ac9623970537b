"""What a law answers at given deformations, outside any simulation: for plots and checks."""

import functools

import numpy as np
import warp as wp

from pliant.sim.materials.base import Material
from pliant.sim.precision import Precision, precision


def respond(material: Material, F: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deformation gradients after the return map and their Kirchhoff stresses [Pa], in float64, at rest in velocity.

    Args:
        material: with parameters that are single numbers.
        F: trial deformation gradients [n, 3, 3].
    """
    p = precision("float64")
    parameters = np.array([[float(getattr(material, spec.name)) for spec in material.PARAMETERS]])
    given = wp.array(parameters, dtype=p.vector(parameters.shape[1]), device="cpu")
    trial = wp.array(np.ascontiguousarray(F, np.float64), dtype=p.mat33, device="cpu")
    tau = wp.zeros_like(trial)
    wp.launch(_respond_kernel(type(material), p), len(trial), [given, trial, tau], device="cpu")
    return trial.numpy(), tau.numpy()


@functools.cache
def _respond_kernel(law: type[Material], p: Precision) -> wp.Kernel:
    mat33, given = p.mat33, p.vector(law.parameter_count())
    kirchhoff, coefficients, project = law.kirchhoff(p), law.coefficients(p), law.return_map(p)

    @wp.kernel(enable_backward=False, module="unique")
    def answer(parameters: wp.array(dtype=given), F: wp.array(dtype=mat33), tau: wp.array(dtype=mat33)):
        i = wp.tid()
        c = coefficients(parameters[0])
        if wp.static(project is not None):
            F[i] = project(F[i], c)
        tau[i] = kirchhoff(F[i], mat33(), c)

    return answer
