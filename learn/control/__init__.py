"""How do I move it: policies are trained, plans are selected."""

from pliant.learn.control.windows import WindowedProblem

__all__ = ["WindowedProblem"]
