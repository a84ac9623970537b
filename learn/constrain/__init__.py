"""Learning under constraints that hold exactly: implicit layers and conservation laws."""

from pliant.learn.constrain.conservation import ConstrainedGaussian, GaussianConstraint
from pliant.learn.constrain.convergence import ConvergenceError
from pliant.learn.constrain.implicit import ImplicitFunction, custom_fixed_point, custom_root, linear_solve
from pliant.learn.constrain.linear_solvers import CG, GMRES, BiCGSTAB, DenseLU, LinearSolver, NormalCG
from pliant.learn.constrain.root_solvers import Anderson, Given, Newton, Picard, RootSolver

__all__ = [
    "CG",
    "GMRES",
    "Anderson",
    "BiCGSTAB",
    "ConstrainedGaussian",
    "ConvergenceError",
    "DenseLU",
    "GaussianConstraint",
    "Given",
    "ImplicitFunction",
    "LinearSolver",
    "Newton",
    "NormalCG",
    "Picard",
    "RootSolver",
    "custom_fixed_point",
    "custom_root",
    "linear_solve",
]
