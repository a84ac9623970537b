"""How do I move it: policies are trained, plans are selected."""

from pliant.learn.control.episodes import EpisodeProblem, Episodes, Window
from pliant.learn.control.windows import WindowedProblem

__all__ = ["EpisodeProblem", "Episodes", "Window", "WindowedProblem"]
