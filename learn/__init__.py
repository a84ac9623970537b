"""Training, inference and design through a simulator. A method takes a `Problem`, never a scene."""

from pliant.learn.autograd import Simulator, linearise, simulate
from pliant.learn.diagnose import check_gradients
from pliant.learn.gradients import Estimate, FiniteDifference, ForwardMode, GradientEstimator, Pathwise
from pliant.learn.interruption import Interrupted
from pliant.learn.method import Method, Query
from pliant.learn.optimize import CEM, LBFGS, Adam, AugmentedRandomSearch, LevenbergMarquardt, RandomSearch
from pliant.learn.problem import Evaluation, Problem
from pliant.learn.run import Run
from pliant.learn.simulation import SimulationProblem
from pliant.learn.solve import Budget, Iteration, Result, solve
from pliant.learn.space import Space, Unknown
from pliant.learn.torch_closure import TorchClosure
from pliant.learn.torch_law import ExplicitLaw, TorchLaw

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

if __name__ != "pliant.learn":  # found by a path that leads into the checkout: a second copy of everything would follow
    raise ImportError(f"{__name__}: this folder is imported as pliant.learn; write `from pliant import learn`.")
