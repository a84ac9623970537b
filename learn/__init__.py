"""Training, inference and design through a simulator. A method takes a `Problem`, never a scene."""

from learn.autograd import Simulator, linearise, simulate
from learn.diagnose import check_gradients
from learn.gradients import Estimate, FiniteDifference, ForwardMode, GradientEstimator, Pathwise
from learn.interruption import Interrupted
from learn.method import Method, Query
from learn.optimize import CEM, LBFGS, Adam, AugmentedRandomSearch, LevenbergMarquardt, RandomSearch
from learn.problem import Evaluation, Problem
from learn.run import Run
from learn.simulation import SimulationProblem
from learn.solve import Budget, Iteration, Result, solve
from learn.space import Space, Unknown
from learn.torch_closure import TorchClosure
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
    "FiniteDifference",
    "ForwardMode",
    "GradientEstimator",
    "Interrupted",
    "Iteration",
    "LevenbergMarquardt",
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
    "TorchClosure",
    "TorchLaw",
    "Unknown",
    "check_gradients",
    "linearise",
    "simulate",
    "solve",
]
