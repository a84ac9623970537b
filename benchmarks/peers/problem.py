"""The one problem that every peer solves: a neo-Hookean cube that spins, stretches and falls in a box.

    tau = mu (F F^T - I) + lambda log(det F) I,     F_n = (I + dt C_n) F_(n-1),
    P2G: m_i = sum_p w_ip m_p,   m_i v_i = sum_p w_ip (m_p v_p + (m_p C_p - dt V_p 4/dx^2 tau_p)(x_i - x_p)),
    grid: v_i += dt g, walls that only push,
    G2P: v_p = sum_i w_ip v_i,   C_p = 4/dx^2 sum_i w_ip v_i (x_i - x_p)^T,   x_p += dt v_p,

with the quadratic B-spline weights w_ip and the loss mean_p |x_p(T) - goal|^2. The box is the unit cube, z is up, SI
units.

Source: Hu et al., A Moving Least Squares Material Point Method, ACM TOG 37(4), 2018; Jiang et al., The Affine
Particle-In-Cell Method, ACM TOG 34(4), 2015.
"""

import dataclasses

import numpy as np

GOAL = (0.5, 0.5, 0.8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """Numbers of one run; plain values only, so that it crosses a pipe as JSON.

    Args:
        grid: nodes a side of the grid, spacing 1/grid [m].
        side: particles a side of the cube, two to a cell and direction.
        steps: substeps of one run.
        stretch_rate: size of the initial velocity gradient [1/s].
        height: height of the cube's centre [m]; None sinks its bottom half a cell into the wall's layer.
        wall: nodes of the separating wall on each face of the box.
    """

    grid: int = 32
    side: int = 20
    steps: int = 40
    dt: float = 1e-4
    density: float = 1000.0
    youngs_modulus: float = 1e5
    poissons_ratio: float = 0.3
    gravity: float = -9.81
    stretch_rate: float = 5.0
    height: float | None = 0.5
    wall: int = 3

    @property
    def particle_count(self) -> int:
        return self.side**3

    @property
    def spacing(self) -> float:
        """Distance between neighbouring particles [m]."""
        return 0.5 / self.grid

    @property
    def volume(self) -> float:
        """Rest volume of one particle [m^3]."""
        return self.spacing**3

    @property
    def mass(self) -> float:
        """Mass of one particle [kg]."""
        return self.density * self.volume

    @property
    def mu(self) -> float:
        return self.youngs_modulus / (2 * (1 + self.poissons_ratio))

    @property
    def lam(self) -> float:
        nu = self.poissons_ratio
        return self.youngs_modulus * nu / ((1 + nu) * (1 - 2 * nu))

    @property
    def center(self) -> np.ndarray:
        """Centre of the cube, shape [3] [m]."""
        floor = (self.wall - 0.5) / self.grid + 0.5 * self.side * self.spacing
        return np.array([0.5, 0.5, floor if self.height is None else self.height])

    def positions(self) -> np.ndarray:
        """Initial positions, shape [particle_count, 3] [m]."""
        line = (np.arange(self.side) + 0.5 - 0.5 * self.side) * self.spacing
        lattice = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1)
        return lattice.reshape(-1, 3) + self.center

    def velocities(self) -> np.ndarray:
        """Initial velocities: a fall, a spin and a stretch, shape [particle_count, 3] [m/s]."""
        gradient = self.stretch_rate * np.array([[0.6, -0.8, 0.3], [0.9, -0.5, -0.2], [0.1, 0.4, 0.2]])
        return (self.positions() - self.center) @ gradient.T + np.array([0.2, -0.1, -0.5])
