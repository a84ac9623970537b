"""How do I differentiate this: one estimator a file."""

from learn.gradients.base import Estimate, GradientEstimator
from learn.gradients.finite_difference import FiniteDifference
from learn.gradients.forward_mode import ForwardMode
from learn.gradients.pathwise import Pathwise

__all__ = ["Estimate", "FiniteDifference", "ForwardMode", "GradientEstimator", "Pathwise"]
