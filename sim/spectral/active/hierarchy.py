"""Transport and alignment of the angular moments psi_2k of an active suspension by a flow.

    N_k = -u . grad psi_2k + k (m psi_(2k-2) - conj(m) psi_(2k+2)) + i k w psi_2k,   m = e + zeta psi_2,

is what d_t psi_2k has beside D_T lap psi_2k - 4 k^2 D_R psi_2k: the Fourier transform in theta of the kinetic equation,
whose rate of turning is Im(m exp(-2 i theta)) + w / 2.
"""

import dataclasses
from typing import Any

from pliant.sim.spectral.active.closures import real_product
from pliant.sim.spectral.arrays import Arrays


@dataclasses.dataclass
class Moments:
    """psi_0 ... psi_2K [1 + K, batch, *points] (complex), and their derivatives along x and y."""

    psi: Any
    x: Any
    y: Any

    @staticmethod
    def of(xp: Arrays, fields: Any, complex_type: Any) -> "Moments":
        """Of real components [3 (1 + 2 K), batch, *points]: moments, their x and y derivatives."""
        count = len(fields) // 3
        return Moments(*(pack(xp, fields[i * count : (i + 1) * count], complex_type) for i in range(3)))


def pack(xp: Arrays, components: Any, complex_type: Any) -> Any:
    """Complex moments [1 + K, ...] of the components psi_0, Re psi_2, Im psi_2, Re psi_4, ..."""
    made = xp.empty((1 + len(components) // 2, *components.shape[1:]), complex_type)
    made[0] = components[0]
    made[1:] = components[1::2] + 1j * components[2::2]
    return made


def unpack(moments: Any, out: Any) -> None:
    """Write the components of complex moments to `out`."""
    out[0], out[1::2], out[2::2] = moments[0].real, moments[1:].real, moments[1:].imag


def rates(xp: Arrays, moments: Moments, top: Any, flow: tuple, zeta: Any, orders: Any) -> Any:
    """N_0 ... N_K; `top` is psi_(2K+2), None for zero, and `orders` 1 ... K with the axes of the moments."""
    u, v, w, e = flow
    psi, m = moments.psi, e + zeta * moments.psi[1]
    made = -(u * moments.x + v * moments.y)
    made[1:] += orders * (m * psi[:-1] + 1j * w * psi[1:])
    made[1:-1] -= orders[:-1] * xp.conj(m) * psi[2:]
    if top is not None:
        made[-1] -= len(orders) * xp.conj(m) * top
    return made


@dataclasses.dataclass
class Pulled:
    """Gradients by the moments and their derivatives, by `top`, by the flow (u, v, w, e) and by zeta."""

    moments: Moments
    top: Any
    flow: list
    zeta: Any


def rates_vjp(xp: Arrays, moments: Moments, top: Any, flow: tuple, zeta: Any, orders: Any, bar: Any) -> Pulled:
    """Gradients of the sum of Re(conj(bar) N)."""
    u, v, w, e = flow
    psi, m = moments.psi, e + zeta * moments.psi[1]
    by_x, by_y = -u * bar, -v * bar
    by_u = -real_product(moments.x, bar).sum(0)
    by_v = -real_product(moments.y, bar).sum(0)
    turned = orders * bar[1:]
    by_w = (psi[1:].real * turned.imag - psi[1:].imag * turned.real).sum(0)
    by_psi = 0.0 * bar
    by_psi[:-1] += xp.conj(m) * turned
    by_psi[1:] += -1j * w * turned
    by_psi[2:] -= m * turned[:-1]
    by_m = (xp.conj(psi[:-1]) * turned).sum(0) - (psi[2:] * xp.conj(turned[:-1])).sum(0)
    by_top = None
    if top is not None:
        by_top = -m * turned[-1]
        by_m = by_m - top * xp.conj(turned[-1])
    by_psi[1] += zeta * by_m
    return Pulled(Moments(by_psi, by_x, by_y), by_top, [by_u, by_v, by_w, by_m], real_product(psi[1], by_m))
