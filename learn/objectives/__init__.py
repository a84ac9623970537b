"""What do I want: one objective a file; they add up with weights."""

from pliant.learn.objectives.at_times import AtTimes
from pliant.learn.objectives.base import Objective
from pliant.learn.objectives.chamfer import Chamfer
from pliant.learn.objectives.distance import DistanceTravelled
from pliant.learn.objectives.effort import ControlEffort
from pliant.learn.objectives.markers import MarkerMatching
from pliant.learn.objectives.matching import TrajectoryMatching
from pliant.learn.objectives.orientation import KeepOrientation
from pliant.learn.objectives.target import TargetPosition
from pliant.learn.objectives.wasserstein import SlicedWasserstein

__all__ = [
    "AtTimes",
    "Chamfer",
    "ControlEffort",
    "DistanceTravelled",
    "KeepOrientation",
    "MarkerMatching",
    "Objective",
    "SlicedWasserstein",
    "TargetPosition",
    "TrajectoryMatching",
]
