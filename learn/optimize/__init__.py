"""Generic optimisers, one method a file."""

from learn.optimize.adam import Adam
from learn.optimize.cem import CEM
from learn.optimize.lbfgs import LBFGS
from learn.optimize.levenberg_marquardt import LevenbergMarquardt
from learn.optimize.random_search import AugmentedRandomSearch, RandomSearch

__all__ = ["CEM", "LBFGS", "Adam", "AugmentedRandomSearch", "LevenbergMarquardt", "RandomSearch"]
