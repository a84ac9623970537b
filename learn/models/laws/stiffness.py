"""The elastic stiffness of a learned law at rest: whether it is stable there, its moduli, and which of them the data tell."""

import math
from typing import Any

import numpy as np
import torch

TOLD = 1e-4  # least strain that tells a modulus: a thousand times the round-off of single precision
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
    bulk, mu = bulk_and_shear(stiffness)
    return 9.0 * bulk * mu / (3.0 * bulk + mu), (3.0 * bulk - 2.0 * mu) / (6.0 * bulk + 2.0 * mu)


def bulk_and_shear(stiffness: np.ndarray) -> tuple[float, float]:
    """Bulk and shear modulus [Pa] of that stiffness."""
    volumetric = float(stiffness[:3, :3].sum()) / 3.0  # 3 K
    return volumetric / 3.0, (float(np.trace(stiffness)) - volumetric) / 10.0


def greatest_strains(F: np.ndarray) -> tuple[float, float]:
    """Greatest |tr e| and |e - tr(e) / 3 I| of the logarithmic strains e of deformation gradients [..., 3, 3], det F > 0."""
    F = np.asarray(F, np.float64).reshape(-1, 3, 3)
    e = 0.5 * np.log(np.linalg.eigvalsh(F.swapaxes(1, 2) @ F))
    trace = e.sum(1)
    return float(np.abs(trace).max()), float(np.linalg.norm(e - trace[:, None] / 3.0, axis=1).max())


def moduli_told(stiffness: np.ndarray, F: np.ndarray | None = None) -> dict[str, Any]:
    """What a card should say of the stiffness at rest, if the deformation gradients F are those that were learned from.

    "E [Pa]" and "nu". Where F never strains shape, or never volume, by 1e-4, only the modulus of what is strained,
    "K [Pa]" or "mu [Pa]", and "untold", a sentence. "stable": whether every small strain that was seen costs energy.
    """
    seen = (math.inf, math.inf) if F is None else greatest_strains(F)
    if min(seen) >= TOLD:
        youngs_modulus, poissons_ratio = isotropic_moduli(stiffness)
        return {"E [Pa]": youngs_modulus, "nu": poissons_ratio, "stable": is_stable(stiffness)}
    bulk, mu = bulk_and_shear(stiffness)
    kinds = (("K", bulk, "volume", seen[0]), ("mu", mu, "shape", seen[1]))
    told = {f"{symbol} [Pa]": modulus for symbol, modulus, _, strain in kinds if strain >= TOLD}
    missing = ", ".join([*(symbol for symbol, _, _, strain in kinds if strain < TOLD), "E"])
    small = " and ".join(f"{kind} by at most {strain:.1g}" for _, _, kind, strain in kinds if strain < TOLD)
    sentence = f"The data strain {small}, which does not tell {missing} and nu."
    return {**told, "stable": all(modulus > 0.0 for modulus in told.values()), "untold": sentence}


def is_stable(stiffness: np.ndarray) -> bool:
    """Whether every small strain costs energy."""
    return bool(np.linalg.eigvalsh(0.5 * (stiffness + stiffness.T)).min() > 0.0)
