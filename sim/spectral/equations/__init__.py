"""Equations on periodic boxes, one a file: a linear operator and a nonlinear term with its adjoint."""

from pliant.sim.spectral.equations.active_fluid import ActiveFluid, KineticActiveFluid
from pliant.sim.spectral.equations.advection_diffusion import AdvectionDiffusion
from pliant.sim.spectral.equations.allen_cahn import AllenCahn
from pliant.sim.spectral.equations.burgers import Burgers
from pliant.sim.spectral.equations.cahn_hilliard import CahnHilliard
from pliant.sim.spectral.equations.gray_scott import GrayScott
from pliant.sim.spectral.equations.korteweg_de_vries import KortewegDeVries
from pliant.sim.spectral.equations.kuramoto_sivashinsky import KuramotoSivashinsky
from pliant.sim.spectral.equations.navier_stokes_2d import NavierStokes2D
from pliant.sim.spectral.equations.navier_stokes_3d import NavierStokes3D
from pliant.sim.spectral.equations.passive_scalar import PassiveScalar
from pliant.sim.spectral.equations.schroedinger import Schroedinger
from pliant.sim.spectral.equations.stokes_transport import StokesTransport
from pliant.sim.spectral.equations.swift_hohenberg import SwiftHohenberg

__all__ = [
    "ActiveFluid",
    "AdvectionDiffusion",
    "AllenCahn",
    "Burgers",
    "CahnHilliard",
    "GrayScott",
    "KineticActiveFluid",
    "KortewegDeVries",
    "KuramotoSivashinsky",
    "NavierStokes2D",
    "NavierStokes3D",
    "PassiveScalar",
    "Schroedinger",
    "StokesTransport",
    "SwiftHohenberg",
]
