"""Pliant's simulator: scenes, boxes of fields, models and differentiable rollouts. SI units, z up, quaternions xyzw."""

from pliant.sim import finite_volume, materials, shapes, spectral
from pliant.sim.audit import GradientReport, check_gradients
from pliant.sim.errors import InputError, MissingDependencyError, PliantError
from pliant.sim.measure import energies, momentum
from pliant.sim.model import Model
from pliant.sim.parameter import Parameter, ParameterSpec
from pliant.sim.quiet import hush
from pliant.sim.recording import Recording
from pliant.sim.rollout import Gradients, Rollout, RunInterrupted
from pliant.sim.scene import Scene
from pliant.sim.status import Code, SimulationError, Status
from pliant.sim.strain_range import StrainRange
from pliant.sim.trajectory import Trajectory
from pliant.sim.version import VERSION as __version__
from pliant.sim.view import view

__all__ = [
    "Code",
    "GradientReport",
    "Gradients",
    "InputError",
    "MissingDependencyError",
    "Model",
    "Parameter",
    "ParameterSpec",
    "PliantError",
    "Recording",
    "Rollout",
    "RunInterrupted",
    "Scene",
    "SimulationError",
    "Status",
    "StrainRange",
    "Trajectory",
    "__version__",
    "check_gradients",
    "energies",
    "finite_volume",
    "materials",
    "momentum",
    "shapes",
    "spectral",
    "view",
]

hush()
if __name__ != "pliant.sim":  # found by a path that leads into the checkout: a second copy of everything would follow
    raise ImportError(f"{__name__}: this folder is imported as pliant.sim; write `from pliant import sim`.")
