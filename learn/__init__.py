"""Training, inference and design through a simulator. A method takes a `Problem`, never a scene."""

from learn.autograd import Simulator, simulate
from learn.diagnose import check_gradients
from learn.gradients import Estimate, GradientEstimator, Pathwise
from learn.interruption import Interrupted
from learn.method import Method, Query
from learn.optimize import CEM, LBFGS, Adam, AugmentedRandomSearch, RandomSearch
from learn.problem import Evaluation, Problem
from learn.run import Run
from learn.simulation import SimulationProblem
from learn.solve import Budget, Iteration, Result, solve
from learn.space import Space, Unknown
from learn.torch_law import ExplicitLaw, TorchLaw

__all__ = [
    "CEM",
    "LBFGS",
    "Adam",
    "AugmentedRandomSearch",
    "Budget",
    "Estimate",
    "Evaluation",
    "ExplicitLaw",
    "GradientEstimator",
    "Interrupted",
    "Iteration",
    "Method",
    "Pathwise",
    "Problem",
    "Query",
    "RandomSearch",
    "Result",
    "Run",
    "SimulationProblem",
    "Simulator",
    "Space",
    "TorchLaw",
    "Unknown",
    "check_gradients",
    "simulate",
    "solve",
]
