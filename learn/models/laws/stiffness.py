"""The elastic stiffness of a learned law at rest: whether it is stable there, and its Young's modulus."""

import math

import numpy as np
import torch

PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def stiffness_at_rest(kirchhoff: torch.nn.Module) -> np.ndarray:
    """d tau / d e at rest in Mandel's notation [6, 6] Pa, for symmetric strains e.

    The stress of a law that is zero at rest is this times a small strain, and the energy of one that has an energy is
    half its quadratic form: that is positive near rest where the eigenvalues of the symmetric part are.
    """
    like = next(kirchhoff.parameters())
    F = torch.eye(3, dtype=like.dtype, device=like.device)[None].requires_grad_()
    tau = kirchhoff(F)[0]
    made = np.zeros((6, 6))
    for row, (i, j) in enumerate(PAIRS):
        seed = torch.zeros_like(tau)
        seed[i, j] = seed[j, i] = 1.0 if i == j else math.sqrt(0.5)
        slope = torch.autograd.grad(tau, F, seed, retain_graph=True)[0][0].detach().cpu().double().numpy()
        for column, (k, m) in enumerate(PAIRS):
            made[row, column] = slope[k, k] if k == m else math.sqrt(0.5) * (slope[k, m] + slope[m, k])
    return made


def isotropic_moduli(stiffness: np.ndarray) -> tuple[float, float]:
    """Young's modulus [Pa] and Poisson's ratio of the isotropic stiffness nearest to one in Mandel's notation."""
    volumetric = stiffness[:3, :3].sum() / 3.0  # 3 K
    shear = (np.trace(stiffness) - volumetric) / 5.0  # 2 mu
    bulk, mu = volumetric / 3.0, shear / 2.0
    return 9.0 * bulk * mu / (3.0 * bulk + mu), (3.0 * bulk - 2.0 * mu) / (6.0 * bulk + 2.0 * mu)


def is_stable(stiffness: np.ndarray) -> bool:
    """Whether every small strain costs energy."""
    return bool(np.linalg.eigvalsh(0.5 * (stiffness + stiffness.T)).min() > 0.0)
