"""Creeping flow: the velocity that a given stress drives through a fluid without inertia."""

import numpy as np

from pliant.sim.spectral.grid import Grid
from pliant.sim.spectral.transform import Rows


def tensor_index(dimension: int) -> dict[tuple[int, int], int]:
    """Where the component of a symmetric tensor lies on its last axis: {(i, j): place}, for both orders of i and j."""
    pairs = [(i, j) for i in range(dimension) for j in range(i, dimension)]
    places = {pair: place for place, pair in enumerate(pairs)}
    return places | {(j, i): place for (i, j), place in places.items()}


def projection(grid: Grid, i: int, j: int) -> np.ndarray:
    """delta_ij - k_i k_j / |k|^2, the part of a vector without divergence; the mean is left as it is."""
    k = grid.wavenumbers
    return float(i == j) - k[i] * k[j] * grid.inverse_squared


def stokes_velocity(grid: Grid, first: int = 0) -> Rows:
    """Rows over the components of a symmetric stress, the first of them `first`: velocity times viscosity.

    -mu lap u + grad q = div stress, div u = 0, with no mean flow: mu u_i = (delta_ij - k_i k_j / k^2) i k_m stress_jm / k^2.
    """
    axes, place, k = range(grid.dimension), tensor_index(grid.dimension), grid.wavenumbers
    rows = []
    for i in axes:
        row: dict[int, np.ndarray] = {}
        for j in axes:
            for m in axes:
                part = 1j * projection(grid, i, j) * k[m] * grid.inverse_squared
                row[first + place[j, m]] = row.get(first + place[j, m], 0.0) + part
        rows.append(row)
    return rows
