"""Why did training fail: reports that end with what to do."""

from pliant.learn.diagnose.gradients import check_gradients

__all__ = ["check_gradients"]
