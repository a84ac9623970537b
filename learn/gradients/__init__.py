"""How do I differentiate this: one estimator a file."""

from pliant.learn.gradients.base import Estimate, GradientEstimator
from pliant.learn.gradients.finite_difference import FiniteDifference
from pliant.learn.gradients.forward_mode import ForwardMode
from pliant.learn.gradients.pathwise import Pathwise

__all__ = ["Estimate", "FiniteDifference", "ForwardMode", "GradientEstimator", "Pathwise"]
