"""The Stokes flow of a suspension whose stress depends on the strain rate it makes.

In complex notation (11-component + i 12-component of a symmetric tensor without trace) the stress is

    sigma = alpha psi_2 / 2 - zeta beta / 4 (c psi_2 - psi_4 conj(psi_2)) + beta / 4 (c e + psi_4 conj(e)).

-lap u + grad q = div sigma has the vorticity w = 2 g and the strain rate e = P g, where g = -P* sigma / 2, P multiplies
coefficients by (-sin 2 phi, cos 2 phi) and phi is the angle of the wave vector. For given psi_4 that is a linear system
for the one scalar field g, symmetric, and positive definite as |psi_4| <= c: conjugate gradients take about eight steps, and
the adjoint is one more solve with the same operator.
"""

from typing import Any

import numpy as np

from pliant.sim.spectral.active.closures import real_product
from pliant.sim.spectral.arrays import complex_of
from pliant.sim.spectral.transform import LinearMap, Transform

CG_STEPS, OUTER_STEPS = 100, 60
TOLERANCE = {"float32": 3e-7, "float64": 1e-12}  # of the residual over the right-hand side


class Stokes:
    """Maps between g and the flow, and solves for g; arrays are of one model."""

    def __init__(self, model: Any, transform: Transform):
        self.transform, self.xp, grid, p = transform, model.arrays, model.grid, model.precision
        self.tolerance, self._tiny = TOLERANCE[p.name], float(np.finfo(p.numpy).tiny)
        (kx, ky), inverse = grid.wavenumbers, grid.inverse_squared
        strain = [{0: -2.0 * kx * ky * inverse}, {0: (kx**2 - ky**2) * inverse}]
        self._strain = LinearMap(strain, 1, transform)
        self._flow = LinearMap([{0: 2j * ky * inverse}, {0: -2j * kx * inverse}, {0: 2.0}, *strain], 1, transform)
        self._itself = LinearMap([{0: 1.0}], 1, transform)
        self._strain_vjp, self._flow_vjp = self._strain.transposed(), self._flow.transposed()
        self._weights = self.xp.load(np.ascontiguousarray(grid.weights, dtype=p.numpy))
        self._shape, self._dtype = (1, model.batch, *grid.modes), complex_of(p)
        self._points = transform.empty(5)

    def flow(self, g: Any) -> tuple[Any, Any, Any, Any]:
        """u, v, w = dv/dx - du/dy (real) and e (complex) on the points."""
        u, v, w, e1, e2 = self._flow.to_points(g[None], self.transform.empty(5))
        return u, v, w, e1 + 1j * e2

    def flow_vjp(self, u: Any, v: Any, w: Any, e: Any) -> Any:
        """The gradient by g from those by the flow on the points."""
        for target, values in zip(self._points, (u, v, w, e.real, e.imag), strict=True):
            target[...] = values
        return self._flow_vjp.from_points(self._points, self._empty())[0]

    def strain(self, g: Any) -> Any:
        """e = P g on the points."""
        e1, e2 = self._strain.to_points(g[None], self._points[:2])
        return e1 + 1j * e2

    def project(self, sigma: Any) -> Any:
        """P* sigma, coefficients of complex sigma on the points."""
        self._points[0][...], self._points[1][...] = sigma.real, sigma.imag
        return self._strain_vjp.from_points(self._points[:2], self._empty())[0]

    def write(self, g: Any, field: Any) -> None:
        """Write g on the points [batch, *points] to `field`."""
        self._itself.to_points(g[None], field[None])

    def read(self, field: Any) -> Any:
        """g of what `write` wrote."""
        return self._itself.from_points(field[None], self._empty())[0]

    def _empty(self) -> Any:
        return self.xp.empty(self._shape, self._dtype)

    def solve(self, right: Any, beta: Any, c: Any, psi4: Any, start: Any) -> tuple[Any, bool]:
        """g with g + beta/8 P* (c P g + psi_4 conj(P g)) = right, and whether conjugate gradients converged."""

        def apply(g: Any) -> Any:
            e = self.strain(g)
            return g + self.project(0.125 * beta * (c * e + psi4 * self.xp.conj(e)))

        g = start
        residual = right - apply(g)
        direction, size = residual, self._dot(residual, residual)
        goal = self.tolerance**2 * self._dot(right, right)
        for _ in range(CG_STEPS):
            if bool((size <= goal).all()):
                return g, True
            moved = apply(direction)
            step = size / (self._dot(direction, moved) + self._tiny)
            g = g + self._wide(step) * direction
            residual = residual - self._wide(step) * moved
            before, size = size, self._dot(residual, residual)
            direction = residual + self._wide(size / (before + self._tiny)) * direction
        return g, False

    def close(self, one: Any, other: Any) -> bool:
        """Whether two g agree to the tolerance."""
        gap = one - other
        return bool((self._dot(gap, gap) <= self.tolerance**2 * self._dot(one, one)).all())

    def _dot(self, a: Any, b: Any) -> Any:
        """Mean over the points of a b, for each environment."""
        return (self._weights * real_product(a, b)).reshape(len(a), -1).sum(1)

    def _wide(self, values: Any) -> Any:
        return values.reshape(-1, 1, 1)
