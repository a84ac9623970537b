"""What do I want: one objective a file; they add up with weights."""

from learn.objectives.at_times import AtTimes
from learn.objectives.base import Objective
from learn.objectives.chamfer import Chamfer
from learn.objectives.distance import DistanceTravelled
from learn.objectives.effort import ControlEffort
from learn.objectives.markers import MarkerMatching
from learn.objectives.matching import TrajectoryMatching
from learn.objectives.orientation import KeepOrientation
from learn.objectives.target import TargetPosition
from learn.objectives.wasserstein import SlicedWasserstein

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
