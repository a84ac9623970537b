"""Least and greatest stretch and volume ratio of many deformation gradients."""

import functools
import math

import warp as wp

from pliant.sim.linalg.eigen import symmetric_eigen
from pliant.sim.precision import Precision


def extremes(F: wp.array, first: int, count: int, p: Precision) -> tuple[float, float, float, float]:
    """Least and greatest stretch, least and greatest volume ratio of `count` matrices from `first` on."""
    found = wp.array([math.inf, -math.inf, math.inf, -math.inf], dtype=p.real, device=F.device)
    wp.launch(_extremes_kernel(p), count, [first, F, found], device=F.device)
    a, b, c, d = (float(x) for x in found.numpy())
    return a, b, c, d


@functools.cache
def _extremes_kernel(p: Precision) -> wp.Kernel:
    real, mat33, eigen = p.real, p.mat33, symmetric_eigen(p)

    @wp.kernel(enable_backward=False, module="unique")
    def find_extremes(first: int, F: wp.array(dtype=mat33), found: wp.array(dtype=real)):
        i = wp.tid() + first
        G = F[i]
        Q, x = eigen(wp.transpose(G) * G)
        J = wp.determinant(G)
        wp.atomic_min(found, 0, wp.sqrt(wp.max(x[0], real(0.0))))
        wp.atomic_max(found, 1, wp.sqrt(x[2]))
        wp.atomic_min(found, 2, J)
        wp.atomic_max(found, 3, J)

    return find_extremes
