"""Equations on periodic boxes, one a file: a linear operator and a nonlinear term with its adjoint."""

from sim.spectral.equations.active_fluid import ActiveFluid, KineticActiveFluid
from sim.spectral.equations.advection_diffusion import AdvectionDiffusion
from sim.spectral.equations.allen_cahn import AllenCahn
from sim.spectral.equations.burgers import Burgers
from sim.spectral.equations.cahn_hilliard import CahnHilliard
from sim.spectral.equations.gray_scott import GrayScott
from sim.spectral.equations.korteweg_de_vries import KortewegDeVries
from sim.spectral.equations.kuramoto_sivashinsky import KuramotoSivashinsky
from sim.spectral.equations.navier_stokes_2d import NavierStokes2D
from sim.spectral.equations.navier_stokes_3d import NavierStokes3D
from sim.spectral.equations.passive_scalar import PassiveScalar
from sim.spectral.equations.schroedinger import Schroedinger
from sim.spectral.equations.stokes_transport import StokesTransport
from sim.spectral.equations.swift_hohenberg import SwiftHohenberg

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
