"""Pliant's simulator: scenes, boxes of fields, models and differentiable rollouts. SI units, z up, quaternions xyzw."""

from sim import materials, shapes, spectral
from sim.audit import GradientReport, check_gradients
from sim.errors import InputError, MissingDependencyError, PliantError
from sim.measure import energies, momentum
from sim.model import Model
from sim.parameter import Parameter, ParameterSpec
from sim.recording import Recording
from sim.rollout import Gradients, Rollout, RunInterrupted
from sim.scene import Scene
from sim.status import Code, SimulationError, Status
from sim.strain_range import StrainRange
from sim.trajectory import Trajectory
from sim.version import VERSION as __version__
from sim.view import view

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
    "materials",
    "momentum",
    "shapes",
    "spectral",
    "view",
]
