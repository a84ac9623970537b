"""Generic optimisers, one method a file."""

from pliant.learn.optimize.adam import Adam
from pliant.learn.optimize.cem import CEM
from pliant.learn.optimize.lbfgs import LBFGS
from pliant.learn.optimize.levenberg_marquardt import LevenbergMarquardt
from pliant.learn.optimize.random_search import AugmentedRandomSearch, RandomSearch

__all__ = ["CEM", "LBFGS", "Adam", "AugmentedRandomSearch", "LevenbergMarquardt", "RandomSearch"]
