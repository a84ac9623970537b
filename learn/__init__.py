"""Training, inference and design through a simulator. A method takes a `Problem`, never a scene."""

from pliant.learn.autograd import Simulator, linearise, simulate
from pliant.learn.diagnose import check_gradients
from pliant.learn.evaluation import Evaluation, Failed
from pliant.learn.gradients import Estimate, FiniteDifference, ForwardMode, GradientEstimator, Pathwise
from pliant.learn.identify.prior import MaximumAPosteriori
from pliant.learn.interruption import Interrupted
from pliant.learn.meter import Meter, charge
from pliant.learn.method import Method, Query
from pliant.learn.optimize import CEM, LBFGS, Adam, AugmentedRandomSearch, LevenbergMarquardt, RandomSearch
from pliant.learn.problem import Problem, draw_seed
from pliant.learn.run import Run
from pliant.learn.simulation import SimulationProblem
from pliant.learn.solve import Budget, Iteration, Result, solve
from pliant.learn.space import Space, Unknown
from pliant.learn.state import Stateful
from pliant.learn.torch_closure import TorchClosure
from pliant.learn.torch_law import ExplicitLaw, TorchLaw
from pliant.sim.mpm.state import FIELDS

__all__ = [
    "CEM",
    "FIELDS",
    "LBFGS",
    "Adam",
    "AugmentedRandomSearch",
    "Budget",
    "Estimate",
    "Evaluation",
    "ExplicitLaw",
    "Failed",
    "FiniteDifference",
    "ForwardMode",
    "GradientEstimator",
    "Interrupted",
    "Iteration",
    "LevenbergMarquardt",
    "MaximumAPosteriori",
    "Meter",
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
    "Stateful",
    "TorchClosure",
    "TorchLaw",
    "Unknown",
    "charge",
    "check_gradients",
    "draw_seed",
    "linearise",
    "simulate",
    "solve",
]

if __name__ != "pliant.learn":  # found by a path that leads into the checkout: a second copy of everything would follow
    raise ImportError(f"{__name__}: this folder is imported as pliant.learn; write `from pliant import learn`.")
