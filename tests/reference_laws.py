"""Every constitutive law once more, in NumPy and float64 through the singular value decomposition.

Written from the equations in the laws' docstrings and not from their code: F = U diag(s) V^T. Shapes [n, 3, 3].
Each law is a function (F, C, **parameters) -> tau, and for plastic ones (F, **parameters) -> F and -> distance of the
trial strain from the nearest place where the return map has a kink.
"""

from collections.abc import Callable

import numpy as np

IDENTITY = np.eye(3)
Array = np.ndarray


def lame(youngs_modulus: float, poissons_ratio: float) -> tuple[float, float]:
    """(mu, lambda) in Pa."""
    shear = youngs_modulus / 2 / (1 + poissons_ratio)
    return shear, youngs_modulus * poissons_ratio / ((1 + poissons_ratio) * (1 - 2 * poissons_ratio))


def transpose(M: Array) -> Array:
    return np.swapaxes(M, -1, -2)


def spherical(s: Array) -> Array:
    return s[..., None, None] * IDENTITY


def rotation(F: Array) -> Array:
    """The rotation closest to F; for det F < 0 the axis of the smallest stretch is reflected."""
    U, _, Vt = np.linalg.svd(F)
    signs = np.ones(F.shape[:-1])
    signs[..., 2] = np.sign(np.linalg.det(U @ Vt))
    return (U * signs[..., None, :]) @ Vt


def neo_hookean(F: Array, C: Array, *, youngs_modulus: float, poissons_ratio: float) -> Array:
    mu, lam = lame(youngs_modulus, poissons_ratio)
    return mu * (F @ transpose(F) - IDENTITY) + spherical(lam * np.log(np.linalg.det(F)))


def fixed_corotated(F: Array, C: Array, *, youngs_modulus: float, poissons_ratio: float) -> Array:
    mu, lam = lame(youngs_modulus, poissons_ratio)
    J = np.linalg.det(F)
    return 2 * mu * (F - rotation(F)) @ transpose(F) + spherical(lam * J * (J - 1))


def fluid(F: Array, C: Array, *, bulk_modulus: float, viscosity: float) -> Array:
    J = np.linalg.det(F)
    trace = np.trace(C, axis1=-2, axis2=-1)
    shear_rate = C + transpose(C) - spherical(2 / 3 * trace)
    return spherical(bulk_modulus * J * (J - 1)) + viscosity * J[..., None, None] * shear_rate


def hencky(F: Array, C: Array, *, youngs_modulus: float, poissons_ratio: float, **plastic: float) -> Array:
    mu, lam = lame(youngs_modulus, poissons_ratio)
    U, s, _ = np.linalg.svd(F)
    e = np.log(s)
    principal = 2 * mu * e + lam * e.sum(-1, keepdims=True)
    return (U * principal[..., None, :]) @ transpose(U)


def with_log_stretches(F: Array, change: Callable[[Array], Array]) -> Array:
    """U diag(exp(change(log s))) V^T."""
    U, s, Vt = np.linalg.svd(F)
    return (U * np.exp(change(np.log(s)))[..., None, :]) @ Vt


def split(e: Array) -> tuple[Array, Array, Array]:
    """Mean, deviator and its norm, each with the last axis kept."""
    mean = e.mean(-1, keepdims=True)
    return mean, e - mean, np.linalg.norm(e - mean, axis=-1, keepdims=True)


def log_stretches(F: Array) -> Array:
    return np.log(np.linalg.svd(F, compute_uv=False))


def von_mises_radius(youngs_modulus: float, poissons_ratio: float, yield_stress: float) -> float:
    return yield_stress / (2 * lame(youngs_modulus, poissons_ratio)[0])


def von_mises_return(F: Array, **parameters: float) -> Array:
    radius = von_mises_radius(**parameters)

    def change(e: Array) -> Array:
        mean, deviator, norm = split(e)
        return mean + deviator * np.minimum(1.0, radius / np.maximum(norm, 1e-300))

    return with_log_stretches(F, change)


def von_mises_excess(F: Array, **parameters: float) -> Array:
    return split(log_stretches(F))[2][..., 0] - von_mises_radius(**parameters)


def drucker_prager_excess(
    F: Array, *, youngs_modulus: float, poissons_ratio: float, friction_angle: float, cohesion: float
) -> tuple[Array, Array, float]:
    """(shear excess, opening tr e - 3 h, tip strain h)."""
    mu, lam = lame(youngs_modulus, poissons_ratio)
    alpha = np.sqrt(2 / 3) * 2 * np.sin(friction_angle) / (3 - np.sin(friction_angle))
    tip = cohesion / np.tan(friction_angle) / (3 * lam + 2 * mu)
    mean, _, norm = split(log_stretches(F))
    opening = 3 * (mean[..., 0] - tip)
    return norm[..., 0] + alpha * (3 * lam + 2 * mu) / (2 * mu) * opening, opening, tip


def drucker_prager_return(F: Array, **parameters: float) -> Array:
    excess, opening, tip = (np.asarray(x)[..., None] for x in drucker_prager_excess(F, **parameters))

    def change(e: Array) -> Array:
        mean, deviator, norm = split(e)
        sheared = e - np.maximum(excess, 0.0) * deviator / np.maximum(norm, 1e-300)
        return np.where(opening >= 0, tip, sheared)

    return with_log_stretches(F, change)


def fluid_return(F: Array, **parameters: float) -> Array:
    return spherical(np.cbrt(np.linalg.det(F)))


def drucker_prager_distance(F: Array, **parameters: float) -> Array:
    excess, opening, _ = drucker_prager_excess(F, **parameters)
    return np.where(opening > 0, opening, np.minimum(np.abs(excess), -opening))


def von_mises_distance(F: Array, **parameters: float) -> Array:
    return np.abs(von_mises_excess(F, **parameters))


def drucker_prager_yield(F: Array, **parameters: float) -> Array:
    excess, opening, _ = drucker_prager_excess(F, **parameters)
    return np.maximum(excess, opening)


KIRCHHOFF = {
    "NeoHookean": neo_hookean,
    "FixedCorotated": fixed_corotated,
    "Fluid": fluid,
    "Hencky": hencky,
    "VonMises": hencky,
    "DruckerPrager": hencky,
}
RETURN_MAP = {"Fluid": fluid_return, "VonMises": von_mises_return, "DruckerPrager": drucker_prager_return}
KINK_DISTANCE = {"VonMises": von_mises_distance, "DruckerPrager": drucker_prager_distance}
YIELD = {"VonMises": von_mises_excess, "DruckerPrager": drucker_prager_yield}
